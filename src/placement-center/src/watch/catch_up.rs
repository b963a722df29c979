//! One step of bringing watchers up: some of the past, read once for all of them, from memory or from the
//! store. Runs wherever it may take its time; what comes of it goes back to the hub.

use super::core::WatcherId;
use super::index::Index;
use super::spec::Spec;
use super::tuning::Tuning;
use crate::kv::{self, Interest, ReplayRequest, Replayed, Revision};
use std::sync::Arc;
use storage::StateStore;

/// A watcher that is brought up.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) id: WatcherId,
    pub(super) spec: Arc<Spec>,
    /// First revision that it has not been told of.
    pub(super) next: i64,
}

/// What a step reads.
#[derive(Debug)]
pub(super) enum Source {
    /// Revisions that memory still holds, without a gap.
    Memory(Vec<Arc<Revision>>),
    /// The store, from the lowest revision that a watcher of the group needs.
    Store,
}

/// A step to be done.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) group: Vec<Follower>,
    pub(super) source: Source,
    pub(super) tuning: Tuning,
}

/// A step that is done.
#[derive(Debug)]
pub(super) struct Stepped {
    /// The watchers, and whether there is something for each.
    pub(super) group: Vec<(Follower, bool)>,
    /// What was read, or the reason why nothing was.
    pub(super) read: Result<Read, storage::Error>,
}

/// Some of the past.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) revisions: Arc<[Arc<Revision>]>,
    /// Everything up to this revision is among them.
    pub(super) upto: i64,
    /// Newest revision of the store that was read, if it was.
    pub(super) newest: i64,
    /// Lowest revision that could be read.
    pub(super) compacted: i64,
}

impl Step {
    /// Reads; `state` only if the source is the store.
    pub(super) fn run(self, state: &StateStore) -> Stepped {
        let mut index = Index::default();
        for (place, follower) in self.group.iter().enumerate() {
            index.insert(&follower.spec.keys, WatcherId(place as u64));
        }
        let read = match self.source {
            Source::Memory(revisions) => Ok(from_memory(revisions, self.tuning.step_bytes_max)),
            Source::Store => from_store(&self.group, &index, (state, &self.tuning)),
        };
        let mut hit = vec![false; self.group.len()];
        if let Ok(read) = &read {
            mark(&self.group, &index, &read.revisions, &mut hit);
        }
        Stepped {
            group: self.group.into_iter().zip(hit).collect(),
            read,
        }
    }
}

/// Notes for whom there is something.
fn mark(group: &[Follower], index: &Index, revisions: &[Arc<Revision>], hit: &mut [bool]) {
    for revision in revisions {
        for event in revision.events() {
            index.find(event.key(), |WatcherId(place)| {
                let place = place as usize;
                let follower = &group[place];
                hit[place] |= revision.number() >= follower.next
                    && follower.spec.takes_kind(event.is_delete());
            });
        }
    }
}

/// As many revisions as the bounds allow, and one at least.
fn from_memory(mut revisions: Vec<Arc<Revision>>, bytes_max: usize) -> Read {
    let mut bytes = 0;
    let within = revisions.iter().take_while(|revision| {
        let has_room = bytes < bytes_max;
        bytes += revision.bytes();
        has_room
    });
    let taken = within.count();
    revisions.truncate(taken);
    let upto = revisions.last().map_or(0, |revision| revision.number());
    Read {
        revisions: revisions.into(),
        upto,
        newest: upto,
        compacted: 0,
    }
}

fn from_store(
    group: &[Follower],
    index: &Index,
    (state, tuning): (&StateStore, &Tuning),
) -> Result<Read, storage::Error> {
    let request = ReplayRequest {
        from: group
            .iter()
            .map(|follower| follower.next)
            .min()
            .unwrap_or(0),
        revisions_max: tuning.step_revisions_max,
        rows_max: tuning.step_rows_max,
        bytes_max: tuning.step_bytes_max,
    };
    let wanted = |key: &[u8], is_delete: bool| {
        let mut interest = Interest::Skip;
        index.find(key, |WatcherId(place)| {
            let spec = &group[place as usize].spec;
            if spec.takes_kind(is_delete) && interest != Interest::WithPrevious {
                interest = match spec.previous {
                    true => Interest::WithPrevious,
                    false => Interest::Event,
                };
            }
        });
        interest
    };
    let replayed: Replayed = kv::replay(&state.view(), &request, wanted)?;
    Ok(Read {
        revisions: replayed.revisions.into(),
        upto: replayed.upto,
        newest: replayed.newest,
        compacted: replayed.compacted,
    })
}
