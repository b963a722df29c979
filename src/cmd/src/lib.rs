//! What the two binaries share with their tests: configuration, logging, process lifetime, and the
//! command line client. The product itself is the crate `placement-center`.

pub mod args;
pub mod settings;
pub mod version;
