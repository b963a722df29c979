//! Takes the body of a request, within bounds: of each body, of all together, and of time.

use super::refusal::Refusal;
use crate::service::Deadline;
use bytes::BytesMut;
use http::StatusCode;
use http_body_util::BodyExt;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::body::Body;

/// Longest body: the longest message in base64, with room for long names and spaces.
pub(super) const BODY_BYTES_MAX: usize = 2 * crate::service::server::MESSAGE_BYTES_MAX;

/// Bytes of the bodies that this node reads and answers at the same time. What is made of a hostile body takes
/// some ten times its length, so this keeps all of them well below a gigabyte.
const BODIES_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Space for the bodies of all connections.
#[derive(Clone, Debug)]
pub(super) struct Space(Arc<Semaphore>);

/// A body, and the space it takes while it is held.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) bytes: BytesMut,
    _space: Option<OwnedSemaphorePermit>,
}

impl Space {
    pub(super) fn new() -> Space {
        Space(Arc::new(Semaphore::new(BODIES_BYTES_MAX)))
    }

    /// Reads all of `body`.
    pub(super) async fn take(
        &self,
        body: Body,
        deadline: Deadline,
        cut: &CancellationToken,
    ) -> Result<Taken, Refusal> {
        match deadline.within(cut, self.read(body)).await {
            Ok(read) => read,
            Err(_) => Err(Refusal::new(
                StatusCode::REQUEST_TIMEOUT,
                Code::DeadlineExceeded,
                "the body did not arrive in time",
            )),
        }
    }

    async fn read(&self, mut body: Body) -> Result<Taken, Refusal> {
        let mut taken = Taken {
            bytes: BytesMut::new(),
            _space: None,
        };
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Refusal::malformed("the body broke off"))?;
            // Trailers of a request say nothing that anybody needs.
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if taken.bytes.len() + data.len() > BODY_BYTES_MAX {
                return Err(Refusal::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    Code::ResourceExhausted,
                    format!("the body is longer than {BODY_BYTES_MAX} bytes"),
                ));
            }
            let space = u32::try_from(data.len())
                .ok()
                .and_then(|bytes| Arc::clone(&self.0).try_acquire_many_owned(bytes).ok());
            let Some(space) = space else {
                return Err(Refusal::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    Code::ResourceExhausted,
                    "etcdserver: too many requests",
                ));
            };
            match &mut taken._space {
                Some(held) => held.merge(space),
                none => *none = Some(space),
            }
            taken.bytes.extend_from_slice(&data);
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures::{StreamExt, stream};
    use http_body_util::{Full, StreamBody};
    use hyper::body::Frame;
    use std::time::Duration;

    fn full(length: usize) -> Body {
        Body::new(Full::new(Bytes::from(vec![b' '; length])))
    }

    async fn take(space: &Space, body: Body) -> Result<Taken, Refusal> {
        let deadline = Deadline::after(Duration::from_secs(30));
        space.take(body, deadline, &CancellationToken::new()).await
    }

    async fn status(space: &Space, body: Body) -> u16 {
        let refusal = take(space, body).await.expect_err("must be refused");
        refusal.into_response().status().as_u16()
    }

    #[tokio::test]
    async fn a_body_has_a_longest_length() {
        let space = Space::new();
        let longest = take(&space, full(BODY_BYTES_MAX)).await.expect("allowed");
        assert_eq!(longest.bytes.len(), BODY_BYTES_MAX);
        assert_eq!(status(&space, full(BODY_BYTES_MAX + 1)).await, 413);
    }

    #[tokio::test]
    async fn bodies_together_have_a_bound_and_give_their_space_back() {
        let space = Space::new();
        let mut held = Vec::new();
        for _ in 0..BODIES_BYTES_MAX / BODY_BYTES_MAX {
            held.push(take(&space, full(BODY_BYTES_MAX)).await.expect("allowed"));
        }
        assert_eq!(status(&space, full(1)).await, 429);
        held.pop();
        assert!(take(&space, full(BODY_BYTES_MAX)).await.is_ok());
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let space = Space::new();
        let first = Ok::<_, std::io::Error>(Frame::data(Bytes::from_static(b"{")));
        let endless = stream::iter([first]).chain(stream::pending());
        let deadline = Deadline::after(Duration::from_millis(1));
        let body = Body::new(StreamBody::new(endless));
        let taken = space.take(body, deadline, &CancellationToken::new()).await;
        let response = taken.expect_err("must be refused").into_response();
        assert_eq!(response.status().as_u16(), 408);
    }
}
