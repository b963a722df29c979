//! The driver: the one task that owns the core. It turns events (a tick, commands, readers, reports
//! of the threads) into inputs of the core and performs the effects. It never blocks and never
//! touches the disk; those who wait for a command wait here until its entry commits.

mod control;
mod duties;
mod inbound;
mod outbox;
mod pending;
mod readers;
mod show;
mod snapshots;
mod strain;

use crate::apply::{AppliedBatch, Item, Work};
use crate::clock::{self, Stopwatch};
use crate::config::Config;
use crate::control::Control;
use crate::core::{Core, Effects, Persist, ReadOutcome};
use crate::error::{FatalError, ProposeError, ReadError};
use crate::handle::{Inbox, Proposal, ReadTx, Shared};
use crate::keeper::Duty;
use crate::peers::{Inbound, Links, Peers};
use crate::status::{PeerProgress, Role};
use crate::writer::Job;
use control::Controls;
use duties::Duties;
use inbound::Refusals;
use outbox::Outbox;
use pending::Pending;
use readers::Readers;
pub(crate) use show::status;
use snapshots::Snapshots;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use storage::Snapshot;
use strain::{Figures, Strain};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Interval;

/// Writes of proposals under way at once. With one, everything that arrives during a sync shares the
/// next: measured at 64 clients, a second in flight halves the groups and costs a quarter more CPU
/// per command, and gains no throughput.
const WRITES_IN_FLIGHT_MAX: usize = 1;
/// Applied batches waiting for the driver; the apply thread waits when it is that far ahead.
pub(crate) const APPLIED_MAX: usize = 64;
/// Commands taken into one turn: about what one sync takes along at full speed.
const PROPOSALS_PER_TURN_MAX: usize = 8192;
/// Readers taken into one turn; they share one round anyway.
const READS_PER_TURN_MAX: usize = 8192;
/// Batches of peers taken into one turn; what they bring shares a write.
const INBOUND_PER_TURN_MAX: usize = 64;
/// Reports of the threads waiting for the driver. Each thread has only a few under way.
pub(crate) const REPORTS_MAX: usize = 1024;

/// What the threads tell the driver.
#[derive(Debug)]
pub(crate) enum Report {
    /// The log writer: this write and all before it are durable.
    Persisted { number: u64 },
    /// The log writer: the snapshot of this write is in the place of log and state.
    Installed { number: u64 },
    /// The keeper: done; a crash now would keep the state up to here.
    Kept {
        flushed_index: u64,
        /// Time stamp of the oldest entry of the log.
        oldest_ms: Option<u64>,
    },
    /// The keeper: the snapshot for a member, if one could be taken.
    Taken { to: u64, snapshot: Option<Snapshot> },
    /// A thread died.
    Failed(FatalError),
}

/// Asks the driver to stop once what is in flight is answered, or the time is over.
#[derive(Debug)]
pub(crate) struct Stop {
    pub(crate) deadline: Duration,
}

/// What the driver leaves behind.
#[derive(Debug)]
pub(crate) struct DriverEnd {
    /// The log is durable and committed up to here.
    pub(crate) watermark: u64,
}

/// The driver's ends of the channels to its threads.
pub(crate) struct Lines<R> {
    pub(crate) jobs_tx: crossbeam_channel::Sender<Job>,
    pub(crate) work_tx: crossbeam_channel::Sender<Work<R>>,
    pub(crate) duties_tx: crossbeam_channel::Sender<Duty>,
    pub(crate) reports_rx: mpsc::Receiver<Report>,
    pub(crate) applied_rx: mpsc::Receiver<AppliedBatch<R>>,
    pub(crate) stop_rx: oneshot::Receiver<Stop>,
}

/// Where everything the driver hears of comes in, and what it sends goes out.
pub(crate) struct Ports<R> {
    pub(crate) inbox: Inbox<R>,
    pub(crate) lines: Lines<R>,
    pub(crate) links: Links,
}

/// One turn's reason.
enum Event<R> {
    Tick,
    Report(Report),
    Applied(AppliedBatch<R>),
    /// Commands are in `proposals`; false: none will come any more.
    Proposals {
        open: bool,
    },
    /// Readers are in `readers_in`.
    Reads,
    /// Messages of peers are in `inbound`.
    Inbound,
    Control(Control),
    Stop(Option<Stop>),
    /// The time to stop is over.
    Deadline,
}

pub(crate) struct Driver<R> {
    core: Core,
    shared: Arc<Shared>,
    inbox: Inbox<R>,
    reports_rx: mpsc::Receiver<Report>,
    applied_rx: mpsc::Receiver<AppliedBatch<R>>,
    stop_rx: oneshot::Receiver<Stop>,
    peers: Box<dyn Peers>,
    inbox_rx: mpsc::Receiver<Inbound>,
    inbox_open: bool,
    inbound: Vec<Inbound>,
    refusals: Refusals,
    controls: Controls,
    progress: Vec<PeerProgress>,
    jobs: Outbox<Job>,
    items: Outbox<Work<R>>,
    snapshots: Snapshots,
    strain: Strain,
    look_ticks: u32,
    ticks_to_look: u32,
    oldest_ms: Option<u64>,
    duties: Duties,
    ticker: Interval,
    /// Ticks a proposal may stay unresolved after leadership was lost.
    unresolved_ticks_max: u32,
    proposals: Vec<Proposal<R>>,
    proposals_open: bool,
    readers_in: Vec<ReadTx>,
    pending: Pending<R>,
    readers: Readers,
    /// Numbers of the writes that are not durable yet.
    writes: VecDeque<u64>,
    stopping: Option<(Stopwatch, Duration)>,
    role: Role,
    leader: Option<u64>,
}

impl<R> Drop for Driver<R> {
    /// However the driver ends, by a panic too: no handle may believe that it still serves.
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.reads_locally.store(false, Ordering::Release);
    }
}

impl<R: Send + 'static> Driver<R> {
    pub(crate) fn new(config: &Config, core: Core, shared: Arc<Shared>, ports: Ports<R>) -> Self {
        let Ports {
            inbox,
            lines,
            links,
        } = ports;
        let flushed_index = shared.status.load().flushed_index;
        Driver {
            role: Role::Follower,
            leader: None,
            ticker: clock::ticker(config.heartbeat),
            unresolved_ticks_max: u32::try_from(4 * config.election_ticks()).unwrap_or(u32::MAX),
            core,
            inbox,
            reports_rx: lines.reports_rx,
            applied_rx: lines.applied_rx,
            stop_rx: lines.stop_rx,
            peers: links.peers,
            inbox_rx: links.inbox.inbox_rx,
            inbox_open: true,
            inbound: Vec::new(),
            refusals: Refusals::default(),
            snapshots: Snapshots::new(lines.duties_tx.clone(), Arc::clone(&shared)),
            controls: Controls::new(config.election_ticks()),
            progress: Vec::new(),
            jobs: Outbox::new(lines.jobs_tx),
            items: Outbox::new(lines.work_tx),
            duties: Duties::new(config, lines.duties_tx, flushed_index),
            strain: Strain::default(),
            look_ticks: config.ticks(config.tuning.fitness_interval),
            ticks_to_look: config.ticks(config.tuning.fitness_interval),
            oldest_ms: None,
            shared,
            proposals: Vec::new(),
            proposals_open: true,
            readers_in: Vec::new(),
            pending: Pending::default(),
            readers: Readers::default(),
            writes: VecDeque::new(),
            stopping: None,
        }
    }

    /// Runs until told to stop or a thread dies.
    pub(crate) async fn run(mut self) -> Result<DriverEnd, FatalError> {
        self.finish_turn();
        while !self.is_done() {
            let event = self.next_event().await;
            self.handle(event)?;
            // What the threads reported meanwhile belongs to the same turn; bounded by the queue.
            for _ in 0..REPORTS_MAX {
                let Ok(report) = self.reports_rx.try_recv() else {
                    break;
                };
                self.handle(Event::Report(report))?;
            }
            while let Ok(batch) = self.applied_rx.try_recv() {
                self.handle(Event::Applied(batch))?;
            }
            self.finish_turn();
        }
        self.applied_rx.close();
        while let Ok(batch) = self.applied_rx.try_recv() {
            batch.answer();
        }
        self.pending.fail_all(|| ProposeError::Stopping {
            outcome_unknown: true,
        });
        self.refuse_queued();
        self.readers.fail_all(&ReadError::Stopping);
        self.controls.fail_all();
        Ok(DriverEnd {
            watermark: self.watermark(),
        })
    }

    async fn next_event(&mut self) -> Event<R> {
        let takes_proposals = self.proposals_open && self.may_propose();
        let stop_by = self.stopping;
        tokio::select! {
            biased;
            // Not left to the ticks, which may be far apart.
            () = clock::passed(stop_by) => Event::Deadline,
            _ = self.ticker.tick() => Event::Tick,
            stop = &mut self.stop_rx, if self.stopping.is_none() => Event::Stop(stop.ok()),
            Some(report) = self.reports_rx.recv() => Event::Report(report),
            Some(batch) = self.applied_rx.recv() => Event::Applied(batch),
            count = self.inbox_rx.recv_many(&mut self.inbound, INBOUND_PER_TURN_MAX), if self.inbox_open
                => { self.inbox_open = count > 0; Event::Inbound }
            Some(control) = self.inbox.controls_rx.recv() => Event::Control(control),
            count = self.inbox.proposals_rx.recv_many(&mut self.proposals, PROPOSALS_PER_TURN_MAX), if takes_proposals
                => Event::Proposals { open: count > 0 },
            count = self.inbox.reads_rx.recv_many(&mut self.readers_in, READS_PER_TURN_MAX), if self.readers.takes_more()
                => { if count == 0 { self.readers.close(); } Event::Reads }
        }
    }

    fn handle(&mut self, event: Event<R>) -> Result<(), FatalError> {
        match event {
            Event::Tick => self.tick(),
            Event::Report(report) => self.report(report)?,
            Event::Applied(batch) => self.applied(batch),
            Event::Proposals { open } => {
                self.proposals_open = open;
                self.pending.propose(&mut self.core, &mut self.proposals);
            }
            Event::Reads => self.readers.join(&mut self.core, &mut self.readers_in),
            Event::Inbound => {
                for inbound in std::mem::take(&mut self.inbound) {
                    self.take_inbound(inbound);
                }
            }
            Event::Control(control) => self.controls.take(&mut self.core, control),
            // A group dropped without a shutdown has no time to give.
            Event::Stop(stop) => self.stop(stop.unwrap_or(Stop {
                deadline: Duration::ZERO,
            })),
            // `is_done` sees it.
            Event::Deadline => {}
        }
        Ok(())
    }

    fn applied(&mut self, batch: AppliedBatch<R>) {
        self.core.applied(batch.index);
        self.readers.applied(batch.index);
        let is_joint = !self.core.outgoing().is_empty();
        self.controls.applied(batch.index, is_joint);
        batch.answer();
    }

    fn report(&mut self, report: Report) -> Result<(), FatalError> {
        match report {
            Report::Persisted { number } => {
                self.written(number);
                self.core.persisted(number);
            }
            Report::Installed { number } => self.installed(number),
            Report::Taken { to, snapshot } => self.snapshots.taken(&mut self.core, to, snapshot),
            Report::Kept {
                flushed_index,
                oldest_ms,
            } => {
                self.oldest_ms = oldest_ms;
                if let Some(job) = self.duties.kept(&mut self.core, flushed_index) {
                    self.jobs.push(job);
                }
            }
            Report::Failed(error) => return Err(error),
        }
        Ok(())
    }

    fn written(&mut self, number: u64) {
        while self.writes.front().is_some_and(|first| *first <= number) {
            self.writes.pop_front();
        }
    }

    /// A snapshot is in the place of log and state. Whoever waits for something before it is answered.
    fn installed(&mut self, number: u64) {
        // What was applied before belongs before it, also in the core's book-keeping.
        while let Ok(batch) = self.applied_rx.try_recv() {
            self.applied(batch);
        }
        self.written(number);
        self.core.installed();
        let index = self.core.applied_index();
        self.duties.installed(index);
        self.pending.swallowed(index, self.leader);
        self.controls.swallowed(index);
        self.readers.applied(index);
        self.snapshots.installed();
    }

    fn tick(&mut self) {
        self.core.tick();
        self.snapshots.tick(&self.core);
        self.refusals.tick();
        self.controls.tick(self.role == Role::Leader);
        self.progress = self.core.progress();
        if self.role != Role::Leader {
            self.pending.tick(self.unresolved_ticks_max, self.leader);
        }
        self.ticks_to_look -= 1;
        if self.ticks_to_look == 0 {
            self.ticks_to_look = self.look_ticks;
            self.lead_on();
        }
        let watermark = self.watermark();
        self.duties.tick(&self.shared.counters, watermark);
    }

    /// Looks at itself: hands leadership over if this node is in no state to lead, and another one is.
    fn lead_on(&mut self) {
        if self.role != Role::Leader || self.controls.is_transferring() {
            return self.strain.idle();
        }
        let syncs = &self.shared.counters.sync_duration;
        let reason = self.strain.look(Figures {
            syncs: syncs.count(),
            slow_syncs: syncs.slow(),
            oldest_write: self.writes.front().copied(),
            committed_index: self.core.committed_index(),
            applied_index: self.core.applied_index(),
        });
        let heir = self.core.successor();
        let heir = heir.filter(|heir| self.core.has_caught_up(*heir));
        if let (Some(reason), Some(heir)) = (reason, heir) {
            ::log::warn!(target: "raft", "handing leadership to node {heir}: {reason}");
            self.controls.transfer(&mut self.core, Some(heir), None);
        }
    }

    fn stop(&mut self, stop: Stop) {
        self.inbox.proposals_rx.close();
        self.inbox.reads_rx.close();
        self.inbox.controls_rx.close();
        self.stopping = Some((Stopwatch::start(), stop.deadline));
        // A leader that leaves without a word costs the others an election timeout.
        self.controls.transfer(&mut self.core, None, None);
    }

    /// Performs the effects and shows the new state.
    fn finish_turn(&mut self) {
        // Performing may open a read round for those who came during the last one; there is at most
        // one more per turn, because no reader arrives within it.
        loop {
            let effects = self.core.take_effects();
            if effects.is_empty() {
                break;
            }
            self.perform(effects);
        }
        self.jobs.flush();
        self.items.flush();
        self.publish();
    }

    fn perform(&mut self, effects: Effects) {
        if !effects.send.is_empty() {
            self.peers.send(effects.send);
        }
        for message in effects.send_snapshots {
            let peers = &mut *self.peers;
            self.snapshots.send(&mut self.core, peers, message);
        }
        for to in effects.snapshots {
            self.snapshots.wanted(&mut self.core, to);
        }
        for persist in effects.persist {
            self.persist(persist);
        }
        for committed in effects.apply {
            let waiters = self.pending.committed(committed.position, self.leader);
            self.controls.committed(committed.position, self.leader);
            self.shared
                .counters
                .proposals_committed
                .fetch_add(waiters.len() as u64, Ordering::Relaxed);
            self.items.push(Work::Entry(Item { committed, waiters }));
        }
        for (round, outcome) in effects.reads {
            let has_leader = self.core.leader().is_some();
            let core = &mut self.core;
            match outcome {
                ReadOutcome::Ready { index } => self.readers.ready(core, round, index),
                ReadOutcome::NoLeader if has_leader => {
                    self.readers.failed(core, round, ReadError::LeaderChanged)
                }
                ReadOutcome::NoLeader => self.readers.failed(core, round, ReadError::NoLeader),
            }
        }
    }

    fn persist(&mut self, persist: Persist) {
        self.writes.extend(persist.number);
        self.duties.appended(&persist.records);
        let job = if persist.snapshot.is_some() {
            let staged = self.snapshots.take_staged();
            let staged = staged.expect("the core takes no snapshot that was not staged here");
            Job::Install { persist, staged }
        } else {
            Job::Persist(persist)
        };
        self.jobs.push(job);
    }

    fn may_propose(&self) -> bool {
        // Of a node that does not lead the queue is emptied in any case: each command is refused.
        self.role != Role::Leader
            || (self.writes.len() < WRITES_IN_FLIGHT_MAX && self.items.is_empty())
    }

    fn watermark(&self) -> u64 {
        self.core.persisted_index().min(self.core.committed_index())
    }

    fn is_done(&self) -> bool {
        let Some((since, deadline)) = self.stopping else {
            return false;
        };
        let drained = !self.proposals_open
            && self.pending.is_empty()
            && self.items.is_empty()
            && self.readers.is_empty()
            && !self.controls.is_transferring();
        drained || since.elapsed() >= deadline
    }

    /// Commands that were admitted but never proposed.
    fn refuse_queued(&mut self) {
        while let Ok(proposal) = self.inbox.proposals_rx.try_recv() {
            proposal.waiter.answer(Err(ProposeError::Stopping {
                outcome_unknown: false,
            }));
        }
    }
}
