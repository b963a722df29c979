//! The reads of a stream: which wait for a barrier, and which keys they concern.
//!
//! One barrier serves all reads that arrived before it began. It runs while the stream's earlier writes are
//! still in flight; a read is carried out when both are done.

use super::queue::{Queue, ReadKind};
use crate::machine::Reply;
use crate::service::Failure;
use bytes::Bytes;
use consensus::{Handle, ReadError};
use protocol::etcdserverpb::RangeRequest;
use std::collections::HashMap;
use std::pin::Pin;
use std::task::{Context, Poll};

type Barrier = Pin<Box<dyn Future<Output = Result<(), ReadError>> + Send>>;

/// A read that waits for its turn.
pub(super) struct Read {
    pub(super) range: RangeRequest,
    pub(super) kind: ReadKind,
    /// Number of the read among those that need a barrier; 0 for one that needs none.
    ticket: u64,
}

#[derive(Default)]
pub(super) struct Reads {
    /// Highest ticket given out.
    given: u64,
    /// Reads up to this ticket are behind a barrier.
    passed: u64,
    /// The barrier under way, and the last ticket it serves.
    running: Option<(u64, Barrier)>,
    overloaded: bool,
    keys: Keys,
}

/// Keys of the reads that wait, with how many wait for each.
#[derive(Default)]
struct Keys(HashMap<Bytes, u32>);

impl Keys {
    fn add(&mut self, key: Bytes) {
        *self.0.entry(key).or_default() += 1;
    }

    fn remove(&mut self, key: &[u8]) {
        if let Some(count) = self.0.get_mut(key) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(key);
            }
        }
    }
}

impl Reads {
    pub(super) fn admit_get(&mut self, range: RangeRequest) -> Read {
        self.admit(range, ReadKind::Get)
    }

    pub(super) fn admit_exists(&mut self, range: RangeRequest) -> Read {
        self.admit(range, ReadKind::Exists)
    }

    fn admit(&mut self, range: RangeRequest, kind: ReadKind) -> Read {
        self.keys.add(range.key.clone());
        let ticket = if range.serializable {
            0
        } else {
            self.given += 1;
            self.given
        };
        Read {
            range,
            kind,
            ticket,
        }
    }

    /// Whether a read of `key` waits.
    pub(super) fn concern(&self, key: &[u8]) -> bool {
        !self.keys.0.is_empty() && self.keys.0.contains_key(key)
    }

    pub(super) fn may_run(&self, read: &Read) -> bool {
        read.ticket <= self.passed
    }

    /// The read has been answered.
    pub(super) fn done(&mut self, key: &[u8]) {
        self.keys.remove(key);
    }

    /// Whether a barrier found no room and is to be asked for again.
    pub(super) fn want_retry(&self) -> bool {
        self.overloaded
    }

    /// Drives the barrier, beginning one when reads wait for it.
    pub(super) fn poll_barrier(
        &mut self,
        handle: &Handle<Reply>,
        queue: &mut Queue,
        task: &mut Context<'_>,
    ) {
        self.overloaded = false;
        while self.passed < self.given {
            let given = self.given;
            let (serves, barrier) = self.running.get_or_insert_with(|| {
                let handle = handle.clone();
                (given, Box::pin(async move { handle.read_barrier().await }))
            });
            let Poll::Ready(result) = barrier.as_mut().poll(task) else {
                return;
            };
            let serves = *serves;
            self.running = None;
            match result {
                Ok(()) => {}
                Err(ReadError::Overloaded) => {
                    self.overloaded = true;
                    return;
                }
                Err(error) => {
                    let keys = &mut self.keys;
                    let answered = |key: &[u8]| keys.remove(key);
                    queue.fail_reads(&Failure::from(error), self.passed, serves, answered);
                }
            }
            self.passed = serves;
        }
    }
}

impl Read {
    /// Whether the read holds one of the tickets `after + 1 ..= up_to`.
    pub(super) fn holds_ticket(&self, after: u64, up_to: u64) -> bool {
        after < self.ticket && self.ticket <= up_to
    }
}
