//! The FORMAT file: which layout the directory has. A program that does not know the layout must
//! not touch it, so an unknown version is an error that names both.

use super::file_error;
use super::files::{create_durably, may_precede_format};
use crate::{Error, Result};
use std::path::Path;

const NAME: &str = "FORMAT";
const PREFIX: &str = "placement-center data format ";
/// The one layout this program reads and writes.
const VERSION: u32 = 1;
/// No version has more bytes; reading stops there whatever the file holds.
const FILE_BYTES_MAX: u64 = 128;

/// Refuses a directory of another format, and one with foreign contents. Changes nothing.
pub(super) fn check_contents(path: &Path) -> Result<()> {
    match read(path)? {
        Some(found) => check_version(path, &found),
        None => check_empty(path),
    }
}

/// As [`check_contents`], and marks a new directory as ours.
pub(super) fn check_or_create(path: &Path) -> Result<()> {
    match read(path)? {
        Some(found) => check_version(path, &found),
        None => {
            check_empty(path)?;
            create_durably(&path.join(NAME), format!("{PREFIX}{VERSION}\n").as_bytes())
        }
    }
}

fn read(path: &Path) -> Result<Option<String>> {
    use std::io::Read;
    let file_path = path.join(NAME);
    let file = match std::fs::File::open(&file_path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(file_error("open", &file_path)(error)),
    };
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX)
        .read_to_end(&mut bytes)
        .map_err(file_error("read", &file_path))?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn check_version(path: &Path, contents: &str) -> Result<()> {
    let found = contents
        .strip_suffix('\n')
        .and_then(|line| line.strip_prefix(PREFIX));
    match found {
        Some(version) if version == VERSION.to_string() => Ok(()),
        Some(version) if version.parse::<u32>().is_ok() => Err(unknown(path, version.to_owned())),
        _ => Err(unknown(path, format!("{contents:?}"))),
    }
}

fn unknown(path: &Path, found: String) -> Error {
    Error::FormatUnknown {
        path: path.to_path_buf(),
        found,
        supported: VERSION,
    }
}

fn check_empty(path: &Path) -> Result<()> {
    let entries = std::fs::read_dir(path).map_err(file_error("list", path))?;
    for entry in entries {
        let name = entry.map_err(file_error("list", path))?.file_name();
        if !name.to_str().is_some_and(may_precede_format) {
            return Err(Error::PathRefused {
                path: path.to_path_buf(),
                problem: format!(
                    "it holds {} and no {NAME} file, so it is not a data directory",
                    name.to_string_lossy()
                ),
            });
        }
    }
    Ok(())
}
