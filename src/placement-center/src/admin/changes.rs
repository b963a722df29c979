//! What the leader does of what administrators ask: changes of membership, handing leadership over, and whether a
//! member may be restarted. Everything here answers "ask the leader" on a node that does not lead.

use super::cluster::RETRY_PAUSE;
use super::wire::Told;
use super::{AddMember, AdminError, Cluster, MemberRef, RestartCheck};
use crate::members::MemberRecord;
use bytes::Bytes;
use consensus::{ChangeError, ChangeRefused, MemberChange, TransferError};
use prost::Message;
use protocol::placement::internal::v1::MembershipContext;
use tokio::time::{Instant, timeout_at};

/// Entries that a voter may lack and still take the place of one that is restarted.
const RESTART_LAG_MAX: u64 = 1000;
/// Ticks of silence after which a voter counts as gone.
const SILENT_TICKS_MAX: u64 = 10;
/// Heartbeats after which a new leader has heard of every member that is there. Until then it knows of those
/// alone that elected it, and holds the others for gone.
const HEARTBEATS_TO_HEAR: u32 = 5;

/// What the group's refusal means to an administrator.
fn refusal(refused: ChangeRefused) -> AdminError {
    match refused {
        ChangeRefused::Behind(id) => AdminError::Behind(id),
        ChangeRefused::Unknown(id) => AdminError::NotFound(MemberRef::Id(id)),
        ChangeRefused::QuorumAtRisk { .. } | ChangeRefused::LastVoter => {
            AdminError::QuorumAtRisk(refused.to_string())
        }
        other => AdminError::Refused(other.to_string()),
    }
}

impl Cluster {
    /// Makes a change and waits for it.
    async fn change(
        &self,
        change: MemberChange,
        context: MembershipContext,
        deadline: Instant,
    ) -> Result<Option<Told>, AdminError> {
        let context = Bytes::from(context.encode_to_vec());
        let heard = Instant::now() + HEARTBEATS_TO_HEAR * self.heartbeat;
        let changed = loop {
            let changing = self.handle.change_members(vec![change], context.clone());
            match timeout_at(deadline, changing).await {
                Ok(Err(ChangeError::Refused(ChangeRefused::QuorumAtRisk { .. })))
                    if Instant::now() < heard.min(deadline) =>
                {
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                changed => break changed,
            }
        };
        match changed {
            Ok(Ok(_)) => Ok(None),
            Ok(Err(ChangeError::Refused(ChangeRefused::NotLeader { .. })))
            | Ok(Err(ChangeError::Superseded { .. })) => Ok(Some(Told::NotLeader)),
            Ok(Err(ChangeError::Refused(ChangeRefused::Leads))) => {
                // Leadership is on its way to another member, which can do it then.
                let _ = timeout_at(deadline, self.handle.leader_changed()).await;
                Ok(Some(Told::NotLeader))
            }
            Ok(Err(ChangeError::Refused(ChangeRefused::Pending)))
            | Ok(Err(ChangeError::Overloaded)) => Err(AdminError::Busy),
            Ok(Err(ChangeError::Refused(refused))) => Err(refusal(refused)),
            Ok(Err(error @ (ChangeError::OutcomeUnknown | ChangeError::Stopping))) => {
                Err(AdminError::Unknown(error.to_string()))
            }
            Err(_) => Err(AdminError::Unknown(
                "the change takes longer than a request may".to_owned(),
            )),
        }
    }

    pub(super) async fn add_here(
        &self,
        member: AddMember,
        deadline: Instant,
    ) -> Result<Told, AdminError> {
        let refused = |text: String| Err(AdminError::Refused(text));
        let members = self.members();
        if let Err(reason) = crate::config::check_reachable(&member.peer_address) {
            return Err(AdminError::BadAddress(format!(
                "{} is no address of a member: {reason}",
                member.peer_address
            )));
        }
        let id = match member.id {
            0 => self.free_id()?,
            id => id,
        };
        if !member.alias.is_empty()
            && let Err(reason) = crate::config::check_alias(&member.alias)
        {
            return refused(format!("{} is no name of a member: {reason}", member.alias));
        }
        if members.was_removed(id) {
            return refused(format!(
                "the number {id} belonged to a member that was removed; take another"
            ));
        }
        if let Some(known) = members.get(id) {
            // The same node asks again, because the first answer was lost.
            if known.peer_address == member.peer_address && known.instance.is_empty() {
                return Ok(Told::Member(self.view_of(id)));
            }
            return refused(format!("the number {id} belongs to a member; take another"));
        }
        let same_address = members
            .iter()
            .find(|known| known.peer_address == member.peer_address);
        if let Some(known) = same_address {
            return Err(AdminError::AddressTaken {
                address: member.peer_address,
                id: known.id,
            });
        }
        // A name is a convenience: one that is taken does not keep a node from joining.
        let alias = match members.named(&member.alias) {
            Some(_) => String::new(),
            None => member.alias,
        };
        let context = MembershipContext {
            added: Some(MemberRecord {
                id,
                alias,
                peer_address: member.peer_address,
                stays_learner: member.stays_learner,
                ..MemberRecord::default()
            }),
            ..MembershipContext::default()
        };
        let change = MemberChange::AddLearner(id);
        let elsewhere = self.change(change, context, deadline).await?;
        Ok(elsewhere.unwrap_or_else(|| Told::Member(self.view_of(id))))
    }

    /// The number behind the highest one that was ever used.
    fn free_id(&self) -> Result<u64, AdminError> {
        let status = self.handle.status();
        let members = self.members();
        let now = status.voters.iter().chain(&status.learners).copied();
        let used = now.chain(members.numbers_used()).max().unwrap_or(0);
        // Numbers beyond do not fit the types of some clients.
        match used < i64::MAX as u64 {
            true => Ok(used + 1),
            false => Err(AdminError::Refused("no number is left".to_owned())),
        }
    }

    pub(super) async fn remove_here(
        &self,
        member: &MemberRef,
        deadline: Instant,
    ) -> Result<Told, AdminError> {
        let id = self.id_of(member)?;
        let context = MembershipContext {
            removed: id,
            ..MembershipContext::default()
        };
        let elsewhere = self
            .change(MemberChange::Remove(id), context, deadline)
            .await?;
        Ok(elsewhere.unwrap_or(Told::Done))
    }

    pub(super) async fn promote_here(
        &self,
        member: &MemberRef,
        deadline: Instant,
    ) -> Result<Told, AdminError> {
        let id = self.id_of(member)?;
        if self.handle.status().voters.contains(&id) {
            return Err(AdminError::NotLearner(id));
        }
        let context = MembershipContext {
            promoted: id,
            ..MembershipContext::default()
        };
        let elsewhere = self
            .change(MemberChange::AddVoter(id), context, deadline)
            .await?;
        Ok(elsewhere.unwrap_or_else(|| Told::Member(self.view_of(id))))
    }

    pub(super) async fn demote_here(
        &self,
        member: &MemberRef,
        deadline: Instant,
    ) -> Result<Told, AdminError> {
        let id = self.id_of(member)?;
        let context = MembershipContext {
            demoted: id,
            ..MembershipContext::default()
        };
        let elsewhere = self
            .change(MemberChange::Demote(id), context, deadline)
            .await?;
        Ok(elsewhere.unwrap_or_else(|| Told::Member(self.view_of(id))))
    }

    pub(super) async fn transfer_here(
        &self,
        to: Option<&MemberRef>,
        deadline: Instant,
    ) -> Result<Told, AdminError> {
        let to = to.map(|member| self.id_of(member)).transpose()?;
        if to == Some(self.node_id) {
            return Ok(Told::Leader(self.node_id));
        }
        match timeout_at(deadline, self.handle.transfer_leader(to)).await {
            Ok(Ok(leader)) => Ok(Told::Leader(leader)),
            Ok(Err(TransferError::NotLeader { .. })) => Ok(Told::NotLeader),
            Ok(Err(TransferError::CannotLead(id))) => Err(AdminError::CannotLead(id)),
            Ok(Err(error)) => Err(AdminError::Refused(error.to_string())),
            Err(_) => Err(AdminError::Unknown(
                "the hand-over takes longer than a request may".to_owned(),
            )),
        }
    }

    /// Whether the others keep a quorum, and keep up, while a member is away.
    pub(super) fn check_here(&self, member: &MemberRef) -> Result<RestartCheck, AdminError> {
        let id = self.id_of(member)?;
        let status = self.handle.status();
        let mut reasons = Vec::new();
        let mut steady = 0;
        for voter in status.voters.iter().filter(|voter| **voter != id) {
            let progress = status.progress.iter().find(|peer| peer.node_id == *voter);
            let is_silent = progress.is_none_or(|peer| {
                peer.silent_ticks
                    .is_none_or(|ticks| ticks > SILENT_TICKS_MAX)
            });
            let lag = progress.map_or(0, |peer| status.last_index.saturating_sub(peer.matched));
            if *voter != self.node_id && is_silent {
                reasons.push(format!("node {voter} does not answer"));
            } else if lag > RESTART_LAG_MAX {
                reasons.push(format!("node {voter} lacks {lag} entries"));
            } else {
                steady += 1;
            }
        }
        let quorum = status.voters.len() / 2 + 1;
        let votes = status.voters.contains(&id);
        let may_restart = !votes || steady >= quorum;
        if !may_restart {
            reasons.push(format!(
                "without node {id}, {steady} of {} voters would be left, and {quorum} are needed",
                status.voters.len()
            ));
        }
        if !status.outgoing.is_empty() {
            reasons.push("a change of membership is under way".to_owned());
        }
        Ok(RestartCheck {
            member: id,
            may_restart: may_restart && status.outgoing.is_empty(),
            reasons,
        })
    }
}
