//! The services as clients see them, over real sockets, on a real node.

mod etcd;
mod gateway;
mod native;
mod pipeline;
mod range_stream;
mod server;
mod waits;
