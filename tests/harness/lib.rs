//! What the system tests, the benchmarks and the examples' tests share: real server processes (ours,
//! and etcd where it is installed), a load whose every acknowledgement is remembered, and the check of
//! a store against that memory.
//!
//! Nothing here knows the inside of the product: servers are driven over their sockets and by signals.

pub mod binary;
pub mod client;
pub mod cluster;
pub mod disk;
pub mod etcdctl;
pub mod history;
pub mod load;
pub mod network;
mod ports;
pub mod process;
pub mod random;
pub mod server;
pub mod settings;
mod sockets;
pub mod usage;
pub mod wait;

pub use cluster::Cluster;
pub use server::{Kind, Options, Server};
