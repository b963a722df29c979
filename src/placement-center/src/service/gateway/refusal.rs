//! How the gateway says no. One body for every error, readable by clients of every version of etcd's gateway:
//! those up to 3.5 look at `error`, later ones at `message`, all at `code`, the number of the gRPC code. The
//! HTTP statuses are those of 3.4, because clients were written against them.

use crate::service::errors::{LEADER_ADDRESS_METADATA, LEADER_METADATA, OUTCOME_METADATA};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use serde_json::json;
use tonic::body::Body;
use tonic::{Code, Status};

/// What every answer of the gateway is.
pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Metadata that HTTP clients get as headers, under the same names as on the HTTP API.
const HEADERS: [&str; 3] = [OUTCOME_METADATA, LEADER_METADATA, LEADER_ADDRESS_METADATA];

/// An error as a client of the gateway sees it.
#[derive(Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    code: Code,
    message: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Refusal {
    /// An error of the gateway itself.
    pub(super) fn new(status: StatusCode, code: Code, message: impl Into<String>) -> Refusal {
        Refusal {
            status,
            code,
            message: message.into(),
            headers: Vec::new(),
        }
    }

    /// The body is not what the RPC takes.
    pub(super) fn malformed(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, Code::InvalidArgument, message)
    }

    /// A bug of ours. What exactly is in the log.
    pub(super) fn broken() -> Refusal {
        let text = "etcdserver: internal error";
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, text)
    }

    /// Adds a header of the answer.
    pub(super) fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Refusal {
        self.headers.push((name, value));
        self
    }

    /// The answer to a call that gave no message.
    pub(super) fn into_response(self) -> Response<Body> {
        let body = json!({
            "error": self.message,
            "message": self.message,
            "code": self.code as i32,
        });
        self.respond(&body)
    }

    /// The answer to a call of a stream that failed before its first message.
    pub(super) fn into_stream_response(self) -> Response<Body> {
        let body = self.in_stream();
        self.respond(&body)
    }

    /// The line that ends a stream.
    pub(super) fn into_line(self) -> Bytes {
        format!("{}\n", self.in_stream()).into()
    }

    /// In streams the error is an object, and etcd names its parts otherwise.
    fn in_stream(&self) -> serde_json::Value {
        json!({"error": {
            "grpc_code": self.code as i32,
            "http_code": self.status.as_u16(),
            "message": self.message,
            "http_status": self.status.canonical_reason().unwrap_or_default(),
            "code": self.code as i32,
        }})
    }

    fn respond(self, body: &serde_json::Value) -> Response<Body> {
        let mut response = json_response(body.to_string().into());
        *response.status_mut() = self.status;
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Refusal {
        let mut headers = Vec::new();
        for name in HEADERS {
            if let Some(value) = status.metadata().as_ref().get(name) {
                headers.push((HeaderName::from_static(name), value.clone()));
            }
        }
        Refusal {
            status: http_status(status.code()),
            code: status.code(),
            message: status.message().to_owned(),
            headers,
        }
    }
}

/// A JSON answer, 200.
pub(super) fn json_response(body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(body)));
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// The HTTP status of a gRPC code, as etcd 3.4 and 3.5 have it.
fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => StatusCode::REQUEST_TIMEOUT,
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::FailedPrecondition => StatusCode::PRECONDITION_FAILED,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statuses_are_those_that_clients_of_etcd_know() {
        let known = [
            (Code::FailedPrecondition, 412),
            (Code::NotFound, 404),
            (Code::OutOfRange, 400),
            (Code::InvalidArgument, 400),
            (Code::ResourceExhausted, 429),
            (Code::Unauthenticated, 401),
            (Code::PermissionDenied, 403),
            (Code::Unavailable, 503),
            (Code::Unimplemented, 501),
        ];
        for (code, status) in known {
            assert_eq!(http_status(code).as_u16(), status, "{code:?}");
        }
    }

    #[test]
    fn an_error_in_a_stream_has_the_names_of_both_versions() {
        let line = Refusal::from(Status::not_found("gone")).into_line();
        let line: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
        assert_eq!(
            line,
            json!({"error": {"grpc_code": 5, "http_code": 404, "message": "gone", "http_status": "Not Found", "code": 5}})
        );
    }
}
