//! A small random simulation: lost, delayed and doubled messages, slow disks, crashes. Safety after
//! every step, progress once the network heals. The seed is printed on failure.

use super::harness::*;
use crate::core::*;
use std::collections::BTreeMap;

/// Deterministic random numbers for the test alone.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

struct Simulation {
    cluster: Cluster,
    dice: Dice,
    in_flight: Vec<Message>,
    leaders: BTreeMap<u64, u64>,
    proposed: u64,
}

impl Simulation {
    fn step(&mut self) {
        let id = 1 + self.dice.below(3);
        match self.dice.below(100) {
            0..=29 => self.cluster.member(id).core.tick(),
            30..=69 => self.deliver_one(),
            70..=79 => self.cluster.member(id).write(),
            80..=87 => self.cluster.member(id).report(),
            88..=93 => self.cluster.member(id).apply(),
            94..=97 => self.propose(id),
            98 => {
                self.cluster.member(id).core.read();
            }
            _ => self.cluster.member(id).restart(),
        }
        for member in self.cluster.members.values_mut() {
            member.take();
            self.in_flight.append(&mut member.outgoing);
        }
        self.check();
    }

    fn deliver_one(&mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        let at =
            usize::try_from(self.dice.below(self.in_flight.len() as u64)).expect("a small number");
        let message = self.in_flight.swap_remove(at);
        if self.dice.below(100) < 5 {
            return;
        }
        if self.dice.below(100) < 5 {
            self.in_flight.push(message.clone());
        }
        let member = self.cluster.member(message.to());
        // A doubled read request is refused; a message to a restarted member may speak of a log end
        // it has not reached again. Everything else must be acceptable.
        let _ = member.core.step(message);
    }

    fn propose(&mut self, id: u64) {
        self.proposed += 1;
        let text = self.proposed.to_string();
        let _ = self.cluster.member(id).core.propose(payload(&text));
    }

    fn check(&mut self) {
        for member in self.cluster.members.values() {
            if member.core.role() == Role::Leader {
                let (term, id) = (member.core.term(), member.core.node_id());
                let leader = *self.leaders.entry(term).or_insert(id);
                assert_eq!(leader, id, "two leaders in term {term}");
            }
            assert!(member.core.applied_index() <= member.core.committed_index());
            assert!(member.core.persisted_index() <= member.core.last_index());
        }
    }
}

#[test]
fn random_faults_break_no_promise() {
    for seed in 0..60 {
        let result = std::panic::catch_unwind(|| run(seed));
        assert!(result.is_ok(), "seed {seed}");
    }
}

fn run(seed: u64) {
    let cluster = Cluster::new(&[1, 2, 3]);
    let dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + 1);
    let mut simulation = Simulation {
        cluster,
        dice,
        in_flight: Vec::new(),
        leaders: BTreeMap::new(),
        proposed: 0,
    };
    for step in 0..3000 {
        simulation.step();
        if step % 100 == 0 {
            simulation.cluster.assert_same_history();
        }
    }
    // The network heals: someone must lead and bring everyone to the same state.
    let cluster = &mut simulation.cluster;
    for _ in 0..10 * ELECTION_TICKS {
        cluster.tick_all();
        cluster.rest();
    }
    let leader = cluster
        .members
        .values()
        .find(|m| m.core.role() == Role::Leader)
        .map(|m| m.core.node_id());
    let leader = leader.expect("a healed cluster elects a leader");
    let position = cluster.member(leader).propose("the last");
    for _ in 0..ELECTION_TICKS {
        cluster.tick_all();
        cluster.rest();
    }
    cluster.assert_same_history();
    for member in cluster.members.values() {
        assert_eq!(member.core.applied_index(), position.index);
    }
}
