//! The two binaries as processes.

mod ctl;
mod process;
mod server;
