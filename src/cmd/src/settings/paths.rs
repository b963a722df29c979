//! Checks that the directories of the settings can be written, without leaving a trace in them.

use std::io;
use std::path::{Path, PathBuf};

use placement_center::config::Invalid;

use super::{Effective, Error};

impl Effective {
    /// Checks the data and log directories. Creates nothing that outlives the call.
    ///
    /// # Errors
    /// The directory that cannot be used, and why.
    pub fn check_paths(&self) -> Result<(), Error> {
        let directories = [
            ("data_path", &self.settings.node.data_path),
            ("log.log_path", &self.settings.log.path),
        ];
        for (key, path) in directories {
            check_writable(path).map_err(|reason| {
                self.located(Invalid {
                    key,
                    value: format!("{:?}", path.display().to_string()),
                    allowed: format!(
                        "expected a directory that can be created and written; {reason}"
                    ),
                })
            })?;
        }
        Ok(())
    }
}

/// Probes the directory, or the nearest one above it when it does not exist yet, with a file that has
/// no name (or loses it at once where the file system cannot do that).
pub fn check_writable(path: &Path) -> Result<(), String> {
    let existing =
        nearest_existing(path).map_err(|error| format!("{}: {error}", path.display()))?;
    if !existing.is_dir() {
        return Err(format!("{} is not a directory", existing.display()));
    }
    match tempfile::tempfile_in(&existing) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "cannot write in {}: {}",
            existing.display(),
            plain(&error)
        )),
    }
}

fn nearest_existing(path: &Path) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    for ancestor in absolute.ancestors() {
        match ancestor.symlink_metadata() {
            // A dangling link exists but leads nowhere: `metadata` tells.
            Ok(_) => return ancestor.metadata().map(|_| ancestor.to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            // An ancestor is a file: the next round reports it as what it is.
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}

/// The system's reason without the random file name of the probe.
fn plain(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code).to_string(),
        None => error.kind().to_string(),
    }
}
