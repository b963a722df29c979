//! Requests that no honest client sends, drawn at random: as gRPC messages, as bytes of HTTP/2 and as
//! bytes of HTTP/1.1.

pub mod frames;
pub mod grpc;
pub mod http1;
