//! What the two binaries share with their tests: configuration, logging, process lifetime, and the
//! command line client. The product itself is the crate `placement-center`.

pub mod args;
mod clock;
pub mod ctl;
pub mod logging;
pub mod server;
pub mod settings;
pub mod version;
