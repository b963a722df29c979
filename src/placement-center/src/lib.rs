//! The product: state machines, services, HTTP, node assembly.
pub mod admin;
pub mod config;
pub mod http;
pub mod kv;
pub mod lease;
pub mod machine;
pub mod members;
pub mod metrics;
pub mod node;
pub mod peer;
pub mod service;
pub mod watch;
