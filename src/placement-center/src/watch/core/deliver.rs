//! Telling synced watchers of the revisions as they come.

use super::{Core, Place, WatcherId};
use crate::kv::Revision;
use crate::watch::figures::up;
use crate::watch::outbox::{Batch, Revisions};
use std::sync::Arc;

impl Core {
    /// Tells of the next revision.
    ///
    /// # Panics
    /// When it is not the next: somebody would never hear of what was left out.
    pub(in crate::watch) fn distribute(&mut self, revision: &Arc<Revision>) {
        let number = revision.number();
        assert_eq!(number, self.distributed + 1, "revisions come one by one");
        let mut found: Vec<WatcherId> = Vec::new();
        for event in revision.events() {
            let watchers = &self.watchers;
            self.index.find(event.key(), |id| {
                let wants = |watcher: &super::Watcher| {
                    watcher.place == Place::Synced
                        && watcher.next <= number
                        && watcher.spec.takes_kind(event.is_delete())
                };
                if watchers.get(&id).is_some_and(wants) {
                    found.push(id);
                }
            });
            // A batch says itself which events of the revision its watcher wants, so it is told of once. This
            // keeps the list short when a revision has many events.
            if revision.events().len() > 1 {
                self.offer_all(&mut found, revision);
            }
        }
        self.offer_all(&mut found, revision);
        self.distributed = number;
        self.newest = self.newest.max(number);
    }

    fn offer_all(&mut self, found: &mut Vec<WatcherId>, revision: &Arc<Revision>) {
        for id in found.drain(..) {
            self.offer(id, revision);
        }
    }

    /// Puts a revision into the outbox of a synced watcher, or lets it fall behind.
    fn offer(&mut self, id: WatcherId, revision: &Arc<Revision>) {
        let Some(watcher) = self.watchers.get_mut(&id) else {
            return;
        };
        let Some(stream) = self.streams.get(&watcher.stream) else {
            return;
        };
        let number = revision.number();
        watcher.header = watcher.header.max(number);
        let batch = Batch {
            watch_id: watcher.watch_id,
            revision: watcher.header,
            revisions: Revisions::One(Arc::clone(revision)),
            from: number,
            bytes: revision.bytes(),
            spec: Arc::clone(&watcher.spec),
        };
        if stream.outbox.push(batch).is_ok() {
            watcher.next = number + 1;
            watcher.is_quiet = false;
        } else {
            watcher.next = number;
            up(&self.figures.fell_behind);
            self.place(id, Place::Parked);
        }
    }

    /// What comes up to the revision `upto` cannot be told as it comes: everybody has to be brought up past it.
    pub(in crate::watch) fn skip(&mut self, upto: i64) {
        let first = self.distributed + 1;
        let owed =
            |watcher: &super::Watcher| watcher.place == Place::Synced && watcher.next <= upto;
        let watchers = self.watchers.iter().filter(|(_, watcher)| owed(watcher));
        let mut skipped: Vec<WatcherId> = watchers.map(|(id, _)| *id).collect();
        // In the order of their creation, whatever order the map has.
        skipped.sort_unstable();
        for id in skipped {
            if let Some(watcher) = self.watchers.get_mut(&id) {
                watcher.next = watcher.next.max(first);
            }
            self.fall_behind(id);
        }
        self.distributed = self.distributed.max(upto);
        self.newest = self.newest.max(upto);
    }
}
