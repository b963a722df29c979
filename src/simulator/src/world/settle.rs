//! The second phase: no more faults. Somebody must lead, serve reads and writes, and bring every node to
//! the same state, in bounded time.

use super::{Event, SETTLE_EVERY, World};
use crate::node::Node;
use crate::queue::SECOND;
use placement_center::machine;
use storage::{Order, Read};

/// Reads and writes that must succeed.
const PROBES: u32 = 20;
/// Virtual time the cluster has for it.
const SETTLE_WITHIN: u64 = 90 * SECOND;
/// Steps of housekeeping that certainly suffice.
const HOUSEKEEPING_MAX: u32 = 100_000;

impl World {
    pub(super) fn heal(&mut self) {
        self.around.healed = true;
        self.around.network.heal();
        self.probes_left = PROBES;
        for node in &mut self.nodes {
            node.disk.heal();
            (node.fails_at, node.paused_until) = (None, 0);
            if let Some(running) = &mut node.running {
                running.crash_at = None;
            }
        }
        self.around.after(SETTLE_EVERY, Event::Settle);
    }

    /// Looks whether everything has come to rest.
    pub(super) fn settle(&mut self) {
        if self.probes_left == 0 && self.is_at_rest() {
            self.settled = true;
            self.compare_states();
            return;
        }
        if self.around.now > self.duration + SETTLE_WITHIN {
            let probes = self.probes_left;
            let nodes: Vec<String> = self.nodes.iter().map(describe).collect();
            self.around
                .check
                .fail("a healed cluster serves and converges", || {
                    format!("{probes} requests are unanswered; {nodes:?}")
                });
            return;
        }
        self.around.after(SETTLE_EVERY, Event::Settle);
    }

    fn is_at_rest(&self) -> bool {
        let last = self.around.check.committed_index();
        let members = self.around.check.members();
        let mut nodes = self.nodes.iter();
        members.outgoing.is_empty()
            && nodes.all(|node| {
                !members.contains(node.id)
                    || node.running.as_ref().is_some_and(|running| {
                        running.is_at_rest()
                            && running.core.applied_index() == last
                            && running.core.last_index() == last
                    })
            })
    }

    /// All nodes hold the same bytes.
    fn compare_states(&mut self) {
        let mut states = Vec::new();
        let members = self.around.check.members().clone();
        let nodes = self.nodes.iter_mut();
        for node in nodes.filter(|node| members.contains(node.id)) {
            if let Some(running) = &mut node.running {
                for _ in 0..HOUSEKEEPING_MAX {
                    match running.housekeep() {
                        Ok(true) => {}
                        Ok(false) => break,
                        Err(halt) => {
                            self.around
                                .check
                                .fail("housekeeping works", || halt.to_string());
                            return;
                        }
                    }
                }
            }
            states.push(contents(node));
        }
        let equal = states.windows(2).all(|pair| pair[0] == pair[1]);
        self.around
            .check
            .require(equal, "all nodes hold the same bytes", || {
                let first = states.first();
                let other = states.iter().position(|state| Some(state) != first);
                format!("node 1 and node {:?} differ", other.map(|at| at + 1))
            });
    }
}

/// Family, key and value of everything a node holds.
fn contents(node: &Node) -> Vec<(&'static str, Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    let Some(running) = &node.running else {
        return all;
    };
    let view = running.state.view();
    for family in machine::FAMILIES {
        let Ok(mut cursor) = view.scan(*family, &[], None, Order::Forward) else {
            return all;
        };
        while let Some((key, value)) = cursor.entry() {
            all.push((family.0, key.to_vec(), value.to_vec()));
            if cursor.advance().is_err() {
                return all;
            }
        }
    }
    all
}

fn describe(node: &Node) -> String {
    match &node.running {
        Some(running) => format!(
            "{}: {:?} of term {}, log {}..={}, committed {}, applied {}, voters {:?} {:?}, learners {:?}",
            node.id,
            running.core.role(),
            running.core.term(),
            running.core.first_index(),
            running.core.last_index(),
            running.core.committed_index(),
            running.core.applied_index(),
            running.core.voters(),
            running.core.outgoing(),
            running.core.learners(),
        ),
        None => format!("{}: {}", node.id, if node.gone { "gone" } else { "down" }),
    }
}
