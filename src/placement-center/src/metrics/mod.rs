//! The metrics page: names, help texts and where each figure comes from. Counting itself happens where
//! the counted thing happens.
//!
//! A figure that means the same as in etcd has etcd's name, so that dashboards and alerts made for etcd
//! work unchanged; every other name starts with `placement_`.

pub mod process;
pub mod text;

use crate::kv::Published;
use consensus::{Counters, Role, Status};
use std::sync::atomic::{AtomicU64, Ordering};
use text::{Kind, Page};

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
        published.compacted_revision(),
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
