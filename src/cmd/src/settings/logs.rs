//! The `[log]` section: which log4rs file, where the files go, how much is said.

use std::path::PathBuf;

use log::LevelFilter;

/// The `[log]` section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The log4rs file. When nobody named one and the default does not exist, the built-in copy serves.
    pub config: PathBuf,
    /// Directory of all log files.
    pub path: PathBuf,
    /// Level of the server and raft logs; the audit and slow logs have their own.
    pub level: LevelFilter,
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings {
            config: PathBuf::from("config/log4rs.yaml"),
            path: PathBuf::from("./logs"),
            level: LevelFilter::Info,
        }
    }
}
