//! Writes down how much is left of leases that nobody renews, and clears that again for those that somebody
//! does. One task, so that of one lease what was decided later also stands later in the log.

use super::Leases;
use crate::lease::Checkpoint;
use crate::machine::{self, Reply};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How often it looks for leases to write down. Renewals that wait for a clear wake it at once.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);
/// Checkpoints, and clears, of one entry: some 30 KiB, which take about a millisecond to apply.
const COUNT_MAX: usize = 1000;
/// An entry that takes longer is proposed again.
const PROPOSAL_TIME: Duration = Duration::from_secs(5);

/// Writes checkpoints until stopped.
pub async fn write_checkpoints(
    leases: Arc<Leases>,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = leases.published.clears() => {}
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = leases.write_some() => {}
        }
    }
}

impl Leases {
    async fn write_some(&self) {
        let (term, checkpoints) = {
            let mut deadlines = self.published.deadlines();
            let Some(term) = deadlines.term() else {
                return;
            };
            (term, deadlines.take_checkpoints(COUNT_MAX, self.now_ms()))
        };
        if checkpoints.is_empty() {
            return;
        }
        if self.propose_checkpoints(term, &checkpoints).await {
            let written = &self.published.counters.checkpointed;
            written.fetch_add(checkpoints.len() as u64, Relaxed);
            return;
        }
        let mut deadlines = self.published.deadlines();
        deadlines.give_back_checkpoints(&checkpoints);
    }

    async fn propose_checkpoints(&self, term: u64, checkpoints: &[Checkpoint]) -> bool {
        let command = machine::encode_lease_checkpoint(term, checkpoints);
        match timeout(PROPOSAL_TIME, self.handle.propose(command)).await {
            Ok(Ok(Reply::Decided(is_of_term))) => is_of_term,
            Ok(Ok(_)) => false,
            Ok(Err(error)) => {
                log::debug!("write {} lease checkpoints: {error}", checkpoints.len());
                false
            }
            Err(_) => {
                log::warn!("writing {} lease checkpoints takes long", checkpoints.len());
                false
            }
        }
    }
}
