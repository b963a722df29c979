//! `etcdserverpb.Maintenance`: what an operator asks one member. Local answers, but for the hand-over of
//! leadership.

use super::{ETCD_API_VERSION, downgrade};
use crate::admin::{AdminError, MemberRef, audited};
use crate::service::call::Call;
use crate::service::metrics::Rpc;
use crate::service::{Context, Deadline, Failure};
use protocol::etcdserverpb::alarm_request::AlarmAction;
use protocol::etcdserverpb::maintenance_server::Maintenance;
use protocol::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmResponse, AlarmType, DefragmentRequest, DefragmentResponse,
    DowngradeRequest, DowngradeResponse, HashKvRequest, HashKvResponse, HashRequest, HashResponse,
    MoveLeaderRequest, MoveLeaderResponse, StatusRequest, StatusResponse,
};
use std::sync::Arc;
use std::time::Duration;
use tonic::{Request, Response, Status};

/// Longest time that hashing may take: it reads all that is stored, and no operator waits longer.
const HASH_TIME: Duration = Duration::from_secs(120);

/// The service.
#[derive(Clone)]
pub struct MaintenanceService {
    context: Arc<Context>,
}

impl MaintenanceService {
    /// Serves the state of `context`'s node.
    pub fn new(context: Arc<Context>) -> MaintenanceService {
        MaintenanceService { context }
    }

    /// NOSPACE is a condition, not a switch: it is raised while the store is over its quota. Switching it
    /// off by hand is accepted, because the procedure for etcd ends with it, and answers what still holds.
    fn alarms(&self, request: AlarmRequest) -> Result<AlarmResponse, Failure> {
        let action = AlarmAction::try_from(request.action)
            .map_err(|_| Failure::Invalid("unknown alarm action"))?;
        let asked = AlarmType::try_from(request.alarm)
            .map_err(|_| Failure::Invalid("unknown alarm type"))?;
        if action == AlarmAction::Activate {
            return Err(Failure::Unsupported(
                "alarms are raised and cleared by the server itself",
            ));
        }
        let member_id = self.context.identity().node_id;
        let concerns_us = request.member_id == 0 || request.member_id == member_id;
        let concerns_space = matches!(asked, AlarmType::None | AlarmType::Nospace);
        let raised = concerns_us && concerns_space && self.context.is_over_quota();
        let alarm = AlarmMember {
            member_id,
            alarm: AlarmType::Nospace.into(),
        };
        Ok(AlarmResponse {
            header: Some(self.context.header(self.context.published().revision())),
            alarms: raised.then_some(alarm).into_iter().collect(),
        })
    }

    fn status(&self) -> Result<StatusResponse, Failure> {
        let context = &self.context;
        let status = context.handle().status();
        let disk_bytes = context
            .state()
            .disk_bytes()
            .map_err(crate::kv::ReadFailure::from)?;
        let mut errors = Vec::new();
        if status.leader.is_none() {
            errors.push("etcdserver: no leader".to_owned());
        }
        if context.is_over_quota() {
            errors.push(format!(
                "memberID:{} alarm:NOSPACE ",
                context.identity().node_id
            ));
        }
        Ok(StatusResponse {
            header: Some(context.header(context.published().revision())),
            version: ETCD_API_VERSION.to_owned(),
            db_size: saturated(disk_bytes),
            leader: status.leader.unwrap_or(0),
            raft_index: status.committed_index,
            raft_term: status.term,
            raft_applied_index: status.applied_index,
            errors,
            db_size_in_use: saturated(context.published().logical_bytes()),
            is_learner: status.learners.contains(&status.node_id),
            db_size_quota: saturated(context.quota_bytes()),
            // The version of etcd's own file format, which does not exist here.
            storage_version: String::new(),
        })
    }
}

impl MaintenanceService {
    /// Only the leader hands over, as in etcd: who asks another member is told so.
    async fn hand_over(
        &self,
        target: u64,
        deadline: Deadline,
    ) -> Result<MoveLeaderResponse, Failure> {
        let context = &self.context;
        let status = context.handle().status();
        if status.leader != Some(context.identity().node_id) {
            return Err(Failure::NotLeading);
        }
        if !status.voters.contains(&target) {
            return Err(AdminError::CannotLead(target).into());
        }
        let transfer = context.admin.transfer(Some(MemberRef::Id(target)));
        let moved = deadline.within(&context.cut, transfer).await;
        let moved = moved.unwrap_or_else(|_| Err(AdminError::Unknown("it takes long".to_owned())));
        audited(&format!("transfer leadership to member {target}"), moved)?;
        Ok(MoveLeaderResponse {
            header: Some(context.header(context.published().revision())),
        })
    }
}

fn saturated(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

#[tonic::async_trait]
impl Maintenance for MaintenanceService {
    async fn alarm(
        &self,
        request: Request<AlarmRequest>,
    ) -> Result<Response<AlarmResponse>, Status> {
        let (call, request) = Call::etcd(&self.context, Rpc::Alarm, request)?;
        call.finish_etcd(self.alarms(request))
    }

    async fn status(
        &self,
        request: Request<StatusRequest>,
    ) -> Result<Response<StatusResponse>, Status> {
        // Must be answered above all by a member without a leader, so it takes no demand for one.
        let (call, StatusRequest {}) = Call::native(&self.context, Rpc::Status, request);
        call.finish_etcd(self.status())
    }

    async fn defragment(
        &self,
        request: Request<DefragmentRequest>,
    ) -> Result<Response<DefragmentResponse>, Status> {
        let (call, DefragmentRequest {}) = Call::etcd(&self.context, Rpc::Defragment, request)?;
        let reclaimed = self.context.reclaim(call.deadline()).await;
        // etcd gives no header here either.
        call.finish_etcd(reclaimed.map(|()| DefragmentResponse { header: None }))
    }

    async fn hash(&self, request: Request<HashRequest>) -> Result<Response<HashResponse>, Status> {
        let (call, HashRequest {}) = Call::etcd(&self.context, Rpc::Hash, request)?;
        call.finish_etcd(Ok(self.context.applied_hash()))
    }

    async fn hash_kv(
        &self,
        request: Request<HashKvRequest>,
    ) -> Result<Response<HashKvResponse>, Status> {
        let deadline = Deadline::of_request(request.metadata(), HASH_TIME);
        let (call, request) = Call::etcd(&self.context, Rpc::HashKV, request)?;
        call.finish_etcd(self.context.history_hash(request, deadline).await)
    }

    async fn move_leader(
        &self,
        request: Request<MoveLeaderRequest>,
    ) -> Result<Response<MoveLeaderResponse>, Status> {
        let (call, request) = Call::etcd(&self.context, Rpc::MoveLeader, request)?;
        let moved = self.hand_over(request.target_id, call.deadline()).await;
        call.finish_etcd(moved)
    }

    async fn downgrade(
        &self,
        request: Request<DowngradeRequest>,
    ) -> Result<Response<DowngradeResponse>, Status> {
        let (call, request) = Call::etcd(&self.context, Rpc::Downgrade, request)?;
        call.finish_etcd(downgrade::answer(&request))
    }
}
