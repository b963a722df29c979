//! A queue to a thread that never blocks the sender: what the channel does not take waits here. What
//! may wait is bounded by those who produce it (see the users of each).

use crossbeam_channel::{Sender, TrySendError};
use std::collections::VecDeque;

pub(super) struct Outbox<T> {
    tx: Sender<T>,
    waiting: VecDeque<T>,
}

impl<T> Outbox<T> {
    pub(super) fn new(tx: Sender<T>) -> Self {
        Outbox {
            tx,
            waiting: VecDeque::new(),
        }
    }

    pub(super) fn push(&mut self, item: T) {
        self.waiting.push_back(item);
    }

    /// Whether the channel has taken everything.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Sends in order while the channel takes it.
    pub(super) fn flush(&mut self) {
        while let Some(item) = self.waiting.pop_front() {
            match self.tx.try_send(item) {
                Ok(()) => {}
                Err(TrySendError::Full(item)) => {
                    self.waiting.push_front(item);
                    return;
                }
                // The thread died; its report with the reason is under way and ends the driver.
                Err(TrySendError::Disconnected(_)) => return,
            }
        }
    }
}
