//! A member whose messages are forged or damaged: genuine ones changed at random, and ones made up, through the frames
//! and the inbox into a group. Nothing panics, and nothing of term, log, commit index, membership or state changes.
//!
//! What is forged stays within the victim's term. A later term is a leader's word: a member that proves the token
//! and speaks in the name of a leader of a later term is believed, in Raft as anywhere short of signatures.
//!
//! Run more with `PEER_FUZZ_MESSAGES`, others with `PEER_FUZZ_SEED`.

use super::super::frame;
use bytes::{BufMut, Bytes, BytesMut};
use consensus::simulation::{HARD_STATE, glance};
use consensus::{
    ApplyContext, Config, Group, Handle, Links, MachineError, MemberChange, Membership, Message,
    PeerHandle, Peers, StateMachine, Status, Tuning, peer_channel,
};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;
use storage::{
    Applied, ApplyBatch, Family, LogStore, MemoryDisk, Record, Snapshot, StateStore, Stores,
};
use tokio::time::timeout;

const FAMILY: Family = Family("fuzz");
const PATIENCE: Duration = Duration::from_secs(30);
/// The node under attack, the leader it may know, and the member that lies.
const VICTIM: u64 = 1;
const LEADER: u64 = 2;
const LIAR: u64 = 3;
/// Messages for each victim when nothing else is asked for.
const MESSAGES: u64 = 500_000;
/// Messages of one frame.
const BATCH_MAX: u64 = 200;
/// More batches than the inbox holds: when as many empty ones were taken, so were all before.
const INBOX_FILL: usize = 600;

/// Random numbers by seed (splitmix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let number = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        number ^ (number >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound.max(1)
    }

    fn at(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }
}

/// Stores what it is told.
struct Notes;

impl StateMachine for Notes {
    type Reply = ();

    fn apply(
        &mut self,
        _context: ApplyContext,
        command: Bytes,
        batch: &mut ApplyBatch<'_>,
    ) -> Result<(), MachineError> {
        batch.put(FAMILY, &command, &command);
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
    ends: Vec<(u64, PeerHandle)>,
    seen: Vec<Message>,
}

impl Peers for Wires {
    fn send(&mut self, messages: Vec<Message>) {
        let wired = &mut *self.0.lock();
        for message in messages {
            if message.to() == VICTIM || message.from() == VICTIM {
                wired.seen.push(message.clone());
            }
            let end = wired.ends.iter().find(|(id, _)| *id == message.to());
            if let Some((_, end)) = end {
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
        joining: false,
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
    wires.0.lock().ends.push((id, inbox.clone()));
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
}

fn kept((log, state): &(LogStore, StateStore)) -> Kept {
    let range = log.first_index()..log.last_index() + 1;
    let hard_state = log.value(HARD_STATE).expect("a memory log");
    Kept {
        records: log.read(range, usize::MAX).expect("a memory log"),
        ballot: ballot(&hard_state.expect("it took part in an election")).to_vec(),
        applied: state.applied(),
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
            let written = timeout(PATIENCE, self.handle.propose(command)).await;
            written.expect("in time").expect("it leads");
        }
    }

    async fn stop(self) {
        let stopped = self.group.shutdown(PATIENCE).await;
        stopped.expect("nothing failed");
    }
}

/// Changes bytes as a broken wire or a clumsy forger would.
fn damage(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(3) {
        if bytes.is_empty() {
            return;
        }
        let at = dice.at(bytes.len());
        match dice.below(6) {
            0 | 1 => bytes[at] ^= 1 << dice.below(8),
            2 => bytes[at] = dice.roll() as u8,
            3 => drop(bytes.remove(at)),
            4 => bytes.insert(at, dice.roll() as u8),
            _ => bytes.truncate(at),
        }
    }
}

fn varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Appends a number as a field; of a field that comes twice the last one holds.
fn field(bytes: &mut Vec<u8>, tag: u64, number: u64) {
    varint(bytes, tag << 3);
    varint(bytes, number);
}

/// Fields of a Raft message on the wire.
const KIND: u64 = 1;
const TO: u64 = 2;
const FROM: u64 = 3;
const TERM: u64 = 4;
/// Previous term, index, commit, rejection, hint, wanted snapshot, context's number, commit term and priority.
const NUMBERS: [u64; 9] = [5, 6, 8, 10, 11, 13, 14, 15, 16];

/// A message of the liar to the victim; the bytes may be none.
fn forge(seen: &[Vec<u8>], term: u64, last_index: u64, dice: &mut Dice) -> Vec<u8> {
    let mut bytes = match dice.below(8) {
        0 => Vec::new(),
        1 => (0..dice.below(60)).map(|_| dice.roll() as u8).collect(),
        _ => seen[dice.at(seen.len())].clone(),
    };
    if dice.below(3) > 0 {
        damage(&mut bytes, dice);
    }
    let small = |dice: &mut Dice| match dice.below(10) {
        0 => dice.roll(),
        1 => u64::MAX >> dice.below(64),
        _ => dice.below(last_index + 4),
    };
    for _ in 0..dice.below(4) {
        let tag = NUMBERS[dice.at(NUMBERS.len())];
        let number = small(dice);
        field(&mut bytes, tag, number);
    }
    if dice.below(2) == 0 {
        field(&mut bytes, KIND, dice.below(21));
    }
    if dice.below(8) > 0 {
        field(&mut bytes, TERM, term.saturating_sub(dice.below(3)));
    }
    field(&mut bytes, FROM, LIAR);
    field(&mut bytes, TO, VICTIM);
    bytes
}

/// How far the forgeries came.
#[derive(Debug, Default)]
struct Tally {
    made: u64,
    undecodable: u64,
    later: u64,
    stepped: u64,
}

/// Sends forged messages as the transport would hand them over.
async fn attack(victim: &Node, seen: &[Message], mut dice: Dice) -> Tally {
    let messages = std::env::var("PEER_FUZZ_MESSAGES").ok();
    let messages = messages.map_or(MESSAGES, |count| count.parse().expect("a number"));
    let (term, last_index) = (victim.handle.status().term, victim.stores.0.last_index());
    let seen: Vec<Vec<u8>> = seen
        .iter()
        .map(|message| message.encode().to_vec())
        .collect();
    let mut tally = Tally::default();
    while tally.made < messages {
        let mut body = BytesMut::new();
        for _ in 0..=dice.below(BATCH_MAX) {
            let forged = forge(&seen, term, last_index, &mut dice);
            tally.made += 1;
            match Message::decode(&forged) {
                Err(_) => tally.undecodable += 1,
                Ok(message) if glance(&message).term > term => tally.later += 1,
                Ok(_) => {
                    body.put_u32_le(forged.len() as u32);
                    body.put_slice(&forged);
                }
            }
        }
        let batch = frame::messages(&body, LIAR).expect("each was decoded before");
        tally.stepped += batch.len() as u64;
        victim.inbox.deliver(batch).await.expect("the group lives");
    }
    for _ in 0..INBOX_FILL {
        let taken = victim.inbox.deliver(Vec::new()).await;
        taken.expect("the group lives");
    }
    tally
}

fn dice() -> Dice {
    let seed = std::env::var("PEER_FUZZ_SEED").ok();
    let seed = seed.map_or(1, |seed| seed.parse().expect("a number"));
    println!("PEER_FUZZ_SEED={seed}");
    Dice(seed)
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.expect(what);
}

/// Runs a victim, attacks it, and compares what it kept when it has stopped.
async fn survives(victim: Node, seen: &[Message], before: &Kept) {
    let status = victim.handle.status();
    let tally = attack(&victim, seen, dice()).await;
    println!("{tally:?}, victim of term {}", status.term);
    assert!(
        tally.stepped > tally.made / 3,
        "few forgeries are good enough to be looked at: {tally:?}"
    );
    let after = victim.handle.status();
    let volatile = |status: &Status| (status.term, status.leader, status.role);
    assert_eq!(volatile(&after), volatile(&status));
    let members = |status: &Status| (status.voters.clone(), status.learners.clone());
    assert_eq!(members(&after), members(&status));
    assert_eq!(after.committed_index, status.committed_index);
    let stores = victim.stores.clone();
    victim.stop().await;
    assert_eq!(&kept(&stores), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_messages_change_nothing_on_a_leader() {
    let (disk, wires) = (MemoryDisk::new(), Wires::default());
    let victim = start(VICTIM, &[VICTIM], &disk, &wires, true);
    timeout(PATIENCE, victim.handle.leader_known())
        .await
        .expect("it leads");
    let learner = vec![MemberChange::AddLearner(LIAR)];
    let added = victim.handle.change_members(learner, Bytes::new());
    timeout(PATIENCE, added)
        .await
        .expect("in time")
        .expect("it leads");
    let learning = start(LIAR, &[VICTIM], &MemoryDisk::new(), &wires, true);
    victim.write(50).await;
    let index = victim.handle.status().applied_index;
    until("the learner follows", || {
        learning.handle.status().applied_index >= index
    })
    .await;
    learning.stop().await;
    victim.stop().await;
    let seen = std::mem::take(&mut wires.0.lock().seen);
    let victim = start(VICTIM, &[VICTIM], &disk, &Wires::default(), false);
    timeout(PATIENCE, victim.handle.leader_known())
        .await
        .expect("it leads");
    // What it writes as a new leader is durable.
    timeout(PATIENCE, victim.handle.read_barrier())
        .await
        .expect("in time")
        .expect("it leads");
    let before = kept(&victim.stores);
    survives(victim, &seen, &before).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn forged_messages_change_nothing_on_a_follower() {
    let founders = [VICTIM, LEADER, LIAR];
    let (disk, wires) = (MemoryDisk::new(), Wires::default());
    let victim = start(VICTIM, &founders, &disk, &wires, false);
    let leader = start(LEADER, &founders, &MemoryDisk::new(), &wires, true);
    let third = start(LIAR, &founders, &MemoryDisk::new(), &wires, false);
    let led = timeout(PATIENCE, victim.handle.leader_known()).await;
    assert_eq!(led, Ok(LEADER), "nobody else campaigns");
    leader.write(50).await;
    let index = leader.handle.status().applied_index;
    until("the victim follows", || {
        victim.handle.status().applied_index >= index
    })
    .await;
    third.stop().await;
    leader.stop().await;
    victim.stop().await;
    let seen = std::mem::take(&mut wires.0.lock().seen);
    let victim = start(VICTIM, &founders, &disk, &Wires::default(), false);
    // The last word of the leader, so that the victim knows it.
    let heartbeat = seen.iter().rfind(|message| {
        (message.from(), message.to()) == (LEADER, VICTIM) && message.encoded_len() < 20
    });
    let heartbeat = heartbeat.expect("a leader sends heartbeats").clone();
    victim
        .inbox
        .deliver(vec![heartbeat])
        .await
        .expect("it lives");
    let led = timeout(PATIENCE, victim.handle.leader_known()).await;
    assert_eq!(led, Ok(LEADER));
    let before = kept(&victim.stores);
    survives(victim, &seen, &before).await;
}
