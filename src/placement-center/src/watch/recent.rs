//! The newest revisions in memory: where the apply thread leaves them, and where watches find them.

use super::tuning::Tuning;
use crate::kv::Revision;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// A bounded memory of the newest revisions. Nothing ever waits for it.
#[derive(Debug)]
pub struct Recent {
    revisions_max: usize,
    bytes_max: usize,
    is_watched: AtomicBool,
    kept: Mutex<Kept>,
    changed: Notify,
}

/// Revisions without a gap, oldest first.
#[derive(Debug, Default)]
struct Kept {
    revisions: VecDeque<Arc<Revision>>,
    bytes: usize,
    /// Newest revision of the store as of the last batch; beyond the kept ones when its events are missing.
    newest: i64,
}

/// What follows a revision.
#[derive(Debug)]
pub(super) enum Next {
    /// Nothing yet.
    Nothing,
    /// These revisions.
    Revisions(Vec<Arc<Revision>>),
    /// Memory does not hold what comes up to this revision.
    Missing(i64),
}

impl Recent {
    /// An empty memory.
    pub fn new(tuning: &Tuning) -> Recent {
        Recent {
            revisions_max: tuning.recent_revisions_max,
            bytes_max: tuning.recent_bytes_max,
            is_watched: AtomicBool::new(false),
            kept: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Whether events are wanted. While not, nothing need be gathered for them.
    pub fn is_watched(&self) -> bool {
        self.is_watched.load(Ordering::Relaxed)
    }

    /// Takes the revisions of a batch that is committed and published; `newest` is the store's.
    pub fn committed(&self, newest: i64, revisions: Vec<Arc<Revision>>) {
        // Pairs with the fence of `watch`: either this sees that somebody watches now, or that somebody sees
        // the revisions that were published before this.
        fence(Ordering::SeqCst);
        if !self.is_watched() {
            return;
        }
        let mut kept = self.kept.lock();
        if kept.newest == newest && revisions.is_empty() {
            return;
        }
        kept.newest = newest;
        for revision in revisions {
            kept.push(revision);
        }
        kept.trim(self.revisions_max, self.bytes_max);
        drop(kept);
        self.changed.notify_one();
    }

    /// The whole store was replaced: what comes before `newest` cannot be told from memory.
    pub fn replaced(&self, newest: i64) {
        let mut kept = self.kept.lock();
        *kept = Kept {
            newest,
            ..Kept::default()
        };
        drop(kept);
        self.changed.notify_one();
    }

    /// Begins to want events, or ceases to. What is published before a call that begins may have to be read
    /// from the store; everything after it comes through here.
    pub(super) fn watch(&self, is_watched: bool) {
        self.is_watched.store(is_watched, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        if !is_watched {
            *self.kept.lock() = Kept::default();
        }
    }

    /// Resolves after a change since the last time. Cancel-safe.
    pub(super) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// What follows the revision `after`, `max` revisions at most.
    pub(super) fn next(&self, after: i64, max: usize) -> Next {
        let kept = self.kept.lock();
        match kept.first() {
            _ if kept.newest <= after => Next::Nothing,
            Some(first) if first <= after + 1 && after < kept.last() => {
                Next::Revisions(kept.from(after + 1, max))
            }
            Some(first) if first > after + 1 => Next::Missing(first - 1),
            _ => Next::Missing(kept.newest),
        }
    }

    /// The revisions from `from` on, `max` at most, if memory goes back so far.
    pub(super) fn since(&self, from: i64, max: usize) -> Option<Vec<Arc<Revision>>> {
        let kept = self.kept.lock();
        let is_kept = kept.first()? <= from && from <= kept.last();
        is_kept.then(|| kept.from(from, max))
    }
}

impl Kept {
    fn first(&self) -> Option<i64> {
        self.revisions.front().map(|revision| revision.number())
    }

    fn last(&self) -> i64 {
        self.revisions
            .back()
            .map_or(0, |revision| revision.number())
    }

    /// Revisions have no gaps between them, so a number is a place.
    fn from(&self, from: i64, max: usize) -> Vec<Arc<Revision>> {
        let skipped = usize::try_from(from - self.first().unwrap_or(from)).unwrap_or(usize::MAX);
        self.revisions
            .iter()
            .skip(skipped)
            .take(max)
            .cloned()
            .collect()
    }

    fn push(&mut self, revision: Arc<Revision>) {
        if revision.number() != self.last() + 1 {
            // Nobody watched for a while: what is kept does not lead here.
            self.revisions.clear();
            self.bytes = 0;
        }
        self.bytes += revision.bytes();
        self.revisions.push_back(revision);
    }

    fn trim(&mut self, revisions_max: usize, bytes_max: usize) {
        while self.revisions.len() > 1
            && (self.revisions.len() > revisions_max || self.bytes > bytes_max)
            && let Some(oldest) = self.revisions.pop_front()
        {
            self.bytes -= oldest.bytes();
        }
    }
}
