//! The keeper thread: slow duties that must block neither the driver nor the apply thread. It
//! flushes the state and saves the watermark when told to; when that is due is the driver's business.

use crate::driver::Report;
use crate::error::FatalError;
use crate::identity::Keeper;
use crossbeam_channel::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use storage::StateStore;
use tokio::sync::mpsc;

/// One duty at a time; the driver gives the next after the report.
pub(crate) const DUTIES_MAX: usize = 1;

/// What the keeper is asked to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Duty {
    pub(crate) flush: bool,
    /// The log is durable and committed up to here.
    pub(crate) watermark: u64,
}

/// The keeper and what it works on.
pub(crate) struct KeeperThread {
    pub(crate) state: StateStore,
    pub(crate) identity: Arc<Mutex<Keeper>>,
    pub(crate) duties_rx: Receiver<Duty>,
    pub(crate) reports_tx: mpsc::Sender<Report>,
}

impl KeeperThread {
    /// Works until the driver is gone.
    pub(crate) fn run(self) -> Result<(), FatalError> {
        while let Ok(duty) = self.duties_rx.recv() {
            let flushed_index = perform(duty, &self.state, &self.identity)?;
            // The driver ended: it does not need the report, and the queue ends too.
            let _ = self
                .reports_tx
                .blocking_send(Report::Kept { flushed_index });
        }
        Ok(())
    }
}

/// Performs one duty and returns the applied index a crash would keep.
pub(crate) fn perform(
    duty: Duty,
    state: &StateStore,
    identity: &Mutex<Keeper>,
) -> Result<u64, FatalError> {
    if duty.flush {
        state.flush().map_err(FatalError::Flush)?;
    }
    // Only a panic poisons the lock, and that stops the group; the identity in it is whole.
    let mut identity = identity.lock().unwrap_or_else(PoisonError::into_inner);
    identity
        .save_index(duty.watermark)
        .map_err(FatalError::SaveWatermark)?;
    drop(identity);
    state.flushed_index().map_err(FatalError::Flush)
}
