//! Faults that strike at a time: what each does, and how a node that fell comes back.

use super::{Event, World};
use crate::counters::Count;
use crate::node::{CrashPoint, Halt};
use crate::options::Fault;
use crate::queue::{MILLI, Micros, SECOND};
use storage::{Crash, Fault as DiskFault};

/// A planned fault of the disk strikes at one of this many next operations.
const OPERATIONS_AHEAD: u64 = 40;

impl World {
    /// One fault, and when the next of its kind follows.
    pub(super) fn strike(&mut self, fault: Fault, mean: Micros) {
        if self.around.healed {
            return;
        }
        let next = 1 + self.dice.around(mean);
        self.around.after(next, Event::Strike { fault, mean });
        let node = usize::try_from(self.dice.below(self.nodes.len() as u64)).unwrap_or(0);
        let now = self.around.now;
        self.around
            .trace
            .event(now, "strike", &[fault as u64, node as u64]);
        match fault {
            Fault::Partition => {
                self.partition += 1;
                let leader = self.leader();
                self.around.network.partition(leader);
                let lasts = self.dice.around(4 * SECOND);
                let partition = self.partition;
                self.around.after(lasts, Event::Mend { partition });
            }
            Fault::Members => self.change_members(),
            Fault::Transfer => self.transfer(),
            Fault::Wipe => self.wipe(node),
            Fault::Clog => {
                let lasts = self.dice.around(2 * SECOND);
                self.around.network.clog(now + lasts);
            }
            Fault::Crash => self.crash(node, Count::CrashAnytime),
            Fault::PowerEverywhere => {
                self.around.count(Count::PowerFailedEverywhere);
                for node in 0..self.nodes.len() {
                    self.crash(node, Count::CrashAnytime);
                }
            }
            Fault::CrashAtStorage => self.plan(node, DiskFault::PowerLoss),
            Fault::DeviceError => self.plan(node, DiskFault::Io),
            Fault::DiskFull => self.plan(node, DiskFault::NoSpace),
            Fault::CrashAfterSend => self.arm(node, CrashPoint::AfterSend),
            Fault::CrashBetweenBatches => self.arm(node, CrashPoint::BetweenBatches),
            Fault::Pause => {
                self.around.count(Count::Paused);
                self.nodes[node].paused_until = now + self.dice.around(2 * SECOND);
            }
            Fault::WallClock => {
                self.around.count(Count::WallClockJumps);
                let jump = i64::try_from(self.dice.below(7_200_000)).unwrap_or(0) - 3_600_000;
                self.nodes[node].wall_ms = jump;
                if let Some(running) = &mut self.nodes[node].running {
                    running.wall_ms = jump;
                }
            }
        }
    }

    fn plan(&mut self, node: usize, fault: DiskFault) {
        let ahead = 1 + self.dice.below(OPERATIONS_AHEAD);
        let node = &mut self.nodes[node];
        if node.fails_at.is_none() {
            let operation = node.disk.operations() + ahead;
            node.disk.fail_at(operation, fault);
            node.fails_at = Some((operation, fault));
        }
    }

    fn arm(&mut self, node: usize, point: CrashPoint) {
        if let Some(running) = &mut self.nodes[node].running {
            running.crash_at = Some(point);
        }
    }

    /// A run ended by itself.
    pub(super) fn halted(&mut self, node: usize, halt: Halt) {
        if let Some(fault) = self.nodes[node].disk_failed() {
            // A node that meets a failing disk stops, whatever it was doing.
            self.around.count(match fault {
                DiskFault::PowerLoss => Count::CrashAtStorage,
                DiskFault::Io => Count::DeviceErrors,
                DiskFault::NoSpace => Count::DiskFull,
            });
            self.fall(node);
            return;
        }
        match halt {
            Halt::Struck(point) => self.crash(
                node,
                match point {
                    CrashPoint::AfterSend => Count::CrashAfterSend,
                    CrashPoint::AfterVote => Count::CrashAfterVote,
                    CrashPoint::BetweenBatches => Count::CrashBetweenBatches,
                    CrashPoint::AtChange => Count::CrashAtChange,
                    CrashPoint::AtInstall => Count::CrashAtInstall,
                },
            ),
            halt => {
                let id = self.nodes[node].id;
                self.around
                    .check
                    .fail("a node runs", || format!("node {id}: {halt}"));
            }
        }
    }

    fn crash(&mut self, node: usize, count: Count) {
        if self.nodes[node].running.is_some() {
            self.around.count(count);
            self.fall(node);
        }
    }

    /// Ends a run as a crash does and plans the next.
    pub(super) fn fall(&mut self, at: usize) {
        let now = self.around.now;
        let node = &mut self.nodes[at];
        let mut writes = false;
        if let Some(mut running) = node.running.take() {
            writes = !running.is_at_rest();
            if running.is_receiving() {
                self.around.count(Count::CrashWhileReceiving);
            }
            running.abandon(&mut self.around);
        }
        let (crash, count) = match self.dice.below(4) {
            0 => (Crash::KeepAll, Count::ProcessKilled),
            1 => (Crash::LoseUnsynced, Count::UnsyncedLost),
            _ => (Crash::Seeded(self.dice.number()), Count::TailTorn),
        };
        if writes {
            self.around.count(count);
        }
        node.disk.crash(crash);
        node.disk.heal();
        (node.fails_at, node.paused_until) = (None, 0);
        self.around.trace.event(now, "fall", &[at as u64]);
        let down = if self.around.healed || self.dice.chance(600) {
            self.dice.below(200 * MILLI)
        } else {
            self.dice.around(3 * SECOND)
        };
        self.around.after(1 + down, Event::Start { node: at });
    }

    /// The power is back.
    pub(super) fn start(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if node.running.is_some() || node.gone {
            return;
        }
        let again = self.around.options.crash_during_start_per_mille;
        if !self.around.healed && node.fails_at.is_none() && self.dice.chance(again) {
            let operation = node.disk.operations() + 1 + self.dice.below(3);
            node.disk.fail_at(operation, DiskFault::PowerLoss);
            node.fails_at = Some((operation, DiskFault::PowerLoss));
        }
        let now = self.around.now;
        let result = node.start(&mut self.around);
        self.around
            .trace
            .event(now, "start", &[at as u64, node.boot]);
        if let Err(halt) = result {
            if node.disk_failed().is_some() {
                self.around.count(Count::CrashDuringStart);
            }
            self.halted(at, halt);
        }
    }
}
