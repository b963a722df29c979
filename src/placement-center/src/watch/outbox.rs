//! What waits for one stream. The hub fills it and never waits; the stream empties it.

use super::core::StreamId;
use super::figures::{Figures, down, up};
use super::signals::Signals;
use super::spec::{Refusal, Spec};
use super::tuning::Tuning;
use crate::kv::{Event, Revision};
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};

/// Something that a stream is to be told. In an outbox the order of notices is the order of what happened.
#[derive(Clone, Debug)]
pub enum Notice {
    /// The watcher exists and sees what comes after `revision`, or what it asked for.
    Created {
        /// Its id.
        watch_id: i64,
        /// The newest revision at its registration.
        revision: i64,
    },
    /// The watcher was not created.
    Refused {
        /// The newest revision.
        revision: i64,
        /// Why.
        refusal: Refusal,
    },
    /// Events.
    Events(Batch),
    /// The watcher, or all of the stream, have been told everything up to `revision`.
    Progress {
        /// `None`: all of the stream.
        watch_id: Option<i64>,
        /// How far.
        revision: i64,
    },
    /// The watcher has ended.
    Canceled {
        /// Its id.
        watch_id: i64,
        /// Why.
        cause: Cause,
    },
}

/// Why a watcher ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The stream asked for it.
    Asked {
        /// The newest revision.
        revision: i64,
    },
    /// Revisions that it had yet to see are compacted.
    Compacted {
        /// The lowest that is left.
        revision: i64,
    },
    /// The store could not be read. The reason is in the log.
    Unreadable,
}

/// Why a stream ends from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// There has been no leader for some time, and the stream asked for one.
    NoLeader,
    /// The node stops.
    Stopping,
}

/// Events for one watcher, in order; at least one. Shares them with the batches of others.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The watcher's id.
    pub watch_id: i64,
    /// The revision to tell with them.
    pub revision: i64,
    pub(super) revisions: Revisions,
    /// First revision that the watcher has not been told of.
    pub(super) from: i64,
    /// Memory that the batch keeps from being given back.
    pub(super) bytes: usize,
    pub(super) spec: Arc<Spec>,
}

/// Revisions that a batch is taken from.
#[derive(Clone, Debug)]
pub(super) enum Revisions {
    One(Arc<Revision>),
    Many(Arc<[Arc<Revision>]>),
}

impl Batch {
    /// The events.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        let revisions = match &self.revisions {
            Revisions::One(revision) => std::slice::from_ref(revision),
            Revisions::Many(revisions) => &revisions[..],
        };
        let untold = revisions
            .iter()
            .filter(|revision| revision.number() >= self.from);
        untold
            .flat_map(|revision| revision.events())
            .filter(|event| self.spec.takes(event))
    }

    /// What the watcher asked for.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }
}

/// The outbox of one stream.
#[derive(Debug)]
pub(super) struct Outbox {
    stream: StreamId,
    batches_max: usize,
    bytes_max: usize,
    figures: Arc<Figures>,
    signals: Arc<Signals>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    notices: VecDeque<Notice>,
    batches: usize,
    bytes: usize,
    waker: Option<Waker>,
    /// A batch was turned away, and the hub waits to hear of room.
    is_overfull: bool,
    /// Set by the hub: nothing more will come.
    end: Option<End>,
    /// Set by the stream: nobody takes anything any more.
    is_abandoned: bool,
}

/// A batch that finds no room.
#[derive(Debug)]
pub(super) struct Full;

impl Outbox {
    pub(super) fn new(
        stream: StreamId,
        tuning: &Tuning,
        (figures, signals): (Arc<Figures>, Arc<Signals>),
    ) -> Outbox {
        Outbox {
            stream,
            batches_max: tuning.outbox_batches_max,
            bytes_max: tuning.outbox_bytes_max,
            figures,
            signals,
            inner: Mutex::default(),
        }
    }

    /// Puts a batch in, unless there is no room; the hub hears of it when there is some again. An empty outbox
    /// has room for any batch.
    pub(super) fn push(&self, batch: Batch) -> Result<(), Full> {
        let bytes = batch.bytes;
        let mut inner = self.inner.lock();
        if inner.batches > 0
            && (inner.batches >= self.batches_max
                || inner.bytes.saturating_add(bytes) > self.bytes_max)
        {
            inner.is_overfull = true;
            return Err(Full);
        }
        inner.batches += 1;
        inner.bytes += bytes;
        up(&self.figures.batches);
        self.add(&mut inner, Notice::Events(batch));
        Ok(())
    }

    /// Puts in what is no batch. Always finds room: a stream causes few of these without reading the answer.
    pub(super) fn tell(&self, notice: Notice) {
        self.add(&mut self.inner.lock(), notice);
    }

    fn add(&self, inner: &mut Inner, notice: Notice) {
        if inner.is_abandoned || inner.end.is_some() {
            return;
        }
        up(&self.figures.pending);
        inner.notices.push_back(notice);
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
    }

    /// Whether a batch of the usual size finds room. When not, the hub hears of it when it does.
    pub(super) fn has_room(&self) -> bool {
        let mut inner = self.inner.lock();
        let is_full = inner.batches >= self.batches_max || inner.bytes >= self.bytes_max;
        inner.is_overfull |= is_full;
        !is_full
    }

    /// Whether so much waits that the stream cannot be reading.
    pub(super) fn is_backed_up(&self) -> bool {
        self.inner.lock().notices.len() >= self.batches_max
    }

    /// Ends the stream: it is told nothing more, not even what waits.
    pub(super) fn end(&self, end: End) {
        let mut inner = self.inner.lock();
        inner.end.get_or_insert(end);
        self.clear(&mut inner);
        if let Some(waker) = inner.waker.take() {
            waker.wake();
        }
    }

    pub(super) fn is_abandoned(&self) -> bool {
        self.inner.lock().is_abandoned
    }

    /// Revision of the oldest batch that waits; `None` when none does.
    pub(super) fn oldest(&self) -> Option<i64> {
        let inner = self.inner.lock();
        inner.notices.iter().find_map(|notice| match notice {
            Notice::Events(batch) => Some(batch.from),
            _ => None,
        })
    }

    /// The next notice, or why none will come.
    pub(super) fn poll(&self, task: &mut Context<'_>) -> Poll<Result<Notice, End>> {
        let mut inner = self.inner.lock();
        let Some(notice) = inner.notices.pop_front() else {
            if let Some(end) = inner.end {
                return Poll::Ready(Err(end));
            }
            let is_known = |known: &Waker| known.will_wake(task.waker());
            if !inner.waker.as_ref().is_some_and(is_known) {
                inner.waker = Some(task.waker().clone());
            }
            return Poll::Pending;
        };
        down(&self.figures.pending, 1);
        if let Notice::Events(batch) = &notice {
            inner.batches -= 1;
            inner.bytes -= batch.bytes;
            if inner.is_overfull
                && inner.batches <= self.batches_max / 2
                && inner.bytes <= self.bytes_max / 2
            {
                inner.is_overfull = false;
                self.signals.has_room(self.stream);
            }
        }
        Poll::Ready(Ok(notice))
    }

    /// Nobody will take anything any more.
    pub(super) fn abandon(&self) {
        let mut inner = self.inner.lock();
        inner.is_abandoned = true;
        self.clear(&mut inner);
        drop(inner);
        self.signals.is_gone(self.stream);
    }

    fn clear(&self, inner: &mut Inner) {
        down(&self.figures.pending, inner.notices.len() as u64);
        inner.notices.clear();
        (inner.batches, inner.bytes) = (0, 0);
    }

    /// Counts events that the stream was given.
    pub(super) fn count_events(&self, events: u64) {
        self.figures.events.fetch_add(events, Relaxed);
    }
}
