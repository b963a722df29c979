//! What the log says of refused connections: each peer and reason once, until the peer is let in, however often it
//! tries; how often it did, when it is let in; and little, however many peers and reasons somebody makes up.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::Instant;

/// Different refusals remembered: far more than a cluster with its mistakes ever has.
const REFUSALS_MAX: usize = 256;
/// Beyond those, one line is logged in this time.
const OVERFLOW_PERIOD: Duration = Duration::from_secs(60);

/// Who was refused, as far as he says. Members of several clusters may share a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Caller {
    /// Where he calls from.
    pub(super) address: IpAddr,
    /// The node that he says he is; 0 if he has not come to say it.
    pub(super) node: u64,
    /// The cluster that he says he belongs to; 0 as well.
    pub(super) cluster: u64,
}

/// Refusals that were logged.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    /// By who and why: how often it came after the line about it.
    logged: BTreeMap<(Caller, String), u64>,
    /// Refusals since the last line, once there is no room to remember more.
    overflown: u64,
    overflow_logged: Option<Instant>,
}

impl Refusals {
    /// A peer was refused; the line to log, if any.
    pub(super) fn refused(&self, caller: Caller, reason: &str, now: Instant) -> Option<String> {
        let known = &mut *self.0.lock();
        let refusal = (caller, reason.to_owned());
        if let Some(more) = known.logged.get_mut(&refusal) {
            *more += 1;
            return None;
        }
        let address = caller.address;
        let line = match caller.node {
            0 => format!("a connection from {address} was refused: {reason}"),
            node => format!("a connection of node {node} from {address} was refused: {reason}"),
        };
        if known.logged.len() < REFUSALS_MAX {
            known.logged.insert(refusal, 0);
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

    /// A peer was let in: what is wrong with it later is news. The line that ends what was said of it, if
    /// anything was.
    pub(super) fn admitted(&self, caller: Caller) -> Option<String> {
        let logged = &mut self.0.lock().logged;
        let mut count = 0;
        logged.retain(|(known, _), more| {
            let is_other = *known != caller;
            if !is_other {
                count += 1 + *more;
            }
            is_other
        });
        let Caller { address, node, .. } = caller;
        (count > 0).then(|| {
            format!("a connection of node {node} from {address} is let in after {count} refusals")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn caller(node: u64) -> Caller {
        Caller {
            address: HOME,
            node,
            cluster: 7,
        }
    }

    #[test]
    fn each_peer_and_reason_is_logged_once_until_the_peer_is_let_in() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let refused = |node, reason: &str| refusals.refused(caller(node), reason, now);
        let line = refused(2, "another token").unwrap();
        assert!(line.contains("node 2") && line.contains("another token"));
        for _ in 0..3 {
            assert_eq!(refused(2, "another token"), None);
            // Peers that are refused in turns are each logged once as well.
            let is_first = refused(3, "removed").is_some();
            assert!(!is_first || refused(3, "removed").is_none());
        }
        assert!(refused(2, "another cluster").is_some());
        refusals.admitted(caller(3));
        assert_eq!(refused(2, "another token"), None);
        let line = refusals.admitted(caller(2)).unwrap();
        assert!(
            line.contains("node 2") && line.contains("after 6 refusals"),
            "{line}"
        );
        assert_eq!(refusals.admitted(caller(2)), None);
        assert!(refused(2, "another token").is_some());
    }

    #[test]
    fn members_of_one_machine_are_told_apart_by_number_and_cluster() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let other_cluster = Caller {
            cluster: 8,
            ..caller(2)
        };
        let elsewhere = Caller {
            address: IpAddr::from([127, 0, 0, 2]),
            ..caller(2)
        };
        for round in 0..3 {
            for caller in [caller(2), caller(3), other_cluster, elsewhere] {
                let line = refusals.refused(caller, "another token", now);
                assert_eq!(line.is_some(), round == 0, "{caller:?}");
            }
        }
        // One that belongs here does not make the others news again.
        refusals.admitted(caller(2));
        assert_eq!(refusals.refused(other_cluster, "another token", now), None);
    }

    #[test]
    fn made_up_names_do_not_flood_the_log() {
        let refusals = Refusals::default();
        let start = Instant::now();
        let lines = |names: std::ops::Range<u64>, now| {
            let refused = |node| refusals.refused(caller(node), "another token", now);
            names.filter_map(refused).collect::<Vec<_>>()
        };
        assert_eq!(lines(1..10_000, start).len(), REFUSALS_MAX + 1);
        let later = lines(10_000..20_000, start + OVERFLOW_PERIOD);
        assert_eq!(later.len(), 1);
        assert!(later[0].contains("(9743 such"), "{later:?}");
    }
}
