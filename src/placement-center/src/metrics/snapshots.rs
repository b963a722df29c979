//! The figures of snapshots: those sent to members that fell behind the log, and those installed here.

use super::count;
use super::text::{Kind, Page};
use crate::peer::LinkStatus;
use consensus::{Counters, SnapshotCounters, Status};

/// What became of snapshots, and those under way.
pub fn snapshots(page: &mut Page, status: &Status, counters: &Counters, links: &[LinkStatus]) {
    use Kind::{Counter, Gauge};
    type Figure = fn(&SnapshotCounters) -> f64;
    let families: [(&str, &str, Figure); 4] = [
        (
            "placement_snapshots_installed_total",
            "Snapshots that took the place of their receiver's log and state.",
            |counters| count(&counters.installed) as f64,
        ),
        (
            "placement_snapshots_failed_total",
            "Snapshots that did not: lost on the way, refused, or not needed any more.",
            |counters| count(&counters.failed) as f64,
        ),
        (
            "placement_snapshot_bytes_total",
            "Bytes of the snapshots that were installed.",
            |counters| count(&counters.bytes) as f64,
        ),
        (
            "placement_snapshot_seconds_total",
            "Time they took: from the first byte on for the sender, the installation for the receiver.",
            |counters| count(&counters.micros) as f64 / 1e6,
        ),
    ];
    for (name, help, figure) in families {
        page.family(Counter, name, help);
        for (direction, counters) in [
            ("sent", &counters.snapshots_sent),
            ("received", &counters.snapshots_received),
        ] {
            page.sample(name, &[("direction", direction)], figure(counters));
        }
    }
    let name = "placement_snapshots_in_progress";
    page.family(
        Gauge,
        name,
        "Snapshots being sent, or being installed here.",
    );
    page.sample(name, &[("direction", "sent")], status.snapshots_to.len());
    let installing = u8::from(status.installing_snapshot);
    page.sample(name, &[("direction", "received")], installing);
    under_way(page, links);
}

/// How far those are that are being sent.
fn under_way(page: &mut Page, links: &[LinkStatus]) {
    let sending = || {
        let links = links.iter();
        links.filter_map(|link| Some((link.node_id.to_string(), link.snapshot?)))
    };
    let name = "placement_snapshot_sent_bytes";
    let help = "Bytes sent so far of the snapshot under way to a member.";
    page.family(Kind::Gauge, name, help);
    for (peer, (sent, _)) in sending() {
        page.sample(name, &[("peer", &peer)], sent);
    }
    let name = "placement_snapshot_size_bytes";
    let help = "About how many bytes the snapshot under way to a member has.";
    page.family(Kind::Gauge, name, help);
    for (peer, (_, bytes)) in sending() {
        page.sample(name, &[("peer", &peer)], bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::LinkState;
    use std::sync::atomic::Ordering;

    #[test]
    fn both_ends_of_a_snapshot_are_shown() {
        let counters = Counters::default();
        let sent = &counters.snapshots_sent;
        sent.installed.store(2, Ordering::Relaxed);
        sent.bytes.store(1 << 40, Ordering::Relaxed);
        sent.micros.store(2_500_000, Ordering::Relaxed);
        let received = &counters.snapshots_received;
        received.failed.store(1, Ordering::Relaxed);
        let status = Status {
            snapshots_to: vec![3],
            ..Status::default()
        };
        let link = |node_id, snapshot| LinkStatus {
            node_id,
            address: "h:1".to_owned(),
            state: LinkState::Connected,
            dropped: 0,
            snapshot,
        };
        let mut page = Page::default();
        let links = [link(2, None), link(3, Some((5, 10)))];
        snapshots(&mut page, &status, &counters, &links);
        let text = page.finish();
        for line in [
            "placement_snapshots_installed_total{direction=\"sent\"} 2",
            "placement_snapshots_installed_total{direction=\"received\"} 0",
            "placement_snapshots_failed_total{direction=\"received\"} 1",
            "placement_snapshot_bytes_total{direction=\"sent\"} 1099511627776",
            "placement_snapshot_seconds_total{direction=\"sent\"} 2.5",
            "placement_snapshots_in_progress{direction=\"sent\"} 1",
            "placement_snapshots_in_progress{direction=\"received\"} 0",
            "placement_snapshot_sent_bytes{peer=\"3\"} 5",
            "placement_snapshot_size_bytes{peer=\"3\"} 10",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        assert!(!text.contains("{peer=\"2\"}"), "{text}");
    }
}
