//! Cores that pass messages to each other under the test's control.

use crate::core::*;
use crate::log::codec;
use raft::eraftpb::ConfState;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use storage::{Applied, LogWrite, Snapshot, StagedSnapshot, StateWriter};

/// Rounds of message passing before a test is told that it does not come to rest.
const ROUNDS_MAX: usize = 200;
pub(super) const ELECTION_TICKS: usize = 10;
pub(super) const SNAPSHOT_TICKS_MAX: u32 = 100;

/// One member: a core, its log, and what it was asked to do and has not done yet.
pub(super) struct Member {
    pub(super) core: Core,
    pub(super) log: LogStore,
    /// Holds the applied position and the membership, and only what a snapshot needs of them.
    state: StateWriter,
    voters: Vec<u64>,
    incarnation: u64,
    pub(super) unwritten: VecDeque<Persist>,
    /// Written, not reported durable.
    pub(super) unreported: VecDeque<u64>,
    pub(super) unapplied: VecDeque<Committed>,
    pub(super) applied: Applied,
    /// Position and chain hash after each entry applied since the test began.
    pub(super) history: BTreeMap<u64, (Position, u64)>,
    pub(super) conf_state: Option<Bytes>,
    pub(super) outgoing: Vec<Message>,
    /// Snapshots taken for others, until the message for them comes.
    taken: BTreeMap<u64, Snapshot>,
    pub(super) shipments: Vec<(Message, Snapshot)>,
    /// Whether no snapshot can be taken, and how many were wanted.
    pub(super) no_snapshots: bool,
    pub(super) snapshots_wanted: u32,
    staged: Option<StagedSnapshot>,
    pub(super) reads: BTreeMap<ReadRound, ReadOutcome>,
}

pub(super) fn core_config(node_id: u64) -> CoreConfig {
    CoreConfig {
        node_id,
        incarnation: 1,
        seed: 7,
        election_ticks: ELECTION_TICKS,
        snapshot_ticks_max: SNAPSHOT_TICKS_MAX,
        uncommitted_bytes_max: 64 << 20,
        applied: Applied::default(),
        conf_state: None,
    }
}

pub(super) fn conf_state(voters: &[u64]) -> Bytes {
    codec::encode_conf_state(&ConfState {
        voters: voters.to_vec(),
        ..ConfState::default()
    })
}

pub(super) fn new_log() -> LogStore {
    storage::memory_stores(&[]).log
}

impl Member {
    pub(super) fn new(node_id: u64, voters: &[u64]) -> Self {
        let storage::Stores { log, writer, .. } = storage::memory_stores(&[]);
        let founded = LogWrite {
            records: Vec::new(),
            values: vec![(codec::FOUNDERS, conf_state(voters))],
        };
        log.write(&founded, true).expect("the memory log writes");
        let config = CoreConfig {
            conf_state: Some(conf_state(voters)),
            ..core_config(node_id)
        };
        let core = Core::open(config, log.clone()).expect("an empty log opens");
        let mut member = Member {
            core,
            log,
            state: writer,
            voters: voters.to_vec(),
            incarnation: 1,
            unwritten: VecDeque::new(),
            unreported: VecDeque::new(),
            unapplied: VecDeque::new(),
            applied: Applied::default(),
            history: BTreeMap::new(),
            conf_state: None,
            outgoing: Vec::new(),
            taken: BTreeMap::new(),
            shipments: Vec::new(),
            no_snapshots: false,
            snapshots_wanted: 0,
            staged: None,
            reads: BTreeMap::new(),
        };
        member.take();
        member
    }

    /// Crash and start again: what was not written is lost, the state is kept.
    pub(super) fn restart(&mut self) {
        self.incarnation += 1;
        let config = CoreConfig {
            incarnation: self.incarnation,
            applied: self.applied,
            conf_state: Some(
                self.conf_state
                    .clone()
                    .unwrap_or_else(|| conf_state(&self.voters)),
            ),
            ..core_config(self.core.node_id())
        };
        self.core = Core::open(config, self.log.clone()).expect("log and state fit together");
        self.unwritten.clear();
        self.unreported.clear();
        self.unapplied.clear();
        self.outgoing.clear();
        self.taken.clear();
        self.shipments.clear();
        self.staged = None;
        self.reads.clear();
        self.take();
    }

    /// Collects the effects.
    pub(super) fn take(&mut self) {
        let effects = self.core.take_effects();
        self.outgoing.extend(effects.send);
        for message in effects.send_snapshots {
            let snapshot = self.taken.remove(&message.to());
            let snapshot = snapshot.expect("what is sent was taken before");
            assert_eq!(
                message.snapshot().map(|position| position.index),
                Some(snapshot.applied().index),
                "the message goes with its own snapshot"
            );
            self.shipments.push((message, snapshot));
        }
        for to in effects.snapshots {
            self.take_snapshot(to);
        }
        self.unwritten.extend(effects.persist);
        self.unapplied.extend(effects.apply);
        for (round, outcome) in effects.reads {
            assert!(
                self.reads.insert(round, outcome).is_none(),
                "a round ends once"
            );
        }
    }

    fn take_snapshot(&mut self, to: u64) {
        self.snapshots_wanted += 1;
        if self.no_snapshots {
            return self.core.snapshot_not_taken(to);
        }
        let snapshot = self.snapshot();
        let conf_state = snapshot.conf_state().cloned();
        let kept = self
            .core
            .snapshot_taken(to, snapshot.applied(), conf_state.as_ref());
        if kept {
            self.taken.insert(to, snapshot);
        }
        self.take();
    }

    /// The state as of what is applied.
    pub(super) fn snapshot(&mut self) -> Snapshot {
        let store = self.state.store().clone();
        if self.applied.index > store.applied().index {
            let mut batch = self.state.begin();
            if let Some(conf_state) = &self.conf_state {
                batch.set_conf_state(conf_state);
            }
            batch.commit(self.applied).expect("a memory store");
        }
        store.snapshot().expect("something was applied")
    }

    /// Receives the bytes of a snapshot.
    pub(super) fn stage(&mut self, snapshot: &Snapshot) -> StagedSnapshot {
        let mut stage = self.state.store().stage().expect("nobody else stages");
        for chunk in snapshot.chunks() {
            stage
                .push(&chunk.expect("a memory store"))
                .expect("our own chunk");
        }
        stage.finish().expect("it is whole")
    }

    /// Receives a message with its snapshot.
    pub(super) fn step_snapshot(
        &mut self,
        message: &Message,
        snapshot: &Snapshot,
    ) -> Result<bool, StepError> {
        let staged = self.stage(snapshot);
        let (applied, conf_state) = (staged.applied(), staged.conf_state().cloned());
        let taken = self
            .core
            .step_snapshot(message.clone(), applied, conf_state.as_ref());
        if taken == Ok(true) {
            self.staged = Some(staged);
        }
        self.take();
        taken
    }

    /// Puts the staged state in the place of log and state.
    fn install(&mut self, mark: SnapshotMark, hard_state: Option<Bytes>) {
        let staged = self.staged.take().expect("what is marked was staged");
        let applied = staged.applied();
        assert_eq!(applied.index, mark.position.index);
        let mut values = vec![(codec::BOUNDARY, mark.boundary), (codec::STAMP, mark.stamp)];
        values.extend(hard_state.map(|state| (codec::HARD_STATE, state)));
        let conf_state = self.state.install(staged, &self.log, &values);
        self.conf_state = conf_state.expect("a memory store");
        self.applied = applied;
        self.unapplied.clear();
        self.report();
        self.core.installed();
        self.take();
    }

    pub(super) fn write(&mut self) {
        while let Some(persist) = self.unwritten.pop_front() {
            if let Some(mark) = persist.snapshot {
                self.install(mark, persist.hard_state);
                continue;
            }
            let values = persist
                .hard_state
                .iter()
                .map(|state| (codec::HARD_STATE, state.clone()))
                .collect();
            let write = LogWrite {
                records: persist.records,
                values,
            };
            self.log
                .write(&write, persist.must_sync)
                .expect("the memory log writes");
            self.unreported.extend(persist.number);
        }
    }

    pub(super) fn report(&mut self) {
        if let Some(number) = self.unreported.drain(..).next_back() {
            self.core.persisted(number);
        }
        self.take();
    }

    pub(super) fn persist(&mut self) {
        self.write();
        self.report();
    }

    pub(super) fn apply(&mut self) {
        while let Some(committed) = self.unapplied.pop_front() {
            let Position { index, term } = committed.position;
            assert_eq!(
                index,
                self.applied.index + 1,
                "entries are handed out in order, each once"
            );
            let chain_hash = crate::apply::chain_hash(
                self.applied.chain_hash,
                committed.position,
                &committed.payload,
            );
            self.applied = Applied {
                index,
                term,
                chain_hash,
            };
            self.history.insert(index, (committed.position, chain_hash));
            if let CommittedKind::Membership {
                conf_state: Some(conf_state),
                ..
            } = committed.kind
            {
                self.conf_state = Some(conf_state);
            }
        }
        if self.applied.index > self.core.applied_index() {
            self.core.applied(self.applied.index);
        }
        self.take();
    }

    pub(super) fn rest(&mut self) {
        for _ in 0..4 {
            self.take();
            self.persist();
            self.apply();
        }
    }

    pub(super) fn propose(&mut self, text: &str) -> Position {
        self.core
            .propose(payload(text))
            .expect("the leader takes a proposal")
    }

    pub(super) fn read(&mut self) -> ReadRound {
        let round = self.core.read();
        self.take();
        round
    }
}

pub(super) fn payload(text: &str) -> Vec<u8> {
    let mut encoder = crate::payload::Encoder::new(1, text.len());
    encoder.push(text.as_bytes());
    encoder.finish()
}

/// Members and the network between them.
pub(super) struct Cluster {
    pub(super) members: BTreeMap<u64, Member>,
    /// Directed links that lose everything.
    pub(super) cut: BTreeSet<(u64, u64)>,
    /// Which messages to keep back instead of delivering.
    pub(super) hold: fn(&Message) -> bool,
    pub(super) held: Vec<Message>,
    /// Every message delivered, in order.
    pub(super) trace: Vec<Bytes>,
}

impl Cluster {
    pub(super) fn new(voters: &[u64]) -> Self {
        let members = voters
            .iter()
            .map(|id| (*id, Member::new(*id, voters)))
            .collect();
        Cluster {
            members,
            cut: BTreeSet::new(),
            hold: |_| false,
            held: Vec::new(),
            trace: Vec::new(),
        }
    }

    /// A cluster of three that node 1 leads, at rest.
    pub(super) fn led_by_one() -> Self {
        let mut cluster = Cluster::new(&[1, 2, 3]);
        cluster.elect(1);
        cluster
    }

    pub(super) fn member(&mut self, id: u64) -> &mut Member {
        self.members.get_mut(&id).expect("the test names a member")
    }

    /// Ticks only `id` until it leads.
    pub(super) fn elect(&mut self, id: u64) {
        for _ in 0..4 * ELECTION_TICKS {
            self.member(id).core.tick();
            self.rest();
            if self.member(id).core.role() == Role::Leader {
                return;
            }
        }
        panic!("node {id} was not elected");
    }

    /// Ticks all but `id` until another one leads.
    pub(super) fn elect_other(&mut self, id: u64) -> u64 {
        for _ in 0..6 * ELECTION_TICKS {
            for member in self
                .members
                .values_mut()
                .filter(|member| member.core.node_id() != id)
            {
                member.core.tick();
            }
            self.rest();
            let leads = |member: &&Member| {
                member.core.node_id() != id && member.core.role() == Role::Leader
            };
            if let Some(leader) = self.members.values().find(leads) {
                return leader.core.node_id();
            }
        }
        panic!("no node but {id} was elected");
    }

    /// Isolates a node in both directions.
    pub(super) fn isolate(&mut self, id: u64) {
        let others: Vec<u64> = self
            .members
            .keys()
            .copied()
            .filter(|other| *other != id)
            .collect();
        for other in others {
            self.cut.insert((id, other));
            self.cut.insert((other, id));
        }
    }

    /// Persists, applies and delivers until nothing moves.
    pub(super) fn rest(&mut self) {
        for _ in 0..ROUNDS_MAX {
            for member in self.members.values_mut() {
                member.rest();
            }
            if !self.deliver() {
                return;
            }
        }
        panic!("the cluster does not come to rest");
    }

    /// Delivers what was sent; returns whether there was anything.
    pub(super) fn deliver(&mut self) -> bool {
        let sent: Vec<Message> = self
            .members
            .values_mut()
            .flat_map(|member| std::mem::take(&mut member.outgoing))
            .collect();
        let shipped: Vec<(Message, Snapshot)> = self
            .members
            .values_mut()
            .flat_map(|member| std::mem::take(&mut member.shipments))
            .collect();
        let any = !sent.is_empty() || !shipped.is_empty();
        for (message, snapshot) in shipped {
            self.ship(&message, &snapshot);
        }
        for message in sent {
            if self.cut.contains(&(message.from(), message.to())) {
                continue;
            }
            if (self.hold)(&message) {
                self.held.push(message);
                continue;
            }
            self.hand_over(message);
        }
        any
    }

    /// Delivers a snapshot and reports how it went.
    fn ship(&mut self, message: &Message, snapshot: &Snapshot) {
        let (from, to) = (message.from(), message.to());
        let delivered = !self.cut.contains(&(from, to))
            && self
                .members
                .get_mut(&to)
                .is_some_and(|receiver| receiver.step_snapshot(message, snapshot).is_ok());
        let sender = self.member(from);
        sender.core.snapshot_sent(to, delivered);
        sender.take();
    }

    pub(super) fn hand_over(&mut self, message: Message) {
        self.trace.push(message.encode());
        let message = Message::decode(&message.encode()).expect("a message survives the wire");
        if let Some(member) = self.members.get_mut(&message.to()) {
            let last_index = member.core.last_index();
            let result = member.core.step(message.clone());
            assert_eq!(
                result,
                Ok(()),
                "an honest message at a log end of {last_index}: {message:?}"
            );
            member.take();
        }
    }

    pub(super) fn tick_all(&mut self) {
        for member in self.members.values_mut() {
            member.core.tick();
            member.take();
        }
    }

    /// Every entry applied by two members is the same, and so is everything before it.
    pub(super) fn assert_same_history(&self) {
        let mut seen: BTreeMap<u64, (Position, u64)> = BTreeMap::new();
        for (id, member) in &self.members {
            for (index, entry) in &member.history {
                let first = seen.entry(*index).or_insert(*entry);
                assert_eq!(first, entry, "node {id} applied another entry at {index}");
            }
        }
    }
}
