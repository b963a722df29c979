//! Administration on a real node. What needs the leader goes there, whichever member is asked; the leader decides
//! and proposes.

use super::wire::{Ask, Told};
use super::{
    AddMember, Admin, AdminError, Answer, MemberRef, MemberRole, MemberView, MembersView,
    NodeStatus, ProgressView, RestartCheck,
};
use crate::machine::{Published, Reply};
use crate::members::Members;
use crate::node::peers::{ADMINISTRATION, Requester};
use crate::peer::{LinkState, LinkStatus, Transport};
use bytes::Bytes;
use consensus::{Handle, Role, Status};
use prost::Message;
use protocol::placement::internal::v1::{JoinReply, JoinRequest};
use std::time::Duration;
use storage::StateStore;
use tokio::time::{Instant, timeout, timeout_at};

/// Pause before a request that found no leader looks again.
pub(super) const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// What another member gets to say where it stands; one that is down must not hold up the answer.
const STATUS_TIME: Duration = Duration::from_secs(2);

/// What the administration of a node works with.
pub struct Cluster {
    /// This member.
    pub(crate) node_id: u64,
    /// The cluster's id and name.
    pub(crate) cluster_id: u64,
    /// Its name.
    pub(crate) cluster_name: String,
    /// The consensus group.
    pub(crate) handle: Handle<Reply>,
    /// The read side of the state.
    pub(crate) state: StateStore,
    /// What the state machine shows.
    pub(crate) published: Published,
    /// The way to the other members.
    pub(crate) requester: Requester,
    /// Bound of every request.
    pub(crate) request_timeout: Duration,
    /// Heartbeat interval, to turn ticks into time.
    pub(crate) heartbeat: Duration,
}

impl Cluster {
    pub(super) fn members(&self) -> std::sync::Arc<Members> {
        self.published.members.members()
    }

    /// Asks the leader, here or elsewhere; waits for one while there is none.
    async fn at_leader(&self, ask: Ask) -> Result<Told, AdminError> {
        let deadline = Instant::now() + self.request_timeout;
        loop {
            let told = match self.handle.status().leader {
                None => Told::NotLeader,
                Some(leader) if leader == self.node_id => {
                    self.carry_out(ask.clone(), deadline).await
                }
                Some(leader) => self.ask(leader, &ask, deadline).await?,
            };
            match told {
                Told::NotLeader if Instant::now() < deadline => {
                    let changed = timeout(RETRY_PAUSE, self.handle.leader_changed());
                    let _ = timeout_at(deadline, changed).await;
                }
                Told::NotLeader => return Err(AdminError::NoLeader),
                Told::Error(error) => return Err(error),
                told => return Ok(told),
            }
        }
    }

    /// Asks one member.
    async fn ask(&self, to: u64, ask: &Ask, deadline: Instant) -> Result<Told, AdminError> {
        let unknown = |what: &str| AdminError::Unknown(format!("node {to} {what}"));
        let answer = self.requester.request(to, ADMINISTRATION, &ask.encode());
        match timeout_at(deadline, answer).await {
            Ok(Ok(Ok(bytes))) => {
                Told::decode(&bytes).ok_or_else(|| unknown("gave no answer we understand"))
            }
            Ok(Ok(Err(crate::peer::RequestError::Unknown))) | Ok(Err(_)) => {
                Err(unknown("went away before it answered"))
            }
            // It did not leave this node, so another attempt is safe.
            Ok(Ok(Err(_))) => Ok(Told::NotLeader),
            Err(_) => Err(unknown("did not answer in time")),
        }
    }

    /// Answers what another member asks.
    pub(crate) async fn asked(&self, body: &[u8]) -> Bytes {
        let deadline = Instant::now() + self.request_timeout;
        match Ask::decode(body) {
            Some(ask) => self.carry_out(ask, deadline).await.encode(),
            None => Bytes::new(),
        }
    }

    /// Answers a node that asks to join.
    pub(crate) async fn join(&self, request: Bytes) -> Bytes {
        let member = JoinRequest::decode(request)
            .ok()
            .and_then(|request| request.member);
        let joined = match member {
            // Its number is in its data directory: nobody else can choose it.
            Some(member) if member.id != 0 => {
                let add = AddMember {
                    id: member.id,
                    alias: member.alias,
                    peer_address: member.peer_address,
                    stays_learner: false,
                };
                self.add(add).await.map(|_| ())
            }
            _ => Err(AdminError::Refused(
                "the request is not understood".to_owned(),
            )),
        };
        let reply = match joined {
            Ok(()) => JoinReply {
                cluster_id: self.cluster_id,
                cluster_name: self.cluster_name.clone(),
                founders: self.handle.founders().to_vec(),
                members: self.members().iter().cloned().collect(),
                refused: String::new(),
            },
            Err(error) => JoinReply {
                refused: error.to_string(),
                ..JoinReply::default()
            },
        };
        reply.encode_to_vec().into()
    }

    /// Does here what is asked; what needs the leader is refused elsewhere.
    async fn carry_out(&self, ask: Ask, deadline: Instant) -> Told {
        if matches!(ask, Ask::Status) {
            return Told::Status(self.own_status());
        }
        if self.handle.status().role != Role::Leader {
            return Told::NotLeader;
        }
        let told = match ask {
            Ask::Status => Ok(Told::Status(self.own_status())),
            Ask::Members => Ok(Told::Members(self.view())),
            Ask::Add(member) => self.add_here(member, deadline).await,
            Ask::Remove(member) => self.remove_here(&member, deadline).await,
            Ask::Promote(member) => self.promote_here(&member, deadline).await,
            Ask::Demote(member) => self.demote_here(&member, deadline).await,
            Ask::Transfer(to) => self.transfer_here(to.as_ref(), deadline).await,
            Ask::Check(member) => self.check_here(&member).map(Told::Check),
        };
        told.unwrap_or_else(Told::Error)
    }

    /// The number of a member that a person named.
    pub(super) fn id_of(&self, member: &MemberRef) -> Result<u64, AdminError> {
        let members = self.members();
        let status = self.handle.status();
        let found = match member {
            // A founder that has not announced itself yet has no record and is a member nevertheless.
            MemberRef::Id(id) => {
                let mut known = status.voters.iter().chain(&status.learners);
                known.find(|known| *known == id).copied()
            }
            MemberRef::Alias(alias) => members.named(alias).map(|member| member.id),
        };
        found.ok_or_else(|| AdminError::NotFound(member.clone()))
    }

    pub(super) fn view_of(&self, id: u64) -> MemberView {
        let status = self.handle.status();
        let record = self.members().get(id).cloned().unwrap_or_default();
        let links = self.requester.transport().map(Transport::status);
        let link = links.into_iter().flatten().find(|link| link.node_id == id);
        let role = match status.voters.contains(&id) {
            _ if status.leader == Some(id) => MemberRole::Leader,
            true => MemberRole::Voter,
            false => MemberRole::Learner,
        };
        MemberView {
            id,
            role,
            alias: record.alias,
            peer_address: record.peer_address,
            client_urls: record.client_urls,
            http_url: record.http_url,
            instance: hex(&record.instance),
            progress: self.progress_of(&status, id, link.as_ref()),
            unreachable: link.and_then(|link| match link.state {
                LinkState::Failed(reason) => Some(reason),
                LinkState::Connecting | LinkState::Connected => None,
            }),
        }
    }

    /// How far a member is, with the snapshot that the transport is sending it.
    fn progress_of(
        &self,
        status: &Status,
        id: u64,
        link: Option<&LinkStatus>,
    ) -> Option<ProgressView> {
        let progress = super::progress(status, self.heartbeat).remove(&id)?;
        Some(ProgressView {
            snapshot: link.and_then(|link| link.snapshot),
            ..progress
        })
    }

    fn view(&self) -> MembersView {
        let status = self.handle.status();
        let mut ids: Vec<u64> = status
            .voters
            .iter()
            .chain(&status.learners)
            .copied()
            .collect();
        ids.sort_unstable();
        MembersView {
            leader: status.leader,
            term: status.term,
            members: ids.into_iter().map(|id| self.view_of(id)).collect(),
        }
    }

    fn own_status(&self) -> NodeStatus {
        let status = self.handle.status();
        let applied = self.state.applied();
        let role = match status.role {
            Role::Follower => "follower",
            Role::PreCandidate => "pre_candidate",
            Role::Candidate => "candidate",
            Role::Leader => "leader",
        };
        let alias = self
            .members()
            .get(self.node_id)
            .map(|member| member.alias.clone());
        NodeStatus {
            node_id: self.node_id,
            alias: alias.unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            role: role.to_owned(),
            leader: status.leader,
            term: status.term,
            first_index: status.first_index,
            last_index: status.last_index,
            committed_index: status.committed_index,
            applied_index: applied.index,
            oldest_entry_age_ms: self.handle.oldest_entry_age().map(millis),
            chain_hash: format!("{:016x}", applied.chain_hash),
            revision: self.published.kv.revision(),
        }
    }

    async fn status_of(&self, id: u64) -> Result<NodeStatus, String> {
        if id == self.node_id {
            return Ok(self.own_status());
        }
        let deadline = Instant::now() + STATUS_TIME;
        match self.ask(id, &Ask::Status, deadline).await {
            Ok(Told::Status(status)) => Ok(status),
            Ok(_) => Err("it cannot be reached".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

fn millis(age: Duration) -> u64 {
    u64::try_from(age.as_millis()).unwrap_or(u64::MAX)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The leader answered something else than was asked.
fn strange() -> AdminError {
    AdminError::Unknown("the leader gave the answer of another request".to_owned())
}

impl Admin for Cluster {
    fn members(&self) -> Answer<'_, MembersView> {
        Box::pin(async {
            match self.at_leader(Ask::Members).await? {
                Told::Members(view) => Ok(view),
                _ => Err(strange()),
            }
        })
    }

    fn add(&self, member: AddMember) -> Answer<'_, MemberView> {
        Box::pin(self.member(Ask::Add(member)))
    }

    fn remove(&self, member: MemberRef) -> Answer<'_, ()> {
        Box::pin(async {
            match self.at_leader(Ask::Remove(member)).await? {
                Told::Done => Ok(()),
                _ => Err(strange()),
            }
        })
    }

    fn promote(&self, member: MemberRef) -> Answer<'_, MemberView> {
        Box::pin(self.member(Ask::Promote(member)))
    }

    fn demote(&self, member: MemberRef) -> Answer<'_, MemberView> {
        Box::pin(self.member(Ask::Demote(member)))
    }

    fn transfer(&self, to: Option<MemberRef>) -> Answer<'_, u64> {
        Box::pin(async {
            match self.at_leader(Ask::Transfer(to)).await? {
                Told::Leader(leader) => Ok(leader),
                _ => Err(strange()),
            }
        })
    }

    fn check(&self, member: MemberRef) -> Answer<'_, RestartCheck> {
        Box::pin(async {
            match self.at_leader(Ask::Check(member)).await? {
                Told::Check(check) => Ok(check),
                _ => Err(strange()),
            }
        })
    }

    fn links(&self) -> Vec<LinkStatus> {
        let transport = self.requester.transport();
        transport.map(Transport::status).unwrap_or_default()
    }

    fn status(&self) -> Answer<'_, NodeStatus> {
        Box::pin(std::future::ready(Ok(self.own_status())))
    }

    fn status_all(&self) -> Answer<'_, Vec<(MemberView, Result<NodeStatus, String>)>> {
        Box::pin(async {
            // Without a leader this node's own view has to do: that is when people look.
            let view = match self.at_leader(Ask::Members).await {
                Ok(Told::Members(view)) => view,
                _ => self.view(),
            };
            let asked = view.members.into_iter().map(|member| async {
                let status = self.status_of(member.id).await;
                (member, status)
            });
            Ok(futures::future::join_all(asked).await)
        })
    }
}

impl Cluster {
    async fn member(&self, ask: Ask) -> Result<MemberView, AdminError> {
        match self.at_leader(ask).await? {
            Told::Member(view) => Ok(view),
            _ => Err(strange()),
        }
    }
}
