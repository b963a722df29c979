//! What surrounds the nodes: the clock, the network, the clients' requests, the checkers. Nodes act on it
//! and never on each other.

use crate::check::{Checker, Scene};
use crate::counters::{Count, Counters};
use crate::dice::Dice;
use crate::mutant::Mutant;
use crate::network::Network;
use crate::node::Ship;
use crate::ops::{Answer, Op, OpId};
use crate::options::{Fault, Options};
use crate::queue::{Micros, Queue};
use crate::trace::{Trace, digest};
use bytes::Bytes;
use consensus::core::{Committed, Core, Message};

/// One run of one node; events of an earlier run mean nothing to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) node: usize,
    pub(crate) boot: u64,
}

/// Something that happens at a time.
#[derive(Debug)]
pub(crate) enum Event {
    Tick(Run),
    /// A message arrives.
    Deliver {
        from: usize,
        to: usize,
        bytes: Bytes,
    },
    /// The write under way is done.
    Written(Run),
    /// The apply thread gets to its queue.
    Apply(Run),
    /// What was applied is reported to the driver.
    Reported(Run),
    /// The keeper gets to its duty.
    Keep(Run),
    /// The keeper takes a snapshot for a member.
    TakeSnapshot {
        run: Run,
        to: u64,
    },
    /// The next chunk of a snapshot arrives.
    Ship(Box<Ship>),
    /// The sender of a snapshot learns how that ended.
    Shipped {
        run: Run,
        to: u64,
        delivered: bool,
    },
    Start {
        node: usize,
    },
    /// A request reaches a node.
    Arrive {
        op: OpId,
        node: usize,
    },
    /// An answer reaches its client.
    Return {
        op: OpId,
        answer: Box<Answer>,
    },
    /// A client gives up.
    Expire {
        op: OpId,
    },
    /// Somebody repairs the cluster after a disk was replaced.
    Repair,
    /// A client makes its next request.
    Ask {
        client: usize,
    },
    Strike {
        fault: Fault,
        mean: Micros,
    },
    /// A partition ends, if it is still this one.
    Mend {
        partition: u64,
    },
    /// The faults are over.
    Heal,
    /// Looks whether everything has come to rest.
    Settle,
}

/// Everything but the nodes.
pub(crate) struct Around {
    pub(crate) now: Micros,
    pub(crate) queue: Queue<Event>,
    pub(crate) network: Network,
    pub(crate) options: Options,
    pub(crate) ops: Vec<Op>,
    pub(crate) check: Checker,
    pub(crate) counters: Counters,
    pub(crate) trace: Trace,
    pub(crate) mutant: Option<Mutant>,
    /// The faults are over.
    pub(crate) healed: bool,
    /// The node whose disk was replaced; the others refuse it.
    pub(crate) wiped: Option<usize>,
    /// Applied index each node keeps whatever happens.
    pub(crate) flushed: Vec<u64>,
}

impl Around {
    pub(crate) fn after(&mut self, delay: Micros, event: Event) {
        self.queue.push(self.now + delay, event);
    }

    pub(crate) fn is_planted(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Whether two nodes do not talk, because the disk of one was replaced.
    pub(crate) fn refuses(&mut self, from: usize, to: usize) -> bool {
        let admits = self.is_planted(Mutant::WipedAdmitted);
        let refused = (self.wiped == Some(from) || self.wiped == Some(to)) && !admits;
        if refused {
            self.count(Count::WipedRefused);
        }
        refused
    }

    /// A message leaves node number `from`.
    pub(crate) fn send(&mut self, from: usize, message: &Message) {
        self.check.sent(from, message);
        let Some(to) = usize::try_from(message.to() - 1)
            .ok()
            .filter(|to| *to < self.options.nodes())
        else {
            return;
        };
        if self.refuses(from, to) {
            return;
        }
        let bytes = message.encode();
        let arrivals = self.network.send((from, to), self.now, &mut self.counters);
        let name = digest(&bytes);
        self.trace
            .event(self.now, "send", &[from as u64, to as u64, name]);
        if self.trace.keeps_text() {
            self.trace.remark(self.now, format_args!("{message:?}"));
        }
        for at in arrivals.into_iter().flatten() {
            let bytes = bytes.clone();
            self.queue.push(at, Event::Deliver { from, to, bytes });
        }
    }

    /// A node hands out a committed entry.
    pub(crate) fn committed(&mut self, core: &Core, committed: &Committed) {
        let mut scene = Scene {
            ops: &self.ops,
            counters: &mut self.counters,
        };
        self.check.committed(core, committed, &mut scene);
    }

    /// The next chunk of a snapshot leaves its sender, or the whole attempt fails.
    pub(crate) fn ship(&mut self, ship: Box<Ship>) {
        let (from, to) = (ship.from.node, ship.to);
        let refused = self.wiped == Some(from) || self.wiped == Some(to);
        let arrival = if refused {
            None
        } else {
            let [arrival, _] = self.network.send((from, to), self.now, &mut self.counters);
            arrival
        };
        match arrival {
            Some(at) => self.queue.push(at, Event::Ship(ship)),
            None => self.shipped(&ship, false),
        }
    }

    /// How sending a snapshot ended, on its way back to the sender.
    pub(crate) fn shipped(&mut self, ship: &Ship, delivered: bool) {
        self.count(if delivered {
            Count::SnapshotsSent
        } else {
            Count::SnapshotsFailed
        });
        if self.is_planted(Mutant::SnapshotNotReported) {
            return;
        }
        let event = Event::Shipped {
            run: ship.from,
            to: ship.to as u64 + 1,
            delivered,
        };
        self.after(self.options.network.delay_min, event);
    }

    /// An answer starts on its way to the client.
    pub(crate) fn answer(&mut self, op: OpId, answer: Answer, dice: &mut Dice) {
        if matches!(answer, Answer::NotApplied) {
            self.ops[op].refused = true;
        }
        let delay = self.options.network.delay_min + dice.below(2_000);
        let answer = Box::new(answer);
        self.after(delay, Event::Return { op, answer });
    }

    pub(crate) fn count(&mut self, count: Count) {
        self.counters.add(count);
    }
}
