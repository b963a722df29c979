//! What a user runs from a shell: the scripted integration test, and the example program against a
//! running node.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, ensure};
use harness::load::{Load, Plan};
use harness::server::START_DEADLINE;
use harness::{Server, binary, history, wait};
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
        .env("PLACEMENT_SERVER_BIN", binary::placement_center()?)
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

/// Ports that were free a moment ago. They are held together, so they differ from each other.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let held: Vec<TcpListener> = (0..count)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()?;
    let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
    Ok(held.iter().map(port).collect::<Result<_, _>>()?)
}

/// Writes the file of a node that listens on these ports: gRPC, HTTP, peers.
fn write_config(folder: &Path, id: u64, ports: &[u16], founding: &str) -> Result<()> {
    let (grpc, http, peer) = (ports[0], ports[1], ports[2]);
    let text = format!(
        "node_id = {id}\ngrpc_port = {grpc}\nhttp_port = {http}\npeer_port = {peer}\n{founding}\n"
    );
    let path = folder.join(format!("conf/node{id}.toml"));
    fs::write(path, text).context("write the configuration of a node")
}

/// Writes the files of three founders, and of a fourth node that joins; returns their ports, three for each.
fn write_configs(folder: &Path) -> Result<Vec<u16>> {
    fs::create_dir(folder.join("conf"))?;
    let ports = free_ports(12)?;
    let founders = || (1..).zip(ports[..9].chunks(3));
    let nodes: Vec<String> = founders()
        .map(|(id, ports)| format!("{id} = \"127.0.0.1:{}\"", ports[2]))
        .collect();
    let founding = format!("nodes = {{ {} }}", nodes.join(", "));
    for (id, ports) in founders() {
        write_config(folder, id, ports, &founding)?;
    }
    // Any one member is enough.
    let join = format!("join = [\"127.0.0.1:{}\"]", ports[8]);
    write_config(folder, 4, &ports[9..], &join)?;
    Ok(ports)
}

/// Stops what a failed test leaves running; there is nobody to tell when that fails too.
struct StopAtEnd<'a>(&'a Path);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        let _ = cluster_script(self.0, &["stop"]);
        let _ = cluster_script(self.0, &["stop", "4"]);
    }
}

#[test]
fn the_cluster_script_starts_shows_and_stops_the_nodes() -> Result<()> {
    let folder = TempDir::new_in(binary::scratch()?).context("make a folder")?;
    let folder = folder.path();
    let ports = write_configs(folder)?;
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
    let shown = String::from_utf8(cluster_script(folder, &["status"])?.stdout)?;
    for expected in ["node-1  ", "node-2  ", "node-3  ", "  leader  "] {
        ensure!(shown.contains(expected), "one cluster: {shown}");
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
    for wrong in [&["begin"][..], &["start", "5"], &["start", "../x"], &[]] {
        let refused = cluster_script(folder, wrong)?;
        ensure!(refused.status.code() == Some(2), "{wrong:?}: {refused:?}");
    }
    Ok(())
}

/// Runs placement-ctl against members of the cluster in `folder`.
fn ctl(ports: &[u16], arguments: &[&str]) -> Result<Output> {
    let endpoints = |at: usize| -> String {
        let addresses = ports
            .chunks(3)
            .map(|ports| format!("127.0.0.1:{}", ports[at]));
        addresses.collect::<Vec<_>>().join(",")
    };
    Command::new(binary::placement_ctl()?)
        .args(arguments)
        .env("PLACEMENT_CTL_ENDPOINT", endpoints(0))
        .env("PLACEMENT_CTL_HTTP_ENDPOINT", endpoints(1))
        .output()
        .context("run placement-ctl")
}

/// What a command that must succeed printed.
fn printed(output: Output) -> Result<String> {
    ensure!(output.status.success(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn members_are_added_removed_and_recovered_as_the_manual_says() -> Result<()> {
    let folder = TempDir::new_in(binary::scratch()?).context("make a folder")?;
    let folder = folder.path();
    let ports = write_configs(folder)?;
    let _stop = StopAtEnd(folder);
    printed(cluster_script(folder, &["start"])?)?;
    printed(ctl(&ports, &["kv", "put", "color", "blue"])?)?;

    printed(cluster_script(folder, &["start", "4"])?)?;
    // Ends when all have caught up and vote.
    printed(ctl(&ports, &["status", "--all", "--watch"])?)?;
    let list = printed(ctl(&ports, &["member", "list"])?)?;
    ensure!(list.contains("node-4  voter"), "{list}");
    printed(ctl(&ports[9..], &["leader", "transfer", "--to", "node-4"])?)?;
    // A leader that has just been elected has to hear of the others first.
    let checked = || {
        let check = ctl(&ports, &["member", "check", "node-1"]).ok()?;
        check.status.success().then_some(())
    };
    wait::until("node-1 may be restarted", START_DEADLINE, checked)?;
    // It leads, hands over, and is no member any more.
    printed(ctl(&ports, &["member", "remove", "node-4"])?)?;
    let list = printed(ctl(&ports, &["member", "list"])?)?;
    ensure!(
        !list.contains("node-4") && list.contains("leader"),
        "{list}"
    );
    let again = ctl(&ports, &["member", "remove", "node-4"])?;
    ensure!(again.status.code() == Some(3), "{again:?}");
    let reused = ctl(&ports, &["member", "add", "4", "127.0.0.1:1"])?;
    ensure!(
        reused.status.code() == Some(1),
        "a number is used once: {reused:?}"
    );

    let before = printed(ctl(&ports[..3], &["kv", "get", "color"])?)?;
    printed(cluster_script(folder, &["stop"])?)?;
    let recovered = Command::new("bash")
        .arg(binary::workspace().join("bin/start.sh"))
        .args(["--force-new-cluster", "--conf"])
        .arg(folder.join("conf/node1.toml"))
        .arg("--data-path")
        .arg(folder.join("data/node1"))
        .arg("--log-path")
        .arg(folder.join("logs/node1"))
        .env("BIN", binary::placement_center()?)
        .env("RUN_DIR", folder.join("run/node1"))
        .output()?;
    printed(recovered)?;
    ensure!(printed(ctl(&ports[..3], &["kv", "get", "color"])?)? == before);
    let list = printed(ctl(&ports[..3], &["member", "list"])?)?;
    ensure!(
        list.lines().count() == 2 && list.contains("node-1  leader"),
        "{list}"
    );
    printed(cluster_script(folder, &["stop", "1"])?)?;
    Ok(())
}

#[test]
fn a_lost_member_is_replaced_as_the_manual_says() -> Result<()> {
    let folder = TempDir::new_in(binary::scratch()?).context("make a folder")?;
    let folder = folder.path();
    let ports = write_configs(folder)?;
    let _stop = StopAtEnd(folder);
    printed(cluster_script(folder, &["start"])?)?;
    printed(ctl(&ports[..9], &["kv", "put", "color", "blue"])?)?;
    let pid = fs::read_to_string(folder.join("run/node2/placement-center.pid"))?;
    let killed = Command::new("kill").args(["-9", pid.trim()]).status()?;
    ensure!(killed.success(), "{killed}");
    fs::remove_dir_all(folder.join("data/node2"))?;

    printed(ctl(&ports[..9], &["member", "remove", "node-2"])?)?;
    printed(cluster_script(folder, &["start", "4"])?)?;
    printed(ctl(&ports, &["status", "--all", "--watch"])?)?;
    let list = printed(ctl(&ports, &["member", "list"])?)?;
    ensure!(
        list.contains("node-4  voter") && !list.contains("node-2"),
        "{list}"
    );
    // The new one counts: without one of the others the cluster goes on.
    printed(cluster_script(folder, &["stop", "1"])?)?;
    printed(ctl(&ports[6..], &["kv", "put", "color", "green"])?)?;
    let color = printed(ctl(&ports[9..], &["kv", "get", "color"])?)?;
    ensure!(color.contains("green"), "{color}");
    printed(cluster_script(folder, &["start", "1"])?)?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn members_are_restarted_under_load_as_the_manual_says() -> Result<()> {
    let folder = TempDir::new_in(binary::scratch()?).context("make a folder")?;
    let folder = folder.path();
    let ports = write_configs(folder)?;
    let ports = &ports[..9];
    let _stop = StopAtEnd(folder);
    printed(cluster_script(folder, &["start"])?)?;
    let urls: Vec<String> = ports
        .chunks(3)
        .map(|ports| format!("http://127.0.0.1:{}", ports[0]))
        .collect();
    let load = Load::start(&Plan::of_cluster(&urls, "manual")).await?;
    load.reached(500, START_DEADLINE).await?;
    printed(ctl(ports, &["status", "--all", "--watch"])?)?;
    // Followers first.
    let list = printed(ctl(ports, &["member", "list"])?)?;
    let mut names = ["node-1", "node-2", "node-3"];
    names.sort_by_key(|name| list.contains(&format!("{name}  leader")));
    for name in names {
        printed(ctl(ports, &["member", "check", name])?)?;
        let id = &name["node-".len()..];
        printed(cluster_script(folder, &["stop", id])?)?;
        printed(cluster_script(folder, &["start", id])?)?;
        printed(ctl(ports, &["status", "--all", "--watch"])?)?;
    }
    let acknowledged = load.acknowledged();
    load.reached(acknowledged + 500, START_DEADLINE).await?;
    let record = load.finish(START_DEADLINE).await?;
    ensure!(
        record.refused.is_empty(),
        "refused: {:?}",
        record.refused.first()
    );
    for url in &urls {
        history::verify(url, "manual", 1, &record.acknowledged, &record).await?;
    }
    println!(
        "{} writes acknowledged, {} of unknown outcome",
        record.acknowledged.len(),
        record.unanswered.len()
    );
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
