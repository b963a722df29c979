//! Why logging cannot start.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why logging cannot start. Each message stands alone.
#[derive(Debug, Error)]
pub enum Error {
    /// The file cannot be opened or read.
    #[error("cannot read the log configuration {}: {reason} (log.log_config names it)", path.display())]
    Unreadable {
        /// As configured.
        path: PathBuf,
        /// The operating system's reason; part of the message, hence not a source.
        reason: io::Error,
    },
    /// The file is not YAML, or not a log4rs configuration.
    #[error("the log configuration {name} is not valid: {reason}")]
    Invalid {
        /// The file, or that it is the built-in copy.
        name: String,
        /// What is wrong, with its place.
        reason: String,
    },
    /// An appender cannot be made.
    #[error("the log configuration {name} is not valid: appender {appender}: {reason}")]
    Appender {
        /// The file, or that it is the built-in copy.
        name: String,
        /// Which appender.
        appender: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Another logger was there first: a bug of the caller.
    #[error("this process has a logger already")]
    Installed,
}
