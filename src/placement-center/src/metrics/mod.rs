//! The metrics page: names, help texts and where each figure comes from. Counting itself happens where
//! the counted thing happens.
//!
//! A figure that means the same as in etcd has etcd's name, so that dashboards and alerts made for etcd
//! work unchanged; every other name starts with `placement_`.

mod group;
mod grpc;
mod leases;
mod members;
pub mod process;
mod snapshots;
pub mod text;

pub use group::{group, syncs};
pub use grpc::{grpc_listener, rpcs};
pub use leases::leases;
pub use members::{links, members, peers};
pub use snapshots::snapshots;

use crate::kv::Published;
use std::sync::atomic::{AtomicU64, Ordering};
use text::{Kind, Page};

fn count(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
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
