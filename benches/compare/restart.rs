//! How long a server with many keys takes from its start to the first linearizable answer, and how
//! much memory it holds then.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use harness::usage::Usage;
use harness::{Kind, Options, Server, client};

use crate::Flags;
use crate::drive;

/// Longest a start may take before the measurement gives up.
const START_DEADLINE: Duration = Duration::from_secs(180);

/// How often a starting server is asked; short against every figure of interest.
const ASK_INTERVAL: Duration = Duration::from_millis(2);

/// One kind of start.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// From the start of the process to the first linearizable answer.
    pub took: Duration,
    /// Resident memory at that moment.
    pub resident_bytes: u64,
}

/// The figures of one server.
#[derive(Clone, Debug)]
pub struct Restarts {
    /// Whose.
    pub kind: Kind,
    /// Keys in the store.
    pub keys: u64,
    /// Time to fill it.
    pub seeded: Duration,
    /// The start after a kill right behind the last write.
    pub after_kill: Start,
    /// The start after a polite stop.
    pub after_stop: Start,
}

/// Fills a store, then measures both kinds of start.
pub async fn measure(kind: Kind, flags: &Flags) -> Result<Restarts> {
    let keys = flags.restart_keys;
    let mut server = Server::start(kind, Options::default())?;
    let begin = Instant::now();
    drive::seed(&server.url(), keys).await?;
    let seeded = begin.elapsed();
    server.kill()?;
    let after_kill = start(&mut server, keys).await?;
    let mut stops = Vec::new();
    for _ in 0..flags.rounds.max(1) {
        // etcd passes the signal on to itself, so its status says nothing.
        let status = server.stop()?;
        ensure!(
            kind == Kind::Etcd || status.success(),
            "stopped with {status}"
        );
        stops.push(start(&mut server, keys).await?);
    }
    stops.sort_by_key(|stop| stop.took);
    let after_stop = stops[stops.len() / 2];
    let restarts = Restarts {
        kind,
        keys,
        seeded,
        after_kill,
        after_stop,
    };
    eprintln!("{restarts:?}");
    Ok(restarts)
}

/// Starts the process and asks until it answers with the right number of keys.
async fn start(server: &mut Server, keys: u64) -> Result<Start> {
    let begin = Instant::now();
    server.respawn()?;
    let url = server.url();
    loop {
        if let Ok(mut kv) = client::kv(&url).await {
            let last = drive::key(keys - 1);
            if let Ok(answer) = kv.range(client::get(last)).await {
                let took = begin.elapsed();
                ensure!(answer.into_inner().count == 1, "the last key is lost");
                let resident_bytes = Usage::of(server.pid())?.resident_bytes;
                return Ok(Start {
                    took,
                    resident_bytes,
                });
            }
        }
        if begin.elapsed() > START_DEADLINE {
            bail!(
                "not serving after {START_DEADLINE:?}:\n{}",
                server.process().printed()
            );
        }
        tokio::time::sleep(ASK_INTERVAL).await;
    }
}
