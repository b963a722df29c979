//! The conditions a seed runs under. Each seed enables a random subset of the faults at random rates
//! ("swarm"): with everything on all the time, some states would never be reached.

use crate::dice::Dice;
use crate::queue::{MILLI, Micros, SECOND};

/// A kind of event that a simulation inflicts on its nodes now and then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The network falls apart for a while.
    Partition,
    /// A link holds its messages back and delivers them together.
    Clog,
    /// A node crashes at any time.
    Crash,
    /// The power of a node fails during one of its next storage operations.
    CrashAtStorage,
    /// A node crashes right after it sent a message.
    CrashAfterSend,
    /// A node crashes between committing a batch and reporting it.
    CrashBetweenBatches,
    /// The power of all nodes fails at once.
    PowerEverywhere,
    /// One of the next storage operations of a node fails.
    DeviceError,
    /// The disk of a node is full.
    DiskFull,
    /// A node stops for a while and loses nothing.
    Pause,
    /// The wall clock of a node jumps.
    WallClock,
    /// Somebody changes the membership.
    Members,
    /// Somebody moves leadership.
    Transfer,
    /// The disk of a node is replaced by an empty one.
    Wipe,
}

impl Fault {
    const ALL: [Fault; 14] = [
        Fault::Partition,
        Fault::Clog,
        Fault::Crash,
        Fault::CrashAtStorage,
        Fault::CrashAfterSend,
        Fault::CrashBetweenBatches,
        Fault::PowerEverywhere,
        Fault::DeviceError,
        Fault::DiskFull,
        Fault::Pause,
        Fault::WallClock,
        Fault::Members,
        Fault::Transfer,
        Fault::Wipe,
    ];
}

/// The network of a seed.
#[derive(Clone, Debug)]
pub struct NetworkOptions {
    /// Shortest time a message takes.
    pub delay_min: Micros,
    /// Mean of what comes on top.
    pub delay_mean: Micros,
    /// Messages lost, in a thousand.
    pub lost_per_mille: u64,
    /// Messages delivered twice, in a thousand.
    pub doubled_per_mille: u64,
    /// Messages that take much longer, in a thousand.
    pub slow_per_mille: u64,
    /// Mean of how much longer.
    pub slow_mean: Micros,
}

/// The disks of a seed.
#[derive(Clone, Debug)]
pub struct DiskOptions {
    /// Mean time of a synced write.
    pub sync_mean: Micros,
    /// Writes that take much longer, in a thousand.
    pub slow_per_mille: u64,
    /// Mean of how much longer.
    pub slow_mean: Micros,
}

/// Everything a seed decides before it starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// Founding voters.
    pub voters: usize,
    /// Nodes that may join later.
    pub spares: usize,
    /// Clients, each with one request at a time.
    pub clients: usize,
    /// Mean time between an answer and the next request of a client.
    pub think_mean: Micros,
    /// Keys the clients share.
    pub keys: u64,
    /// The network.
    pub network: NetworkOptions,
    /// The disks.
    pub disk: DiskOptions,
    /// Mean time to apply a batch.
    pub apply_mean: Micros,
    /// Mean time between two flushes of the state.
    pub flush_mean: Micros,
    /// Log entries kept behind the flushed state.
    pub retention_entries: u64,
    /// Ticks of a node are off by up to this many thousandths.
    pub tick_rate_off_per_mille: u64,
    /// Votes after which the voter crashes, in a thousand.
    pub crash_after_vote_per_mille: u64,
    /// Membership entries whose handing out or application a node does not survive, in a thousand.
    pub crash_at_change_per_mille: u64,
    /// Snapshots whose installation a node does not survive, in a thousand.
    pub crash_at_install_per_mille: u64,
    /// Restarts during which a node crashes again, in a thousand.
    pub crash_during_start_per_mille: u64,
    /// The faults, with the mean time between two of a kind.
    pub faults: Vec<(Fault, Micros)>,
}

impl Options {
    /// Draws the conditions of a seed.
    pub(crate) fn draw(dice: &mut Dice) -> Self {
        let some = |dice: &mut Dice, per_mille: u64, value: u64| {
            if dice.chance(per_mille) { value } else { 0 }
        };
        let lossy = dice.between(5, 200);
        let doubled = dice.between(5, 200);
        let slow = dice.between(2, 50);
        let network = NetworkOptions {
            delay_min: dice.between(100, 2_000),
            delay_mean: *dice.pick(&[500, 2_000, 10_000, 40_000]),
            lost_per_mille: some(dice, 500, lossy),
            doubled_per_mille: some(dice, 400, doubled),
            slow_per_mille: some(dice, 400, slow),
            slow_mean: dice.between(50 * MILLI, 2 * SECOND),
        };
        let slow = dice.between(2, 100);
        let disk = DiskOptions {
            sync_mean: *dice.pick(&[200, 1_000, 5_000, 20_000]),
            slow_per_mille: some(dice, 400, slow),
            slow_mean: dice.between(50 * MILLI, 2 * SECOND),
        };
        let vote = *dice.pick(&[100, 300, 600]);
        let start = *dice.pick(&[50, 200]);
        let change = *dice.pick(&[50, 200]);
        let install = *dice.pick(&[100, 400]);
        let spares = dice.between(1, 2);
        let spares = some(dice, 500, spares);
        let (voters, spares) = match dice.below(100) {
            0..=9 => (1, 2),
            10..=24 => (5, spares),
            _ => (3, spares),
        };
        Options {
            voters,
            spares: usize::try_from(spares).unwrap_or(0),
            clients: usize::try_from(dice.between(2, 8)).unwrap_or(2),
            think_mean: *dice.pick(&[50 * MILLI, 100 * MILLI, 400 * MILLI]),
            keys: *dice.pick(&[2, 8, 30]),
            network,
            disk,
            apply_mean: *dice.pick(&[50, 500, 5_000, 50_000]),
            flush_mean: *dice.pick(&[2 * SECOND, 10 * SECOND]),
            retention_entries: *dice.pick(&[1, 20, 1_000]),
            tick_rate_off_per_mille: some(dice, 300, 100),
            crash_after_vote_per_mille: some(dice, 300, vote),
            crash_at_change_per_mille: some(dice, 300, change),
            crash_at_install_per_mille: some(dice, 300, install),
            crash_during_start_per_mille: some(dice, 300, start),
            faults: Self::draw_faults(dice, voters),
        }
    }

    fn draw_faults(dice: &mut Dice, voters: usize) -> Vec<(Fault, Micros)> {
        let enabled = *dice.pick(&[150, 400, 700]);
        let mut faults = Vec::new();
        for fault in Fault::ALL {
            let mean = match fault {
                Fault::PowerEverywhere => dice.between(15, 40),
                Fault::Members => dice.between(1, 8),
                Fault::WallClock | Fault::DiskFull => dice.between(5, 30),
                _ => dice.between(2, 20),
            };
            // One that begins alone is there to grow.
            let grows = voters == 1 && fault == Fault::Members;
            if dice.chance(enabled) || grows {
                faults.push((fault, mean * SECOND));
            }
        }
        // A cluster that shrinks and loses a disk may rightly lose its quorum: one or the other.
        if faults.iter().any(|(fault, _)| *fault == Fault::Members) {
            faults.retain(|(fault, _)| *fault != Fault::Wipe);
        }
        faults
    }

    /// All nodes there may ever be.
    pub fn nodes(&self) -> usize {
        self.voters + self.spares
    }
}
