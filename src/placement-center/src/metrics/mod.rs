//! The metrics page: names, help texts and where each figure comes from. Counting itself happens where
//! the counted thing happens.
//!
//! A figure that means the same as in etcd has etcd's name, so that dashboards and alerts made for etcd
//! work unchanged; every other name starts with `placement_`.

pub mod process;
pub mod text;

use crate::kv::Published;
use crate::service::metrics::{LATENCY_BOUNDS_MICROS, Metrics, Rpc};
use consensus::{Counters, Role, Status};
use std::sync::atomic::{AtomicU64, Ordering};
use text::{Kind, Observed, Page};
use tonic::Code;

const MICROS_PER_SECOND: f64 = 1e6;

/// gRPC codes under the names that Go servers give them in metrics.
const CODES: &[(Code, &str)] = &[
    (Code::Ok, "OK"),
    (Code::Cancelled, "Canceled"),
    (Code::Unknown, "Unknown"),
    (Code::InvalidArgument, "InvalidArgument"),
    (Code::DeadlineExceeded, "DeadlineExceeded"),
    (Code::NotFound, "NotFound"),
    (Code::AlreadyExists, "AlreadyExists"),
    (Code::PermissionDenied, "PermissionDenied"),
    (Code::ResourceExhausted, "ResourceExhausted"),
    (Code::FailedPrecondition, "FailedPrecondition"),
    (Code::Aborted, "Aborted"),
    (Code::OutOfRange, "OutOfRange"),
    (Code::Unimplemented, "Unimplemented"),
    (Code::Internal, "Internal"),
    (Code::Unavailable, "Unavailable"),
    (Code::DataLoss, "DataLoss"),
    (Code::Unauthenticated, "Unauthenticated"),
];

/// The figures of the consensus group.
pub fn consensus(page: &mut Page, status: &Status, counters: &Counters) {
    use Kind::{Counter, Gauge};
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let leads = u8::from(status.role == Role::Leader);
    let learner = u8::from(status.learners.contains(&status.node_id));
    page.value(
        Gauge,
        "etcd_server_has_leader",
        "Whether a leader is known.",
        u8::from(status.leader.is_some()),
    );
    page.value(
        Gauge,
        "etcd_server_is_leader",
        "Whether this node leads.",
        leads,
    );
    page.value(
        Gauge,
        "etcd_server_is_learner",
        "Whether this node is a learner.",
        learner,
    );
    page.value(
        Counter,
        "etcd_server_leader_changes_seen_total",
        "Leader changes this node saw.",
        count(&counters.leader_changes),
    );
    page.value(
        Gauge,
        "etcd_server_proposals_committed_total",
        "Index of the last committed log entry.",
        status.committed_index,
    );
    page.value(
        Gauge,
        "etcd_server_proposals_applied_total",
        "Index of the last applied log entry.",
        status.applied_index,
    );
    page.value(
        Gauge,
        "etcd_server_proposals_pending",
        "Commands admitted and not yet answered.",
        status.proposals_pending,
    );
    page.value(
        Counter,
        "etcd_server_proposals_failed_total",
        "Commands answered with an error after admission.",
        count(&counters.proposals_failed),
    );
    page.value(
        Counter,
        "etcd_server_slow_apply_total",
        "Batches whose application took longer than 100 ms.",
        count(&counters.slow_applies),
    );
    page.value(
        Counter,
        "etcd_server_read_indexes_failed_total",
        "Linearizable reads that failed.",
        count(&counters.reads_failed),
    );
    page.value(Gauge, "placement_raft_term", "Current term.", status.term);
    page.value(
        Gauge,
        "placement_log_first_index",
        "First log entry kept.",
        status.first_index,
    );
    page.value(
        Gauge,
        "placement_log_last_index",
        "Last log entry written.",
        status.last_index,
    );
    page.value(
        Gauge,
        "placement_log_persisted_index",
        "Last log entry durable on this node.",
        status.persisted_index,
    );
    page.value(
        Gauge,
        "placement_state_flushed_index",
        "Last log entry whose effect a crash now would keep without replay.",
        status.flushed_index,
    );
    page.value(
        Counter,
        "placement_commands_committed_total",
        "Commands in log entries committed since start.",
        count(&counters.proposals_committed),
    );
    page.value(
        Counter,
        "placement_commands_applied_total",
        "Commands applied since start, replay included.",
        count(&counters.proposals_applied),
    );
}

/// How long the log takes to become durable.
pub fn syncs(page: &mut Page, counters: &Counters) {
    let read = counters.sync_duration.read();
    let finite = read
        .buckets
        .into_iter()
        .filter(|(bound, _)| bound.is_finite());
    let observed = Observed {
        cumulative: finite.collect(),
        sum: read.sum_seconds,
        count: read.count,
    };
    let name = "etcd_disk_wal_fsync_duration_seconds";
    page.histogram_family(name, "Time to sync the log.");
    page.histogram(name, &[], &observed);
}

/// The figures of the gRPC services.
pub fn rpcs(page: &mut Page, metrics: &Metrics) {
    let labels = Rpc::ALL.map(|rpc| (rpc, rpc.service(), rpc.method(), rpc.kind()));
    let name = "grpc_server_handled_total";
    page.family(Kind::Counter, name, "RPCs answered, by code.");
    for (rpc, service, method, kind) in &labels {
        for (code, code_name) in CODES {
            let count = metrics.rpc(*rpc).handled(*code);
            // OK is always there, so that a rate can be taken from the first scrape on.
            if count > 0 || *code == Code::Ok {
                let labels = [
                    ("grpc_code", *code_name),
                    ("grpc_method", method),
                    ("grpc_service", service),
                    ("grpc_type", kind),
                ];
                page.sample(name, &labels, count);
            }
        }
    }
    let name = "grpc_server_started_total";
    page.family(Kind::Counter, name, "RPCs begun.");
    for (rpc, service, method, kind) in &labels {
        let labels = [
            ("grpc_method", method.as_str()),
            ("grpc_service", service),
            ("grpc_type", kind),
        ];
        page.sample(name, &labels, metrics.rpc(*rpc).started());
    }
    let name = "grpc_server_handling_seconds";
    page.histogram_family(name, "Time from the request to its answer.");
    for (rpc, service, method, kind) in &labels {
        let figures = metrics.rpc(*rpc);
        if figures.started() == 0 {
            continue;
        }
        let labels = [
            ("grpc_method", method.as_str()),
            ("grpc_service", service),
            ("grpc_type", kind),
        ];
        let observed = Observed {
            cumulative: cumulative(figures.latency()),
            sum: figures.micros_total() as f64 / MICROS_PER_SECOND,
            count: figures.handled_total(),
        };
        page.histogram(name, &labels, &observed);
    }
}

fn cumulative<const N: usize>(alone: [u64; N]) -> Vec<(f64, u64)> {
    let bounds = LATENCY_BOUNDS_MICROS
        .iter()
        .map(|micros| *micros as f64 / MICROS_PER_SECOND);
    let below = alone.iter().scan(0, |sum, count| {
        *sum += count;
        Some(*sum)
    });
    bounds.zip(below).collect()
}

/// What else the gRPC listener counts.
pub fn grpc_listener(page: &mut Page, metrics: &Metrics) {
    use Kind::{Counter, Gauge};
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    page.value(
        Counter,
        "placement_pipeline_operations_total",
        "Operations of Pipeline streams answered with a result.",
        count(&metrics.pipeline_operations),
    );
    page.value(
        Counter,
        "placement_pipeline_errors_total",
        "Operations of Pipeline streams answered with an error.",
        count(&metrics.pipeline_errors),
    );
    page.value(
        Gauge,
        "placement_grpc_connections",
        "Open gRPC connections.",
        count(&metrics.connections),
    );
    page.value(
        Counter,
        "placement_grpc_connections_accepted_total",
        "gRPC connections accepted.",
        count(&metrics.connections_accepted),
    );
    page.value(
        Counter,
        "placement_grpc_handshakes_timed_out_total",
        "Connections closed because they did not speak HTTP/2 in time.",
        count(&metrics.handshakes_timed_out),
    );
    page.value(
        Counter,
        "placement_grpc_panics_total",
        "gRPC handlers that panicked.",
        count(&metrics.panics),
    );
}

/// The figures of the key-value store. `disk_bytes` is absent when it could not be measured.
pub fn store(page: &mut Page, published: &Published, quota_bytes: u64, disk_bytes: Option<u64>) {
    use Kind::Gauge;
    if let Some(bytes) = disk_bytes {
        page.value(
            Gauge,
            "etcd_mvcc_db_total_size_in_bytes",
            "Bytes of the state on disk.",
            bytes,
        );
    }
    page.value(
        Gauge,
        "etcd_mvcc_db_total_size_in_use_in_bytes",
        "Logical bytes of all retained versions; what the quota counts.",
        published.logical_bytes(),
    );
    page.value(
        Gauge,
        "etcd_server_quota_backend_bytes",
        "Logical bytes above which writes that grow the store are refused.",
        quota_bytes,
    );
    page.value(
        Gauge,
        "etcd_debugging_mvcc_keys_total",
        "Living keys.",
        published.keys(),
    );
    page.value(
        Gauge,
        "etcd_debugging_mvcc_current_revision",
        "Newest revision.",
        published.revision(),
    );
    page.value(
        Gauge,
        "etcd_debugging_mvcc_compact_revision",
        "Revision up to which history is compacted.",
        published.compacted_revision().max(0),
    );
}

/// The figures of the process.
pub fn process(page: &mut Page) {
    use Kind::{Counter, Gauge};
    let usage = process::usage();
    if let Some(bytes) = usage.resident_bytes {
        page.value(
            Gauge,
            "process_resident_memory_bytes",
            "Resident memory.",
            bytes,
        );
    }
    if let Some(seconds) = usage.cpu_seconds {
        page.value(
            Counter,
            "process_cpu_seconds_total",
            "User and system processor time.",
            seconds,
        );
    }
    if let Some(files) = usage.open_files {
        page.value(Gauge, "process_open_fds", "Open file descriptors.", files);
    }
    if let Some(files) = usage.open_files_max {
        page.value(
            Gauge,
            "process_max_fds",
            "Limit of open file descriptors.",
            files,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_name() {
        for number in 0..=16 {
            let code = Code::from_i32(number);
            assert_eq!(
                CODES.iter().filter(|(listed, _)| *listed == code).count(),
                1,
                "{code:?}"
            );
        }
    }

    #[test]
    fn latencies_add_up() {
        let mut alone = [0; LATENCY_BOUNDS_MICROS.len()];
        (alone[0], alone[2]) = (3, 4);
        let sums = cumulative(alone);
        assert_eq!(sums[..3], [(0.0001, 3), (0.00025, 3), (0.0005, 7)]);
        assert_eq!(sums.last().map(|(_, count)| *count), Some(7));
    }
}
