//! All watchers and where each of them stands. Decides everything and waits for nothing: the hub's task feeds it
//! requests, revisions and steps that are done, and tells it the time.
//!
//! A watcher is *synced* while the hub tells it each revision as it comes: everything that it wants up to the
//! revision `distributed` is in its outbox. Otherwise it is *behind*, and the revisions from its `next` on are
//! yet to be found for it. It never is both, so it is told nothing twice, and leaves the one state only with
//! its `next` at what the other begins with, so nothing is left out.

mod behind;
mod deliver;
mod progress;
pub(super) mod register;
mod survey;

pub use survey::{Survey, SurveyRequest, WatcherView};

use super::figures::{Figures, down, up};
use super::index::Index;
use super::outbox::{End, Outbox};
use super::spec::Spec;
use super::tuning::Tuning;
use crate::config::LimitsConfig;
use progress::Progress;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

/// A stream of this node, since its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId(pub(super) u64);

/// A watcher of this node, since its start. Never used again, so that a step that was begun for a watcher which
/// is gone by the time it is done meets nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct WatcherId(pub(super) u64);

/// What clients may ask for.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Watchers of one stream.
    pub watchers_per_stream_max: usize,
    /// Watchers of this node.
    pub watchers_max: usize,
    /// Key and range end of one watcher.
    pub key_bytes_max: usize,
    /// How often a watcher that asked for it is told how far it has seen; somewhat longer for most.
    pub progress_interval: Duration,
}

impl Limits {
    /// Those of a node.
    pub fn of(limits: &LimitsConfig) -> Limits {
        Limits {
            watchers_per_stream_max: limits.watchers_per_stream_max,
            watchers_max: limits.watchers_max,
            key_bytes_max: limits.watch_key_bytes_max,
            progress_interval: limits.watch_progress_interval,
        }
    }
}

/// The state of the hub.
#[derive(Debug)]
pub(super) struct Core {
    limits: Limits,
    tuning: Tuning,
    figures: Arc<Figures>,
    streams: BTreeMap<StreamId, Stream>,
    watchers: HashMap<WatcherId, Watcher>,
    index: Index,
    last_id: u64,
    /// Every synced watcher has been told everything up to this revision.
    distributed: i64,
    /// Newest revision that anything here was told of; never below what a client may have seen.
    newest: i64,
    /// Watchers to be brought up, in the order in which they fell behind.
    behind: BTreeMap<u64, WatcherId>,
    last_ticket: u64,
    progress: Progress,
}

#[derive(Debug)]
struct Stream {
    outbox: Arc<Outbox>,
    watchers: BTreeMap<i64, WatcherId>,
    /// The id that the next watcher gets if it is free.
    next_id: i64,
    /// Watchers that wait for room in the outbox.
    parked: BTreeSet<WatcherId>,
    /// Watchers that are not synced, those parked included.
    unsynced: usize,
    needs_leader: bool,
}

#[derive(Debug)]
struct Watcher {
    stream: StreamId,
    watch_id: i64,
    spec: Arc<Spec>,
    /// First revision that it has yet to be told of. Of a synced watcher: nothing below is told, whatever comes.
    next: i64,
    /// Highest revision that a header told it.
    header: i64,
    place: Place,
    /// Nothing was told since the last time that progress was due.
    is_quiet: bool,
}

/// Where a watcher stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It is told each revision as it comes.
    Synced,
    /// It waits to be brought up, under this ticket.
    Behind(u64),
    /// A step is under way for it.
    Stepping,
    /// It waits for room in its outbox.
    Parked,
}

impl Core {
    pub(super) fn new(limits: Limits, tuning: Tuning, figures: Arc<Figures>) -> Core {
        Core {
            limits,
            tuning,
            figures,
            streams: BTreeMap::new(),
            watchers: HashMap::new(),
            index: Index::default(),
            last_id: 0,
            distributed: 0,
            newest: 0,
            behind: BTreeMap::new(),
            last_ticket: 0,
            progress: Progress::default(),
        }
    }

    pub(super) fn tuning(&self) -> &Tuning {
        &self.tuning
    }

    /// Whether there is anybody to tell of events.
    pub(super) fn is_watching(&self) -> bool {
        !self.watchers.is_empty()
    }

    /// The revision up to which every synced watcher has been told.
    pub(super) fn distributed(&self) -> i64 {
        self.distributed
    }

    /// Learns of the store's newest revision. While nobody watches nothing is owed to anybody, so that counts as
    /// told.
    pub(super) fn learn(&mut self, newest: i64) {
        self.newest = self.newest.max(newest);
        if !self.is_watching() {
            self.distributed = self.newest;
        }
    }

    /// A stream opens.
    pub(super) fn open(&mut self, id: StreamId, outbox: Arc<Outbox>, needs_leader: bool) {
        if outbox.is_abandoned() {
            return;
        }
        let stream = Stream {
            outbox,
            watchers: BTreeMap::new(),
            next_id: 0,
            parked: BTreeSet::new(),
            unsynced: 0,
            needs_leader,
        };
        self.streams.insert(id, stream);
        up(&self.figures.streams);
    }

    /// A stream is gone, and its watchers with it.
    pub(super) fn close(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(&id) else {
            return;
        };
        let watchers: Vec<WatcherId> = stream.watchers.values().copied().collect();
        for watcher in watchers {
            self.forget(watcher);
        }
        self.progress.forget(id);
        self.streams.remove(&id);
        down(&self.figures.streams, 1);
    }

    /// Ends the streams that are to end when there is no leader.
    pub(super) fn end_leaderless(&mut self) {
        let ending = self
            .streams
            .iter()
            .filter(|(_, stream)| stream.needs_leader);
        let ending: Vec<StreamId> = ending.map(|(id, _)| *id).collect();
        for id in ending {
            self.end(id, End::NoLeader);
        }
    }

    /// Ends all streams.
    pub(super) fn end_all(&mut self) {
        let all: Vec<StreamId> = self.streams.keys().copied().collect();
        for id in all {
            self.end(id, End::Stopping);
        }
    }

    fn end(&mut self, id: StreamId, end: End) {
        if let Some(stream) = self.streams.get(&id) {
            stream.outbox.end(end);
            self.close(id);
        }
    }

    /// Moves a watcher and keeps all books about it.
    fn place(&mut self, id: WatcherId, place: Place) {
        let Some(watcher) = self.watchers.get_mut(&id) else {
            return;
        };
        let old = std::mem::replace(&mut watcher.place, place);
        let stream = watcher.stream;
        self.unbook(id, stream, old);
        if let Place::Behind(ticket) = place {
            self.behind.insert(ticket, id);
        }
        if place != Place::Synced {
            up(&self.figures.slow);
        }
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.unsynced += usize::from(place != Place::Synced);
            if place == Place::Parked {
                stream.parked.insert(id);
            }
        }
        self.progress.moved(stream);
    }

    fn unbook(&mut self, id: WatcherId, stream: StreamId, place: Place) {
        if let Place::Behind(ticket) = place {
            self.behind.remove(&ticket);
        }
        if place != Place::Synced {
            down(&self.figures.slow, 1);
        }
        if let Some(stream) = self.streams.get_mut(&stream) {
            stream.unsynced -= usize::from(place != Place::Synced);
            if place == Place::Parked {
                stream.parked.remove(&id);
            }
        }
    }

    /// Puts a watcher at the end of those to be brought up.
    fn fall_behind(&mut self, id: WatcherId) {
        self.last_ticket += 1;
        self.place(id, Place::Behind(self.last_ticket));
    }

    /// Forgets a watcher; it is told nothing more.
    fn forget(&mut self, id: WatcherId) {
        let Some(watcher) = self.watchers.remove(&id) else {
            return;
        };
        self.unbook(id, watcher.stream, watcher.place);
        self.index.remove(&watcher.spec.keys, id);
        if let Some(stream) = self.streams.get_mut(&watcher.stream) {
            stream.watchers.remove(&watcher.watch_id);
        }
        self.progress.moved(watcher.stream);
        down(&self.figures.watchers, 1);
    }
}
