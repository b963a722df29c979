//! What a user runs from a shell: the scripted integration test, and the example program against a
//! running node.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use harness::{Server, binary};

#[test]
fn the_integration_script_passes() -> Result<()> {
    for program in ["bash", "curl"] {
        if binary::installed(program).is_none() {
            println!("skipped: {program} is not installed here");
            return Ok(());
        }
    }
    let output = Command::new("bash")
        .arg(binary::workspace().join("tests/integration.sh"))
        .env("PLACEMENT_CENTER_BIN", binary::placement_center()?)
        .env("PLACEMENT_CTL_BIN", binary::placement_ctl()?)
        .env("INTEGRATION_SCRATCH", binary::scratch()?)
        .output()
        .context("run tests/integration.sh")?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    println!("{printed}");
    ensure!(output.status.success(), "{printed}\n{complaints}");
    Ok(())
}

#[test]
fn the_example_program_runs_against_a_node() -> Result<()> {
    let server = Server::center()?;
    let output = Command::new(example()?)
        .arg(server.url())
        .output()
        .context("run the example")?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{printed}\n{complaints}");
    for line in [
        "set brokers/1 at revision 2",
        "guarded set: first true, repeated false",
        "get brokers/1 = 10.0.0.1:9093",
        "pipeline: 99 written, 0 failed",
        "list brokers/: 100 keys",
    ] {
        ensure!(printed.contains(line), "{line:?} is missing in {printed}");
    }
    Ok(())
}

/// Cargo builds the examples together with the tests, into a folder beside theirs.
fn example() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    let folder = program
        .parent()
        .and_then(Path::parent)
        .context("find the build folder")?;
    let example = folder.join("examples/kv_quickstart");
    if !example.is_file() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let status = Command::new(cargo)
            .args([
                "build",
                "--release",
                "--locked",
                "--example",
                "kv_quickstart",
            ])
            .arg("--target-dir")
            .arg(folder.parent().context("find the target folder")?)
            .current_dir(binary::workspace())
            .status()
            .context("build the example")?;
        ensure!(status.success(), "the example does not build");
    }
    Ok(example)
}
