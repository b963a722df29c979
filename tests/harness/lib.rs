//! What the system tests, the benchmarks and the examples' tests share: real server processes (ours,
//! and etcd where it is installed), a load whose every acknowledgement is remembered, and the check of
//! a store against that memory.
//!
//! Nothing here knows the inside of the product: servers are driven over their sockets and by signals.
#![allow(
    clippy::disallowed_methods,
    reason = "deadlines of tests are taken from the real clock, and their waits poll a condition"
)]

pub mod binary;
pub mod client;
pub mod etcdctl;
pub mod history;
pub mod load;
pub mod process;
pub mod random;
pub mod server;
pub mod usage;
pub mod wait;

pub use server::{Kind, Options, Server};
