//! The links between nodes: how long a message takes, whether it arrives, and how often. It keeps no
//! order: a transport that does is a special case.

use crate::counters::{Count, Counters};
use crate::dice::Dice;
use crate::options::NetworkOptions;
use crate::queue::Micros;

/// Why a link loses everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    BothWays,
    OneWay,
    Bridge,
}

/// One direction between two nodes.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    cut: Option<Cut>,
    clogged_until: Micros,
    /// Latest arrival so far; an earlier one overtakes.
    latest: Micros,
}

/// All links.
#[derive(Debug)]
pub(crate) struct Network {
    options: NetworkOptions,
    dice: Dice,
    links: Vec<Vec<Link>>,
    healed: bool,
}

impl Network {
    pub(crate) fn new(options: NetworkOptions, nodes: usize, dice: Dice) -> Self {
        Network {
            options,
            dice,
            links: vec![vec![Link::default(); nodes]; nodes],
            healed: false,
        }
    }

    /// When a message sent now arrives: never, once, or twice.
    pub(crate) fn send(
        &mut self,
        (from, to): (usize, usize),
        now: Micros,
        counters: &mut Counters,
    ) -> [Option<Micros>; 2] {
        let link = &mut self.links[from][to];
        if let Some(cut) = link.cut {
            counters.add(match cut {
                Cut::BothWays => Count::CutBothWays,
                Cut::OneWay => Count::CutOneWay,
                Cut::Bridge => Count::CutBridge,
            });
            return [None, None];
        }
        let (dice, options) = (&mut self.dice, &self.options);
        if !self.healed && dice.chance(options.lost_per_mille) {
            counters.add(Count::Lost);
            return [None, None];
        }
        let mut arrive = || {
            let mut at = now + options.delay_min + dice.around(options.delay_mean);
            if !self.healed && dice.chance(options.slow_per_mille) {
                counters.add(Count::Delayed);
                at += dice.around(options.slow_mean);
            }
            if at < link.clogged_until {
                counters.add(Count::Clogged);
                at = link.clogged_until;
            }
            if at < link.latest {
                counters.add(Count::Reordered);
            }
            link.latest = link.latest.max(at);
            Some(at)
        };
        let first = arrive();
        if !self.healed && self.dice.chance(self.options.doubled_per_mille) {
            counters.add(Count::Duplicated);
            let again = now + self.options.delay_min + self.dice.around(self.options.delay_mean);
            return [first, Some(again)];
        }
        [first, None]
    }

    /// Splits the nodes, in one of three ways; `leader` is the one worth cutting off.
    pub(crate) fn partition(&mut self, leader: Option<usize>) {
        self.mend();
        let nodes = self.links.len();
        let side: Vec<bool> = match self.dice.below(3) {
            // One alone.
            0 => {
                let alone = self.dice.below(nodes as u64);
                (0..nodes as u64).map(|node| node == alone).collect()
            }
            1 if leader.is_some() => (0..nodes).map(|node| Some(node) == leader).collect(),
            _ => (0..nodes).map(|_| self.dice.chance(500)).collect(),
        };
        let bridge = usize::try_from(self.dice.below(nodes as u64)).unwrap_or(0);
        let mode = self.dice.below(4);
        for from in 0..nodes {
            for to in 0..nodes {
                let across = side[from] != side[to];
                self.links[from][to].cut = match mode {
                    0 if across && side[from] => Some(Cut::OneWay),
                    1 if across && from != bridge && to != bridge => Some(Cut::Bridge),
                    2 | 3 if across => Some(Cut::BothWays),
                    _ => None,
                };
            }
        }
    }

    /// Ends the partition.
    pub(crate) fn mend(&mut self) {
        for link in self.links.iter_mut().flatten() {
            link.cut = None;
        }
    }

    /// Holds back what one link carries until then.
    pub(crate) fn clog(&mut self, until: Micros) {
        let nodes = self.links.len() as u64;
        let from = usize::try_from(self.dice.below(nodes)).unwrap_or(0);
        let to = usize::try_from(self.dice.below(nodes)).unwrap_or(0);
        self.links[from][to].clogged_until = until;
    }

    /// From now on every message arrives once.
    pub(crate) fn heal(&mut self) {
        self.mend();
        self.healed = true;
    }
}
