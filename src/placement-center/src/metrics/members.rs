//! The figures of the members: how many there are, and on the leader, how far each of the others is.

use super::text::{Kind, Page};
use crate::admin::{ProgressView, ReplicationState};
use crate::peer::{LinkState, LinkStatus};
use std::collections::BTreeMap;

/// Every way to replicate to a member, with its name as a label.
const STATES: [(ReplicationState, &str); 3] = [
    (ReplicationState::Probe, "probe"),
    (ReplicationState::Replicate, "replicate"),
    (ReplicationState::Snapshot, "snapshot"),
];

/// How many members there are.
pub fn members(page: &mut Page, voters: usize, learners: usize, change_pending: bool) {
    use Kind::Gauge;
    let name = "placement_members";
    page.family(Gauge, name, "Members by what they are in the group.");
    page.sample(name, &[("role", "voter")], voters);
    page.sample(name, &[("role", "learner")], learners);
    page.value(
        Gauge,
        "placement_membership_change_pending",
        "Whether a membership change waits for its second half.",
        u8::from(change_pending),
    );
}

/// How far the other members are; nothing to show unless this node leads.
pub fn peers(page: &mut Page, peers: &BTreeMap<u64, ProgressView>) {
    use Kind::Gauge;
    let peers: Vec<(String, &ProgressView)> = peers
        .iter()
        .map(|(id, progress)| (id.to_string(), progress))
        .collect();
    let name = "placement_peer_lag_entries";
    page.family(
        Gauge,
        name,
        "Log entries that a member lacks; the leader shows it.",
    );
    for (id, progress) in &peers {
        page.sample(name, &[("peer", id)], progress.lag_entries);
    }
    let name = "placement_peer_silent_seconds";
    page.family(
        Gauge,
        name,
        "Seconds since a member's last message; the leader shows it.",
    );
    for (id, progress) in &peers {
        if let Some(ms) = progress.last_contact_ms {
            page.sample(name, &[("peer", id)], ms as f64 / 1000.0);
        }
    }
    let name = "placement_peer_state";
    page.family(
        Gauge,
        name,
        "1 for the way in which the leader replicates to a member.",
    );
    for (id, progress) in &peers {
        for (state, label) in STATES {
            let value = u8::from(progress.state == state);
            page.sample(name, &[("peer", id), ("state", label)], value);
        }
    }
}

/// The links of this node to the others.
pub fn links(page: &mut Page, links: &[LinkStatus]) {
    let name = "placement_peer_link_up";
    page.family(
        Kind::Gauge,
        name,
        "Whether this node is connected to a member.",
    );
    for link in links {
        let up = u8::from(link.state == LinkState::Connected);
        page.sample(name, &[("peer", &link.node_id.to_string())], up);
    }
    let name = "placement_peer_messages_dropped_total";
    page.family(
        Kind::Counter,
        name,
        "Messages to a member that were dropped: no connection, or a full queue.",
    );
    for link in links {
        page.sample(name, &[("peer", &link.node_id.to_string())], link.dropped);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn progress(state: ReplicationState, last_contact_ms: Option<u64>) -> ProgressView {
        ProgressView {
            matched: 93,
            lag_entries: 7,
            last_contact_ms,
            state,
            snapshot: None,
        }
    }

    #[test]
    fn the_leader_shows_every_other_member() {
        let mut page = Page::default();
        members(&mut page, 2, 1, true);
        let others = BTreeMap::from([
            (2, progress(ReplicationState::Replicate, Some(300))),
            (3, progress(ReplicationState::Snapshot, None)),
        ]);
        peers(&mut page, &others);
        let text = page.finish();
        for line in [
            "placement_members{role=\"voter\"} 2",
            "placement_members{role=\"learner\"} 1",
            "placement_membership_change_pending 1",
            "placement_peer_lag_entries{peer=\"2\"} 7",
            "placement_peer_silent_seconds{peer=\"2\"} 0.3",
            "placement_peer_state{peer=\"2\",state=\"replicate\"} 1",
            "placement_peer_state{peer=\"2\",state=\"snapshot\"} 0",
            "placement_peer_state{peer=\"3\",state=\"snapshot\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
        let never_heard_of = "placement_peer_silent_seconds{peer=\"3\"}";
        assert!(!text.contains(never_heard_of), "{text}");
    }

    #[test]
    fn a_link_is_up_or_not_and_counts_what_it_dropped() {
        let link = |node_id, state, dropped| LinkStatus {
            node_id,
            address: "h:1".to_owned(),
            state,
            dropped,
            snapshot: None,
        };
        let mut page = Page::default();
        let shown = [
            link(2, LinkState::Connected, 0),
            link(3, LinkState::Failed("refused".to_owned()), 7),
            link(4, LinkState::Connecting, 0),
        ];
        links(&mut page, &shown);
        let text = page.finish();
        for line in [
            "placement_peer_link_up{peer=\"2\"} 1",
            "placement_peer_link_up{peer=\"3\"} 0",
            "placement_peer_link_up{peer=\"4\"} 0",
            "placement_peer_messages_dropped_total{peer=\"3\"} 7",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[test]
    fn who_does_not_lead_shows_no_other_member() {
        let mut page = Page::default();
        peers(&mut page, &BTreeMap::new());
        let text = page.finish();
        assert!(!text.contains("{peer="), "{text}");
    }
}
