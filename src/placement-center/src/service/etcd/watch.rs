//! `etcdserverpb.Watch`: any number of watchers on one stream.
//!
//! The stream is a state machine that the connection polls; it has no task of its own. A client that does not
//! read its answers is not polled, so it is not read from either, and what waits for it stays within the bound
//! of its outbox.

mod response;

use crate::service::call::Call;
use crate::service::metrics::Rpc;
use crate::service::{Context, Failure};
use crate::watch::{End, Keys, Notice, Spec, Subscription};
use futures::Stream;
use protocol::WatchResponse;
use protocol::etcdserverpb::watch_create_request::FilterType;
use protocol::etcdserverpb::watch_request::RequestUnion;
use protocol::etcdserverpb::watch_server::Watch;
use protocol::etcdserverpb::{WatchCreateRequest, WatchRequest};
use response::Responses;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::{Code, Request, Response, Status, Streaming};

/// Requests taken from a client before its answers get their turn, so that one stream does not keep a runtime
/// worker for long.
const REQUESTS_AT_ONCE: usize = 64;
/// Answers after which the client's requests are looked at even though there are more answers: it may want to
/// cancel what floods it.
const ANSWERS_AT_ONCE: usize = 64;

/// The service.
#[derive(Clone)]
pub struct WatchService {
    context: Arc<Context>,
}

impl WatchService {
    /// Serves `context`'s store.
    pub fn new(context: Arc<Context>) -> WatchService {
        WatchService { context }
    }
}

#[tonic::async_trait]
impl Watch for WatchService {
    type WatchStream = WatchStream;

    async fn watch(
        &self,
        request: Request<Streaming<WatchRequest>>,
    ) -> Result<Response<WatchStream>, Status> {
        let needs_leader = Call::demands_leader(&request);
        let (call, requests) = Call::etcd(&self.context, Rpc::Watch, request)?;
        let subscription = self.context.watches.open(needs_leader);
        Ok(Response::new(WatchStream {
            draining: Box::pin(self.context.draining.clone().cancelled_owned()),
            responses: Responses::new(Arc::clone(&self.context)),
            call,
            requests: Some(requests),
            subscription,
            answers: 0,
            is_over: false,
        }))
    }
}

/// One stream of a client.
pub struct WatchStream {
    call: Call,
    /// `None` once the client has said everything; its watchers go on.
    requests: Option<Streaming<WatchRequest>>,
    subscription: Subscription,
    responses: Responses,
    /// Answers since the requests were looked at.
    answers: usize,
    is_over: bool,
    draining: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl WatchStream {
    /// Takes what the client asks for, as long as there is a place for it.
    fn poll_requests(&mut self, task: &mut TaskContext<'_>) -> Result<(), Status> {
        self.answers = 0;
        for _ in 0..REQUESTS_AT_ONCE {
            match self.subscription.poll_ready(task) {
                Poll::Ready(ready) => ready.map_err(status)?,
                Poll::Pending => return Ok(()),
            }
            let Some(requests) = &mut self.requests else {
                return Ok(());
            };
            match Pin::new(requests).poll_next(task) {
                Poll::Ready(Some(request)) => self.ask(request?),
                Poll::Ready(None) => self.requests = None,
                Poll::Pending => return Ok(()),
            }
        }
        task.waker().wake_by_ref();
        Ok(())
    }

    fn ask(&mut self, request: WatchRequest) {
        match request.request_union {
            Some(RequestUnion::CreateRequest(create)) => {
                // 0 is how a client leaves the choice to the server.
                let watch_id = Some(create.watch_id).filter(|id| *id != 0);
                let spec = spec(create);
                self.subscription.create(watch_id, spec);
            }
            Some(RequestUnion::CancelRequest(cancel)) => self.subscription.cancel(cancel.watch_id),
            Some(RequestUnion::ProgressRequest(_)) => self.subscription.ask_progress(),
            // Nothing is asked, or something that is newer than this program: passed over, as etcd does.
            None => {}
        }
    }

    fn take(&mut self, notice: Notice) {
        let events = self.responses.add(notice);
        if events > 0 {
            self.subscription.count_events(events);
        }
    }

    /// The next answer, or the end.
    fn poll_answer(&mut self, task: &mut TaskContext<'_>) -> Poll<Result<WatchResponse, Status>> {
        if self.draining.as_mut().poll(task).is_ready() {
            return Poll::Ready(Err(status(End::Stopping)));
        }
        loop {
            if let Some(response) = self.responses.next() {
                self.answers += 1;
                return Poll::Ready(Ok(response));
            }
            let mut asked = self.answers >= ANSWERS_AT_ONCE;
            if asked {
                self.poll_requests(task)?;
            }
            let mut polled = self.subscription.poll_notice(task);
            if polled.is_pending() && !asked {
                asked = true;
                self.poll_requests(task)?;
                polled = self.subscription.poll_notice(task);
            }
            match polled {
                Poll::Ready(notice) => self.take(notice.map_err(status)?),
                Poll::Pending if asked => return Poll::Pending,
                Poll::Pending => {}
            }
        }
    }
}

impl Stream for WatchStream {
    type Item = Result<WatchResponse, Status>;

    fn poll_next(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.is_over {
            return Poll::Ready(None);
        }
        let answer = std::task::ready!(this.poll_answer(task));
        if let Err(status) = &answer {
            this.is_over = true;
            this.requests = None;
            this.call.end(status.code());
        }
        Poll::Ready(Some(answer))
    }
}

impl Drop for WatchStream {
    /// A client ends its watches by going away, so that is how a good stream ends.
    fn drop(&mut self) {
        self.call.end(Code::Ok);
    }
}

/// What a client asks of a watcher.
fn spec(create: WatchCreateRequest) -> Result<Spec, crate::watch::Refusal> {
    let filters: Vec<FilterType> = create.filters().collect();
    Ok(Spec {
        keys: Keys::new(create.key, create.range_end)?,
        start: create.start_revision,
        no_put: filters.contains(&FilterType::Noput),
        no_delete: filters.contains(&FilterType::Nodelete),
        previous: create.prev_kv,
        progress: create.progress_notify,
        fragment: create.fragment,
    })
}

/// How a stream ends that the server ends.
fn status(end: End) -> Status {
    match end {
        End::NoLeader => Failure::NoLeader.into_etcd_status(),
        End::Stopping => Failure::WatchCanceled.into_etcd_status(),
    }
}
