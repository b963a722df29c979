//! The figures of the leases. etcd's names where etcd has one.

use super::count;
use super::text::{Kind, Page};
use crate::lease::Published;

/// How many leases there are, and what became of others.
pub fn leases(page: &mut Page, published: &Published) {
    use Kind::{Counter, Gauge};
    let held = published.deadlines().len();
    page.value(Gauge, "placement_leases", "Leases that live.", held);
    let counters = &published.counters;
    let counted = [
        (
            "etcd_debugging_lease_granted_total",
            "Leases granted.",
            &counters.granted,
        ),
        (
            "etcd_debugging_lease_revoked_total",
            "Leases that clients revoked.",
            &counters.revoked,
        ),
        (
            "etcd_debugging_server_lease_expired_total",
            "Leases that ended because nobody renewed them.",
            &counters.expired,
        ),
        (
            "etcd_debugging_lease_renewed_total",
            "Renewals answered; the leader counts them.",
            &counters.renewed,
        ),
        (
            "placement_lease_checkpoints_total",
            "Leases whose remaining time was written down, or whose record of it was cleared; the leader counts them.",
            &counters.checkpointed,
        ),
    ];
    for (name, help, counter) in counted {
        page.value(Counter, name, help, count(counter));
    }
    let seconds = |ms: u64| ms as f64 / 1000.0;
    page.value(
        Counter,
        "placement_lease_expiry_delay_seconds_total",
        "Time between the deadlines of leases and their ends, all together; the leader counts it.",
        seconds(count(&counters.delay_ms_total)),
    );
    page.value(
        Counter,
        "placement_lease_expiry_delays_total",
        "Leases that this time is of.",
        count(&counters.delays),
    );
    page.value(
        Gauge,
        "placement_lease_expiry_delay_seconds_max",
        "The longest such time since the node started.",
        seconds(count(&counters.delay_ms_max)),
    );
}
