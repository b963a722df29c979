//! `etcdserverpb.Cluster`: who the members are, and changes of that. Its headers carry no revision, as in etcd.

use crate::service::call::Call;
use crate::service::metrics::Rpc;
use crate::service::{Context, Deadline, Failure};
use protocol::etcdserverpb::cluster_server::Cluster;
use protocol::etcdserverpb::{
    Member, MemberAddRequest, MemberAddResponse, MemberListRequest, MemberListResponse,
    MemberPromoteRequest, MemberPromoteResponse, MemberRemoveRequest, MemberRemoveResponse,
    MemberUpdateRequest, MemberUpdateResponse,
};
use std::sync::Arc;
use tonic::{Request, Response, Status};

/// The service.
#[derive(Clone)]
pub struct ClusterService {
    context: Arc<Context>,
}

impl ClusterService {
    /// Serves the members of `context`'s group.
    pub fn new(context: Arc<Context>) -> ClusterService {
        ClusterService { context }
    }

    async fn list(
        &self,
        request: MemberListRequest,
        deadline: Deadline,
    ) -> Result<MemberListResponse, Failure> {
        if request.linearizable {
            self.context.read_barrier(deadline).await?;
        }
        let status = self.context.handle().status();
        let voters = status.voters.iter().map(|id| self.member(*id, false));
        let learners = status.learners.iter().map(|id| self.member(*id, true));
        let mut members: Vec<Member> = voters.chain(learners).collect();
        members.sort_unstable_by_key(|member| member.id);
        Ok(MemberListResponse {
            header: Some(self.context.header(0)),
            members,
        })
    }

    /// A member that has not announced itself has no name and no client URL, as in etcd one that has not started.
    fn member(&self, id: u64, is_learner: bool) -> Member {
        let identity = self.context.identity();
        let known = self.context.members();
        match known.get(id) {
            Some(record) if !record.instance.is_empty() => Member {
                id,
                name: record.alias.clone(),
                peer_ur_ls: vec![format!("http://{}", record.peer_address)],
                client_ur_ls: record.client_urls.clone(),
                is_learner,
            },
            _ if id == identity.node_id => Member {
                id,
                name: identity.alias.clone(),
                peer_ur_ls: identity.peer_urls.clone(),
                client_ur_ls: identity.client_urls.clone(),
                is_learner,
            },
            Some(record) => Member {
                id,
                peer_ur_ls: vec![format!("http://{}", record.peer_address)],
                is_learner,
                ..Member::default()
            },
            None => Member {
                id,
                is_learner,
                ..Member::default()
            },
        }
    }
}

#[tonic::async_trait]
impl Cluster for ClusterService {
    async fn member_add(
        &self,
        request: Request<MemberAddRequest>,
    ) -> Result<Response<MemberAddResponse>, Status> {
        let (call, request) = Call::etcd(&self.context, Rpc::MemberAdd, request)?;
        let answer = self.context.member_add(request, call.deadline()).await;
        call.finish_etcd(answer)
    }

    async fn member_remove(
        &self,
        request: Request<MemberRemoveRequest>,
    ) -> Result<Response<MemberRemoveResponse>, Status> {
        let (call, request) = Call::etcd(&self.context, Rpc::MemberRemove, request)?;
        let answer = self.context.member_remove(request, call.deadline()).await;
        call.finish_etcd(answer)
    }

    async fn member_update(
        &self,
        request: Request<MemberUpdateRequest>,
    ) -> Result<Response<MemberUpdateResponse>, Status> {
        let (call, request) = Call::etcd(&self.context, Rpc::MemberUpdate, request)?;
        let answer = self.context.member_update(request, call.deadline()).await;
        call.finish_etcd(answer)
    }

    async fn member_promote(
        &self,
        request: Request<MemberPromoteRequest>,
    ) -> Result<Response<MemberPromoteResponse>, Status> {
        let (call, request) = Call::etcd(&self.context, Rpc::MemberPromote, request)?;
        let answer = self.context.member_promote(request, call.deadline()).await;
        call.finish_etcd(answer)
    }

    async fn member_list(
        &self,
        request: Request<MemberListRequest>,
    ) -> Result<Response<MemberListResponse>, Status> {
        let (call, request) = Call::etcd(&self.context, Rpc::MemberList, request)?;
        let members = self.list(request, call.deadline()).await;
        call.finish_etcd(members)
    }
}
