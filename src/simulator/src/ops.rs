//! The requests of all clients, from invocation to answer.

use crate::queue::Micros;
use crate::workload::Request;
use consensus::core::Position;
use placement_center::kv::Refusal;
use placement_center::machine::Reply;
use protocol::etcdserverpb::RangeResponse;

/// Names one request.
pub(crate) type OpId = usize;

/// What a client is told.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A write was applied as the command at `slot` of the entry at `position`.
    Written {
        position: Position,
        slot: usize,
        reply: Reply,
    },
    /// A read, of the state after entry `applied`.
    Read {
        applied: u64,
        response: Result<RangeResponse, Refusal>,
    },
    /// It had no effect and never will.
    NotApplied,
    /// It may have had an effect, or may have it later.
    Unknown,
}

/// One request.
#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) client: usize,
    pub(crate) request: Request,
    /// The newest entry any client knew of when it was invoked; it must take effect behind it.
    pub(crate) floor: u64,
    /// What the client's session had seen.
    pub(crate) seen: i64,
    pub(crate) invoked: Micros,
    /// Nodes it was sent to so far.
    pub(crate) attempts: u32,
    /// The client has its answer, or gave up.
    pub(crate) done: bool,
    /// A node told the client that it was not applied.
    pub(crate) refused: bool,
}
