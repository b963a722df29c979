//! Bringing up those who are behind: choosing whom together, and what becomes of them after a step.

use super::{Core, Place, StreamId, WatcherId};
use crate::watch::catch_up::{Follower, Read, Source, Step, Stepped};
use crate::watch::figures::up;
use crate::watch::outbox::{Batch, Cause, Revisions};
use crate::watch::recent::Recent;
use std::sync::Arc;

/// Watchers looked at for each place in a group: choosing stays cheap when many are behind at revisions far
/// apart.
const CANDIDATES_PER_PLACE: usize = 4;

impl Core {
    /// The next step, if anybody is to be brought up.
    pub(in crate::watch) fn next_step(&mut self, recent: &Recent) -> Option<Step> {
        let group = self.choose()?;
        let from = group.iter().map(|follower| follower.next).min()?;
        let source = match recent.since(from, self.tuning.step_revisions_max) {
            Some(revisions) => Source::Memory(revisions),
            None => {
                up(&self.figures.replays);
                Source::Store
            }
        };
        Some(Step {
            group,
            source,
            tuning: self.tuning,
        })
    }

    /// The one who waits longest, and those who need what it needs. Whoever has no room in the outbox steps
    /// aside until there is some.
    fn choose(&mut self) -> Option<Vec<Follower>> {
        let mut group: Vec<Follower> = Vec::new();
        let group_max = self.tuning.group_max;
        let span = self.tuning.step_revisions_max as i64;
        let candidates = self.behind.values().copied();
        let candidates = candidates.take(CANDIDATES_PER_PLACE * group_max);
        for id in candidates.collect::<Vec<WatcherId>>() {
            let Some(watcher) = self.watchers.get(&id) else {
                continue;
            };
            let anchor = group.first().map_or(watcher.next, |first| first.next);
            let reach = anchor.saturating_add(span);
            if !(anchor..reach).contains(&watcher.next) {
                continue;
            }
            let stream = self.streams.get(&watcher.stream);
            if !stream.is_some_and(|stream| stream.outbox.has_room()) {
                self.place(id, Place::Parked);
                continue;
            }
            group.push(Follower {
                id,
                spec: Arc::clone(&watcher.spec),
                next: watcher.next,
            });
            self.place(id, Place::Stepping);
            if group.len() == group_max {
                break;
            }
        }
        (!group.is_empty()).then_some(group)
    }

    /// Takes in a step that is done.
    pub(in crate::watch) fn stepped(&mut self, stepped: Stepped) {
        match stepped.read {
            Ok(read) => {
                self.newest = self.newest.max(read.newest);
                let bytes = read.revisions.iter().map(|revision| revision.bytes()).sum();
                for (follower, is_hit) in stepped.group {
                    self.advance(&follower, is_hit, (&read, bytes));
                }
            }
            Err(error) => {
                log::error!("read the past for watches: {error}");
                for (follower, _) in stepped.group {
                    self.cancel_for(follower.id, Cause::Unreadable);
                }
            }
        }
    }

    /// Moves one watcher over what was read.
    fn advance(&mut self, follower: &Follower, is_hit: bool, (read, bytes): (&Read, usize)) {
        let id = follower.id;
        let Some(watcher) = self.watchers.get_mut(&id) else {
            return;
        };
        if watcher.next < read.compacted {
            let revision = read.compacted;
            return self.cancel_for(id, Cause::Compacted { revision });
        }
        if is_hit {
            let Some(stream) = self.streams.get(&watcher.stream) else {
                return;
            };
            let batch = Batch {
                watch_id: watcher.watch_id,
                revision: self.newest.max(watcher.header),
                revisions: Revisions::Many(Arc::clone(&read.revisions)),
                from: watcher.next,
                bytes,
                spec: Arc::clone(&watcher.spec),
            };
            watcher.header = batch.revision;
            if stream.outbox.push(batch).is_err() {
                return self.place(id, Place::Parked);
            }
            watcher.is_quiet = false;
        }
        watcher.next = watcher.next.max(read.upto + 1);
        match watcher.next > self.distributed {
            true => self.place(id, Place::Synced),
            false => self.fall_behind(id),
        }
    }

    /// A stream has room again: those who waited for it are to be brought up.
    pub(in crate::watch) fn has_room(&mut self, stream: StreamId) {
        let Some(open) = self.streams.get(&stream) else {
            return;
        };
        let parked: Vec<WatcherId> = open.parked.iter().copied().collect();
        for id in parked {
            self.fall_behind(id);
        }
    }
}
