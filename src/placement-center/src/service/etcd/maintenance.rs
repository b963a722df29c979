//! `etcdserverpb.Maintenance`: what an operator asks one member. Local answers, no consensus.

use super::ETCD_API_VERSION;
use crate::service::call::Call;
use crate::service::metrics::Rpc;
use crate::service::{Context, Failure};
use protocol::etcdserverpb::alarm_request::AlarmAction;
use protocol::etcdserverpb::maintenance_server::Maintenance;
use protocol::etcdserverpb::{
    AlarmMember, AlarmRequest, AlarmResponse, AlarmType, StatusRequest, StatusResponse,
};
use std::sync::Arc;
use tonic::{Request, Response, Status};

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
}
