//! The whole table, row by row. A new failure does not compile here until it has its row.

use super::*;
use crate::admin::MemberRef;
use kv::Refusal;

/// (failure, gRPC code on etcd services, text there, HTTP status, word, outcome, leader).
type Expected = (
    Failure,
    Code,
    &'static str,
    u16,
    &'static str,
    Outcome,
    Option<u64>,
);

#[rustfmt::skip]
fn table() -> Vec<Expected> {
    use Code::*;
    use Outcome::{Applied, NotApplied};
    let refused = |refusal, code, text, status, word| (Failure::Refused(refusal), code, text, status, word, NotApplied, None);
    let lost = |leader| ProposeError::OutcomeUnknown { leader };
    let not_leader = |leader| ProposeError::NotLeader { leader };
    let stopping = |outcome_unknown| ProposeError::Stopping { outcome_unknown };
    vec![
        refused(Refusal::EmptyKey, InvalidArgument, "etcdserver: key is not provided", 400, "invalid_argument"),
        refused(Refusal::KeyNotFound, InvalidArgument, "etcdserver: key not found", 400, "invalid_argument"),
        refused(Refusal::ValueProvided, InvalidArgument, "etcdserver: value is provided", 400, "invalid_argument"),
        refused(Refusal::LeaseProvided, InvalidArgument, "etcdserver: lease is provided", 400, "invalid_argument"),
        refused(Refusal::TooManyOperations, InvalidArgument, "etcdserver: too many operations in txn request", 400, "too_many_operations"),
        refused(Refusal::DuplicateKey, InvalidArgument, "etcdserver: duplicate key given in txn request", 400, "invalid_argument"),
        refused(Refusal::InvalidSortOption, InvalidArgument, "etcdserver: invalid sort option", 400, "invalid_argument"),
        refused(Refusal::Compacted, OutOfRange, "etcdserver: mvcc: required revision has been compacted", 410, "compacted"),
        refused(Refusal::FutureRevision, OutOfRange, "etcdserver: mvcc: required revision is a future revision", 400, "future_revision"),
        refused(Refusal::LeaseNotFound, NotFound, "etcdserver: requested lease not found", 404, "lease_not_found"),
        refused(Refusal::LeaseExists, FailedPrecondition, "etcdserver: lease already exists", 409, "lease_exists"),
        refused(Refusal::LeaseTtlTooLarge, OutOfRange, "etcdserver: too large lease TTL", 400, "ttl_too_large"),
        (Failure::Invalid("no"), InvalidArgument, "etcdserver: no", 400, "invalid_argument", NotApplied, None),
        (Failure::Unsupported("no"), Unimplemented, "etcdserver: no", 501, "not_supported", NotApplied, None),
        (Failure::NoSpace, ResourceExhausted, "etcdserver: mvcc: database space exceeded", 507, "no_space", NotApplied, None),
        (Failure::TooManyLeases, ResourceExhausted, "etcdserver: too many leases", 429, "too_many_leases", NotApplied, None),
        (Failure::TooLarge, InvalidArgument, "etcdserver: request is too large", 413, "request_too_large", NotApplied, None),
        (Failure::NoLeader, Unavailable, "etcdserver: no leader", 503, "no_leader", NotApplied, None),
        (Failure::Behind { leader: None }, Unavailable, "etcdserver: the revision demanded is not here yet", 503, "behind", NotApplied, None),
        (Failure::Behind { leader: Some(3) }, Unavailable, "etcdserver: the revision demanded is not here yet", 503, "behind", NotApplied, Some(3)),
        (AdminError::NotFound(MemberRef::Id(4)).into(), NotFound, "etcdserver: member not found", 404, "member_not_found", NotApplied, None),
        (AdminError::BadAddress("no".to_owned()).into(), InvalidArgument, "etcdserver: given member URLs are invalid", 400, "bad_address", NotApplied, None),
        (AdminError::AddressTaken { address: "a:1".to_owned(), id: 4 }.into(), FailedPrecondition, "etcdserver: Peer URLs already exists", 409, "refused", NotApplied, None),
        (AdminError::NotLearner(4).into(), FailedPrecondition, "etcdserver: can only promote a learner member", 409, "refused", NotApplied, None),
        (AdminError::Behind(4).into(), FailedPrecondition, "etcdserver: can only promote a learner member which is in sync with leader", 409, "refused", NotApplied, None),
        (AdminError::QuorumAtRisk("few".to_owned()).into(), FailedPrecondition, "etcdserver: re-configuration failed due to not enough started members", 409, "refused", NotApplied, None),
        (AdminError::CannotLead(4).into(), FailedPrecondition, "etcdserver: bad leader transferee", 409, "refused", NotApplied, None),
        (AdminError::Refused("no".to_owned()).into(), FailedPrecondition, "etcdserver: no", 409, "refused", NotApplied, None),
        (AdminError::Busy.into(), Unavailable, "etcdserver: another membership change is under way", 503, "change_pending", NotApplied, None),
        (AdminError::NoLeader.into(), Unavailable, "etcdserver: no leader", 503, "no_leader", NotApplied, None),
        (AdminError::Unknown("lost".to_owned()).into(), Unavailable, "etcdserver: request timed out", 504, "timed_out", Outcome::Unknown, None),
        (Failure::NoDowngrade, FailedPrecondition, "etcdserver: no inflight downgrade job", 409, "refused", NotApplied, None),
        (Failure::NotLeading, FailedPrecondition, "etcdserver: not leader", 409, "not_leader", NotApplied, None),
        (ProposeError::Overloaded.into(), ResourceExhausted, "etcdserver: too many requests", 429, "overloaded", NotApplied, None),
        (ProposeError::TooLarge { bytes: 2, bytes_max: 1 }.into(), InvalidArgument, "etcdserver: request is too large", 413, "request_too_large", NotApplied, None),
        (not_leader(None).into(), Unavailable, "etcdserver: no leader", 503, "no_leader", NotApplied, None),
        (not_leader(Some(3)).into(), Unavailable, "etcdserver: leader changed", 503, "leader_changed", NotApplied, Some(3)),
        (ProposeError::Superseded { leader: None }.into(), Unavailable, "etcdserver: leader changed", 503, "leader_changed", NotApplied, None),
        (ProposeError::Superseded { leader: Some(3) }.into(), Unavailable, "etcdserver: leader changed", 503, "leader_changed", NotApplied, Some(3)),
        (lost(None).into(), Unavailable, "etcdserver: request timed out, possibly due to previous leader failure", 503, "leader_lost", Outcome::Unknown, None),
        (lost(Some(3)).into(), Unavailable, "etcdserver: request timed out, possibly due to previous leader failure", 503, "leader_lost", Outcome::Unknown, Some(3)),
        (stopping(true).into(), Unavailable, "etcdserver: server stopped", 503, "stopping", Outcome::Unknown, None),
        (stopping(false).into(), Unavailable, "etcdserver: server stopped", 503, "stopping", NotApplied, None),
        (ReadError::NoLeader.into(), Unavailable, "etcdserver: no leader", 503, "no_leader", NotApplied, None),
        (ReadError::Overloaded.into(), ResourceExhausted, "etcdserver: too many requests", 429, "overloaded", NotApplied, None),
        (ReadError::Stopping.into(), Unavailable, "etcdserver: server stopped", 503, "stopping", NotApplied, None),
        (ReadError::LeaderChanged.into(), Unavailable, "etcdserver: leader changed", 503, "leader_changed", NotApplied, None),
        (Failure::TimedOut(NotApplied), Unavailable, "etcdserver: request timed out", 504, "timed_out", NotApplied, None),
        (Failure::TimedOut(Outcome::Unknown), Unavailable, "etcdserver: request timed out", 504, "timed_out", Outcome::Unknown, None),
        (Failure::Stopping(NotApplied), Unavailable, "etcdserver: server stopped", 503, "stopping", NotApplied, None),
        (Failure::Stopping(Outcome::Unknown), Unavailable, "etcdserver: server stopped", 503, "stopping", Outcome::Unknown, None),
        (Failure::WatchCanceled, Cancelled, "etcdserver: watch canceled", 503, "watch_canceled", NotApplied, None),
        (Failure::SweepPending, DeadlineExceeded, "etcdserver: compaction is applied, removal of the forgotten versions is still under way", 504, "sweep_pending", Applied, None),
        (Failure::Store, Internal, "etcdserver: the local store could not be read", 500, "store_failed", NotApplied, None),
        (Failure::Broken, Internal, "etcdserver: internal error", 500, "internal", Outcome::Unknown, None),
    ]
}

/// What the table lists a failure by. Without a wildcard, so that the compiler asks for new ones.
fn kind(failure: &Failure) -> &'static str {
    match failure {
        Failure::Refused(refusal) => match refusal {
            Refusal::EmptyKey => "refused: empty key",
            Refusal::KeyNotFound => "refused: key not found",
            Refusal::ValueProvided => "refused: value provided",
            Refusal::LeaseProvided => "refused: lease provided",
            Refusal::TooManyOperations => "refused: too many operations",
            Refusal::DuplicateKey => "refused: duplicate key",
            Refusal::InvalidSortOption => "refused: invalid sort option",
            Refusal::Compacted => "refused: compacted",
            Refusal::FutureRevision => "refused: future revision",
            Refusal::LeaseNotFound => "refused: lease not found",
            Refusal::LeaseExists => "refused: lease exists",
            Refusal::LeaseTtlTooLarge => "refused: lease ttl too large",
        },
        Failure::Invalid(_) => "invalid",
        Failure::Unsupported(_) => "unsupported",
        Failure::NoSpace => "no space",
        Failure::TooManyLeases => "too many leases",
        Failure::TooLarge => "too large",
        Failure::NoLeader => "no leader",
        Failure::Behind { .. } => "behind",
        Failure::Admin(error) => match error {
            AdminError::NotFound(_) => "admin: not found",
            AdminError::BadAddress(_) => "admin: bad address",
            AdminError::AddressTaken { .. } => "admin: address taken",
            AdminError::NotLearner(_) => "admin: not learner",
            AdminError::Behind(_) => "admin: behind",
            AdminError::QuorumAtRisk(_) => "admin: quorum at risk",
            AdminError::CannotLead(_) => "admin: cannot lead",
            AdminError::Refused(_) => "admin: refused",
            AdminError::Busy => "admin: busy",
            AdminError::NoLeader => "admin: no leader",
            AdminError::Unknown(_) => "admin: unknown",
        },
        Failure::NoDowngrade => "no downgrade",
        Failure::NotLeading => "not leading",
        Failure::Propose(error) => match error {
            ProposeError::Overloaded => "propose: overloaded",
            ProposeError::NotLeader { .. } => "propose: not leader",
            ProposeError::TooLarge { .. } => "propose: too large",
            ProposeError::Superseded { .. } => "propose: superseded",
            ProposeError::OutcomeUnknown { .. } => "propose: outcome unknown",
            ProposeError::Stopping { .. } => "propose: stopping",
        },
        Failure::Read(error) => match error {
            ReadError::NoLeader => "read: no leader",
            ReadError::Overloaded => "read: overloaded",
            ReadError::Stopping => "read: stopping",
            ReadError::LeaderChanged => "read: leader changed",
        },
        Failure::TimedOut(_) => "timed out",
        Failure::Stopping(_) => "stopping",
        Failure::WatchCanceled => "watch canceled",
        Failure::SweepPending => "sweep pending",
        Failure::Store => "store",
        Failure::Broken => "broken",
    }
}

/// Arms of [`kind`]: whoever adds one there adds rows above.
const KINDS: usize = 48;

#[test]
fn every_failure_looks_as_the_table_says() {
    let table = table();
    for (failure, code, text, status, word, outcome, leader) in &table {
        let row = failure.row();
        assert_eq!(
            (row.status.as_u16(), row.word, row.outcome, row.leader),
            (*status, *word, *outcome, *leader),
            "{failure:?}"
        );
        assert!(!row.hint.is_empty(), "{failure:?}");
        let status = failure.clone().into_etcd_status();
        assert_eq!(
            (status.code(), status.message()),
            (*code, *text),
            "{failure:?}"
        );
        let metadata = |name: &str| {
            status
                .metadata()
                .get(name)
                .map(|value| value.to_str().expect("ascii").to_owned())
        };
        assert_eq!(
            metadata(OUTCOME_METADATA).as_deref(),
            Some(outcome.as_str()),
            "{failure:?}"
        );
        assert_eq!(
            metadata(LEADER_METADATA),
            leader.map(|id| id.to_string()),
            "{failure:?}"
        );
    }
    let mut kinds: Vec<_> = table.iter().map(|row| kind(&row.0)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(kinds.len(), KINDS, "{kinds:?}");
}

#[test]
fn native_clients_never_see_unavailable_for_what_may_have_happened() {
    for (failure, code, text, ..) in table() {
        let (row, status) = (failure.row(), failure.clone().into_native_status());
        assert_eq!(
            status.message(),
            text.strip_prefix("etcdserver: ")
                .expect("every text has it")
        );
        assert!(
            status.metadata().contains_key(OUTCOME_METADATA),
            "{failure:?}"
        );
        if row.outcome == Outcome::NotApplied {
            assert_eq!(status.code(), code, "{failure:?}");
        } else {
            assert!(
                !matches!(
                    status.code(),
                    Code::Unavailable | Code::Aborted | Code::ResourceExhausted
                ),
                "{failure:?}"
            );
        }
    }
}

#[test]
fn no_applied_request_is_called_unavailable() {
    for (failure, code, .., outcome, _) in table() {
        assert!(
            outcome != Outcome::Applied || code != Code::Unavailable,
            "{failure:?}"
        );
    }
}
