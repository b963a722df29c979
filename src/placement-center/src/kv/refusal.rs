//! Why a well-formed store says no. A refusal changes nothing and is an ordinary reply; it is not a
//! failure of the store. How it travels (gRPC code, HTTP status) is the business of the services.

/// A request the store refuses. `Display` is etcd's message without its `etcdserver: ` prefix,
/// because clients match on that text.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum Refusal {
    /// The key of an operation or of a comparison is empty.
    #[error("key is not provided")]
    EmptyKey,
    /// `ignore_value` or `ignore_lease` on a missing key, or an operation of a transaction that says nothing.
    #[error("key not found")]
    KeyNotFound,
    /// `ignore_value` together with a value.
    #[error("value is provided")]
    ValueProvided,
    /// `ignore_lease` together with a lease.
    #[error("lease is provided")]
    LeaseProvided,
    /// A transaction with more operations, or deeper nesting, than is allowed.
    #[error("too many operations in txn request")]
    TooManyOperations,
    /// A transaction that could change one key twice in one revision.
    #[error("duplicate key given in txn request")]
    DuplicateKey,
    /// A sort order or target that does not exist.
    #[error("invalid sort option")]
    InvalidSortOption,
    /// The revision is below the compacted one (or, for a compaction, already compacted).
    #[error("mvcc: required revision has been compacted")]
    Compacted,
    /// The revision does not exist yet.
    #[error("mvcc: required revision is a future revision")]
    FutureRevision,
    /// The lease to attach, to revoke or to renew does not exist.
    #[error("requested lease not found")]
    LeaseNotFound,
    /// A lease of that id lives.
    #[error("lease already exists")]
    LeaseExists,
    /// A TTL longer than any lease may have.
    #[error("too large lease TTL")]
    LeaseTtlTooLarge,
}
