//! The `kv` commands, on the native key-value service.

pub mod del;
pub mod get;
pub mod list;
pub mod put;
