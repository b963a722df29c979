//! The simulated world: nodes, network, clients and faults on one virtual clock, on one thread. A run has
//! two phases: first faults strike while clients work, then everything heals and the cluster must come
//! to rest with nothing lost.

mod around;
mod faults;
mod members;
mod settle;

pub(crate) use around::{Around, Event, Run};

use crate::check::{Checker, Violation, learnt};
use crate::counters::{Count, Counters};
use crate::dice::Dice;
use crate::mutant::Mutant;
use crate::network::Network;
use crate::node::{Node, Received, Ship, TICK};
use crate::ops::{Answer, Op, OpId};
use crate::options::Options;
use crate::queue::{MILLI, Micros, Queue, SECOND};
use crate::trace::Trace;
use crate::workload::{Client, Request};

/// After this time a client gives up.
const EXPIRE: Micros = 5 * SECOND;
/// Time between two looks at whether everything has come to rest.
const SETTLE_EVERY: Micros = 100 * MILLI;
/// Events of one run, far more than any run has: a run that does not end is a finding.
const EVENTS_MAX: u64 = 20_000_000;

/// What a run is told.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) seed: u64,
    /// Length of the phase of faults.
    pub(crate) duration: Micros,
    pub(crate) keep_text: bool,
    pub(crate) mutant: Option<Mutant>,
}

/// What a run came to.
pub(crate) struct End {
    pub(crate) options: Options,
    pub(crate) violation: Option<Violation>,
    pub(crate) counters: Counters,
    pub(crate) hash: u64,
    pub(crate) text: Option<String>,
    pub(crate) elapsed: Micros,
}

/// The world.
pub(crate) struct World {
    around: Around,
    nodes: Vec<Node>,
    clients: Vec<Client>,
    dice: Dice,
    duration: Micros,
    partition: u64,
    /// Successes still to be seen after healing.
    probes_left: u32,
    settled: bool,
}

impl World {
    pub(crate) fn new(setup: &Setup) -> Self {
        let mut dice = Dice::new(setup.seed);
        let options = Options::draw(&mut dice);
        let network = Network::new(options.network.clone(), options.nodes(), dice.fork());
        let mut counters = Counters::default();
        let nodes: Vec<Node> = (0..options.nodes())
            .map(|at| {
                let off = options.tick_rate_off_per_mille;
                let tick = TICK * (1000 - off) / 1000 + dice.below(TICK * 2 * off / 1000 + 1);
                if tick != TICK {
                    counters.add(Count::TicksOffRate);
                }
                Node::new(at, tick, dice.fork())
            })
            .collect();
        let clients = (0..options.clients)
            .map(|_| Client::new(options.keys, dice.fork()))
            .collect();
        let disks = nodes.iter().map(|node| node.disk.clone()).collect();
        let around = Around {
            now: 0,
            queue: Queue::new(),
            network,
            ops: Vec::new(),
            check: Checker::new(disks, options.voters),
            counters,
            trace: Trace::new(setup.keep_text),
            mutant: setup.mutant,
            healed: false,
            wiped: None,
            flushed: vec![0; options.nodes()],
            options,
        };
        World {
            around,
            nodes,
            clients,
            dice,
            duration: setup.duration,
            partition: 0,
            probes_left: 0,
            settled: false,
        }
    }

    /// Runs both phases.
    pub(crate) fn run(mut self) -> End {
        for node in 0..self.around.options.voters {
            self.around.after(node as u64, Event::Start { node });
        }
        for client in 0..self.clients.len() {
            let think = self.clients[client].dice().below(SECOND);
            self.around.after(think, Event::Ask { client });
        }
        for (fault, mean) in self.around.options.faults.clone() {
            let at = self.dice.around(mean);
            self.around.after(at, Event::Strike { fault, mean });
        }
        self.around.after(self.duration, Event::Heal);
        let mut events = 0;
        while !self.settled && self.around.check.violation().is_none() {
            let Some((at, event)) = self.around.queue.pop() else {
                break;
            };
            self.around.now = at;
            self.around.count(Count::Events);
            self.handle(event);
            events += 1;
            if events > EVENTS_MAX {
                self.around
                    .check
                    .fail("a run ends", || format!("{events} events"));
            }
        }
        End {
            violation: self.around.check.violation().cloned(),
            counters: self.around.counters,
            hash: self.around.trace.hash(),
            text: self.around.trace.into_text(),
            elapsed: self.around.now,
            options: self.around.options,
        }
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Tick(run)
            | Event::Written(run)
            | Event::Apply(run)
            | Event::Reported(run)
            | Event::Keep(run)
            | Event::TakeSnapshot { run, .. }
            | Event::Shipped { run, .. } => self.step(run, event),
            Event::Ship(ship) => self.ship(ship),
            Event::Deliver { from, to, bytes } => self.deliver(from, to, bytes),
            Event::Start { node } => self.start(node),
            Event::Arrive { op, node } => self.arrive(op, node),
            Event::Return { op, answer } => self.returned(op, &answer),
            Event::Expire { op } => self.returned(op, &Answer::Unknown),
            Event::Ask { client } => self.ask(client),
            Event::Strike { fault, mean } => self.strike(fault, mean),
            Event::Mend { partition } if partition == self.partition => self.around.network.mend(),
            Event::Mend { .. } => {}
            Event::Heal => self.heal(),
            Event::Settle => self.settle(),
            Event::Repair => self.repair(),
        }
    }

    /// A step of a run, unless it is over or the node is paused.
    fn step(&mut self, run: Run, event: Event) {
        let (around, node) = (&mut self.around, &mut self.nodes[run.node]);
        let Some(running) = node.running.as_mut().filter(|running| running.run == run) else {
            return;
        };
        if around.now < node.paused_until {
            around.queue.push(node.paused_until, event);
            return;
        }
        let (kind, result) = match event {
            Event::Tick(_) => ("tick", running.tick(around)),
            Event::Written(_) => ("written", running.written(around)),
            Event::Apply(_) => ("apply", running.apply(around)),
            Event::Reported(_) => ("reported", running.reported(around)),
            Event::Keep(_) => ("keep", running.keep(around)),
            Event::TakeSnapshot { to, .. } => ("take", running.take_snapshot(around, to)),
            Event::Shipped { to, delivered, .. } => {
                ("shipped", running.snapshot_sent(around, to, delivered))
            }
            other => unreachable!("no step of a run: {other:?}"),
        };
        let now = around.now;
        around.trace.event(now, kind, &[run.node as u64, run.boot]);
        if let Err(halt) = result {
            self.halted(run.node, halt);
        }
    }

    fn deliver(&mut self, from: usize, to: usize, bytes: bytes::Bytes) {
        // What was on its way when a disk was replaced ended with its connection.
        if self.around.refuses(from, to) {
            return;
        }
        let (around, node) = (&mut self.around, &mut self.nodes[to]);
        let Some(running) = node.running.as_mut() else {
            return;
        };
        if around.now < node.paused_until {
            let at = node.paused_until;
            around.queue.push(at, Event::Deliver { from, to, bytes });
            return;
        }
        let now = around.now;
        around
            .trace
            .event(now, "deliver", &[from as u64, to as u64]);
        if let Err(halt) = running.deliver(around, &bytes) {
            self.halted(to, halt);
        }
    }

    /// A chunk of a snapshot reaches its receiver.
    fn ship(&mut self, mut ship: Box<Ship>) {
        let sender = self.nodes[ship.from.node].running.as_ref();
        let sends = sender.is_some_and(|running| running.run == ship.from);
        let (around, node) = (&mut self.around, &mut self.nodes[ship.to]);
        if node.running.is_some() && around.now < node.paused_until {
            around.queue.push(node.paused_until, Event::Ship(ship));
            return;
        }
        let now = around.now;
        let left = ship.chunks.len() as u64;
        around.trace.event(now, "ship", &[ship.to as u64, left]);
        let Some(running) = node.running.as_mut() else {
            around.shipped(&ship, false);
            return;
        };
        if !sends {
            running.drop_stage(&ship);
            return;
        }
        match running.receive(around, &mut ship) {
            Ok(Received::More) => around.ship(ship),
            Ok(Received::Whole) => around.shipped(&ship, true),
            Ok(Received::Refused) => around.shipped(&ship, false),
            Err(halt) => {
                around.shipped(&ship, false);
                self.halted(ship.to, halt);
            }
        }
    }

    fn ask(&mut self, client: usize) {
        if self.around.healed && self.probes_left == 0 {
            return;
        }
        let unique = self.around.ops.len() as u64;
        let asker = &mut self.clients[client];
        let request = if self.around.healed {
            asker.probe(unique)
        } else {
            asker.request(unique)
        };
        let seen = asker.seen;
        let node = asker.dice().below(self.nodes.len() as u64);
        let op = self.around.ops.len();
        self.around.ops.push(Op {
            client,
            request,
            floor: self.around.check.floor(),
            seen,
            invoked: self.around.now,
            attempts: 1,
            done: false,
            refused: false,
        });
        let node = usize::try_from(node).unwrap_or(0);
        let delay = self.around.options.network.delay_min;
        self.around.after(delay, Event::Arrive { op, node });
        self.around.after(EXPIRE, Event::Expire { op });
    }

    fn arrive(&mut self, op: OpId, node: usize) {
        let (around, target) = (&mut self.around, &mut self.nodes[node]);
        if target.running.is_some() && around.now < target.paused_until {
            around
                .queue
                .push(target.paused_until, Event::Arrive { op, node });
            return;
        }
        let now = around.now;
        around.trace.event(now, "arrive", &[op as u64, node as u64]);
        let Some(running) = target.running.as_mut() else {
            // The connection is refused.
            around.answer(op, Answer::NotApplied, &mut self.dice);
            return;
        };
        if let Err(halt) = running.arrive(around, op) {
            self.halted(node, halt);
        }
    }

    /// A client has its answer; the first one counts.
    fn returned(&mut self, id: OpId, answer: &Answer) {
        let around = &mut self.around;
        if around.ops[id].done {
            return;
        }
        around.ops[id].done = true;
        let (now, invoked) = (around.now, around.ops[id].invoked);
        around.trace.event(now, "return", &[id as u64, invoked]);
        around.check.answered(id, &around.ops[id], answer);
        let writes = matches!(around.ops[id].request, Request::Write(_));
        match answer {
            Answer::Written { .. } => around.count(Count::WritesAcknowledged),
            Answer::NotApplied if writes => around.count(Count::WritesNotApplied),
            Answer::Unknown if writes => around.count(Count::WritesUnknown),
            _ => {}
        }
        let succeeded = matches!(answer, Answer::Written { .. } | Answer::Read { .. });
        if around.healed && succeeded && self.probes_left > 0 {
            self.probes_left -= 1;
        }
        let client = around.ops[id].client;
        let asker = &mut self.clients[client];
        if let Some(revision) = learnt(answer) {
            asker.seen = asker.seen.max(revision);
        }
        if let Answer::Read {
            response: Ok(response),
            ..
        } = answer
        {
            asker.learn(response);
        }
        let think = asker.dice().around(around.options.think_mean);
        around.after(think, Event::Ask { client });
    }
}
