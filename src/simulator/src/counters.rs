//! What a run met: faults that really took effect, and work that was done. A fault that is never observed
//! tests nothing, so the suite fails when one stays at zero.

use std::fmt;

/// Something worth counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Count {
    /// Events handled.
    Events,
    /// Elections won.
    Elections,
    /// Entries committed.
    Committed,
    /// Writes acknowledged to a client.
    WritesAcknowledged,
    /// Writes whose outcome the client never learnt.
    WritesUnknown,
    /// Writes that a client was told are not applied.
    WritesNotApplied,
    /// Linearizable reads answered.
    LinearizableReads,
    /// Linearizable reads answered by a node that does not lead.
    FollowerReads,
    /// Serializable reads answered.
    SerializableReads,
    /// Session reads answered.
    SessionReads,
    /// Session reads that had to wait for the state.
    SessionWaits,
    /// Truncations of a log.
    Truncations,
    /// Messages lost at random.
    Lost,
    /// Messages delivered twice.
    Duplicated,
    /// Messages that overtook another one of their link.
    Reordered,
    /// Messages that took very long.
    Delayed,
    /// Messages lost in a symmetric partition.
    CutBothWays,
    /// Messages lost on a link that works in the other direction.
    CutOneWay,
    /// Messages lost in a partition where one node still reaches both sides.
    CutBridge,
    /// Messages held up by a clogged link and delivered together.
    Clogged,
    /// Crashes at a random time.
    CrashAnytime,
    /// Power failures during a storage operation.
    CrashAtStorage,
    /// Crashes right after a message was sent.
    CrashAfterSend,
    /// Crashes right after a vote was cast.
    CrashAfterVote,
    /// Crashes between a committed batch and its report.
    CrashBetweenBatches,
    /// Crashes while a node starts.
    CrashDuringStart,
    /// Crashes that kept everything written: the process alone died.
    ProcessKilled,
    /// Crashes that lost everything unsynced while a write was under way.
    UnsyncedLost,
    /// Crashes that kept a part of what was unsynced while a write was under way.
    TailTorn,
    /// Power failures of all nodes at once.
    PowerFailedEverywhere,
    /// Errors of the device.
    DeviceErrors,
    /// Full disks.
    DiskFull,
    /// Writes that took very long.
    SlowWrites,
    /// Pauses of a node.
    Paused,
    /// Nodes whose ticks were too fast or too slow.
    TicksOffRate,
    /// Jumps of a wall clock.
    WallClockJumps,
    /// Changes of membership that took effect.
    MembersChanged,
    /// Changes through a joint membership.
    JointChanges,
    /// Nodes that joined as learners.
    LearnersAdded,
    /// Learners that became voters.
    Promotions,
    /// Members that left.
    Removals,
    /// Leaders asked to hand leadership over.
    Transfers,
    /// Crashes when a change of membership was handed out or applied.
    CrashAtChange,
    /// Disks replaced by empty ones.
    Wiped,
    /// Messages of a node with an empty disk under an old id, refused.
    WipedRefused,
    /// Snapshots that set out.
    SnapshotsSent,
    /// Snapshots that did not arrive.
    SnapshotsFailed,
    /// Snapshots that were installed.
    SnapshotsInstalled,
    /// Crashes of a node while it received a snapshot.
    CrashWhileReceiving,
    /// Crashes right before or right after a snapshot was installed.
    CrashAtInstall,
}

impl Count {
    /// All of them.
    pub const ALL: [Count; 50] = [
        Count::Events,
        Count::Elections,
        Count::Committed,
        Count::WritesAcknowledged,
        Count::WritesUnknown,
        Count::WritesNotApplied,
        Count::LinearizableReads,
        Count::FollowerReads,
        Count::SerializableReads,
        Count::SessionReads,
        Count::SessionWaits,
        Count::Truncations,
        Count::Lost,
        Count::Duplicated,
        Count::Reordered,
        Count::Delayed,
        Count::CutBothWays,
        Count::CutOneWay,
        Count::CutBridge,
        Count::Clogged,
        Count::CrashAnytime,
        Count::CrashAtStorage,
        Count::CrashAfterSend,
        Count::CrashAfterVote,
        Count::CrashBetweenBatches,
        Count::CrashDuringStart,
        Count::ProcessKilled,
        Count::UnsyncedLost,
        Count::TailTorn,
        Count::PowerFailedEverywhere,
        Count::DeviceErrors,
        Count::DiskFull,
        Count::SlowWrites,
        Count::Paused,
        Count::TicksOffRate,
        Count::WallClockJumps,
        Count::MembersChanged,
        Count::JointChanges,
        Count::LearnersAdded,
        Count::Promotions,
        Count::Removals,
        Count::Transfers,
        Count::CrashAtChange,
        Count::Wiped,
        Count::WipedRefused,
        Count::SnapshotsSent,
        Count::SnapshotsFailed,
        Count::SnapshotsInstalled,
        Count::CrashWhileReceiving,
        Count::CrashAtInstall,
    ];
}

/// The counts of one run, or of many.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counters([u64; Count::ALL.len()]);

impl Default for Counters {
    fn default() -> Self {
        Counters([0; Count::ALL.len()])
    }
}

impl Counters {
    pub(crate) fn add(&mut self, count: Count) {
        self.0[count as usize] += 1;
    }

    /// How often it was seen.
    pub fn get(&self, count: Count) -> u64 {
        self.0[count as usize]
    }

    /// Adds the counts of another run.
    pub fn merge(&mut self, other: &Counters) {
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine += theirs;
        }
    }

    /// What was never seen.
    pub fn unseen(&self) -> Vec<Count> {
        Count::ALL
            .into_iter()
            .filter(|count| self.get(*count) == 0)
            .collect()
    }
}

impl fmt::Display for Counters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for count in Count::ALL {
            write!(f, "{count:?} {}, ", self.get(count))?;
        }
        Ok(())
    }
}
