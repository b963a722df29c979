//! What a user runs from a shell: the scripted integration test, and the example program against a
//! running node.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use harness::{Server, binary};
use tempfile::TempDir;

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

/// Runs bin/cluster.sh on nodes whose files stand in `folder`, which receives everything they write.
fn cluster_script(folder: &Path, arguments: &[&str]) -> Result<Output> {
    Command::new("bash")
        .arg(binary::workspace().join("bin/cluster.sh"))
        .args(arguments)
        .current_dir(folder)
        .env("BIN", binary::placement_center()?)
        .env("CTL", binary::placement_ctl()?)
        .env("CONF_DIR", "conf")
        .env("RUN_DIR", "run")
        .env("DATA_DIR", "data")
        .env("LOG_DIR", "logs")
        .output()
        .context("run bin/cluster.sh")
}

/// Stops what a failed test leaves running; there is nobody to tell when that fails too.
struct StopAtEnd<'a>(&'a Path);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        let _ = cluster_script(self.0, &["stop"]);
    }
}

#[test]
fn the_cluster_script_starts_shows_and_stops_the_nodes() -> Result<()> {
    let folder = TempDir::new_in(binary::scratch()?).context("make a folder")?;
    let folder = folder.path();
    fs::create_dir(folder.join("conf"))?;
    let held: Vec<TcpListener> = (0..9)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()?;
    let ports: Vec<u16> = held
        .iter()
        .map(|listener| listener.local_addr().map(|address| address.port()))
        .collect::<Result<_, _>>()?;
    drop(held);
    for (id, ports) in (1..).zip(ports.chunks(3)) {
        let (grpc, http, peer) = (ports[0], ports[1], ports[2]);
        let text = format!(
            "node_id = {id}\ngrpc_port = {grpc}\nhttp_port = {http}\npeer_port = {peer}\nnodes = {{ {id} = \"127.0.0.1:{peer}\" }}\n"
        );
        fs::write(folder.join(format!("conf/node{id}.toml")), text)?;
    }
    let _stop = StopAtEnd(folder);
    let started = cluster_script(folder, &["start"])?;
    let printed = String::from_utf8_lossy(&started.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&started.stderr).into_owned();
    ensure!(started.status.success(), "{printed}\n{complaints}");
    let endpoints = format!(
        "127.0.0.1:{},127.0.0.1:{},127.0.0.1:{}",
        ports[0], ports[3], ports[6]
    );
    ensure!(
        printed.contains(&format!("Clients: {endpoints}\n")),
        "{printed}"
    );
    for id in 1..=3 {
        ensure!(
            printed.contains(&format!("node {id}: placement-center ")),
            "{printed}"
        );
        for written in [
            format!("data/node{id}/identity"),
            format!("logs/node{id}/server.log"),
        ] {
            ensure!(folder.join(&written).is_file(), "no {written}");
        }
    }
    let stopped = cluster_script(folder, &["stop", "2"])?;
    ensure!(stopped.status.success(), "{stopped:?}");
    let shown = String::from_utf8(cluster_script(folder, &["status"])?.stdout)?;
    for expected in [
        "node 1: runs, pid ",
        "node 2: does not run\n",
        "node 3: runs, pid ",
    ] {
        ensure!(shown.contains(expected), "{shown}");
    }
    ensure!(cluster_script(folder, &["start", "2"])?.status.success());
    let again = cluster_script(folder, &["start", "2"])?;
    ensure!(!again.status.success(), "it runs already");
    ensure!(cluster_script(folder, &["stop"])?.status.success());
    ensure!(!cluster_script(folder, &["status"])?.status.success());
    for wrong in [&["begin"][..], &["start", "4"], &["start", "../x"], &[]] {
        let refused = cluster_script(folder, wrong)?;
        ensure!(refused.status.code() == Some(2), "{wrong:?}: {refused:?}");
    }
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
