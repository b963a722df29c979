//! Why a storage operation failed. A variant of [`Error`] names the operation; its source names the
//! cause. Callers branch on the few control-flow variants and on the two questions that decide what
//! an operator must do: is the data damaged, is the disk full.

use std::io;
use std::path::PathBuf;

/// Result of a storage operation.
pub type Result<T> = std::result::Result<T, Error>;

/// A storage operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process (or another opening in this one) holds the directory.
    #[error("data directory {} is in use by another process", path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
    },
    /// The directory was written by a program that lays data out differently.
    #[error("data directory {} has format {found}, this program reads format {supported}", path.display())]
    FormatUnknown {
        /// The data directory.
        path: PathBuf,
        /// What its FORMAT file says.
        found: String,
        /// The one version this program reads and writes.
        supported: u32,
    },
    /// The path cannot serve as a data directory; nothing in it was changed.
    #[error("cannot use {} as data directory: {problem}", path.display())]
    PathRefused {
        /// The path that was given.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file operation in the data directory failed.
    #[error("{operation} {}", path.display())]
    File {
        /// What was tried, as a verb phrase.
        operation: &'static str,
        /// On which file or directory.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// Opening one of the two databases failed.
    #[error("open the database in {}", path.display())]
    Open {
        /// Directory of the database.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: EngineError,
    },
    /// Reading failed.
    #[error("read from the database")]
    Get(#[source] EngineError),
    /// An atomic write, or the sync that belongs to it, failed. The database takes no more writes.
    #[error("write to the database")]
    Write(#[source] EngineError),
    /// Making the state durable failed. The database takes no more writes.
    #[error("flush the database")]
    Flush(#[source] EngineError),
    /// Giving disk space back failed; nothing is lost.
    #[error("give disk space back")]
    Reclaim(#[source] EngineError),
    /// Copying the state failed; the state itself is untouched.
    #[error("checkpoint the database to {}", path.display())]
    Checkpoint {
        /// Directory of the copy.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: EngineError,
    },
    /// Writing the identity to the simulated disk failed.
    #[error("write the identity")]
    SaveIdentity(#[source] EngineError),
    /// Stored bytes are not what was written.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
    /// An earlier write failed, so what is on disk is unknown until the store is opened again.
    #[error("the database refuses writes because an earlier write failed")]
    Poisoned,
    /// Another snapshot is being received.
    #[error("another snapshot is being received")]
    StagingBusy,
    /// What was received is not the snapshot that was sent, or not for this program.
    #[error("the snapshot is damaged or foreign: {0}")]
    BadSnapshot(String),
    /// The log no longer holds the record.
    #[error("log record {requested} was truncated, the first one is {first}")]
    Compacted {
        /// Index that was asked for.
        requested: u64,
        /// Lowest index still held.
        first: u64,
    },
    /// The log does not hold the record yet.
    #[error("log record {requested} is not written, the last one is {last}")]
    Unavailable {
        /// Index that was asked for.
        requested: u64,
        /// Highest index held.
        last: u64,
    },
    /// A log write would leave a hole.
    #[error("log write starts at or holds {found} where {expected} was expected")]
    Gap {
        /// Index that would continue the log.
        expected: u64,
        /// Index that was given.
        found: u64,
    },
}

impl Error {
    /// The stored data is damaged: the node must stop and be repaired from its peers.
    pub fn is_corruption(&self) -> bool {
        matches!(self, Error::Corrupt(_))
            || matches!(self.engine(), Some(EngineError::Corruption(_)))
    }

    /// The disk is full: freeing space and starting again helps.
    pub fn is_no_space(&self) -> bool {
        match self {
            Error::File { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
            ),
            other => matches!(other.engine(), Some(EngineError::NoSpace(_))),
        }
    }

    /// The simulated machine lost power during or before this operation.
    pub fn is_power_loss(&self) -> bool {
        matches!(self.engine(), Some(EngineError::PowerLost))
    }

    fn engine(&self) -> Option<&EngineError> {
        match self {
            Error::Get(source)
            | Error::Write(source)
            | Error::Flush(source)
            | Error::Reclaim(source)
            | Error::SaveIdentity(source)
            | Error::Open { source, .. }
            | Error::Checkpoint { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// What the database (or its in-memory twin) reported.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// A checksum or an invariant of the files does not hold.
    #[error("corruption: {0}")]
    Corruption(String),
    /// The disk, or the quota on it, is full.
    #[error("no space left: {0}")]
    NoSpace(String),
    /// The operating system reported an error.
    #[error("input or output failed: {0}")]
    Io(String),
    /// Another process holds the database.
    #[error("locked: {0}")]
    Locked(String),
    /// The simulated machine is without power.
    #[error("power was lost")]
    PowerLost,
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

impl From<rocksdb::Error> for EngineError {
    fn from(error: rocksdb::Error) -> Self {
        let kind = error.kind();
        let message = error.into_string();
        // RocksDB keeps no sub-code across its C interface; the two causes an operator acts on
        // differently are told apart by the operating system's text inside the message.
        let says = |text: &str| message.contains(text);
        match kind {
            rocksdb::ErrorKind::Corruption => EngineError::Corruption(message),
            _ if says("No space left on device") || says("Disk quota exceeded") => {
                EngineError::NoSpace(message)
            }
            rocksdb::ErrorKind::IOError if says("lock file") || says("lock hold by") => {
                EngineError::Locked(message)
            }
            rocksdb::ErrorKind::IOError => EngineError::Io(message),
            _ => EngineError::Other(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_and_full_disk_are_told_apart() {
        let corrupt = Error::Get(EngineError::Corruption("block checksum".into()));
        assert!(corrupt.is_corruption() && !corrupt.is_no_space());
        let full = Error::Write(EngineError::NoSpace("wal".into()));
        assert!(full.is_no_space() && !full.is_corruption());
        let full_file = Error::File {
            operation: "write",
            path: "identity".into(),
            source: io::ErrorKind::StorageFull.into(),
        };
        assert!(full_file.is_no_space());
        assert!(Error::Corrupt("record 3".into()).is_corruption());
        assert!(!Error::Poisoned.is_corruption());
    }

    #[test]
    fn display_does_not_repeat_the_source() {
        let error = Error::Write(EngineError::Io("disk on fire".into()));
        assert!(!error.to_string().contains("fire"));
    }
}
