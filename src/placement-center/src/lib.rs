//! The product: state machines, services, HTTP, node assembly.
pub mod config;
pub mod kv;
pub mod machine;
