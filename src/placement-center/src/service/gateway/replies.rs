//! The gRPC side of a call in this process: frames what goes in, and takes apart what comes out.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::{HeaderMap, Response};
use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::{Code, Status};

/// In front of every message: one byte that says whether it is compressed, four for its length.
const HEAD_BYTES: usize = 5;

/// Messages as the body of a gRPC request.
pub(super) fn framed<'a>(messages: impl IntoIterator<Item = &'a [u8]>) -> Bytes {
    let mut framed = BytesMut::new();
    for message in messages {
        framed.put_u8(0);
        let length = u32::try_from(message.len());
        framed.put_u32(length.expect("a message is made of a body of some megabytes"));
        framed.put_slice(message);
    }
    framed.freeze()
}

/// What a service answers, message by message.
pub(super) struct Replies {
    body: Body,
    received: BytesMut,
    status: Option<Status>,
}

impl Replies {
    /// Reads `response`. An error that is known already is in its headers.
    pub(super) fn new(response: Response<Body>) -> Replies {
        let (head, body) = response.into_parts();
        let mut replies = Replies {
            body,
            received: BytesMut::new(),
            status: None,
        };
        if head.status.is_success() {
            replies.note(&head.headers);
        } else {
            let text = format!("the service answered {}", head.status);
            replies.status = Some(Status::internal(text));
        }
        replies
    }

    fn note(&mut self, headers: &HeaderMap) {
        if let Some(status) = Status::from_header_map(headers) {
            self.status = Some(status);
        }
    }

    /// The next message; `None` after the last one.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        loop {
            if let Some(message) = self.whole()? {
                return Ok(Some(message));
            }
            match self.body.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.received.extend_from_slice(&data),
                    Err(frame) => {
                        if let Ok(trailers) = frame.into_trailers() {
                            self.note(&trailers);
                        }
                    }
                },
                Some(Err(status)) => return Err(status),
                None => return self.end(),
            }
        }
    }

    fn end(&mut self) -> Result<Option<Bytes>, Status> {
        match self.status.take() {
            Some(status) if status.code() == Code::Ok => Ok(None),
            Some(status) => Err(status),
            None => Err(Status::internal("the service did not say how it ended")),
        }
    }

    /// Takes a message that has arrived whole.
    fn whole(&mut self) -> Result<Option<Bytes>, Status> {
        let Some(head) = self.received.first_chunk::<HEAD_BYTES>() else {
            return Ok(None);
        };
        if head[0] != 0 {
            return Err(Status::internal("the service answered compressed"));
        }
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if self.received.len() - HEAD_BYTES < length {
            return Ok(None);
        }
        self.received.advance(HEAD_BYTES);
        Ok(Some(self.received.split_to(length).freeze()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http::HeaderValue;
    use http_body_util::StreamBody;
    use hyper::body::Frame;

    fn replies(chunks: Vec<&[u8]>, trailers: Option<&'static str>) -> Replies {
        let data = chunks
            .into_iter()
            .map(|chunk| Frame::data(Bytes::copy_from_slice(chunk)));
        let trailers = trailers.map(|code| {
            let code = HeaderValue::from_static(code);
            Frame::trailers(HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                code,
            )]))
        });
        let frames: Vec<Result<Frame<Bytes>, Status>> = data.chain(trailers).map(Ok).collect();
        Replies::new(Response::new(Body::new(StreamBody::new(stream::iter(
            frames,
        )))))
    }

    #[tokio::test]
    async fn messages_are_put_together_from_any_pieces() {
        let sent = framed([b"one".as_slice(), b"", b"three"]);
        for size in 1..=sent.len() {
            let mut replies = replies(sent.chunks(size).collect(), Some("0"));
            for expected in ["one", "", "three"] {
                let message = replies.next().await.expect("no error");
                assert_eq!(message.expect("a message"), expected);
            }
            assert_eq!(replies.next().await.expect("no error"), None);
        }
    }

    #[tokio::test]
    async fn an_end_that_is_no_success_is_an_error() {
        let sent = framed([b"one".as_slice()]);
        for (trailers, code) in [(Some("5"), Code::NotFound), (None, Code::Internal)] {
            let mut replies = replies(vec![&sent], trailers);
            assert!(replies.next().await.expect("no error").is_some());
            assert_eq!(replies.next().await.expect_err("an error").code(), code);
        }
    }
}
