//! Every way a request can fail, and the one table that says how each looks to a client: gRPC code and
//! text, HTTP status and code word, what to do about it, and what became of the request.
//!
//! The texts of the etcd services are a contract: clients match on them. Two choices that the table makes:
//!
//! * "too many requests" travels as RESOURCE_EXHAUSTED. etcd lets it slip out as UNKNOWN, but its Go client
//!   recognises the text under any code, and clients that know codes alone are told to back off.
//! * An outcome that is unknown is UNAVAILABLE on the etcd services, as in etcd, whose clients do not repeat
//!   writes on it. On the native services it is DEADLINE_EXCEEDED, whose definition says that the operation
//!   may have happened, because generic gRPC clients repeat any request on UNAVAILABLE.

mod administration;

use crate::admin::AdminError;
use crate::kv;
use consensus::{ProposeError, ReadError};
use http::StatusCode;
use std::borrow::Cow;
use std::fmt;
use tonic::Code;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

/// Metadata key and HTTP header that tells what became of a request answered with an error.
pub const OUTCOME_METADATA: &str = "placement-outcome";
/// Metadata key and HTTP header that names the leader's node id when it is known.
pub const LEADER_METADATA: &str = "placement-leader";
/// Metadata key that gives the URL of the leader's gRPC API, beside [`LEADER_METADATA`].
pub const LEADER_ADDRESS_METADATA: &str = "placement-leader-address";

/// What every text of the etcd services starts with.
const ETCD_PREFIX: &str = "etcdserver: ";

/// What became of a request that was answered with an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It had no effect and never will.
    NotApplied,
    /// It may have been applied, now or later; read before retrying.
    Unknown,
    /// It was applied; what failed is something that should have followed.
    Applied,
}

impl Outcome {
    /// The value of [`OUTCOME_METADATA`].
    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::NotApplied => "not-applied",
            Outcome::Unknown => "unknown",
            Outcome::Applied => "applied",
        }
    }
}

/// Why a request got no ordinary answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The store refuses the request.
    Refused(kv::Refusal),
    /// A field holds what its description does not allow.
    Invalid(&'static str),
    /// A combination of options, or an action, that is not served.
    Unsupported(&'static str),
    /// The request grows a store that is over its quota.
    NoSpace,
    /// There are as many leases as are allowed.
    TooManyLeases,
    /// The encoded request exceeds the limit.
    TooLarge,
    /// The client asked for a member that has a leader.
    NoLeader,
    /// The client has seen a newer state than this node reached in time.
    Behind {
        /// The leader as far as this node knows.
        leader: Option<u64>,
    },
    /// An administrator's request was not carried out.
    Admin(AdminError),
    /// There is no downgrade to cancel.
    NoDowngrade,
    /// Only the leader can do it, and the client asked this member.
    NotLeading,
    /// Consensus gave the command no reply.
    Propose(ProposeError),
    /// Consensus did not let the read pass.
    Read(ReadError),
    /// The deadline passed first.
    TimedOut(Outcome),
    /// The node stops and has no time left for the request.
    Stopping(Outcome),
    /// The server ends a stream of watches, because it stops.
    WatchCanceled,
    /// The compaction is applied; the forgotten versions were not all removed before the deadline.
    SweepPending,
    /// The local store could not be read. The cause is in the log.
    Store,
    /// A bug of ours: consensus answered with the reply of another command, or a handler panicked.
    Broken,
}

/// How a failure looks to clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// gRPC code on the etcd services.
    pub code: Code,
    /// What happened, without etcd's prefix.
    pub message: Cow<'static, str>,
    /// HTTP status.
    pub status: StatusCode,
    /// Stable word for programs that speak HTTP.
    pub word: &'static str,
    /// What to do about it.
    pub hint: &'static str,
    /// What became of the request.
    pub outcome: Outcome,
    /// The leader, when the failure knows it.
    pub leader: Option<u64>,
}

const HINT_LEADER: &str = "retry at the leader, named by placement-leader when it is known";
const HINT_RETRY: &str = "retry later";
const HINT_READ_FIRST: &str = "read the key before retrying: the request may have been applied";
const HINT_FIX: &str = "correct the request";

impl Failure {
    /// The table.
    pub fn row(&self) -> Row {
        use Outcome::{NotApplied, Unknown};
        match self {
            Failure::Refused(refusal) => refused(*refusal),
            Failure::Invalid(message) => row(
                Code::InvalidArgument,
                *message,
                StatusCode::BAD_REQUEST,
                "invalid_argument",
                HINT_FIX,
            ),
            Failure::Unsupported(message) => row(
                Code::Unimplemented,
                *message,
                StatusCode::NOT_IMPLEMENTED,
                "not_supported",
                "leave the option out",
            ),
            Failure::NoSpace => no_space(),
            Failure::TooManyLeases => too_many_leases(),
            Failure::TooLarge => too_large(),
            Failure::NoLeader => {
                unavailable("no leader", "no_leader", NotApplied).with_hint(HINT_RETRY)
            }
            Failure::Behind { leader } => behind(*leader),
            Failure::Admin(error) => administration::administration(error),
            Failure::NoDowngrade => administration::no_downgrade(),
            Failure::NotLeading => administration::not_leading(),
            Failure::Propose(error) => propose(error),
            Failure::Read(error) => read(error),
            Failure::TimedOut(outcome) => unavailable("request timed out", "timed_out", *outcome)
                .with_status(StatusCode::GATEWAY_TIMEOUT),
            Failure::Stopping(outcome) => unavailable("server stopped", "stopping", *outcome),
            Failure::WatchCanceled => row(
                Code::Cancelled,
                "watch canceled",
                StatusCode::SERVICE_UNAVAILABLE,
                "watch_canceled",
                "watch again, on another member",
            ),
            Failure::SweepPending => row(
                Code::DeadlineExceeded,
                "compaction is applied, removal of the forgotten versions is still under way",
                StatusCode::GATEWAY_TIMEOUT,
                "sweep_pending",
                "nothing to do: the removal goes on in the background",
            )
            .with_outcome(Outcome::Applied),
            Failure::Store => row(
                Code::Internal,
                "the local store could not be read",
                StatusCode::INTERNAL_SERVER_ERROR,
                "store_failed",
                "see the log of this node",
            ),
            Failure::Broken => row(
                Code::Internal,
                "internal error",
                StatusCode::INTERNAL_SERVER_ERROR,
                "internal",
                "see the log of this node; this is a bug",
            )
            .with_outcome(Unknown),
        }
    }

    /// Status of the etcd services: etcd's code and exact text.
    pub fn into_etcd_status(self) -> tonic::Status {
        let row = self.row();
        tonic::Status::with_metadata(
            row.code,
            format!("{ETCD_PREFIX}{}", row.message),
            metadata(&row),
        )
    }

    /// Status of the native services.
    pub fn into_native_status(self) -> tonic::Status {
        let row = self.row();
        tonic::Status::with_metadata(row.native_code(), row.message.as_ref(), metadata(&row))
    }
}

fn no_space() -> Row {
    row(
        Code::ResourceExhausted,
        "mvcc: database space exceeded",
        StatusCode::INSUFFICIENT_STORAGE,
        "no_space",
        "delete keys and compact, or raise storage.quota_mib; the alarm clears by itself",
    )
}

fn too_many_leases() -> Row {
    row(
        Code::ResourceExhausted,
        "too many leases",
        StatusCode::TOO_MANY_REQUESTS,
        "too_many_leases",
        "revoke leases that are not needed, or raise limits.leases_max",
    )
}

fn too_large() -> Row {
    row(
        Code::InvalidArgument,
        "request is too large",
        StatusCode::PAYLOAD_TOO_LARGE,
        "request_too_large",
        "split the request, or raise limits.request_bytes_max",
    )
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.row().message)
    }
}

impl std::error::Error for Failure {}

impl From<kv::Refusal> for Failure {
    fn from(refusal: kv::Refusal) -> Self {
        Failure::Refused(refusal)
    }
}

impl From<ProposeError> for Failure {
    fn from(error: ProposeError) -> Self {
        Failure::Propose(error)
    }
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        Failure::Admin(error)
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Failure::Read(error)
    }
}

impl From<kv::ReadFailure> for Failure {
    /// Logs what the disk said: this is where it is handled, and clients get no details of it.
    fn from(failure: kv::ReadFailure) -> Self {
        if let kv::ReadFailure::Refused(refusal) = failure {
            return Failure::Refused(refusal);
        }
        let mut chain = failure.to_string();
        let mut source = std::error::Error::source(&failure);
        while let Some(error) = source {
            chain = format!("{chain}: {error}");
            source = error.source();
        }
        log::error!(target: super::server::LOG_TARGET, "a read failed: {chain}");
        Failure::Store
    }
}

impl Row {
    /// gRPC code on the native services; see the head of this file.
    pub fn native_code(&self) -> Code {
        match (self.code, self.outcome) {
            (Code::Unavailable, Outcome::Unknown) => Code::DeadlineExceeded,
            (code, _) => code,
        }
    }

    fn with_hint(self, hint: &'static str) -> Row {
        Row { hint, ..self }
    }

    fn with_status(self, status: StatusCode) -> Row {
        Row { status, ..self }
    }

    fn with_outcome(self, outcome: Outcome) -> Row {
        Row { outcome, ..self }
    }

    fn with_leader(self, leader: Option<u64>) -> Row {
        Row { leader, ..self }
    }
}

fn row(
    code: Code,
    message: impl Into<Cow<'static, str>>,
    status: StatusCode,
    word: &'static str,
    hint: &'static str,
) -> Row {
    Row {
        code,
        message: message.into(),
        status,
        word,
        hint,
        outcome: Outcome::NotApplied,
        leader: None,
    }
}

fn unavailable(message: &'static str, word: &'static str, outcome: Outcome) -> Row {
    let hint = if outcome == Outcome::Unknown {
        HINT_READ_FIRST
    } else {
        HINT_RETRY
    };
    row(
        Code::Unavailable,
        message,
        StatusCode::SERVICE_UNAVAILABLE,
        word,
        hint,
    )
    .with_outcome(outcome)
}

fn behind(leader: Option<u64>) -> Row {
    let message = "the revision demanded is not here yet";
    unavailable(message, "behind", Outcome::NotApplied)
        .with_hint(HINT_LEADER)
        .with_leader(leader)
}

fn overloaded() -> Row {
    row(
        Code::ResourceExhausted,
        "too many requests",
        StatusCode::TOO_MANY_REQUESTS,
        "overloaded",
        HINT_RETRY,
    )
}

fn refused(refusal: kv::Refusal) -> Row {
    use kv::Refusal::*;
    let (code, status, word, hint) = match refusal {
        EmptyKey | KeyNotFound | ValueProvided | LeaseProvided | DuplicateKey
        | InvalidSortOption => (
            Code::InvalidArgument,
            StatusCode::BAD_REQUEST,
            "invalid_argument",
            HINT_FIX,
        ),
        TooManyOperations => (
            Code::InvalidArgument,
            StatusCode::BAD_REQUEST,
            "too_many_operations",
            "split the transaction, or raise limits.txn_ops_max",
        ),
        Compacted => (
            Code::OutOfRange,
            StatusCode::GONE,
            "compacted",
            "read a newer revision",
        ),
        FutureRevision => (
            Code::OutOfRange,
            StatusCode::BAD_REQUEST,
            "future_revision",
            "read a revision that exists",
        ),
        LeaseNotFound => (
            Code::NotFound,
            StatusCode::NOT_FOUND,
            "lease_not_found",
            "grant the lease first",
        ),
        LeaseExists => (
            Code::FailedPrecondition,
            StatusCode::CONFLICT,
            "lease_exists",
            "choose another id, or 0 to be given one",
        ),
        LeaseTtlTooLarge => (
            Code::OutOfRange,
            StatusCode::BAD_REQUEST,
            "ttl_too_large",
            "a lease lives for 9000000000 seconds at most",
        ),
    };
    row(code, refusal.to_string(), status, word, hint)
}

fn propose(error: &ProposeError) -> Row {
    match error {
        ProposeError::Overloaded => overloaded(),
        ProposeError::TooLarge { .. } => Failure::TooLarge.row(),
        ProposeError::NotLeader { leader: None } => Failure::NoLeader.row(),
        ProposeError::NotLeader { leader } | ProposeError::Superseded { leader } => {
            unavailable("leader changed", "leader_changed", Outcome::NotApplied)
                .with_hint(HINT_LEADER)
                .with_leader(*leader)
        }
        ProposeError::OutcomeUnknown { leader } => unavailable(
            "request timed out, possibly due to previous leader failure",
            "leader_lost",
            Outcome::Unknown,
        )
        .with_leader(*leader),
        ProposeError::Stopping {
            outcome_unknown: true,
        } => Failure::Stopping(Outcome::Unknown).row(),
        ProposeError::Stopping {
            outcome_unknown: false,
        } => Failure::Stopping(Outcome::NotApplied).row(),
    }
}

fn read(error: &ReadError) -> Row {
    match error {
        ReadError::NoLeader => Failure::NoLeader.row(),
        ReadError::Overloaded => overloaded(),
        ReadError::Stopping => Failure::Stopping(Outcome::NotApplied).row(),
        ReadError::LeaderChanged => {
            unavailable("leader changed", "leader_changed", Outcome::NotApplied)
                .with_hint(HINT_RETRY)
        }
    }
}

fn metadata(row: &Row) -> MetadataMap {
    let mut metadata = MetadataMap::new();
    metadata.insert(
        OUTCOME_METADATA,
        MetadataValue::from_static(row.outcome.as_str()),
    );
    if let Some(leader) = row.leader {
        metadata.insert(LEADER_METADATA, MetadataValue::<Ascii>::from(leader));
    }
    metadata
}

#[cfg(test)]
mod tests;
