//! The figures of the consensus group.

use super::count;
use super::text::{Kind, Observed, Page};
use consensus::{Counters, Role, Status};

/// Who leads, how far the log is, what became of the commands.
pub fn group(page: &mut Page, status: &Status, counters: &Counters) {
    leadership(page, status, counters);
    commands(page, status, counters);
    positions(page, status);
}

/// Who leads.
fn leadership(page: &mut Page, status: &Status, counters: &Counters) {
    use Kind::{Counter, Gauge};
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
    page.value(Gauge, "placement_raft_term", "Current term.", status.term);
    page.value(
        Gauge,
        "placement_log_first_index",
        "First log entry kept.",
        status.first_index,
    );
    page.value(
        Counter,
        "etcd_server_read_indexes_failed_total",
        "Linearizable reads that failed.",
        count(&counters.reads_failed),
    );
}

/// What became of commands.
fn commands(page: &mut Page, status: &Status, counters: &Counters) {
    use Kind::{Counter, Gauge};
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

/// How far the log is.
fn positions(page: &mut Page, status: &Status) {
    use Kind::Gauge;
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
