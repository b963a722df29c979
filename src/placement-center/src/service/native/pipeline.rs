//! `KvService.Pipeline`: many operations in flight on one stream, answered in their order.
//!
//! The stream is a state machine that the connection polls; it has no task of its own and none for an
//! operation. Writes are proposed as they arrive. A read waits until everything before it is answered, so
//! it sees the stream's earlier writes; a write waits for an earlier read of the same key, so the read does
//! not see it. Back-pressure is the window: a full one stops reading the stream.

mod queue;
mod reads;
mod timer;

use crate::service::call::Call;
use crate::service::{Context, Failure, Outcome};
use bytes::Bytes;
use futures::Stream;
use protocol::placement::v1::operation::Operation as Kind;
use protocol::placement::v1::{Operation, OperationResult, PipelineRequest, PipelineResponse};
use queue::{Queue, Slot, WriteKind, failed};
use reads::Reads;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context as TaskContext, Poll, ready};
use timer::Timer;
use tokio::time::Instant;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Code, Status, Streaming};

use super::translate;

/// Operations admitted before the stream looks at its results again, so that one stream does not keep a
/// runtime worker for long.
const ADMITTED_AT_ONCE: usize = 256;

/// A stream of answers.
pub struct Pipeline {
    context: Arc<Context>,
    call: Call,
    /// `None` once the client has said everything, or may say no more.
    requests: Option<Streaming<PipelineRequest>>,
    /// What the stream ends with when all is answered.
    ending: Result<(), Status>,
    /// Of the message being taken apart.
    operations: std::vec::IntoIter<Operation>,
    /// Until when the operations of that message are to be answered.
    deadline: Instant,
    waiting: Option<Waiting>,
    queue: Queue,
    reads: Reads,
    timer: Timer,
    draining: Pin<Box<WaitForCancellationFutureOwned>>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// The next operation, when it cannot be admitted yet. Nothing behind it is, either.
enum Waiting {
    /// Consensus has no room for the command.
    Room(Bytes, WriteKind),
    /// An earlier operation reads the key that this one writes.
    Read(Kind),
}

impl Pipeline {
    pub(super) fn new(
        context: Arc<Context>,
        call: Call,
        requests: Streaming<PipelineRequest>,
    ) -> Pipeline {
        let draining = Box::pin(context.draining.clone().cancelled_owned());
        let cut = Box::pin(context.cut.clone().cancelled_owned());
        Pipeline {
            deadline: call.deadline().at(),
            context,
            call,
            requests: Some(requests),
            ending: Ok(()),
            operations: Vec::new().into_iter(),
            waiting: None,
            queue: Queue::default(),
            reads: Reads::default(),
            timer: Timer::default(),
            draining,
            cut,
        }
    }

    /// Ends the intake when the listener drains, and answers everything when the node cuts.
    fn heed_shutdown(&mut self, task: &mut TaskContext<'_>) {
        if self.requests.is_some() && self.draining.as_mut().poll(task).is_ready() {
            self.requests = None;
            self.ending = Err(Failure::Stopping(Outcome::NotApplied).into_native_status());
        }
        if self.cut.as_mut().poll(task).is_ready() {
            self.requests = None;
            self.queue.stop();
            let left = usize::from(self.waiting.take().is_some()) + self.operations.len();
            self.operations = Vec::new().into_iter();
            for _ in 0..left {
                self.queue.push(
                    self.deadline,
                    Slot::Done(failed(Failure::Stopping(Outcome::NotApplied))),
                );
            }
            self.ending = Err(Failure::Stopping(Outcome::NotApplied).into_native_status());
        }
    }

    /// Takes operations from the client while the window has room.
    fn admit_all(&mut self, task: &mut TaskContext<'_>) {
        let mut budget = ADMITTED_AT_ONCE;
        self.admit_waiting();
        while self.waiting.is_none() && self.queue.len() < self.context.limits.pipeline_window {
            if budget == 0 {
                task.waker().wake_by_ref();
                return;
            }
            budget -= 1;
            match self.operations.next() {
                Some(Operation {
                    operation: Some(kind),
                }) => self.admit(kind),
                Some(Operation { operation: None }) => {
                    self.refuse(Failure::Invalid("operation says nothing"))
                }
                None if self.poll_message(task).is_pending() => return,
                None if self.requests.is_none() => return,
                None => {}
            }
        }
    }

    /// Reads the next message; ready too when there will be none.
    fn poll_message(&mut self, task: &mut TaskContext<'_>) -> Poll<()> {
        let Some(requests) = &mut self.requests else {
            return Poll::Ready(());
        };
        match ready!(Pin::new(requests).poll_next(task)) {
            Some(Ok(message)) => {
                self.operations = message.operations.into_iter();
                self.deadline = Instant::now() + self.context.limits.request_timeout;
            }
            Some(Err(status)) => {
                self.requests = None;
                self.ending = Err(status);
            }
            None => self.requests = None,
        }
        Poll::Ready(())
    }

    fn admit(&mut self, kind: Kind) {
        match kind {
            Kind::Set(set) if self.reads.concern(&set.key) => {
                self.waiting = Some(Waiting::Read(Kind::Set(set)))
            }
            Kind::Delete(delete) if self.reads.concern(&delete.key) => {
                self.waiting = Some(Waiting::Read(Kind::Delete(delete)))
            }
            Kind::Set(set) => {
                let command = self
                    .context
                    .check_quota()
                    .and_then(|()| translate::encode_set(set));
                self.admit_command(command, WriteKind::Set);
            }
            Kind::Delete(delete) => {
                self.admit_command(translate::encode_delete(delete), WriteKind::Delete)
            }
            Kind::Get(get) => match translate::get_range(get) {
                Ok(range) => {
                    let read = self.reads.admit_get(range);
                    self.queue.push(self.deadline, Slot::Read(read));
                }
                Err(failure) => self.refuse(failure),
            },
            Kind::Exists(exists) => match translate::exists_range(exists) {
                Ok(range) => {
                    let read = self.reads.admit_exists(range);
                    self.queue.push(self.deadline, Slot::Read(read));
                }
                Err(failure) => self.refuse(failure),
            },
        }
    }

    fn admit_command(&mut self, command: Result<Bytes, Failure>, kind: WriteKind) {
        let checked =
            command.and_then(|command| self.context.check_size(&command).map(|()| command));
        match checked {
            Ok(command) => self.submit(command, kind),
            Err(failure) => self.refuse(failure),
        }
    }

    /// Proposes a command. A full consensus queue is no failure of the operation: it waits for room.
    fn submit(&mut self, command: Bytes, kind: WriteKind) {
        match self.context.submit(command.clone()) {
            Ok(pending) => self.queue.push(self.deadline, Slot::Write(pending, kind)),
            Err(consensus::ProposeError::Overloaded) => {
                self.waiting = Some(Waiting::Room(command, kind))
            }
            Err(error) => self.refuse(error.into()),
        }
    }

    fn admit_waiting(&mut self) {
        match self.waiting.take() {
            None => {}
            Some(Waiting::Read(kind)) => self.admit(kind),
            Some(Waiting::Room(..)) if self.timer.has_passed(self.deadline) => {
                self.refuse(consensus::ProposeError::Overloaded.into())
            }
            Some(Waiting::Room(command, kind)) => self.submit(command, kind),
        }
    }

    fn refuse(&mut self, failure: Failure) {
        self.queue.push(self.deadline, Slot::Done(failed(failure)));
    }

    fn is_answered(&self) -> bool {
        self.requests.is_none()
            && self.operations.len() == 0
            && self.waiting.is_none()
            && self.queue.is_empty()
    }

    /// Counts and wraps results.
    fn respond(&self, results: Vec<OperationResult>) -> PipelineResponse {
        let errors = results
            .iter()
            .filter(|result| queue::is_error(result))
            .count();
        let metrics = &self.context.metrics;
        metrics.pipeline_errors.fetch_add(errors as u64, Relaxed);
        metrics
            .pipeline_operations
            .fetch_add((results.len() - errors) as u64, Relaxed);
        PipelineResponse { results }
    }

    /// When the stream must look again although nothing woke it.
    fn look_again_at(&self) -> Option<Instant> {
        let retry = matches!(self.waiting, Some(Waiting::Room(..))) || self.reads.want_retry();
        let retry = retry.then(timer::retry_at);
        [retry, self.queue.front_deadline()]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Stream for Pipeline {
    type Item = Result<PipelineResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        loop {
            this.heed_shutdown(task);
            this.admit_all(task);
            this.reads
                .poll_barrier(&this.context.handle, &mut this.queue, task);
            let results = this
                .queue
                .drain(&this.context, &mut this.reads, &this.timer, task);
            if !results.is_empty() {
                return Poll::Ready(Some(Ok(this.respond(results))));
            }
            if this.is_answered() {
                return Poll::Ready(this.end());
            }
            let look_again_at = this.look_again_at();
            // Ready: time has passed, so some of the above may have become possible.
            ready!(this.timer.poll(look_again_at, task));
        }
    }
}

impl Pipeline {
    /// Ends the stream; the second time there is nothing left to say.
    fn end(&mut self) -> Option<Result<PipelineResponse, Status>> {
        let ending = std::mem::replace(&mut self.ending, Ok(()));
        self.call
            .end(ending.as_ref().err().map_or(Code::Ok, Status::code));
        ending.err().map(Err)
    }
}
