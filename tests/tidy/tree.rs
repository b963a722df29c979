//! The text files of the repository as they lie on disk, so that a rule sees a file before it is
//! committed. Build output and what a node leaves behind are no part of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Folders below the root that hold no text of ours.
const SKIPPED: [&str; 5] = [".git", "target", "data", "logs", "run"];

/// A text file.
pub struct File {
    /// Relative to the root, with `/`.
    pub path: String,
    /// All of it.
    pub text: String,
    /// Whether its owner may execute it.
    pub executable: bool,
}

/// Every text file, in the order of their paths.
pub struct Tree {
    /// See [`File`].
    pub files: Vec<File>,
}

impl Tree {
    /// Reads the repository of this test.
    pub fn load() -> Tree {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut files = Vec::new();
        let mut folders = vec![root.to_path_buf()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder of the repository can be listed") {
                let path = entry
                    .expect("a folder of the repository can be listed")
                    .path();
                let relative = path.strip_prefix(root).expect("walked from the root");
                let relative = relative.to_str().expect("paths are UTF-8").to_owned();
                if path.is_dir() {
                    if !SKIPPED.contains(&relative.as_str()) {
                        folders.push(path);
                    }
                } else if let Ok(text) = fs::read_to_string(&path) {
                    let mode = fs::metadata(&path).map_or(0, |data| data.permissions().mode());
                    files.push(File {
                        path: relative,
                        text,
                        executable: mode & 0o100 != 0,
                    });
                }
            }
        }
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Tree { files }
    }

    /// The Rust files.
    pub fn sources(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".rs"))
    }

    /// The text of a file that must exist.
    pub fn text(&self, path: &str) -> &str {
        let file = self.files.iter().find(|file| file.path == path);
        &file.unwrap_or_else(|| panic!("{path} is missing")).text
    }

    /// Whether there is a file, or a folder with files, of this path.
    pub fn has(&self, path: &str) -> bool {
        let folder = format!("{}/", path.trim_end_matches('/'));
        self.files
            .iter()
            .any(|file| file.path == path || file.path.starts_with(&folder))
    }
}
