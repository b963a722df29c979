//! Directories and files of the data directory: who may use it, the lock, durable creation. Nothing
//! inside is touched before the path was found usable and the lock is held.

use super::file_error;
use super::format;
use crate::{Error, Result};
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

const LOCK_NAME: &str = "LOCK";
/// Only the owner: the data holds credentials and everyone's metadata.
const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// Makes `path` a locked directory of the format this program knows. The returned file holds the
/// lock.
pub(super) fn prepare(path: &Path) -> Result<File> {
    let refuse = |problem: String| Error::PathRefused {
        path: path.to_path_buf(),
        problem,
    };
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => return Err(refuse("it is not a directory".into())),
        Ok(metadata) => check_access(path, &metadata)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => create_private_dir(path)?,
        Err(error) => return Err(file_error("look at", path)(error)),
    }
    let lock = lock(path)?;
    format::check_or_create(path)?;
    fs::set_permissions(path, Permissions::from_mode(DIR_MODE))
        .map_err(file_error("make private", path))?;
    Ok(lock)
}

/// Creates `path` and its parents, private to the owner, and makes the entry durable.
pub(crate) fn create_private_dir(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(DIR_MODE)
        .create(path)
        .map_err(file_error("create", path))?;
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => sync_dir(Path::new(".")),
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}

/// Refuses, before anything is written, a directory that others could change or that is not ours.
fn check_access(path: &Path, metadata: &fs::Metadata) -> Result<()> {
    let refuse = |problem: String| {
        Err(Error::PathRefused {
            path: path.to_path_buf(),
            problem,
        })
    };
    let mode = metadata.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return refuse(format!(
            "users other than its owner may write to it (mode {mode:04o}); run: chmod 700"
        ));
    }
    // The owner of /proc/self is the user this process runs as; without /proc the check is left to
    // the operating system.
    match fs::metadata("/proc/self").map(|me| me.uid()) {
        Ok(me) if me != metadata.uid() => refuse(format!(
            "it belongs to user {}, this process runs as user {me}",
            metadata.uid()
        )),
        _ => format::check_contents(path),
    }
}

fn lock(path: &Path) -> Result<File> {
    let lock_path = path.join(LOCK_NAME);
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(FILE_MODE)
        .open(&lock_path)
        .map_err(file_error("create", &lock_path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Locked {
            path: path.to_path_buf(),
        }),
        Err(TryLockError::Error(error)) => Err(file_error("lock", &lock_path)(error)),
    }
}

/// Whether a directory that holds `name`, and no FORMAT file, may be one whose creation was
/// interrupted (or an empty file system).
pub(super) fn may_precede_format(name: &str) -> bool {
    name == LOCK_NAME || name == "lost+found" || name.ends_with(TEMPORARY_SUFFIX)
}

const TEMPORARY_SUFFIX: &str = ".new";

/// Creates the file `path` with `contents`: after a crash it is there completely or not at all.
pub(super) fn create_durably(path: &Path, contents: &[u8]) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(TEMPORARY_SUFFIX);
    let temporary = Path::new(&temporary);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE)
        .open(temporary)
        .map_err(file_error("create", temporary))?;
    file.write_all(contents)
        .and_then(|()| file.sync_all())
        .map_err(file_error("write", temporary))?;
    fs::rename(temporary, path).map_err(file_error("rename into place", path))?;
    match path.parent() {
        Some(parent) => sync_dir(parent),
        None => Ok(()),
    }
}

fn sync_dir(path: &Path) -> Result<()> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(file_error("sync", path))
}
