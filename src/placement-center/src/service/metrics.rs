//! Counters of the gRPC services, as plain atomics: counting costs a few uncontended additions, and the
//! metrics page reads them without stopping anybody. How they are printed is the page's business.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tonic::Code;

/// The RPCs this server counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rpc {
    /// etcd: read a range.
    Range,
    /// etcd: read a range in chunks.
    RangeStream,
    /// etcd: write a key.
    Put,
    /// etcd: delete a range.
    DeleteRange,
    /// etcd: compare and operate.
    Txn,
    /// etcd: forget history.
    Compact,
    /// etcd: add a member.
    MemberAdd,
    /// etcd: remove a member.
    MemberRemove,
    /// etcd: change where a member is reached.
    MemberUpdate,
    /// etcd: make a learner a voter.
    MemberPromote,
    /// etcd: watch keys.
    Watch,
    /// etcd: make a lease.
    LeaseGrant,
    /// etcd: end a lease.
    LeaseRevoke,
    /// etcd: renew leases.
    LeaseKeepAlive,
    /// etcd: what is left of a lease.
    LeaseTimeToLive,
    /// etcd: list leases.
    LeaseLeases,
    /// etcd: list the members.
    MemberList,
    /// etcd: list alarms.
    Alarm,
    /// etcd: state of this member.
    Status,
    /// etcd: give disk space back.
    Defragment,
    /// etcd: hash of everything.
    Hash,
    /// etcd: hash of the keys and their history.
    HashKV,
    /// etcd: hand leadership over.
    MoveLeader,
    /// etcd: go back to an older version.
    Downgrade,
    /// Native: write a key.
    Set,
    /// Native: read a key.
    Get,
    /// Native: delete a key.
    Delete,
    /// Native: whether a key exists.
    Exists,
    /// Native: list keys a page at a time.
    ListPrefix,
    /// Native: many operations on one stream.
    Pipeline,
}

const RPC_COUNT: usize = 30;
/// gRPC codes are numbered from 0 (OK) to 16 (UNAUTHENTICATED).
const CODE_COUNT: usize = 17;

/// Upper bounds of the latency buckets, in microseconds; slower calls are in the count alone.
pub const LATENCY_BOUNDS_MICROS: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000,
];

impl Rpc {
    /// Every RPC, in the order of the enum.
    pub const ALL: [Rpc; RPC_COUNT] = [
        Rpc::Range,
        Rpc::RangeStream,
        Rpc::Put,
        Rpc::DeleteRange,
        Rpc::Txn,
        Rpc::Compact,
        Rpc::MemberAdd,
        Rpc::MemberRemove,
        Rpc::MemberUpdate,
        Rpc::MemberPromote,
        Rpc::Watch,
        Rpc::LeaseGrant,
        Rpc::LeaseRevoke,
        Rpc::LeaseKeepAlive,
        Rpc::LeaseTimeToLive,
        Rpc::LeaseLeases,
        Rpc::MemberList,
        Rpc::Alarm,
        Rpc::Status,
        Rpc::Defragment,
        Rpc::Hash,
        Rpc::HashKV,
        Rpc::MoveLeader,
        Rpc::Downgrade,
        Rpc::Set,
        Rpc::Get,
        Rpc::Delete,
        Rpc::Exists,
        Rpc::ListPrefix,
        Rpc::Pipeline,
    ];

    /// Full name of the service.
    pub fn service(self) -> &'static str {
        match self {
            Rpc::Range
            | Rpc::RangeStream
            | Rpc::Put
            | Rpc::DeleteRange
            | Rpc::Txn
            | Rpc::Compact => "etcdserverpb.KV",
            Rpc::MemberAdd
            | Rpc::MemberRemove
            | Rpc::MemberUpdate
            | Rpc::MemberPromote
            | Rpc::MemberList => "etcdserverpb.Cluster",
            Rpc::Watch => "etcdserverpb.Watch",
            Rpc::LeaseGrant
            | Rpc::LeaseRevoke
            | Rpc::LeaseKeepAlive
            | Rpc::LeaseTimeToLive
            | Rpc::LeaseLeases => "etcdserverpb.Lease",
            Rpc::Alarm
            | Rpc::Status
            | Rpc::Defragment
            | Rpc::Hash
            | Rpc::HashKV
            | Rpc::MoveLeader
            | Rpc::Downgrade => "etcdserverpb.Maintenance",
            Rpc::Set | Rpc::Get | Rpc::Delete | Rpc::Exists | Rpc::ListPrefix | Rpc::Pipeline => {
                "placement.v1.KvService"
            }
        }
    }

    /// Name of the method; the enum uses the names of the .proto files.
    pub fn method(self) -> String {
        format!("{self:?}")
    }

    /// `unary`, `server_stream` or `bidi_stream`, as Prometheus labels of gRPC servers have it.
    pub fn kind(self) -> &'static str {
        match self {
            Rpc::RangeStream => "server_stream",
            Rpc::LeaseKeepAlive | Rpc::Pipeline | Rpc::Watch => "bidi_stream",
            _ => "unary",
        }
    }
}

/// Figures of one RPC.
#[derive(Debug, Default)]
pub struct RpcMetrics {
    handled: [AtomicU64; CODE_COUNT],
    buckets: [AtomicU64; LATENCY_BOUNDS_MICROS.len()],
    micros_total: AtomicU64,
    started: AtomicU64,
}

impl RpcMetrics {
    /// Calls answered with `code`.
    pub fn handled(&self, code: Code) -> u64 {
        self.handled[code as usize].load(Relaxed)
    }

    /// Calls answered, whatever the code.
    pub fn handled_total(&self) -> u64 {
        self.handled.iter().map(|count| count.load(Relaxed)).sum()
    }

    /// Calls begun.
    pub fn started(&self) -> u64 {
        self.started.load(Relaxed)
    }

    /// Calls begun and not answered yet.
    pub fn in_flight(&self) -> u64 {
        // Answers are read first: a call that ends between the two reads must not make this negative.
        let handled = self.handled_total();
        self.started().saturating_sub(handled)
    }

    /// Calls in each bucket of [`LATENCY_BOUNDS_MICROS`] alone.
    pub fn latency(&self) -> [u64; LATENCY_BOUNDS_MICROS.len()] {
        std::array::from_fn(|bucket| self.buckets[bucket].load(Relaxed))
    }

    /// Time that answered calls took, together.
    pub fn micros_total(&self) -> u64 {
        self.micros_total.load(Relaxed)
    }

    pub(super) fn begin(&self) {
        self.started.fetch_add(1, Relaxed);
    }

    pub(super) fn end(&self, code: Code, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        self.micros_total.fetch_add(micros, Relaxed);
        let bucket = LATENCY_BOUNDS_MICROS.partition_point(|bound| *bound < micros);
        if let Some(bucket) = self.buckets.get(bucket) {
            bucket.fetch_add(1, Relaxed);
        }
        self.handled[code as usize].fetch_add(1, Relaxed);
    }
}

/// Figures of all gRPC services of this node.
#[derive(Debug, Default)]
pub struct Metrics {
    rpcs: [RpcMetrics; RPC_COUNT],
    /// Operations of Pipeline streams answered with a result.
    pub pipeline_operations: AtomicU64,
    /// Operations of Pipeline streams answered with an error.
    pub pipeline_errors: AtomicU64,
    /// Connections open now.
    pub connections: AtomicU64,
    /// Connections accepted since start.
    pub connections_accepted: AtomicU64,
    /// Connections closed because they did not speak HTTP/2 in time.
    pub handshakes_timed_out: AtomicU64,
    /// Handlers that panicked.
    pub panics: AtomicU64,
}

impl Metrics {
    /// Figures of one RPC.
    pub fn rpc(&self, rpc: Rpc) -> &RpcMetrics {
        &self.rpcs[rpc as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rpc_is_listed_at_its_own_place() {
        for (place, rpc) in Rpc::ALL.into_iter().enumerate() {
            assert_eq!(rpc as usize, place, "{rpc:?}");
        }
    }

    #[test]
    fn a_call_is_counted_once_in_its_bucket_and_under_its_code() {
        let metrics = Metrics::default();
        let put = metrics.rpc(Rpc::Put);
        put.begin();
        put.begin();
        put.begin();
        put.end(Code::Ok, Duration::from_micros(250));
        put.end(Code::Unauthenticated, Duration::from_secs(60));
        assert_eq!(
            (
                put.handled(Code::Ok),
                put.handled(Code::Unauthenticated),
                put.handled_total()
            ),
            (1, 1, 2)
        );
        assert_eq!((put.started(), put.in_flight()), (3, 1));
        assert_eq!(put.latency()[..3], [0, 1, 0]);
        assert_eq!(
            put.latency().iter().sum::<u64>(),
            1,
            "a minute is beyond the last bound"
        );
        assert_eq!(put.micros_total(), 60_000_250);
        assert_eq!(metrics.rpc(Rpc::Range).started(), 0);
    }
}
