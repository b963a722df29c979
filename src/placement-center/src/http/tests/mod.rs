//! Tests over real sockets. `client` speaks HTTP/1.1 byte by byte, because half of what is tested is
//! what a proper client would never send.
#![allow(clippy::disallowed_methods, reason = "tests spawn what they wait for")]

pub(crate) mod client;
mod keys;
mod leases;
mod members;
mod observe;
mod server;
mod transport;
