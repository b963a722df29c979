//! Where the programs under test are: built when missing or older than the sources, looked up otherwise.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, bail, ensure};

/// The server: `PLACEMENT_SERVER_BIN` when set, else the build of this workspace.
pub fn placement_center() -> Result<PathBuf> {
    named("PLACEMENT_SERVER_BIN", "placement-center")
}

/// The command line client: `PLACEMENT_CTL_BIN` when set, else the build of this workspace.
pub fn placement_ctl() -> Result<PathBuf> {
    named("PLACEMENT_CTL_BIN", "placement-ctl")
}

/// A program of this system found through `PATH`.
pub fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|candidate| candidate.is_file())
}

/// A folder for test data inside the build directory: on a real disk, out of version control, and
/// removed by `cargo clean` should a killed test leave something behind.
pub fn scratch() -> Result<PathBuf> {
    let folder = profile_folder()?.join("test-data");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}

/// The root of the workspace.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn named(variable: &str, name: &str) -> Result<PathBuf> {
    if let Some(path) = std::env::var_os(variable) {
        let path = PathBuf::from(path);
        ensure!(path.is_file(), "{variable}={} is no file", path.display());
        return Ok(path);
    }
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    let folder = BUILT
        .get_or_init(|| build_if_stale().map_err(|error| format!("{error:#}")))
        .as_ref()
        .map_err(|text| anyhow!("{text}"))?;
    Ok(folder.join(name))
}

/// The folder of finished programs, after a build if one of them is missing or older than a source.
fn build_if_stale() -> Result<PathBuf> {
    let folder = profile_folder()?;
    let programs = ["placement-center", "placement-ctl"].map(|name| modified(&folder.join(name)));
    let built = programs.into_iter().min().flatten();
    // Cargo leaves a program alone when a changed source is none of its own; the mark remembers that.
    let checked = built.map(|built| built.max(modified(&mark(&folder)).unwrap_or(built)));
    if checked.is_none() || newest_source()? > checked {
        build(&folder)?;
    }
    Ok(folder)
}

/// The file whose age tells when the programs were last known to be up to date.
fn mark(folder: &Path) -> PathBuf {
    folder.join(".programs-up-to-date")
}

fn build(folder: &Path) -> Result<()> {
    let target = folder.parent().context("find the target folder")?;
    // Made before the build: a source changed while it runs must count as newer.
    let begun = folder.join(format!(".programs-build-{}", std::process::id()));
    fs::write(&begun, "").context("mark the begin of a build")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--release", "--locked", "-p", "cmd", "--bins"])
        .arg("--target-dir")
        .arg(target)
        .current_dir(workspace())
        .output()
        .context("run cargo")?;
    if !output.status.success() {
        bail!(
            "build the programs under test:\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    fs::rename(&begun, mark(folder)).context("mark the end of a build")
}

/// `target/release`, found from the running program, which lies in one of its folders.
fn profile_folder() -> Result<PathBuf> {
    let program = std::env::current_exe().context("find the running program")?;
    let folder = program.parent().and_then(Path::parent);
    Ok(folder
        .context("the running program lies in no build folder")?
        .to_path_buf())
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|data| data.modified()).ok()
}

/// When the newest source of the programs changed.
fn newest_source() -> Result<Option<SystemTime>> {
    let root = workspace();
    let mut newest = modified(&root.join("Cargo.lock")).max(modified(&root.join("Cargo.toml")));
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("read {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                newest = newest.max(modified(&path));
            }
        }
    }
    Ok(newest)
}
