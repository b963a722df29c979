//! The answer of an RPC that gives any number of messages: one JSON object a line, each sent when it is there.

use super::printed;
use super::refusal::{JSON, Refusal};
use super::replies::Replies;
use bytes::Bytes;
use futures::stream;
use http::{Response, header};
use http_body_util::StreamBody;
use hyper::body::Frame;
use prost_reflect::MessageDescriptor;
use std::convert::Infallible;
use tonic::body::Body;

/// What is left to send.
struct Rest {
    replies: Replies,
    output: MessageDescriptor,
    /// A message that has been received but not sent.
    first: Option<Bytes>,
    is_over: bool,
}

/// The response, once the first message, or the lack of one, is known: an error before it still has the status
/// of HTTP that it deserves.
pub(super) async fn respond(mut replies: Replies, output: MessageDescriptor) -> Response<Body> {
    let first = match replies.next().await {
        Ok(first) => first,
        Err(status) => return Refusal::from(status).into_stream_response(),
    };
    let rest = Rest {
        is_over: first.is_none(),
        replies,
        output,
        first,
    };
    let lines = stream::unfold(rest, |mut rest| async move {
        let line = rest.line().await?;
        Some((Ok::<_, Infallible>(Frame::data(line)), rest))
    });
    let mut response = Response::new(Body::new(StreamBody::new(lines)));
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

impl Rest {
    /// The next line; `None` when all has been sent.
    async fn line(&mut self) -> Option<Bytes> {
        if self.is_over {
            return None;
        }
        let next = match self.first.take() {
            Some(first) => Ok(Some(first)),
            None => self.replies.next().await,
        };
        let line = match next {
            Ok(None) => return None,
            Ok(Some(message)) => result(message, self.output.clone()).await,
            Err(status) => Err(status.into()),
        };
        Some(line.unwrap_or_else(|refusal| {
            self.is_over = true;
            refusal.into_line()
        }))
    }
}

async fn result(message: Bytes, output: MessageDescriptor) -> Result<Bytes, Refusal> {
    let mut json = printed(message, output).await?;
    json.splice(..0, *b"{\"result\":");
    json.extend_from_slice(b"}\n");
    Ok(json.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;
    use http_body_util::BodyExt;
    use prost::Message;
    use prost_reflect::DescriptorPool;
    use protocol::etcdserverpb::ResponseHeader;
    use tonic::Status;

    fn output() -> MessageDescriptor {
        let pool = DescriptorPool::decode(protocol::FILE_DESCRIPTOR_SET).expect("descriptors");
        let header = pool.get_message_by_name("etcdserverpb.ResponseHeader");
        header.expect("a message of the API")
    }

    fn replies(items: Vec<Result<Frame<Bytes>, Status>>) -> Replies {
        // Without an end: what is there must be sent before more comes.
        let frames = stream::iter(items).chain(stream::pending());
        Replies::new(Response::new(Body::new(StreamBody::new(frames))))
    }

    fn message(revision: i64) -> Result<Frame<Bytes>, Status> {
        let header = ResponseHeader {
            revision,
            ..ResponseHeader::default()
        };
        let bytes = header.encode_to_vec();
        Ok(Frame::data(super::super::framed([bytes.as_slice()])))
    }

    #[tokio::test]
    async fn each_message_is_a_line_and_an_error_is_the_last() {
        let failed = Err(Status::cancelled("etcdserver: watch canceled"));
        let answer = respond(replies(vec![message(1), message(2), failed]), output()).await;
        assert_eq!(answer.status().as_u16(), 200);
        let mut body = answer.into_body();
        let mut lines = Vec::new();
        while let Some(frame) = body.frame().await {
            let line = frame.expect("no error").into_data().expect("data");
            lines.push(String::from_utf8(line.to_vec()).expect("text"));
        }
        assert_eq!(
            lines[..2],
            [
                "{\"result\":{\"revision\":\"1\"}}\n",
                "{\"result\":{\"revision\":\"2\"}}\n"
            ]
        );
        assert_eq!(lines.len(), 3);
        assert!(lines[2].contains("\"grpc_code\":1") && lines[2].ends_with("}\n"));
    }

    #[tokio::test]
    async fn an_error_before_the_first_message_has_its_own_status() {
        let answer = respond(replies(vec![Err(Status::not_found("no"))]), output()).await;
        assert_eq!(answer.status().as_u16(), 404);
    }
}
