//! The task of the hub: waits for whatever comes next, and gives it to the core.

use super::catch_up::{Source, Step, Stepped};
use super::core::register::Creation;
use super::core::{Core, StreamId};
use super::figures::Figures;
use super::hub::{Command, Hub, Parts};
use super::recent::{Next, Recent};
use super::signals::Signals;
use crate::kv;
use consensus::Handle;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use storage::StateStore;
use tokio::sync::mpsc;
use tokio::task::{JoinSet, yield_now};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// Requests taken in before streams are told of events again.
const COMMANDS_AT_ONCE: usize = 64;
/// Revisions distributed before anything else gets its turn: a fraction of a millisecond.
const REVISIONS_AT_ONCE: usize = 256;
/// Steps that run beside the hub. Each takes a thread of the blocking pool; more would only take the disk and
/// the processor from requests.
const STEPS_MAX: usize = 2;
/// The task of the hub, until it runs.
#[derive(Debug)]
pub struct Runner {
    core: Core,
    state: State,
    commands_rx: mpsc::Receiver<Command>,
    signals: Arc<Signals>,
    steps: JoinSet<Stepped>,
    is_watching: bool,
}

/// What the task reads.
struct State {
    store: StateStore,
    published: Arc<kv::Published>,
    recent: Arc<Recent>,
}

impl std::fmt::Debug for State {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("State")
    }
}

/// What the task does next.
enum Event {
    Stop,
    Stepped(Stepped),
    Commands,
    Changed,
    Tick,
}

impl Runner {
    pub(super) fn new(
        parts: Parts,
        commands_rx: mpsc::Receiver<Command>,
        signals: Arc<Signals>,
        figures: Arc<Figures>,
    ) -> Runner {
        Runner {
            core: Core::new(parts.limits, parts.tuning, figures),
            state: State {
                store: parts.state,
                published: parts.published,
                recent: parts.recent,
            },
            commands_rx,
            signals,
            steps: JoinSet::new(),
            is_watching: false,
        }
    }

    /// Runs until `stop`, then ends all streams.
    ///
    /// # Errors
    /// Never: the type is what a task of the node returns.
    pub async fn run(mut self, stop: CancellationToken) -> Result<(), Infallible> {
        let mut commands = Vec::with_capacity(COMMANDS_AT_ONCE);
        loop {
            let has_more = self.turn();
            let event = self.wait(&stop, &mut commands, has_more).await;
            match event {
                Event::Stop => break,
                Event::Stepped(stepped) => self.core.stepped(stepped),
                Event::Commands => {
                    for command in commands.drain(..) {
                        self.command(command);
                    }
                }
                Event::Changed => {}
                Event::Tick => self.core.tick(Instant::now()),
            }
        }
        self.core.end_all();
        self.state.recent.watch(false);
        self.steps.shutdown().await;
        Ok(())
    }

    async fn wait(
        &mut self,
        stop: &CancellationToken,
        commands: &mut Vec<Command>,
        has_more: bool,
    ) -> Event {
        let tick_at = self.core.tick_at();
        // Never due when there is none: the branch is switched off.
        let tick = sleep_until(tick_at.unwrap_or_else(Instant::now));
        tokio::select! {
            biased;
            () = stop.cancelled() => Event::Stop,
            Some(stepped) = self.steps.join_next(), if !self.steps.is_empty() => match stepped {
                Ok(stepped) => Event::Stepped(stepped),
                // A step that panicked is a bug; the panic goes on here and ends the node.
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            },
            received = self.commands_rx.recv_many(commands, COMMANDS_AT_ONCE) => match received {
                // The hub lives as long as somebody may open a stream: nobody can any more.
                0 => Event::Stop,
                _ => Event::Commands,
            },
            () = self.signals.raised() => Event::Changed,
            () = self.state.recent.changed() => Event::Changed,
            () = tick, if tick_at.is_some() => Event::Tick,
            () = yield_now(), if has_more => Event::Changed,
        }
    }

    /// Does a bounded amount of what can be done; returns whether there is more.
    fn turn(&mut self) -> bool {
        let signalled = self.signals.take();
        for stream in signalled.gone {
            self.core.close(stream);
        }
        for stream in signalled.have_room {
            self.core.has_room(stream);
        }
        self.watch_if_needed();
        let has_more = self.distribute() | self.catch_up();
        self.core.answer_progress();
        has_more
    }

    fn watch_if_needed(&mut self) {
        let is_watching = self.core.is_watching();
        if std::mem::replace(&mut self.is_watching, is_watching) != is_watching {
            self.state.recent.watch(is_watching);
        }
    }

    /// Tells synced watchers of new revisions; returns whether there may be more.
    fn distribute(&mut self) -> bool {
        if !self.core.is_watching() {
            return false;
        }
        match self
            .state
            .recent
            .next(self.core.distributed(), REVISIONS_AT_ONCE)
        {
            Next::Nothing => false,
            Next::Revisions(revisions) => {
                for revision in &revisions {
                    self.core.distribute(revision);
                }
                revisions.len() == REVISIONS_AT_ONCE
            }
            Next::Missing(upto) => {
                self.core.skip(upto);
                true
            }
        }
    }

    /// Brings up those who are behind; returns whether there may be more to do at once.
    fn catch_up(&mut self) -> bool {
        let inline_max = self.core.tuning().inline_revisions_max;
        while self.steps.len() < STEPS_MAX {
            let Some(step) = self.core.next_step(&self.state.recent) else {
                return false;
            };
            let Step { source, .. } = &step;
            if matches!(source, Source::Memory(revisions) if revisions.len() <= inline_max) {
                let stepped = step.run(&self.state.store);
                self.core.stepped(stepped);
                return true;
            }
            let store = self.state.store.clone();
            self.steps.spawn_blocking(move || step.run(&store));
        }
        false
    }

    fn command(&mut self, command: Command) {
        match command {
            Command::Open {
                stream,
                outbox,
                needs_leader,
            } => self.core.open(stream, outbox, needs_leader),
            Command::Create {
                stream,
                watch_id,
                spec,
            } => {
                self.learn();
                let creation = Creation {
                    watch_id,
                    spec,
                    compacted: self.state.published.compacted_revision(),
                    now: Instant::now(),
                };
                self.core.create(stream, creation);
            }
            Command::Cancel { stream, watch_id } => {
                self.learn();
                self.core.cancel(stream, watch_id);
            }
            Command::AskProgress { stream } => self.ask_progress(stream),
            Command::EndLeaderless => self.core.end_leaderless(),
            Command::Survey { request, reply_tx } => {
                self.learn();
                // Whoever asked may have gone.
                let _ = reply_tx.send(self.core.survey(request));
            }
        }
    }

    fn ask_progress(&mut self, stream: StreamId) {
        self.learn();
        self.core.ask_progress(stream);
    }

    /// Learns of the newest revision. Whoever watches from here on is told of everything behind it, so events
    /// must be wanted before it is read.
    fn learn(&mut self) {
        if !std::mem::replace(&mut self.is_watching, true) {
            self.state.recent.watch(true);
        }
        self.core.learn(self.state.published.revision());
    }
}

/// Ends the streams that need a leader each time that the node has been without one for `patience`.
///
/// # Errors
/// Never: the type is what a task of the node returns.
pub async fn follow_leader<R: Send + 'static>(
    handle: Handle<R>,
    hub: Hub,
    patience: Duration,
    stop: CancellationToken,
) -> Result<(), Infallible> {
    let following = async {
        loop {
            let changed = timeout(patience, handle.leader_changed()).await.is_ok();
            if !changed && handle.status().leader.is_none() {
                hub.end_leaderless().await;
            }
        }
    };
    // Both end a task that holds nothing.
    stop.run_until_cancelled(following).await;
    Ok(())
}
