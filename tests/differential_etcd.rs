//! Random key-value operations against etcd and against us: every reply and every error must be equal.
//!
//! `DIFFERENTIAL_OPS` sets the number of operations, `DIFFERENTIAL_SEED` repeats a run. Where etcd is
//! not installed there is nothing to compare with, and the test says so.

mod operations;

use anyhow::{Context, Result, ensure};
use harness::random::{Random, count_from};
use harness::{Server, client};
use operations::{Generator, Outcome, perform};

/// Enough to meet every kind of operation some hundred times within a few seconds.
const OPS_DEFAULT: u64 = 3000;

#[tokio::test(flavor = "multi_thread")]
async fn replies_and_errors_equal_those_of_etcd() -> Result<()> {
    let Some(etcd) = Server::etcd_if_installed()? else {
        return Ok(());
    };
    let center = Server::subject()?;
    let mut reference = client::kv(&etcd.url()).await?;
    let mut subject = client::kv(&center.url()).await?;

    let mut generator = Generator::new(Random::new(Random::seed_from("DIFFERENTIAL_SEED")));
    let count = count_from("DIFFERENTIAL_OPS", OPS_DEFAULT);
    let (mut errors, mut newest) = (0, 1);
    for number in 0..count {
        let operation = generator.next(newest);
        let expected = perform(&mut reference, &operation).await;
        let found = perform(&mut subject, &operation).await;
        ensure!(
            expected == found,
            "operation {number} {operation:#?}\netcd answered {expected:#?}\nwe answered {found:#?}"
        );
        match expected {
            Outcome::Failed { .. } => errors += 1,
            other => newest = other.revision().context("etcd always tells the revision")?,
        }
    }
    println!("{count} operations compared, {errors} of them errors, last revision {newest}");
    // A generator that no longer meets errors or no longer writes would compare nothing.
    ensure!(errors > count / 50 && newest > count as i64 / 10);
    Ok(())
}
