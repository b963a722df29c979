//! The services as clients see them, over real sockets, on a real node.

mod cluster;
mod etcd;
mod gateway;
mod lease;
mod maintenance;
mod native;
mod pipeline;
mod range_stream;
mod server;
mod waits;
mod watch;
