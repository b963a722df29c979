//! The two binaries as processes.

mod administration;
mod ctl;
mod process;
mod server;
