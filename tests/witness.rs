//! The tests' witness itself: a load and the check of a store against it must accept a truthful store
//! and must refuse each kind of lie, or every durability test built on them proves nothing.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use harness::load::{Acknowledged, Load, Plan, Record, Unanswered, Write};
use harness::{Server, client, history};
use tonic::Status;

const DEADLINE: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn a_truthful_store_passes_and_each_lie_is_seen() -> Result<()> {
    let server = Server::subject()?;
    let mut kv = client::kv(&server.url()).await?;
    let base = client::revision(&mut kv).await?;
    let plan = Plan {
        writers: 8,
        connections: 2,
        ..Plan::standard(&server.url(), "witness")
    };
    let load = Load::start(&plan).await?;
    load.reached(200, DEADLINE).await?;
    let record = load.finish(DEADLINE).await?;
    ensure!(record.unanswered.is_empty(), "{:?}", record.unanswered);

    let verdict = check(&server, base, &record).await?;
    ensure!(verdict.acknowledged == record.acknowledged.len());

    let lost = Acknowledged {
        write: Write {
            key: "witness/new/never".into(),
            value: "witness/new/never@0".into(),
        },
        revision: verdict.revision + 1,
        sent: Instant::now(),
        answered: Instant::now(),
    };
    refused(&server, base, &with(&record, lost), "is lost").await?;

    let mut swapped = record.acknowledged[0].clone();
    swapped.write.value = "another value".into();
    refused(&server, base, &with(&record, swapped), "acknowledged was").await?;

    refused(&server, base - 1, &record, "is missing").await?;

    let mut denied = record.clone();
    denied.refused.push(Unanswered {
        write: record.acknowledged[0].write.clone(),
        status: Status::unavailable("not applied"),
    });
    refused(&server, base, &denied, "and is there").await?;

    // A write of somebody else takes a revision that the load cannot account for.
    kv.put(client::put("elsewhere", "x")).await?;
    refused(&server, base, &record, "hold nothing of the load").await?;

    kv.put(client::put("witness/foreign", "not named after its key"))
        .await?;
    refused(&server, base, &record, "foreign value").await
}

fn with(record: &Record, more: Acknowledged) -> Record {
    let mut record = record.clone();
    record.acknowledged.push(more);
    record
}

async fn check(server: &Server, base: i64, record: &Record) -> Result<history::Verdict> {
    history::verify(&server.url(), "witness", base, &record.acknowledged, record).await
}

async fn refused(server: &Server, base: i64, record: &Record, why: &str) -> Result<()> {
    match check(server, base, record).await {
        Ok(verdict) => anyhow::bail!("accepted, should say {why:?}: {verdict:?}"),
        Err(error) => {
            let text = format!("{error:#}");
            ensure!(text.contains(why), "should say {why:?}, says {text:?}");
            Ok(())
        }
    }
}
