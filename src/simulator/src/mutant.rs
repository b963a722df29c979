//! Planted bugs in the duties of the driver: each breaks one rule the real driver keeps. The simulator must
//! find every one of them, or it would not find the real thing either.

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A write that changes only term and vote is not synced.
    VoteNotSynced,
    /// Writes are reported durable at once and synced with a later one.
    LazySync,
    /// Writes are reported durable when they begin.
    AckBeforePersist,
    /// A failed write is reported durable, and the node goes on.
    WriteErrorIgnored,
    /// The applied position is committed first, the data it stands for afterwards.
    AppliedAheadOfData,
    /// A start replays one entry too many: the applied position is read one too low.
    AppliedTwice,
    /// The log is truncated up to the applied state instead of the flushed state.
    TruncatedPastFlushed,
    /// The watermark is saved at the durable index instead of the committed one.
    WatermarkUncommitted,
    /// A client is answered by index, whatever the term of the entry that committed there.
    ReplyByIndex,
    /// A client is answered when its entry is durable on the leader.
    ReplyBeforeCommit,
    /// A node that believes to lead answers linearizable reads without asking anyone.
    ReadWithoutRound,
    /// A read is answered when its round is confirmed, not when the index is applied.
    ReadBeforeApplied,
    /// A session read is answered at once, whatever the session has seen.
    SessionNotWaited,
    /// Proposals carry the wall clock as it is, though the log has seen later stamps.
    StampNotRaised,
    /// A truncated log forgets the newest time stamp.
    StampNotKept,
    /// A change of membership is not stored with the state.
    MembershipNotStored,
    /// A node whose disk was replaced takes part under its old id.
    WipedAdmitted,
    /// Nobody says how sending a snapshot ended, and no clock gives it up.
    SnapshotNotReported,
    /// The state machine keeps in memory what a snapshot has replaced.
    MachineNotRestored,
    /// A snapshot is reported installed before it is.
    InstallReportedEarly,
}

impl Mutant {
    /// All of them.
    pub const ALL: [Mutant; 20] = [
        Mutant::VoteNotSynced,
        Mutant::LazySync,
        Mutant::AckBeforePersist,
        Mutant::WriteErrorIgnored,
        Mutant::AppliedAheadOfData,
        Mutant::AppliedTwice,
        Mutant::TruncatedPastFlushed,
        Mutant::WatermarkUncommitted,
        Mutant::ReplyByIndex,
        Mutant::ReplyBeforeCommit,
        Mutant::ReadWithoutRound,
        Mutant::ReadBeforeApplied,
        Mutant::SessionNotWaited,
        Mutant::StampNotRaised,
        Mutant::StampNotKept,
        Mutant::MembershipNotStored,
        Mutant::WipedAdmitted,
        Mutant::SnapshotNotReported,
        Mutant::MachineNotRestored,
        Mutant::InstallReportedEarly,
    ];
}
