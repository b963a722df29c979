//! Making learners voters by themselves, on the leader: one that has kept up with the log for some seconds.

use crate::members;
use consensus::{Handle, MemberChange, Role, Status};
use prost::Message;
use protocol::placement::internal::v1::MembershipContext;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the learners are looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// Looks in a row at which a learner must have kept up: three seconds.
const STEADY_LOOKS: u32 = 6;
/// Entries a learner may lack and still count as keeping up; the group itself asks the same again.
const LAG_MAX: u64 = 1000;
/// Ticks of silence after which it does not.
const SILENT_TICKS_MAX: u64 = 10;
/// A change that takes longer is waited for no more; the next look sees what became of it.
const CHANGE_TIME: Duration = Duration::from_secs(10);

/// How long each learner has kept up.
#[derive(Debug, Default)]
struct Steadiness(BTreeMap<u64, u32>);

impl Steadiness {
    /// Looks once; returns the learner to promote, if there is one.
    fn look(&mut self, status: &Status, stays_learner: impl Fn(u64) -> bool) -> Option<u64> {
        if status.role != Role::Leader || !status.outgoing.is_empty() {
            self.0.clear();
            return None;
        }
        let mut looks = BTreeMap::new();
        for peer in &status.progress {
            let keeps_up = status.learners.contains(&peer.node_id)
                && !stays_learner(peer.node_id)
                && status.last_index.saturating_sub(peer.matched) <= LAG_MAX
                && peer
                    .silent_ticks
                    .is_some_and(|ticks| ticks <= SILENT_TICKS_MAX);
            if keeps_up {
                let before = self.0.get(&peer.node_id).copied().unwrap_or(0);
                looks.insert(peer.node_id, before + 1);
            }
        }
        self.0 = looks;
        let steady = self.0.iter().find(|(_, looks)| **looks >= STEADY_LOOKS);
        steady.map(|(id, _)| *id)
    }
}

/// Promotes learners until stopped.
pub(super) async fn promote<R: Send + 'static>(
    handle: Handle<R>,
    members: Arc<members::Published>,
    stop: CancellationToken,
) -> Result<(), std::convert::Infallible> {
    let mut steadiness = Steadiness::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(LOOK_INTERVAL) => {}
        }
        let known = members.members();
        let stays_learner = |id| known.get(id).is_some_and(|member| member.stays_learner);
        let Some(id) = steadiness.look(&handle.status(), stays_learner) else {
            continue;
        };
        let context = MembershipContext {
            promoted: id,
            ..MembershipContext::default()
        };
        let changes = vec![MemberChange::AddVoter(id)];
        let change = handle.change_members(changes, context.encode_to_vec().into());
        match tokio::time::timeout(CHANGE_TIME, change).await {
            Ok(Ok(_)) => log::info!("node {id} has caught up and votes from now on"),
            Ok(Err(error)) => log::info!("node {id} has caught up, but cannot vote yet: {error}"),
            Err(_) => log::warn!("making node {id} a voter takes long"),
        }
        steadiness = Steadiness::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus::{PeerProgress, Replication};

    fn status(lag: u64, silent_ticks: Option<u64>) -> Status {
        Status {
            node_id: 1,
            role: Role::Leader,
            leader: Some(1),
            term: 2,
            first_index: 1,
            last_index: 5000,
            persisted_index: 5000,
            committed_index: 5000,
            applied_index: 5000,
            flushed_index: 0,
            voters: vec![1],
            learners: vec![4],
            outgoing: Vec::new(),
            progress: vec![PeerProgress {
                node_id: 4,
                matched: 5000 - lag,
                replication: Replication::Replicate,
                silent_ticks,
            }],
            proposals_pending: 0,
            ..Status::default()
        }
    }

    fn looks_until_promoted(status: &Status) -> Option<u32> {
        let mut steadiness = Steadiness::default();
        (1..=2 * STEADY_LOOKS).find(|_| steadiness.look(status, |_| false) == Some(4))
    }

    #[test]
    fn a_learner_that_keeps_up_is_promoted_after_a_while() {
        assert_eq!(
            looks_until_promoted(&status(LAG_MAX, Some(1))),
            Some(STEADY_LOOKS)
        );
    }

    #[test]
    fn a_learner_that_lags_or_is_silent_is_not() {
        assert_eq!(looks_until_promoted(&status(LAG_MAX + 1, Some(1))), None);
        assert_eq!(
            looks_until_promoted(&status(0, Some(SILENT_TICKS_MAX + 1))),
            None
        );
        assert_eq!(looks_until_promoted(&status(0, None)), None);
        let follower = Status {
            role: Role::Follower,
            ..status(0, Some(1))
        };
        assert_eq!(looks_until_promoted(&follower), None);
        let joint = Status {
            outgoing: vec![1],
            ..status(0, Some(1))
        };
        assert_eq!(looks_until_promoted(&joint), None);
    }

    #[test]
    fn one_bad_look_starts_the_time_anew() {
        let mut steadiness = Steadiness::default();
        for _ in 1..STEADY_LOOKS {
            assert_eq!(steadiness.look(&status(0, Some(1)), |_| false), None);
        }
        assert_eq!(
            steadiness.look(&status(LAG_MAX + 1, Some(1)), |_| false),
            None
        );
        assert_eq!(steadiness.look(&status(0, Some(1)), |_| false), None);
    }

    #[test]
    fn a_member_made_a_learner_by_a_person_stays_one() {
        let mut steadiness = Steadiness::default();
        for _ in 0..2 * STEADY_LOOKS {
            assert_eq!(steadiness.look(&status(0, Some(1)), |id| id == 4), None);
        }
    }
}
