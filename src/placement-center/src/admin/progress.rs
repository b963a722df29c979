//! How far the other members are, in the units of people: milliseconds instead of ticks, lag instead of
//! positions.

use super::{ProgressView, ReplicationState};
use consensus::{PeerProgress, Replication, Status};
use std::collections::BTreeMap;
use std::time::Duration;

/// The other members by number, as this node sees them; empty unless it leads. `tick` is the unit in which
/// the group counts silence. What a snapshot under way has sent, the transport knows.
pub fn progress(status: &Status, tick: Duration) -> BTreeMap<u64, ProgressView> {
    let peers = status.progress.iter();
    peers
        .map(|peer| (peer.node_id, view(peer, status.last_index, tick)))
        .collect()
}

fn view(peer: &PeerProgress, last_index: u64, tick: Duration) -> ProgressView {
    ProgressView {
        matched: peer.matched,
        lag_entries: last_index.saturating_sub(peer.matched),
        last_contact_ms: peer.silent_ticks.map(|ticks| {
            let silence = tick.saturating_mul(u32::try_from(ticks).unwrap_or(u32::MAX));
            u64::try_from(silence.as_millis()).unwrap_or(u64::MAX)
        }),
        state: match peer.replication {
            Replication::Probe => ReplicationState::Probe,
            Replication::Replicate => ReplicationState::Replicate,
            Replication::Snapshot => ReplicationState::Snapshot,
        },
        snapshot: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_milliseconds_and_positions_a_lag() {
        let seen = |matched, silent_ticks| {
            let peer = PeerProgress {
                node_id: 2,
                matched,
                replication: Replication::Probe,
                silent_ticks,
            };
            let view = view(&peer, 100, Duration::from_millis(20));
            (view.lag_entries, view.last_contact_ms)
        };
        assert_eq!(seen(93, Some(3)), (7, Some(60)));
        assert_eq!(seen(100, None), (0, None));
        // A member may be ahead of what a leader that was just elected has seen.
        assert_eq!(seen(101, Some(0)), (0, Some(0)));
        assert!(seen(0, Some(u64::MAX)).1 > Some(80_000_000_000));
    }
}
