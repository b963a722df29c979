//! `etcdserverpb.Lease`. A lease that does not exist is no error of the stream: its renewal is answered with
//! TTL 0, the question after it with TTL -1.

use crate::lease::Life;
use crate::service::call::Call;
use crate::service::metrics::Rpc;
use crate::service::{Context, Deadline, Failure, Outcome};
use futures::stream::{self, FuturesUnordered, ReadyChunks, Stream, StreamExt};
use protocol::etcdserverpb::lease_server::Lease;
use protocol::etcdserverpb::{
    LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest, LeaseKeepAliveResponse,
    LeaseLeasesRequest, LeaseLeasesResponse, LeaseRevokeRequest, LeaseRevokeResponse, LeaseStatus,
    LeaseTimeToLiveRequest, LeaseTimeToLiveResponse, ResponseHeader,
};
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use tonic::{Code, Request, Response, Status, Streaming};

/// Renewals of one stream that are asked for together: a client with many leases sends them in one go.
const RENEWALS_MAX: usize = 256;
/// Leases of one stream whose end is awaited; with more it reads no further.
const EXPIRING_MAX: usize = 1024;

/// The service.
#[derive(Clone)]
pub struct LeaseService {
    context: Arc<Context>,
}

impl LeaseService {
    /// Serves the leases of `context`.
    pub fn new(context: Arc<Context>) -> LeaseService {
        LeaseService { context }
    }

    /// The header of a reply that the state machine made: it fills the revision alone.
    fn completed(&self, header: Option<ResponseHeader>) -> Option<ResponseHeader> {
        Some(
            self.context
                .header(header.map_or(0, |header| header.revision)),
        )
    }

    fn header(&self) -> Option<ResponseHeader> {
        Some(self.context.header(self.context.published().revision()))
    }
}

/// Answers to renewals.
pub type KeepAliveStream =
    Pin<Box<dyn Stream<Item = Result<LeaseKeepAliveResponse, Status>> + Send>>;

#[tonic::async_trait]
impl Lease for LeaseService {
    type LeaseKeepAliveStream = KeepAliveStream;

    async fn lease_grant(
        &self,
        request: Request<LeaseGrantRequest>,
    ) -> Result<Response<LeaseGrantResponse>, Status> {
        let (call, request) = Call::etcd(&self.context, Rpc::LeaseGrant, request)?;
        let reply = self.context.lease_grant(request, call.deadline()).await;
        call.finish_etcd(reply.map(|reply| LeaseGrantResponse {
            header: self.completed(reply.header),
            ..reply
        }))
    }

    async fn lease_revoke(
        &self,
        request: Request<LeaseRevokeRequest>,
    ) -> Result<Response<LeaseRevokeResponse>, Status> {
        let (call, request) = Call::etcd(&self.context, Rpc::LeaseRevoke, request)?;
        let reply = self.context.lease_revoke(request.id, call.deadline()).await;
        call.finish_etcd(reply.map(|reply| LeaseRevokeResponse {
            header: self.completed(reply.header),
        }))
    }

    async fn lease_keep_alive(
        &self,
        request: Request<Streaming<LeaseKeepAliveRequest>>,
    ) -> Result<Response<KeepAliveStream>, Status> {
        let (call, requests) = Call::etcd(&self.context, Rpc::LeaseKeepAlive, request)?;
        let keeping = Keeping {
            context: Arc::clone(&self.context),
            call,
            requests: Some(requests.ready_chunks(RENEWALS_MAX)),
            answers: VecDeque::new(),
            expiring: FuturesUnordered::new(),
        };
        let answers = stream::unfold(Some(keeping), next);
        Ok(Response::new(Box::pin(answers)))
    }

    async fn lease_time_to_live(
        &self,
        request: Request<LeaseTimeToLiveRequest>,
    ) -> Result<Response<LeaseTimeToLiveResponse>, Status> {
        let (call, request) = Call::etcd(&self.context, Rpc::LeaseTimeToLive, request)?;
        let LeaseTimeToLiveRequest { id, keys } = request;
        let view = self.context.lease_view(id, keys, call.deadline()).await;
        call.finish_etcd(view.map(|view| {
            let reply = LeaseTimeToLiveResponse {
                header: self.header(),
                id,
                ttl: -1,
                ..LeaseTimeToLiveResponse::default()
            };
            match view {
                None => reply,
                Some(view) => LeaseTimeToLiveResponse {
                    ttl: i64::try_from(view.remaining_ms / 1000).unwrap_or(i64::MAX),
                    granted_ttl: view.ttl,
                    keys: view.keys,
                    ..reply
                },
            }
        }))
    }

    async fn lease_leases(
        &self,
        request: Request<LeaseLeasesRequest>,
    ) -> Result<Response<LeaseLeasesResponse>, Status> {
        let (call, LeaseLeasesRequest {}) = Call::etcd(&self.context, Rpc::LeaseLeases, request)?;
        let ids = self.context.lease_ids().into_iter();
        call.finish_etcd(Ok(LeaseLeasesResponse {
            header: self.header(),
            leases: ids.map(|id| LeaseStatus { id }).collect(),
        }))
    }
}

/// What a stream waits for.
enum Event {
    Requests(Option<Vec<Result<LeaseKeepAliveRequest, Status>>>),
    /// A lease that was expiring is gone, or lives again.
    Ended(Result<LeaseKeepAliveResponse, Failure>),
    Finished,
    Draining,
}

type Ending = Pin<Box<dyn Future<Output = Result<LeaseKeepAliveResponse, Failure>> + Send>>;

/// A stream of renewals. It has no task of its own: the connection drives it when it can take an answer.
struct Keeping {
    context: Arc<Context>,
    call: Call,
    /// `None` once the client has said everything.
    requests: Option<ReadyChunks<Streaming<LeaseKeepAliveRequest>>>,
    answers: VecDeque<LeaseKeepAliveResponse>,
    /// Leases whose end is awaited. Renewals of others do not wait for it.
    expiring: FuturesUnordered<Ending>,
}

async fn next(
    keeping: Option<Keeping>,
) -> Option<(Result<LeaseKeepAliveResponse, Status>, Option<Keeping>)> {
    let mut keeping = keeping?;
    match keeping.answer().await {
        Ok(Some(answer)) => Some((Ok(answer), Some(keeping))),
        Ok(None) => {
            keeping.call.end(Code::Ok);
            None
        }
        Err(status) => {
            keeping.call.end(status.code());
            Some((Err(status), None))
        }
    }
}

impl Keeping {
    /// The next answer; `None` when there will be none.
    async fn answer(&mut self) -> Result<Option<LeaseKeepAliveResponse>, Status> {
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return Ok(Some(answer));
            }
            match self.event().await {
                Event::Requests(batch) => self.took(batch).await?,
                Event::Ended(ended) => return ended.map(Some).map_err(Failure::into_etcd_status),
                Event::Finished => return Ok(None),
                Event::Draining => {
                    return Err(Failure::Stopping(Outcome::NotApplied).into_etcd_status());
                }
            }
        }
    }

    /// What happens next. Cancel-safe.
    async fn event(&mut self) -> Event {
        if self.requests.is_none() && self.expiring.is_empty() {
            return Event::Finished;
        }
        let has_room = self.expiring.len() < EXPIRING_MAX;
        let requests = async {
            match &mut self.requests {
                Some(requests) if has_room => requests.next().await,
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.context.draining.cancelled() => Event::Draining,
            Some(ended) = self.expiring.next() => Event::Ended(ended),
            batch = requests => Event::Requests(batch),
        }
    }

    async fn took(
        &mut self,
        batch: Option<Vec<Result<LeaseKeepAliveRequest, Status>>>,
    ) -> Result<(), Status> {
        let Some(batch) = batch else {
            self.requests = None;
            return Ok(());
        };
        let mut ids = Vec::with_capacity(batch.len());
        for request in batch {
            ids.push(request?.id);
        }
        // The revision of the answer is one from before the renewal, as in etcd.
        let header = self.context.header(self.context.published().revision());
        let deadline = Deadline::after(self.context.limits().request_timeout);
        let lives = self.context.keep_alive(&ids, deadline).await;
        for (id, life) in ids
            .into_iter()
            .zip(lives.map_err(Failure::into_etcd_status)?)
        {
            let answer = move |ttl| LeaseKeepAliveResponse {
                header: Some(header),
                id,
                ttl,
            };
            match life {
                Life::Live { ttl, .. } => self.answers.push_back(answer(ttl)),
                Life::Missing => self.answers.push_back(answer(0)),
                Life::Expiring => {
                    let context = Arc::clone(&self.context);
                    let ending = async move { context.lease_end(id).await.map(answer) };
                    self.expiring.push(Box::pin(ending));
                }
            }
        }
        Ok(())
    }
}
