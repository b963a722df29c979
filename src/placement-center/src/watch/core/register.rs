//! Creating and cancelling watchers.

use super::{Core, Place, StreamId, Watcher, WatcherId};
use crate::watch::figures::up;
use crate::watch::outbox::{Cause, Notice};
use crate::watch::spec::{Refusal, Spec};
use std::sync::Arc;
use tokio::time::Instant;

/// A request to create a watcher.
#[derive(Debug)]
pub(in crate::watch) struct Creation {
    /// Its id in its stream; `None` lets the hub choose.
    pub(in crate::watch) watch_id: Option<i64>,
    /// What it asks for, unless that was refused already.
    pub(in crate::watch) spec: Result<Spec, Refusal>,
    /// Lowest readable revision of the store.
    pub(in crate::watch) compacted: i64,
    pub(in crate::watch) now: Instant,
}

impl Core {
    /// Creates a watcher and answers. The newest revision was told to [`Core::learn`] just before: what is newer
    /// than that reaches the watcher, what is not only if it asked for it.
    pub(in crate::watch) fn create(&mut self, stream: StreamId, creation: Creation) {
        let revision = self.newest;
        let Some(open) = self.streams.get(&stream) else {
            return;
        };
        let outbox = Arc::clone(&open.outbox);
        let admitted = creation
            .spec
            .and_then(|spec| self.admit(stream, creation.watch_id, spec));
        let (watch_id, spec) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => return outbox.tell(Notice::Refused { revision, refusal }),
        };
        outbox.tell(Notice::Created { watch_id, revision });
        if (1..creation.compacted).contains(&spec.start) {
            let cause = Cause::Compacted {
                revision: creation.compacted,
            };
            return outbox.tell(Notice::Canceled { watch_id, cause });
        }
        if spec.progress {
            self.progress.wanted(stream, creation.now, &self.limits);
        }
        self.register(stream, watch_id, Arc::new(spec));
    }

    /// Checks a watcher, in the order in which etcd would complain, and gives it an id.
    fn admit(
        &mut self,
        stream: StreamId,
        watch_id: Option<i64>,
        spec: Spec,
    ) -> Result<(i64, Spec), Refusal> {
        let limits = self.limits;
        let Some(stream) = self.streams.get_mut(&stream) else {
            return Err(Refusal::StreamFull(0));
        };
        if spec.start < 0 {
            return Err(Refusal::NegativeStart);
        }
        if watch_id.is_some_and(|id| stream.watchers.contains_key(&id)) {
            return Err(Refusal::DuplicateId);
        }
        if spec.keys.bytes() > limits.key_bytes_max {
            return Err(Refusal::KeyTooLong(limits.key_bytes_max));
        }
        if stream.watchers.len() >= limits.watchers_per_stream_max {
            return Err(Refusal::StreamFull(limits.watchers_per_stream_max));
        }
        if self.watchers.len() >= limits.watchers_max {
            return Err(Refusal::NodeFull(limits.watchers_max));
        }
        let watch_id = watch_id.unwrap_or_else(|| {
            while stream.watchers.contains_key(&stream.next_id) {
                stream.next_id += 1;
            }
            stream.next_id += 1;
            stream.next_id - 1
        });
        Ok((watch_id, spec))
    }

    fn register(&mut self, stream: StreamId, watch_id: i64, spec: Arc<Spec>) {
        self.last_id += 1;
        let id = WatcherId(self.last_id);
        let next = match spec.start {
            0 => self.newest + 1,
            start => start,
        };
        self.index.insert(&spec.keys, id);
        let watcher = Watcher {
            stream,
            watch_id,
            spec,
            next,
            header: self.newest,
            place: Place::Synced,
            is_quiet: true,
        };
        self.watchers.insert(id, watcher);
        up(&self.figures.watchers);
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.watchers.insert(watch_id, id);
        }
        self.progress.moved(stream);
        if next <= self.distributed {
            self.fall_behind(id);
        }
    }

    /// Cancels a watcher and answers; an id that nobody has is passed over, as etcd does.
    pub(in crate::watch) fn cancel(&mut self, stream: StreamId, watch_id: i64) {
        let Some(open) = self.streams.get(&stream) else {
            return;
        };
        if let Some(id) = open.watchers.get(&watch_id).copied() {
            let cause = Cause::Asked {
                revision: self.newest,
            };
            self.cancel_for(id, cause);
        }
    }

    /// Ends a watcher and tells it why.
    pub(super) fn cancel_for(&mut self, id: WatcherId, cause: Cause) {
        let Some(watcher) = self.watchers.get(&id) else {
            return;
        };
        if let Some(stream) = self.streams.get(&watcher.stream) {
            let watch_id = watcher.watch_id;
            stream.outbox.tell(Notice::Canceled { watch_id, cause });
        }
        self.forget(id);
    }
}
