//! What a user has to correct before the server starts. Each message stands alone: key, value, what
//! is allowed, where it was set.

use std::io;
use std::path::PathBuf;

use super::Origin;
use thiserror::Error;

/// A configuration the server refuses to start with.
#[derive(Debug, Error)]
pub enum Error {
    /// The configuration file cannot be opened or read.
    #[error("cannot read the configuration file {}: {source}", path.display())]
    Unreadable {
        /// As given by `--conf`.
        path: PathBuf,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The configuration file holds bytes that are not text.
    #[error("the configuration file {} is not UTF-8 text (byte {offset}); TOML files are UTF-8", path.display())]
    NotUtf8 {
        /// As given by `--conf`.
        path: PathBuf,
        /// Position of the first wrong byte.
        offset: usize,
    },
    /// The configuration file is far larger than any configuration.
    #[error("the configuration file {} is larger than {limit} bytes; is it the right file?", path.display())]
    TooLarge {
        /// As given by `--conf`.
        path: PathBuf,
        /// Bytes that are read at most.
        limit: u64,
    },
    /// The configuration file is not TOML.
    #[error("{}:{line}: not valid TOML: {message}", path.display())]
    Syntax {
        /// As given by `--conf`.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The parser's words.
        message: String,
    },
    /// A key or variable that does not exist.
    #[error("unknown {what} {name}{} ({origin})", nearest_hint(nearest.as_deref()))]
    Unknown {
        /// "key" or "environment variable".
        what: &'static str,
        /// As it was written.
        name: String,
        /// The known name that looks most like it.
        nearest: Option<String>,
        /// Where it was written.
        origin: Origin,
    },
    /// A value of the wrong type or outside its range, or one that contradicts another.
    #[error("{key} = {value} is not allowed: {allowed} ({origin})")]
    Invalid {
        /// Dotted name.
        key: &'static str,
        /// As it was written.
        value: String,
        /// What would be allowed, and why.
        allowed: String,
        /// Where it was set.
        origin: Origin,
    },
}

fn nearest_hint(nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!("; did you mean {name}?"),
        None => "; `placement-center --help` lists every key".to_owned(),
    }
}
