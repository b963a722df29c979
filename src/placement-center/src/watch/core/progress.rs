//! Telling watchers how far they have seen: on request, and now and then those who asked for that.

use super::{Core, Limits, Place, StreamId, WatcherId};
use crate::watch::outbox::Notice;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

/// Part of the interval that is drawn for each stream on top of it, so that streams do not speak all at once.
const JITTER_DIVISOR: u32 = 10;

/// Who is to be told, and when.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Streams that asked, and the revision from which on they can be answered; `None` when that is to be found
    /// out anew because a watcher of theirs moved.
    asked: BTreeMap<StreamId, Option<i64>>,
    /// When the watchers of a stream are looked at next.
    due: BTreeSet<(Instant, StreamId)>,
    due_of: BTreeMap<StreamId, Instant>,
}

impl Progress {
    /// A watcher of the stream moved, came or went.
    pub(super) fn moved(&mut self, stream: StreamId) {
        if let Some(revision) = self.asked.get_mut(&stream) {
            *revision = None;
        }
    }

    /// A watcher wants to be told now and then: its stream is looked at from now on.
    pub(super) fn wanted(&mut self, stream: StreamId, now: Instant, limits: &Limits) {
        if !self.due_of.contains_key(&stream) {
            self.schedule(stream, now + interval(stream, limits));
        }
    }

    fn schedule(&mut self, stream: StreamId, at: Instant) {
        self.due.insert((at, stream));
        self.due_of.insert(stream, at);
    }

    pub(super) fn forget(&mut self, stream: StreamId) {
        self.asked.remove(&stream);
        if let Some(at) = self.due_of.remove(&stream) {
            self.due.remove(&(at, stream));
        }
    }
}

/// The interval of a stream: the configured one and up to a tenth more.
fn interval(stream: StreamId, limits: &Limits) -> Duration {
    let share = f64::from(u32::from(xxh3_64(&stream.0.to_be_bytes()) as u16)) / f64::from(u16::MAX);
    limits.progress_interval + (limits.progress_interval / JITTER_DIVISOR).mul_f64(share)
}

impl Core {
    /// A stream asks how far all its watchers have seen. It is answered once they are all synced.
    pub(in crate::watch) fn ask_progress(&mut self, stream: StreamId) {
        if self.streams.contains_key(&stream) {
            self.progress.asked.insert(stream, None);
        }
    }

    /// Answers those who asked and can be answered. Behind every event of a revision up to the one told, because
    /// it goes through the same outbox.
    pub(in crate::watch) fn answer_progress(&mut self) {
        let asked: Vec<(StreamId, Option<i64>)> = (self.progress.asked.iter())
            .map(|(stream, revision)| (*stream, *revision))
            .collect();
        for (stream, known) in asked {
            let Some(revision) = known.or_else(|| self.seen_by_all(stream)) else {
                continue;
            };
            self.progress.asked.insert(stream, Some(revision));
            if revision <= self.distributed {
                self.progress.asked.remove(&stream);
                self.tell_progress(stream, None);
            }
        }
    }

    /// The revision that must have been distributed before the stream can be told of progress; `None` while one
    /// of its watchers is behind.
    fn seen_by_all(&self, stream: StreamId) -> Option<i64> {
        let open = self.streams.get(&stream)?;
        if open.unsynced > 0 {
            return None;
        }
        let watchers = open
            .watchers
            .values()
            .filter_map(|id| self.watchers.get(id));
        Some(watchers.map(super::Watcher::seen_from).max().unwrap_or(0))
    }

    /// When [`Core::tick`] is due.
    pub(in crate::watch) fn tick_at(&self) -> Option<Instant> {
        self.progress.due.first().map(|(at, _)| *at)
    }

    /// Tells the quiet watchers of the streams whose time has come how far they have seen.
    pub(in crate::watch) fn tick(&mut self, now: Instant) {
        while let Some((at, stream)) = self.progress.due.first().copied()
            && at <= now
        {
            self.progress.due.remove(&(at, stream));
            self.progress.due_of.remove(&stream);
            if self.tick_stream(stream) {
                let next = now + interval(stream, &self.limits);
                self.progress.schedule(stream, next);
            }
        }
    }

    /// Tells the quiet watchers of one stream; returns whether any wants to be told again.
    fn tick_stream(&mut self, stream: StreamId) -> bool {
        let Some(open) = self.streams.get(&stream) else {
            return false;
        };
        let ids: Vec<WatcherId> = open.watchers.values().copied().collect();
        let mut is_wanted = false;
        for id in ids {
            let Some(watcher) = self.watchers.get_mut(&id) else {
                continue;
            };
            if !watcher.spec.progress {
                continue;
            }
            is_wanted = true;
            let was_quiet = std::mem::replace(&mut watcher.is_quiet, true);
            let is_synced = watcher.place == Place::Synced;
            if was_quiet && is_synced && watcher.seen_from() <= self.distributed {
                let watch_id = watcher.watch_id;
                self.tell_progress(stream, Some(watch_id));
            }
        }
        is_wanted
    }

    fn tell_progress(&self, stream: StreamId, watch_id: Option<i64>) {
        let Some(open) = self.streams.get(&stream) else {
            return;
        };
        // Nobody asked for the periodic ones: they do not pile up for a stream that does not read.
        if watch_id.is_none() || !open.outbox.is_backed_up() {
            open.outbox.tell(Notice::Progress {
                watch_id,
                revision: self.distributed,
            });
        }
    }
}

impl super::Watcher {
    /// The revision that must have been distributed before this watcher can be told of progress: it has seen
    /// nothing below its start, and its answers told of revisions that must not be taken back.
    fn seen_from(&self) -> i64 {
        self.spec.start.max(self.next - 1).max(self.header)
    }
}
