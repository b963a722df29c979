//! Operations admitted and not answered yet, in their order. Results leave from the front alone.

use super::reads::{Read, Reads};
use super::timer::Timer;
use crate::kv;
use crate::machine::Reply;
use crate::service::native::translate;
use crate::service::write::PendingWrite;
use crate::service::{Context, Failure, Outcome};
use protocol::placement::v1 as pb;
use protocol::placement::v1::operation_result::Result as Answer;
use protocol::placement::v1::{OperationError, OperationResult};
use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};
use storage::View;
use tokio::time::Instant;

/// Results of one message at most.
const RESULTS_MAX: usize = 256;
/// A message ends with the value that brings it to this many bytes; see the pages of a listing.
const RESULT_BYTES_MAX: usize = 1024 * 1024;

#[derive(Clone, Copy)]
pub(super) enum WriteKind {
    Set,
    Delete,
}

#[derive(Clone, Copy)]
pub(super) enum ReadKind {
    Get,
    Exists,
}

/// One operation.
pub(super) enum Slot {
    Done(OperationResult),
    Write(PendingWrite, WriteKind),
    Read(Read),
}

#[derive(Default)]
pub(super) struct Queue {
    slots: VecDeque<(Instant, Slot)>,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Adds an operation that is to be answered by `deadline`.
    pub(super) fn push(&mut self, deadline: Instant, slot: Slot) {
        self.slots.push_back((deadline, slot));
    }

    pub(super) fn front_deadline(&self) -> Option<Instant> {
        self.slots.front().map(|(deadline, _)| *deadline)
    }

    /// Answers everything that is not answered: the node stops now.
    pub(super) fn stop(&mut self) {
        for (_, slot) in &mut self.slots {
            let outcome = match slot {
                Slot::Done(_) => continue,
                Slot::Write(..) => Outcome::Unknown,
                Slot::Read(_) => Outcome::NotApplied,
            };
            *slot = Slot::Done(failed(Failure::Stopping(outcome)));
        }
    }

    /// Answers the reads that hold the tickets `after + 1 ..= up_to`, and tells their keys.
    pub(super) fn fail_reads(
        &mut self,
        failure: &Failure,
        after: u64,
        up_to: u64,
        mut answered: impl FnMut(&[u8]),
    ) {
        for (_, slot) in &mut self.slots {
            if let Slot::Read(read) = slot
                && read.holds_ticket(after, up_to)
            {
                answered(&read.range.key);
                *slot = Slot::Done(failed(failure.clone()));
            }
        }
    }

    /// Takes the results that are ready, from the front on.
    pub(super) fn drain(
        &mut self,
        context: &Context,
        reads: &mut Reads,
        timer: &Timer,
        task: &mut TaskContext<'_>,
    ) -> Vec<OperationResult> {
        let mut results = Vec::new();
        let mut bytes = 0;
        // One view serves the reads between two writes: a read must see the writes before it.
        let mut view: Option<View> = None;
        while let Some((deadline, slot)) = self.slots.front_mut() {
            let result = match slot {
                Slot::Done(result) => std::mem::take(result),
                Slot::Write(pending, kind) => match Pin::new(pending).poll(task) {
                    Poll::Ready(reply) => {
                        view = None;
                        written(reply, *kind)
                    }
                    Poll::Pending if timer.has_passed(*deadline) => {
                        failed(Failure::TimedOut(Outcome::Unknown))
                    }
                    Poll::Pending => break,
                },
                Slot::Read(read) if reads.may_run(read) => {
                    reads.done(&read.range.key);
                    answer(read, view.get_or_insert_with(|| context.state.view()))
                }
                Slot::Read(read) if timer.has_passed(*deadline) => {
                    reads.done(&read.range.key);
                    failed(Failure::TimedOut(Outcome::NotApplied))
                }
                Slot::Read(_) => break,
            };
            self.slots.pop_front();
            bytes += value_bytes(&result);
            results.push(result);
            if results.len() == RESULTS_MAX || bytes >= RESULT_BYTES_MAX {
                break;
            }
        }
        results
    }
}

fn written(reply: Result<Reply, consensus::ProposeError>, kind: WriteKind) -> OperationResult {
    let answer = reply.map_err(Failure::from).and_then(|reply| match kind {
        WriteKind::Set => translate::set_response(reply).map(Answer::Set),
        WriteKind::Delete => translate::delete_response(reply).map(Answer::Delete),
    });
    result(answer)
}

fn answer(read: &Read, view: &View) -> OperationResult {
    result(
        kv::range(view, &read.range)
            .map_err(Failure::from)
            .map(|range| match read.kind {
                ReadKind::Get => Answer::Get(translate::get_response(range)),
                ReadKind::Exists => Answer::Exists(translate::exists_response(range)),
            }),
    )
}

fn result(answer: Result<Answer, Failure>) -> OperationResult {
    match answer {
        Ok(answer) => OperationResult {
            result: Some(answer),
        },
        Err(failure) => failed(failure),
    }
}

/// The result of an operation that failed.
pub(super) fn failed(failure: Failure) -> OperationResult {
    let row = failure.row();
    let outcome = match row.outcome {
        Outcome::NotApplied => pb::Outcome::NotApplied,
        // No operation of a stream ends this way; if one did, reading first would be right.
        Outcome::Unknown | Outcome::Applied => pb::Outcome::Unknown,
    };
    let error = OperationError {
        code: row.native_code() as i32,
        message: row.message.into_owned(),
        outcome: outcome.into(),
    };
    OperationResult {
        result: Some(Answer::Error(error)),
    }
}

pub(super) fn is_error(result: &OperationResult) -> bool {
    matches!(result.result, Some(Answer::Error(_)))
}

fn value_bytes(result: &OperationResult) -> usize {
    match &result.result {
        Some(Answer::Get(get)) => get.item.as_ref().map_or(0, |item| item.value.len()),
        _ => 0,
    }
}
