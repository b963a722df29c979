//! A member whose messages are forged or damaged: genuine ones changed at random, and ones made up, through the frames
//! and the inbox into a group. Nothing panics, and nothing of term, log, commit index, membership or state changes.
//!
//! What is forged stays within the victim's term. A later term is a leader's word: a member that proves the token
//! and speaks in the name of a leader of a later term is believed, in Raft as anywhere short of signatures.
//!
//! Run more with `PEER_FUZZ_MESSAGES`, others with `PEER_FUZZ_SEED`.

use super::super::frame;
use super::{PATIENCE, until};
use bytes::{BufMut, Bytes, BytesMut};
use consensus::simulation::{HARD_STATE, glance, kind_name};
use consensus::{
    ApplyContext, Config, Group, Handle, Links, MachineError, MemberChange, Membership, Message,
    PeerHandle, Peers, StateMachine, Status, Tuning, peer_channel,
};
use forge::{Dice, forge};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use storage::{
    Applied, ApplyBatch, Family, LogStore, MemoryDisk, Order, Read as _, Record, Snapshot,
    StateStore, Stores,
};
use tokio::time::{Instant, timeout};

mod forge;

const FAMILY: Family = Family("fuzz");
/// Where the time stamp of the last command is.
const STAMP: &[u8] = b"stamp";
/// Longer than these tests take.
const HOUR_MS: u64 = 3_600_000;
/// The node under attack, the leader it may know, and the member that lies.
const VICTIM: u64 = 1;
const LEADER: u64 = 2;
const LIAR: u64 = 3;
/// Messages for each of the two victims when nothing else is asked for.
const MESSAGES: u64 = 250_000;
/// Messages of one frame.
const BATCH_MAX: u64 = 200;
/// More batches than the inbox holds: when as many empty ones were taken, so were all before.
const INBOX_FILL: usize = 600;
/// Messages kept to forge from; what a victim answers to a long attack is not.
const SEEN_MAX: usize = 10_000;

/// Stores what it is told, and when.
struct Notes;

impl StateMachine for Notes {
    type Reply = ();

    fn apply(
        &mut self,
        context: ApplyContext,
        command: Bytes,
        batch: &mut ApplyBatch<'_>,
    ) -> Result<(), MachineError> {
        batch.put(FAMILY, &command, &command);
        batch.put(FAMILY, STAMP, &context.time_ms.to_le_bytes());
        Ok(())
    }

    fn membership(
        &mut self,
        _context: ApplyContext,
        _membership: &Membership,
        _batch: &mut ApplyBatch<'_>,
    ) -> Result<(), MachineError> {
        Ok(())
    }

    fn committed(&mut self, _applied: Applied) {}

    fn restored(&mut self, _state: &StateStore) -> Result<(), MachineError> {
        Ok(())
    }

    fn housekeep(&mut self, _batch: &mut ApplyBatch<'_>) -> Result<bool, MachineError> {
        Ok(false)
    }
}

/// Carries messages in this process, and keeps those that involve the victim.
#[derive(Clone, Default)]
struct Wires(Arc<Mutex<Wired>>);

#[derive(Default)]
struct Wired {
    ends: BTreeMap<u64, PeerHandle>,
    seen: Vec<Message>,
}

impl Wires {
    /// What was said to or by the victim since the last look.
    fn seen(&self) -> Vec<Message> {
        std::mem::take(&mut self.0.lock().seen)
    }
}

impl Peers for Wires {
    fn send(&mut self, messages: Vec<Message>) {
        let wired = &mut *self.0.lock();
        for message in messages {
            let is_near = message.to() == VICTIM || message.from() == VICTIM;
            if is_near && wired.seen.len() < SEEN_MAX {
                wired.seen.push(message.clone());
            }
            if let Some(end) = wired.ends.get(&message.to()) {
                // A full inbox loses it, as a network would.
                end.try_deliver(vec![message]);
            }
        }
    }

    fn send_snapshot(&mut self, _message: Message, _snapshot: Snapshot) -> bool {
        false
    }
}

struct Node {
    handle: Handle<()>,
    inbox: PeerHandle,
    group: Group,
    stores: (LogStore, StateStore),
}

/// A node whose clock stands still unless `ticks`: it never campaigns by itself.
fn start(id: u64, founders: &[u64], disk: &MemoryDisk, wires: &Wires, ticks: bool) -> Node {
    let hours = Duration::from_secs(36_000);
    let (heartbeat, election) = match ticks {
        true => (Duration::from_millis(10), Duration::from_millis(100)),
        false => (hours, hours * 10),
    };
    let config = Config {
        node_id: id,
        founding_voters: founders.to_vec(),
        joining: !founders.contains(&id),
        new_instance: u128::from(id),
        cluster_id: 77,
        heartbeat,
        election,
        seed: 1,
        proposals_count_max: 1000,
        proposals_bytes_max: 1 << 20,
        command_bytes_max: 1 << 16,
        log_retention_entries: 10_000,
        log_retention_bytes: 64 << 20,
        tuning: Tuning::default(),
    };
    let (directory, stores): (_, Stores) = disk.open(&[FAMILY]).expect("a memory disk");
    let kept = (stores.log.clone(), stores.state.clone());
    let (inbox, peer_inbox) = peer_channel();
    wires.0.lock().ends.insert(id, inbox.clone());
    let links = Links {
        peers: Box::new(wires.clone()),
        inbox: peer_inbox,
    };
    let (handle, group) = Group::start(config, directory, stores, Notes, links).expect("it starts");
    Node {
        handle,
        inbox,
        group,
        stores: kept,
    }
}

/// All that must not change.
#[derive(Debug, PartialEq)]
struct Kept {
    records: Vec<Record>,
    ballot: Vec<u8>,
    /// With the hash over everything that was applied.
    applied: Applied,
    state: Vec<(Bytes, Bytes)>,
}

fn kept((log, state): &(LogStore, StateStore)) -> Kept {
    let range = log.first_index()..log.last_index() + 1;
    let hard_state = log.value(HARD_STATE).expect("a memory log");
    let view = state.view();
    let mut cursor = view
        .scan(FAMILY, b"", None, Order::Forward)
        .expect("a memory state");
    let mut pairs = Vec::new();
    while let Some((key, value)) = cursor.entry() {
        pairs.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
        cursor.advance().expect("a memory state");
    }
    Kept {
        records: log.read(range, usize::MAX).expect("a memory log"),
        ballot: ballot(&hard_state.expect("it took part in an election")).to_vec(),
        applied: state.applied(),
        state: pairs,
    }
}

/// The part of an encoded hard state before the commit index, which is written when there is time.
fn ballot(hard_state: &[u8]) -> &[u8] {
    let mut at = 0;
    while hard_state.get(at).is_some_and(|tag| tag >> 3 < 3) {
        let number = hard_state[at + 1..]
            .iter()
            .take_while(|byte| **byte >= 0x80);
        at += 2 + number.count();
    }
    &hard_state[..at]
}

impl Node {
    async fn write(&self, count: u32) {
        for number in 0..count {
            let command = Bytes::from(format!("command {number}").into_bytes());
            let written = in_time("a write", self.handle.propose(command)).await;
            written.expect("it leads");
        }
    }

    /// The group's clock as of the last command.
    fn stamp(&self) -> u64 {
        let stamp = self.stores.1.view().get(FAMILY, STAMP);
        let stamp = stamp.expect("a memory state").expect("a command");
        u64::from_le_bytes(stamp.as_ref().try_into().expect("eight bytes"))
    }

    fn applied_index(&self) -> u64 {
        self.stores.1.applied().index
    }

    async fn stop(self) {
        let stopped = self.group.shutdown(PATIENCE).await;
        stopped.expect("nothing failed");
    }
}

/// How a heartbeat begins on the wire: its kind.
const HEARTBEAT: [u8; 2] = [8, 8];

/// How far the forgeries came.
#[derive(Debug, Default)]
struct Tally {
    made: u64,
    undecodable: u64,
    /// Not in the liar's name: the transport ends such a connection.
    foreign: u64,
    /// Of a later term, and left out.
    later: u64,
    /// Handed to the group, by what they say they are.
    stepped: BTreeMap<String, u64>,
}

impl Tally {
    /// Whether a forgery is handed to the group.
    fn takes(&mut self, forged: &[u8], term: u64) -> bool {
        self.made += 1;
        let message = match Message::decode(forged) {
            Err(_) => {
                self.undecodable += 1;
                return false;
            }
            Ok(message) => message,
        };
        if message.from() != LIAR {
            self.foreign += 1;
            let batch = frame::messages(&put_message(BytesMut::new(), forged), LIAR);
            assert!(batch.is_err(), "{message:?} is not the liar's");
            return false;
        }
        if glance(&message).term > term {
            self.later += 1;
            return false;
        }
        *self.stepped.entry(kind_name(&message)).or_default() += 1;
        true
    }

    fn stepped(&self) -> u64 {
        self.stepped.values().sum()
    }
}

/// Puts a message behind others, as a frame holds them.
fn put_message(mut body: BytesMut, message: &[u8]) -> BytesMut {
    body.put_u32_le(u32::try_from(message.len()).expect("forgeries are small"));
    body.put_slice(message);
    body
}

fn messages() -> u64 {
    let messages = std::env::var("PEER_FUZZ_MESSAGES").ok();
    messages.map_or(MESSAGES, |count| count.parse().expect("a number"))
}

/// Sends forged messages as the transport would hand them over.
async fn attack(victim: &Node, seen: &[Message], mut dice: Dice) -> Tally {
    let (term, last_index) = (victim.handle.status().term, victim.stores.0.last_index());
    let seen: Vec<Vec<u8>> = seen
        .iter()
        .map(|message| message.encode().to_vec())
        .collect();
    let mut tally = Tally::default();
    while tally.made < messages() {
        let mut body = BytesMut::new();
        for _ in 0..=dice.below(BATCH_MAX) {
            let forged = forge(&seen, term, last_index, &mut dice);
            if tally.takes(&forged, term) {
                body = put_message(body, &forged);
            }
        }
        let batch = frame::messages(&body, LIAR).expect("each was decoded before");
        let delivered = timeout(PATIENCE, victim.inbox.deliver(batch)).await;
        delivered.expect("in time").expect("the group lives");
    }
    for _ in 0..INBOX_FILL {
        let taken = timeout(PATIENCE, victim.inbox.deliver(Vec::new())).await;
        taken.expect("in time").expect("the group lives");
    }
    tally
}

fn dice() -> Dice {
    let seed = std::env::var("PEER_FUZZ_SEED").ok();
    let seed = seed.map_or(1, |seed| seed.parse().expect("a number"));
    println!("PEER_FUZZ_SEED={seed}");
    Dice(seed)
}

/// Attacks a victim and compares what it shows and keeps with what it did before.
async fn survives(victim: &Node, seen: &[Message]) {
    let (before, status) = (kept(&victim.stores), victim.handle.status());
    let begin = Instant::now();
    let tally = attack(victim, seen, dice()).await;
    let refused = &victim.handle.counters().messages_refused;
    println!(
        "{tally:?}, {} stepped in {:?}, {} of them refused by the core",
        tally.stepped(),
        begin.elapsed(),
        refused.load(Ordering::Relaxed),
    );
    assert!(
        tally.stepped() > tally.made / 3,
        "few forgeries are good enough to be looked at: {tally:?}"
    );
    let after = victim.handle.status();
    let volatile = |status: &Status| (status.term, status.leader, status.role);
    assert_eq!(volatile(&after), volatile(&status));
    let members = |status: &Status| (status.voters.clone(), status.learners.clone());
    assert_eq!(members(&after), members(&status));
    assert_eq!(after.committed_index, status.committed_index);
    assert_eq!(kept(&victim.stores), before);
}

async fn in_time<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.expect(what)
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_messages_change_nothing_on_a_leader() {
    let (disk, wires) = (MemoryDisk::new(), Wires::default());
    let victim = start(VICTIM, &[VICTIM], &disk, &wires, true);
    in_time("it leads", victim.handle.leader_known()).await;
    let learner = vec![MemberChange::AddLearner(LIAR)];
    let added = victim.handle.change_members(learner, Bytes::new());
    in_time("a change", added).await.expect("it leads");
    let learning = start(LIAR, &[VICTIM], &MemoryDisk::new(), &wires, true);
    victim.write(50).await;
    let index = victim.applied_index();
    until("the learner follows", || learning.applied_index() >= index).await;
    learning.stop().await;
    victim.stop().await;
    let seen = wires.seen();
    let victim = start(VICTIM, &[VICTIM], &disk, &Wires::default(), false);
    in_time("it leads", victim.handle.leader_known()).await;
    // What it writes as a new leader is durable.
    let barrier = in_time("a read", victim.handle.read_barrier()).await;
    barrier.expect("it leads");
    survives(&victim, &seen).await;
    let stamp = victim.stamp();
    victim.write(10).await;
    assert!((stamp..stamp + HOUR_MS).contains(&victim.stamp()));
    let barrier = in_time("a read", victim.handle.read_barrier()).await;
    barrier.expect("it still leads");
    victim.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_messages_change_nothing_on_a_follower() {
    let founders = [VICTIM, LEADER, LIAR];
    let (disk, leaders_disk) = (MemoryDisk::new(), MemoryDisk::new());
    let wires = Wires::default();
    let victim = start(VICTIM, &founders, &disk, &wires, false);
    let leader = start(LEADER, &founders, &leaders_disk, &wires, true);
    let led = in_time("a leader", victim.handle.leader_known()).await;
    assert_eq!(led, LEADER, "nobody else campaigns");
    leader.write(50).await;
    let index = leader.applied_index();
    until("the victim follows", || victim.applied_index() >= index).await;
    // The victim first, so that nobody hands over to it.
    victim.stop().await;
    leader.stop().await;
    let seen = wires.seen();
    let wires = Wires::default();
    let victim = start(VICTIM, &founders, &disk, &wires, false);
    // The last word of the leader, so that the victim knows it.
    let is_heartbeat = |message: &&Message| {
        (message.from(), message.to()) == (LEADER, VICTIM)
            && message.encode().starts_with(&HEARTBEAT)
    };
    let heartbeat = seen.iter().rfind(is_heartbeat);
    let heartbeat = heartbeat.expect("a leader sends heartbeats").clone();
    let heard = victim.inbox.deliver(vec![heartbeat.clone()]).await;
    heard.expect("it lives");
    let led = in_time("a leader", victim.handle.leader_known()).await;
    assert_eq!(led, LEADER);
    survives(&victim, &seen).await;
    // It still answers its leader.
    drop(wires.seen());
    let heard = victim.inbox.deliver(vec![heartbeat]).await;
    heard.expect("it lives");
    until("an answer", || {
        wires.seen().iter().any(|answer| answer.to() == LEADER)
    })
    .await;
    let index = victim.applied_index();
    victim.stop().await;
    // And follows the next one, from the disk that it has kept.
    let victim = start(VICTIM, &founders, &disk, &wires, false);
    let leader = start(LEADER, &founders, &leaders_disk, &wires, true);
    in_time("a leader", leader.handle.leader_known()).await;
    leader.write(10).await;
    let wanted = leader.applied_index();
    assert!(wanted > index);
    until("the victim follows", || victim.applied_index() >= wanted).await;
    assert_eq!(victim.stores.1.applied(), leader.stores.1.applied());
    victim.stop().await;
    leader.stop().await;
}
