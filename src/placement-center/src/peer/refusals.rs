//! What the log says of refused connections: each peer and reason once, until the peer is let in, however often it
//! tries; and little, however many peers and reasons somebody makes up.

use parking_lot::Mutex;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// Different refusals remembered: far more than a cluster with its mistakes ever has.
const REFUSALS_MAX: usize = 256;
/// Beyond those, one line is logged in this time.
const OVERFLOW_PERIOD: Duration = Duration::from_secs(60);

/// Refusals that were logged.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// Where it came from, the node it said it is (0 if none), and why it was refused.
    logged: BTreeSet<(IpAddr, u64, String)>,
    /// Refusals since the last line, once there is no room to remember more.
    overflown: u64,
    overflow_logged: Option<Instant>,
}

impl Refusals {
    /// A peer was refused; the line to log, if any.
    pub(super) fn refused(
        &self,
        address: IpAddr,
        from: u64,
        reason: &str,
        now: Instant,
    ) -> Option<String> {
        let known = &mut *self.0.lock();
        let refusal = (address, from, reason.to_owned());
        if known.logged.contains(&refusal) {
            return None;
        }
        let line = match from {
            0 => format!("a connection from {address} was refused: {reason}"),
            from => format!("a connection of node {from} from {address} was refused: {reason}"),
        };
        if known.logged.len() < REFUSALS_MAX {
            known.logged.insert(refusal);
            return Some(line);
        }
        known.overflown += 1;
        let is_early = |logged| now.duration_since(logged) < OVERFLOW_PERIOD;
        if known.overflow_logged.is_some_and(is_early) {
            return None;
        }
        known.overflow_logged = Some(now);
        let count = std::mem::take(&mut known.overflown);
        Some(format!("{line} ({count} such since the last line)"))
    }

    /// A peer was let in: what is wrong with it later is news.
    pub(super) fn admitted(&self, address: IpAddr, from: u64) {
        let logged = &mut self.0.lock().logged;
        logged.retain(|(known, node, _)| (*known, *node) != (address, from));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn each_peer_and_reason_is_logged_once_until_the_peer_is_let_in() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let refused = |from, reason: &str| refusals.refused(HOME, from, reason, now);
        let line = refused(2, "another token").unwrap();
        assert!(line.contains("node 2") && line.contains("another token"));
        for _ in 0..3 {
            assert_eq!(refused(2, "another token"), None);
            // Peers that are refused in turns are each logged once as well.
            let is_first = refused(3, "removed").is_some();
            assert!(!is_first || refused(3, "removed").is_none());
        }
        assert!(refused(2, "another cluster").is_some());
        refusals.admitted(HOME, 3);
        assert_eq!(refused(2, "another token"), None);
        refusals.admitted(HOME, 2);
        assert!(refused(2, "another token").is_some());
    }

    #[test]
    fn made_up_names_do_not_flood_the_log() {
        let refusals = Refusals::default();
        let start = Instant::now();
        let lines = |names: std::ops::Range<u64>, now| {
            let refused = |from| refusals.refused(HOME, from, "another token", now);
            names.filter_map(refused).collect::<Vec<_>>()
        };
        assert_eq!(lines(1..10_000, start).len(), REFUSALS_MAX + 1);
        let later = lines(10_000..20_000, start + OVERFLOW_PERIOD);
        assert_eq!(later.len(), 1);
        assert!(later[0].contains("(9743 such"), "{later:?}");
    }
}
