//! etcd's JSON gateway: `POST /v3/kv/range` and so on, over HTTP/1.1 or HTTP/2, on the gRPC port.
//!
//! Generic over all RPCs: a body becomes the message that its descriptor describes, goes through the same
//! dispatch as a message from the socket (so the same checks, limits, deadlines and counters), and what comes
//! out becomes JSON. It knows no RPC. Pages for people and probes (`/health`, `/version`, `/metrics`...) are
//! those of the HTTP API, handed in.

mod body;
mod headers;
mod message;
mod refusal;
mod replies;
mod routes;
mod stream;

use super::dispatch::Dispatch;
use super::server::LOG_TARGET;
use super::{Context, Deadline};
use axum::Router;
use body::{Space, Taken};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use message::Unprintable;
use prost_reflect::MessageDescriptor;
use refusal::{Refusal, json_response};
use replies::{Replies, framed};
use routes::{Found, Messages, Route, Routes};
use std::sync::Arc;
use tonic::Code;
use tonic::body::Body;
use tower::Service;

/// Pages that etcd serves on its client port too, and what they begin with when they have others below them.
const PAGES: [&str; 5] = ["/health", "/livez", "/readyz", "/version", "/metrics"];

/// Bodies and replies up to this length are turned into messages, or JSON, on the runtime's own thread: it takes
/// less than a millisecond. Longer ones would keep others waiting.
const SHORT_BYTES_MAX: usize = 64 * 1024;

/// Why the gateway cannot be put together: the descriptors compiled into the program are damaged.
#[derive(Debug, thiserror::Error)]
#[error("read the descriptors of the services")]
pub struct GatewayError(#[source] prost_reflect::DescriptorError);

/// The gateway; cheap to clone.
#[derive(Clone)]
pub(super) struct Gateway {
    context: Arc<Context>,
    routes: Arc<Routes>,
    space: Space,
    pages: Router,
}

impl Gateway {
    pub(super) fn new(context: Arc<Context>, pages: Router) -> Result<Gateway, GatewayError> {
        Ok(Gateway {
            context,
            routes: Arc::new(Routes::new().map_err(GatewayError)?),
            space: Space::new(),
            pages,
        })
    }

    /// Answers a request that is not gRPC; its RPC goes through `dispatch`.
    pub(super) async fn answer(
        mut self,
        dispatch: Dispatch,
        request: Request<Body>,
    ) -> Response<Body> {
        if is_page(request.uri().path()) {
            let answered = self.pages.call(request).await;
            return answered.map_or_else(|never| match never {}, |page| page.map(Body::new));
        }
        let answered = self.call(dispatch, request).await;
        answered.unwrap_or_else(Refusal::into_response)
    }

    async fn call(
        &self,
        dispatch: Dispatch,
        request: Request<Body>,
    ) -> Result<Response<Body>, Refusal> {
        let (head, body) = request.into_parts();
        let route = match self.routes.find(head.uri.path()) {
            Found::Route(route) => route,
            Found::Unserved(name) => {
                let status = StatusCode::NOT_IMPLEMENTED;
                return Err(Refusal::new(status, Code::Unimplemented, name));
            }
            Found::Nothing => {
                let text = format!("Not Found: no RPC has the path {}", head.uri.path());
                return Err(Refusal::new(StatusCode::NOT_FOUND, Code::NotFound, text));
            }
        };
        if head.method != Method::POST {
            let text = format!("Method Not Allowed: {} instead of POST", head.method);
            let status = StatusCode::METHOD_NOT_ALLOWED;
            return Err(Refusal::new(status, Code::Unimplemented, text)
                .with_header(header::ALLOW, HeaderValue::from_static("POST")));
        }
        headers::check_origin(&head)?;
        let headers = headers::metadata(&head.headers);
        let deadline = Deadline::of_headers(&headers, self.context.limits.request_timeout);
        let taken = self.space.take(body, deadline, &self.context.cut).await?;
        let mut call = Request::new(encoded(taken, &route.messages).await?);
        *call.uri_mut() = route.rpc.clone().into();
        *call.method_mut() = Method::POST;
        *call.version_mut() = http::Version::HTTP_2;
        *call.headers_mut() = headers;
        let replies = Replies::new(dispatch.rpc(call).await);
        if route.messages.gives_stream {
            Ok(stream::respond(replies, route.messages.output.clone()).await)
        } else {
            one(replies, route).await
        }
    }
}

fn is_page(path: &str) -> bool {
    PAGES.iter().any(|page| {
        let below = path.strip_prefix(page);
        below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// The gRPC body of what a JSON body says.
async fn encoded(taken: Taken, messages: &Messages) -> Result<Body, Refusal> {
    let (input, takes_stream) = (messages.input.clone(), messages.takes_stream);
    let length = taken.bytes.len();
    let encode = move || {
        let messages = if takes_stream {
            message::read_all(&taken.bytes, &input)?
        } else {
            vec![message::read_one(&taken.bytes, &input)?]
        };
        Ok(framed(messages.iter().map(Vec::as_slice)))
    };
    let encoded: Result<Bytes, message::Malformed> = off_thread(length, encode).await;
    let encoded = encoded.map_err(|malformed| Refusal::malformed(malformed.to_string()))?;
    Ok(Body::new(Full::new(encoded)))
}

/// The answer of an RPC that gives one message.
async fn one(mut replies: Replies, route: &Route) -> Result<Response<Body>, Refusal> {
    let Some(reply) = replies.next().await? else {
        log::error!(target: LOG_TARGET, "{} gave no message", route.rpc);
        return Err(Refusal::broken());
    };
    replies.next().await?;
    let json = printed(reply, route.messages.output.clone()).await?;
    Ok(json_response(json.into()))
}

/// A message as JSON.
async fn printed(reply: Bytes, output: MessageDescriptor) -> Result<Vec<u8>, Refusal> {
    let length = reply.len();
    let print = move || {
        let mut json = Vec::with_capacity(2 * reply.len());
        message::write(&reply, &output, &mut json).map(|()| json)
    };
    let printed: Result<Vec<u8>, Unprintable> = off_thread(length, print).await;
    printed.map_err(|error| {
        log::error!(target: LOG_TARGET, "{error}: {:?}", std::error::Error::source(&error));
        Refusal::broken()
    })
}

/// Runs what takes long for `length` bytes where it keeps nobody waiting.
async fn off_thread<T: Send + 'static>(
    length: usize,
    work: impl FnOnce() -> T + Send + 'static,
) -> T {
    if length <= SHORT_BYTES_MAX {
        return work();
    }
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Nobody aborts it; a runtime that ends drops this future with it.
            Err(_) => std::future::pending().await,
        },
    }
}
