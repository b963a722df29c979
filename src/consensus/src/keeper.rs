//! The keeper thread: slow duties that must block neither the driver nor the apply thread. It
//! flushes the state, saves the watermark and takes snapshots when told to; when that is due is the driver's
//! business.

use crate::driver::Report;
use crate::error::FatalError;
use crate::identity::Keeper;
use crate::log::codec;
use crossbeam_channel::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use storage::{LogStore, Snapshot, StateStore};
use tokio::sync::mpsc;

/// Duties that wait: one to save, and snapshots for a few members. What does not fit is asked for again.
pub(crate) const DUTIES_MAX: usize = 4;
/// Entries looked at for the age of the log; some carry no time stamp, never many in a row.
const STAMPLESS_MAX: u64 = 8;
/// Bytes read to learn that age: one entry of any size, or some small ones.
const OLDEST_BYTES: usize = 64 << 10;

/// What the keeper is asked to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Duty {
    Save(Save),
    /// Takes a snapshot of the state for a member.
    Snapshot {
        to: u64,
    },
}

/// Flushing and saving; one at a time, the driver gives the next after the report.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Save {
    pub(crate) flush: bool,
    /// The log is durable and committed up to here.
    pub(crate) watermark: u64,
}

/// The keeper and what it works on.
pub(crate) struct KeeperThread {
    pub(crate) state: StateStore,
    pub(crate) log: LogStore,
    pub(crate) identity: Arc<Mutex<Keeper>>,
    pub(crate) duties_rx: Receiver<Duty>,
    pub(crate) reports_tx: mpsc::Sender<Report>,
}

impl KeeperThread {
    /// Works until the driver is gone.
    pub(crate) fn run(self) -> Result<(), FatalError> {
        while let Ok(duty) = self.duties_rx.recv() {
            let report = match duty {
                Duty::Save(save) => Report::Kept {
                    flushed_index: perform(save, &self.state, &self.identity)?,
                    oldest_ms: self.oldest_ms(),
                },
                Duty::Snapshot { to } => Report::Taken {
                    to,
                    snapshot: self.snapshot(to),
                },
            };
            // The driver ended: it does not need the report, and the queue ends too.
            let _ = self.reports_tx.blocking_send(report);
        }
        Ok(())
    }

    fn snapshot(&self, to: u64) -> Option<Snapshot> {
        match self.state.snapshot() {
            Ok(snapshot) => Some(snapshot),
            Err(error) => {
                // Whoever needs it asks again; a state that cannot be read stops the node elsewhere.
                ::log::warn!(target: "raft", "no snapshot for node {to}: {error}");
                None
            }
        }
    }

    /// Time stamp of the oldest entry of the log that carries one.
    fn oldest_ms(&self) -> Option<u64> {
        let first = self.log.first_index();
        let end = (first + STAMPLESS_MAX).min(self.log.last_index() + 1);
        // The log may be truncated or replaced meanwhile; the next look sees what it is then.
        let records = self.log.read(first..end, OLDEST_BYTES).ok()?;
        records.iter().find_map(|record| {
            let entry = codec::decode_entry(record).ok()?;
            crate::payload::time_ms(&entry.data)
        })
    }
}

/// Performs one duty and returns the applied index a crash would keep.
pub(crate) fn perform(
    save: Save,
    state: &StateStore,
    identity: &Mutex<Keeper>,
) -> Result<u64, FatalError> {
    if save.flush {
        state.flush().map_err(FatalError::Flush)?;
    }
    // Only a panic poisons the lock, and that stops the group; the identity in it is whole.
    let mut identity = identity.lock().unwrap_or_else(PoisonError::into_inner);
    identity
        .save_index(save.watermark)
        .map_err(FatalError::SaveWatermark)?;
    drop(identity);
    state.flushed_index().map_err(FatalError::Flush)
}
