//! The hub as others hold it: opens streams, and carries what they ask for to the task that owns the watchers.

use super::core::{Limits, StreamId, Survey, SurveyRequest};
use super::figures::Figures;
use super::outbox::{End, Notice, Outbox};
use super::recent::Recent;
use super::run::Runner;
use super::signals::Signals;
use super::spec::{Refusal, Spec};
use super::tuning::Tuning;
use crate::kv;
use futures::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use storage::StateStore;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::PollSender;

/// Requests that wait for the hub. Each takes it some microseconds; a stream whose request finds no place waits
/// for one, and no other does.
const COMMANDS_MAX: usize = 1024;

/// What a hub is made of.
pub struct Parts {
    /// The read side of the state.
    pub state: StateStore,
    /// Figures of the key-value store.
    pub published: Arc<kv::Published>,
    /// Where the apply thread leaves events.
    pub recent: Arc<Recent>,
    /// What clients may ask for.
    pub limits: Limits,
    /// Bounds that are not for operators to set.
    pub tuning: Tuning,
}

/// Opens streams of watches; cheap to clone.
#[derive(Clone, Debug)]
pub struct Hub {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    commands_tx: mpsc::Sender<Command>,
    signals: Arc<Signals>,
    figures: Arc<Figures>,
    tuning: Tuning,
    last_stream: AtomicU64,
}

/// What streams and operators ask of the hub.
#[derive(Debug)]
pub(super) enum Command {
    Open {
        stream: StreamId,
        outbox: Arc<Outbox>,
        needs_leader: bool,
    },
    Create {
        stream: StreamId,
        watch_id: Option<i64>,
        spec: Result<Spec, Refusal>,
    },
    Cancel {
        stream: StreamId,
        watch_id: i64,
    },
    AskProgress {
        stream: StreamId,
    },
    EndLeaderless,
    Survey {
        request: SurveyRequest,
        reply_tx: oneshot::Sender<Survey>,
    },
}

impl Hub {
    /// A hub, and what has to run for it.
    pub fn new(parts: Parts) -> (Hub, Runner) {
        let (commands_tx, commands_rx) = mpsc::channel(COMMANDS_MAX);
        let (signals, figures) = (Arc::new(Signals::default()), Arc::new(Figures::default()));
        let shared = Shared {
            commands_tx,
            signals: Arc::clone(&signals),
            figures: Arc::clone(&figures),
            tuning: parts.tuning,
            last_stream: AtomicU64::new(0),
        };
        let runner = Runner::new(parts, commands_rx, signals, figures);
        let shared = Arc::new(shared);
        (Hub { shared }, runner)
    }

    /// Figures of all watches.
    pub fn figures(&self) -> &Figures {
        &self.shared.figures
    }

    /// Opens a stream. With `needs_leader` it ends when the node has been without a leader for some time.
    pub fn open(&self, needs_leader: bool) -> Subscription {
        let stream = StreamId(self.shared.last_stream.fetch_add(1, Relaxed) + 1);
        let shared = &self.shared;
        let books = (Arc::clone(&shared.figures), Arc::clone(&shared.signals));
        let outbox = Arc::new(Outbox::new(stream, &shared.tuning, books));
        let opening = Command::Open {
            stream,
            outbox: Arc::clone(&outbox),
            needs_leader,
        };
        Subscription {
            stream,
            outbox,
            commands_tx: PollSender::new(self.shared.commands_tx.clone()),
            unsent: Some(opening),
        }
    }

    /// Looks at the watchers; `None` when the hub has stopped. Bound the wait.
    pub async fn survey(&self, request: SurveyRequest) -> Option<Survey> {
        let (reply_tx, reply_rx) = oneshot::channel();
        let command = Command::Survey { request, reply_tx };
        self.shared.commands_tx.send(command).await.ok()?;
        reply_rx.await.ok()
    }

    /// Ends the streams that need a leader, because there is none.
    pub(super) async fn end_leaderless(&self) {
        // A hub that has stopped has ended all streams.
        let _ = self.shared.commands_tx.send(Command::EndLeaderless).await;
    }
}

/// A stream of any number of watchers. Dropped, its watchers are forgotten.
///
/// It takes one request at a time: wait for [`Subscription::poll_ready`] before each.
#[derive(Debug)]
pub struct Subscription {
    stream: StreamId,
    outbox: Arc<Outbox>,
    commands_tx: PollSender<Command>,
    /// The request that has yet to find a place.
    unsent: Option<Command>,
}

impl Subscription {
    /// Ready when the request before this is on its way, so that there is a place for another.
    pub fn poll_ready(&mut self, task: &mut Context<'_>) -> Poll<Result<(), End>> {
        if self.unsent.is_none() {
            return Poll::Ready(Ok(()));
        }
        let reserved = ready!(self.commands_tx.poll_reserve(task));
        let sent = reserved.and_then(|()| match self.unsent.take() {
            Some(command) => self.commands_tx.send_item(command),
            None => Ok(()),
        });
        Poll::Ready(sent.map_err(|_| End::Stopping))
    }

    /// Asks for a watcher, under `watch_id` or one that the hub chooses. The answer is a [`Notice::Created`] or
    /// [`Notice::Refused`]; answers come in the order of the requests.
    ///
    /// # Panics
    /// When the request before is not on its way.
    pub fn create(&mut self, watch_id: Option<i64>, spec: Result<Spec, Refusal>) {
        let stream = self.stream;
        self.ask(Command::Create {
            stream,
            watch_id,
            spec,
        });
    }

    /// Asks to end a watcher; there is no answer if the stream has none of that id.
    ///
    /// # Panics
    /// As [`Subscription::create`].
    pub fn cancel(&mut self, watch_id: i64) {
        let stream = self.stream;
        self.ask(Command::Cancel { stream, watch_id });
    }

    /// Asks how far the watchers have seen; answered once all are synced.
    ///
    /// # Panics
    /// As [`Subscription::create`].
    pub fn ask_progress(&mut self) {
        let stream = self.stream;
        self.ask(Command::AskProgress { stream });
    }

    fn ask(&mut self, command: Command) {
        assert!(self.unsent.is_none(), "the request before is on its way");
        self.unsent = Some(command);
    }

    /// The next notice, or why none will come. Cancel-safe; sends no request.
    pub fn poll_notice(&mut self, task: &mut Context<'_>) -> Poll<Result<Notice, End>> {
        let polled = self.outbox.poll(task);
        if polled.is_pending() && self.commands_tx.is_closed() {
            return Poll::Ready(Err(End::Stopping));
        }
        polled
    }

    /// Sends what is to be sent, then waits for the next notice. Cancel-safe.
    ///
    /// # Errors
    /// Why none will come.
    pub async fn next(&mut self) -> Result<Notice, End> {
        poll_fn(|task| {
            if let Poll::Ready(Err(end)) = self.poll_ready(task) {
                return Poll::Ready(Err(end));
            }
            self.poll_notice(task)
        })
        .await
    }

    /// Counts events that were taken from a batch.
    pub fn count_events(&self, events: usize) {
        self.outbox.count_events(events as u64);
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.outbox.abandon();
    }
}
