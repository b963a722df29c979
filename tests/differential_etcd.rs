//! Random key-value operations against etcd and against us: every reply and every error must be equal, and so
//! must the hashes of the history that comes of them.
//!
//! `DIFFERENTIAL_OPS` sets the number of operations, `DIFFERENTIAL_SEED` repeats a run. Where etcd is
//! not installed there is nothing to compare with, and the test says so.

mod operations;

use anyhow::{Context, Result, ensure};
use harness::random::{Random, count_from};
use harness::{Server, client};
use operations::{Generator, Outcome, perform};
use protocol::etcdserverpb::HashKvRequest;
use protocol::etcdserverpb::maintenance_client::MaintenanceClient;
use tonic::transport::Channel;

/// Enough to meet every kind of operation some hundred times within a few seconds.
const OPS_DEFAULT: u64 = 3000;

/// Operations between two comparisons of the hashes.
const OPS_PER_HASH: u64 = 50;

#[tokio::test(flavor = "multi_thread")]
async fn replies_and_errors_equal_those_of_etcd() -> Result<()> {
    let Some(etcd) = Server::etcd_if_installed()? else {
        return Ok(());
    };
    let center = Server::subject()?;
    let mut reference = client::kv(&etcd.url()).await?;
    let mut subject = client::kv(&center.url()).await?;

    let mut hashed = Hashed {
        reference: MaintenanceClient::new(client::connect(&etcd.url()).await?),
        subject: MaintenanceClient::new(client::connect(&center.url()).await?),
        random: Random::new(Random::seed_from("HASH_SEED")),
    };

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
        if number % OPS_PER_HASH == 0 {
            hashed.compare(newest).await?;
        }
    }
    println!("{count} operations compared, {errors} of them errors, last revision {newest}");
    // A generator that no longer meets errors or no longer writes would compare nothing.
    ensure!(errors > count / 50 && newest > count as i64 / 10);
    Ok(())
}

/// The hashes of both.
struct Hashed {
    reference: MaintenanceClient<Channel>,
    subject: MaintenanceClient<Channel>,
    random: Random,
}

/// What `HashKV` says: hash, compacted revision, revision; or its error.
type Said = Result<(u32, i64, i64), String>;

impl Hashed {
    /// Compares the hash of everything, and of everything up to some older revision.
    async fn compare(&mut self, newest: i64) -> Result<()> {
        let (_, compacted, _) = self.equal(0).await?.map_err(anyhow::Error::msg)?;
        let older = self.random.below(newest.unsigned_abs() + 2) as i64;
        // At the compacted revision itself etcd 3.4 refuses, later ones do not.
        if older != compacted && older > 0 {
            // An error is an answer too.
            let _: Said = self.equal(older).await?;
        }
        Ok(())
    }

    async fn equal(&mut self, revision: i64) -> Result<Said> {
        let expected = said(&mut self.reference, revision).await;
        let found = said(&mut self.subject, revision).await;
        ensure!(
            expected == found,
            "HashKV at {revision}: etcd said {expected:?}, we said {found:?}"
        );
        Ok(found)
    }
}

async fn said(client: &mut MaintenanceClient<Channel>, revision: i64) -> Said {
    let hash = client.hash_kv(HashKvRequest { revision }).await;
    let hash = hash.map_err(|status| format!("{:?}: {}", status.code(), status.message()))?;
    let hash = hash.into_inner();
    let revision = hash.header.map_or(0, |header| header.revision);
    Ok((hash.hash, hash.compact_revision, revision))
}
