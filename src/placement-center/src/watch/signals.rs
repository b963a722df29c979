//! What streams tell the hub without waiting and without fail: that they have room again, and that they are
//! gone. Bounded because each stream is in each list once at most.

use super::core::StreamId;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The lists.
#[derive(Debug, Default)]
pub(super) struct Signals {
    lists: Mutex<Lists>,
    raised: Notify,
}

/// Streams that have something to say.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// Their outbox was full and has room again.
    pub(super) have_room: Vec<StreamId>,
    /// They are gone.
    pub(super) gone: Vec<StreamId>,
}

impl Signals {
    pub(super) fn has_room(&self, stream: StreamId) {
        self.lists.lock().have_room.push(stream);
        self.raised.notify_one();
    }

    pub(super) fn is_gone(&self, stream: StreamId) {
        self.lists.lock().gone.push(stream);
        self.raised.notify_one();
    }

    /// Resolves when there is something to take. Cancel-safe.
    pub(super) fn raised(&self) -> Notified<'_> {
        self.raised.notified()
    }

    pub(super) fn take(&self) -> Lists {
        std::mem::take(&mut self.lists.lock())
    }
}
