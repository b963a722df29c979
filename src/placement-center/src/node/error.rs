//! Why a node did not start, is not ready, or stopped.

use crate::config::Invalid;
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration cannot work.
    #[error("check the configuration")]
    Config(#[from] Invalid),
    /// No member took this node in.
    #[error("join the cluster")]
    Join(#[from] crate::peer::JoinError),
    /// The system has no random numbers to give.
    #[error("draw a random number")]
    Random(#[source] std::io::Error),
    /// A listener could not be handed to the runtime.
    #[error("take over the {listener} listener")]
    Listener {
        /// Which one.
        listener: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The data directory is locked, damaged, of another version or unreadable.
    #[error("open the data directory {}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// Which step failed.
        #[source]
        source: storage::Error,
    },
    /// The node cannot be made the only member of its cluster.
    #[error("force a new cluster")]
    Force(#[from] consensus::ForceError),
    /// The state could not be read.
    #[error("load the state")]
    Machine(#[source] storage::Error),
    /// The consensus group refused to start.
    #[error("start the consensus group")]
    Group(#[from] consensus::StartError),
    /// Opening panicked: a bug.
    #[error("opening the node panicked: {0}")]
    Panicked(String),
}

impl StartError {
    /// Whether another process holds the data directory.
    pub fn is_directory_in_use(&self) -> bool {
        matches!(
            self,
            StartError::Open {
                source: storage::Error::Locked { .. },
                ..
            }
        )
    }
}

/// Why a node does not answer requests yet.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    /// No leader was elected in time.
    #[error("no leader after {0:?}")]
    NoLeader(Duration),
    /// The first read did not come back in time.
    #[error("the first read did not finish within {0:?}")]
    NoRead(Duration),
    /// The first read failed.
    #[error("the first read failed")]
    Read(#[source] consensus::ReadError),
}

/// Why a node stopped without being asked to, or did not stop cleanly.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The consensus group died or could not stop.
    #[error("the consensus group failed")]
    Group(#[source] consensus::FatalError),
    /// A listener gave up.
    #[error("the {task} task failed")]
    Task {
        /// Which one.
        task: &'static str,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A task ended although nobody had asked it to.
    #[error("the {task} task ended unexpectedly")]
    TaskEnded {
        /// Which one.
        task: &'static str,
    },
    /// A task panicked: a bug.
    #[error("the {task} task panicked: {message}")]
    TaskPanicked {
        /// Which one.
        task: &'static str,
        /// The text of the panic.
        message: String,
    },
}
