//! Stamps the product version (version.ini) and the git revision into the binaries. Used by the root
//! package and by `src/cmd`. It decides nothing: a version that Cargo.toml contradicts ends the build.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What the binaries are made of: a change elsewhere (docs, tests) does not make a build "dirty".
const SOURCES: [&str; 5] = ["src", "Cargo.toml", "Cargo.lock", "build.rs", "version.ini"];

fn main() -> Result<(), String> {
    let root = workspace_root()?;
    let version = product_version(&root.join("version.ini"))?;
    let package = variable("CARGO_PKG_VERSION")?;
    if version != package {
        return Err(format!(
            "version.ini says {version}, Cargo.toml says {package}: \
             make [workspace.package] version equal to version.ini"
        ));
    }
    println!("cargo::rustc-env=PLACEMENT_CENTER_VERSION={version}");
    println!(
        "cargo::rustc-env=PLACEMENT_CENTER_GIT_REVISION={}",
        revision(&root)
    );
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", root.join(source).display());
    }
    Ok(())
}

/// The folder of version.ini: the package's own, or one above it.
fn workspace_root() -> Result<PathBuf, String> {
    let package = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = package
        .ancestors()
        .find(|folder| folder.join("version.ini").is_file());
    root.map(Path::to_path_buf)
        .ok_or_else(|| format!("no version.ini in {} or above", package.display()))
}

fn product_version(file: &Path) -> Result<String, String> {
    let text = fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let values = text.lines().filter_map(|line| line.split_once('='));
    let mut versions = values.filter(|(key, _)| key.trim() == "version");
    match (versions.next(), versions.next()) {
        (Some((_, version)), None) => Ok(version.trim().to_owned()),
        _ => Err(format!(
            "{}: want exactly one line `version = ...`",
            file.display()
        )),
    }
}

/// Short hash of the commit, `+dirty` when a source differs from it, `unknown` outside a repository.
fn revision(root: &Path) -> String {
    // Sources unpacked inside some other repository must not be stamped with its commit.
    let own = git(root, &["rev-parse", "--show-toplevel"])
        .and_then(|top| fs::canonicalize(top).ok())
        .is_some_and(|top| fs::canonicalize(root).is_ok_and(|root| root == top));
    if !own {
        return "unknown".to_owned();
    }
    watch_head(root);
    let Some(hash) = git(root, &["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let mut status = vec!["status", "--porcelain", "--untracked-files=no", "--"];
    status.extend(SOURCES);
    match git(root, &status) {
        Some(changes) if changes.is_empty() => hash,
        _ => format!("{hash}+dirty"),
    }
}

/// Asks for a new stamp when HEAD moves. Only files that exist: Cargo takes a missing one for changed,
/// and would run this at every build.
fn watch_head(root: &Path) {
    let branch = git(root, &["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "logs/HEAD", "packed-refs"]
        .into_iter()
        .chain(branch.as_deref())
    {
        let path = git(root, &["rev-parse", "--git-path", name]).map(|path| root.join(path));
        if let Some(path) = path.filter(|path| path.is_file()) {
            println!("cargo::rerun-if-changed={}", path.display());
        }
    }
}

fn git(root: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .arg("--no-optional-locks") // a build must not rewrite the index, nor fail because it is locked
        .args(arguments)
        .current_dir(root)
        // Set inside git hooks, where they may name another repository.
        .env_remove("GIT_DIR")
        .env_remove("GIT_WORK_TREE")
        .env_remove("GIT_INDEX_FILE")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}

fn variable(name: &str) -> Result<String, String> {
    env::var(name).map_err(|error| format!("{name}: {error}"))
}
