//! The server as a process: signals, a second process on the same data or port, and `kill -9` under
//! load. `KILL_ROUNDS` sets how often the last test kills.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use futures::StreamExt;
use harness::load::{Load, Plan, Record};
use harness::process::{Process, Signal};
use harness::random::{Random, count_from};
use harness::{Kind, Server, client, history, server};
use protocol::placement::v1::kv_service_client::KvServiceClient;
use protocol::placement::v1::{Operation, PipelineRequest, SetRequest, operation};
use tonic::Code;

/// A polite stop may take this long, by the product's own promise.
const STOP_PROMISE: Duration = Duration::from_secs(5);

/// What "at once" means for a process on a machine that runs other tests too.
const AT_ONCE: Duration = Duration::from_secs(5);

/// A few rounds show that the test works; the acceptance run sets `KILL_ROUNDS=30`.
const KILL_ROUNDS_DEFAULT: u64 = 3;

const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_under_load_ends_in_time_and_loses_nothing() -> Result<()> {
    let mut server = Server::subject()?;
    let base = client::revision(&mut client::kv(&server.url()).await?).await?;
    let load = Load::start(&Plan::standard(&server.url(), "term")).await?;
    load.reached(3000, DEADLINE).await?;

    let begin = Instant::now();
    server.process().signal(Signal::Terminate)?;
    let status = server.process().wait(DEADLINE)?;
    let took = begin.elapsed();
    let record = load.ended(DEADLINE).await?;

    ensure!(took <= STOP_PROMISE, "the stop took {took:?}");
    ensure!(
        status.code() == Some(0),
        "{status}:\n{}",
        server.process().printed()
    );
    clear_ends(&record)?;
    server.restart()?;
    let verdict = check(&server, "term", base, &record).await?;
    ensure!(
        verdict.applied_unanswered == 0,
        "an answer was lost on its way: {verdict:?}"
    );
    println!("stopped in {took:?}; {verdict:?}");
    Ok(())
}

/// A client cut off by a stop must learn that the server went away: by the server's own status, or by
/// its own transport when it used a connection that was being closed.
fn clear_ends(record: &Record) -> Result<()> {
    ensure!(
        !record.unanswered.is_empty(),
        "the server outlived its load"
    );
    for lost in &record.unanswered {
        let status = &lost.status;
        let transport = std::error::Error::source(status)
            .is_some_and(|source| source.is::<tonic::transport::Error>());
        let clear = status.code() == Code::Unavailable && !status.message().is_empty();
        ensure!(
            clear || transport,
            "an unclear end of a request: {status:?}"
        );
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_at_once() -> Result<()> {
    let mut server = Server::center()?;
    // An open stream that the client never ends keeps a polite stop waiting.
    let channel = client::connect(&server.url()).await?;
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let requests = tokio_stream::wrappers::ReceiverStream::new(receiver);
    sender.send(one_set()).await.context("queue a request")?;
    let mut answers = KvServiceClient::new(channel)
        .pipeline(requests)
        .await?
        .into_inner();
    answers.next().await.context("the stream ended")??;

    // Paused, the process meets both signals together, so it cannot end politely in between.
    server.process().signal(Signal::Pause)?;
    server.process().signal(Signal::Terminate)?;
    server.process().signal(Signal::Interrupt)?;
    let begin = Instant::now();
    server.process().signal(Signal::Resume)?;
    let status = server.process().wait(AT_ONCE)?;
    let code = status.code();
    ensure!(
        matches!(code, Some(130 | 143)),
        "{status} after {:?}",
        begin.elapsed()
    );
    drop(sender);
    server.restart()?;
    Ok(())
}

fn one_set() -> PipelineRequest {
    let set = SetRequest {
        key: "k".into(),
        value: "v".into(),
        expected_mod_revision: None,
    };
    PipelineRequest {
        operations: vec![Operation {
            operation: Some(operation::Operation::Set(set)),
        }],
    }
}

#[test]
fn a_second_process_on_the_same_data_is_refused() -> Result<()> {
    let server = Server::center()?;
    let folder = tempfile::tempdir_in(harness::binary::scratch()?)?;
    let config = fs::read_to_string(server.config_file())?;
    // Everything else is its own: the data directory alone must be the reason.
    let own_ports = config
        .lines()
        .map(|line| match line.split_once(" = ") {
            Some((key, _)) if key.ends_with("_port") => Ok(format!("{key} = {}", free_port()?)),
            Some(("nodes", _)) => Ok(String::new()),
            Some(("log_path", _)) => Ok(format!("log_path = {:?}", folder.path().join("log"))),
            _ => Ok(line.to_owned()),
        })
        .collect::<Result<Vec<_>>>()?
        .join("\n");
    let own_ports = with_own_peer(&own_ports)?;
    let refusal = refused(folder.path(), &own_ports)?;
    // A part of the directory may be locked on its own; the refusal must come before that.
    let expected = format!("{} is in use by another process", server.data().display());
    ensure!(
        refusal.contains(&expected),
        "{refusal:?} does not say {expected:?}"
    );
    Ok(())
}

#[test]
fn a_second_process_on_the_same_port_is_refused() -> Result<()> {
    let server = Server::center()?;
    let config = fs::read_to_string(server.config_file())?;
    for (key, endpoint) in [
        ("grpc_port", server.endpoint()),
        ("http_port", server.http_endpoint()),
    ] {
        let folder = tempfile::tempdir_in(harness::binary::scratch()?)?;
        let data = folder.path().join("data");
        let other = config
            .lines()
            .map(|line| match line.split_once(" = ") {
                Some(("data_path", _)) => Ok(format!("data_path = {data:?}")),
                Some(("log_path", _)) => Ok(format!("log_path = {:?}", folder.path().join("log"))),
                Some((found, _)) if found.ends_with("_port") && found != key => {
                    Ok(format!("{found} = {}", free_port()?))
                }
                Some(("nodes", _)) => Ok(String::new()),
                _ => Ok(line.to_owned()),
            })
            .collect::<Result<Vec<_>>>()?
            .join("\n");
        let refusal = refused(folder.path(), &with_own_peer(&other)?)?;
        let port = endpoint.rsplit(':').next().context("a port")?.to_owned();
        ensure!(
            refusal.contains(&port),
            "{refusal:?} does not name port {port}"
        );
        ensure!(
            !data.exists(),
            "{key}: data was created before the port was known to be free"
        );
    }
    Ok(())
}

/// `nodes` must name the node's own peer address, whatever port was chosen for it.
fn with_own_peer(config: &str) -> Result<String> {
    let peer = config
        .lines()
        .find_map(|line| line.strip_prefix("peer_port = "));
    let peer = peer.context("the configuration has a peer port")?;
    Ok(format!("nodes = {{ 1 = \"127.0.0.1:{peer}\" }}\n{config}"))
}

fn free_port() -> Result<u16> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("ask for a free port")?;
    Ok(listener.local_addr()?.port())
}

/// Runs a server that must refuse to start, and answers what it says.
fn refused(folder: &Path, config: &str) -> Result<String> {
    let file = folder.join("second.toml");
    fs::write(&file, config)?;
    let command = server::center_command(&file)?;
    let mut second = Process::spawn("second process", command, &folder.join("second.txt"))?;
    let status = second.wait(AT_ONCE).with_context(|| second.printed())?;
    let printed = second.printed();
    ensure!(status.code() == Some(1), "{status}: {printed}");
    ensure!(!printed.contains("panicked"), "{printed}");
    Ok(printed)
}

#[tokio::test(flavor = "multi_thread")]
async fn kill_under_load_loses_nothing_acknowledged() -> Result<()> {
    let mut server = Server::subject()?;
    let mut random = Random::new(Random::seed_from("KILL_SEED"));
    let mut acknowledged = 0;
    for round in 0..count_from("KILL_ROUNDS", KILL_ROUNDS_DEFAULT) {
        let prefix = format!("kill{round}");
        let base = client::revision(&mut client::kv(&server.url()).await?).await?;
        let load = Load::start(&Plan::standard(&server.url(), &prefix)).await?;
        // Counted in acknowledgements, the instant of the kill falls anywhere in the work of a batch.
        load.reached(500 + random.below(4000), DEADLINE).await?;
        server.kill()?;
        let record = load.ended(DEADLINE).await?;
        let restart = server.restart()?;
        let verdict = check(&server, &prefix, base, &record).await?;
        clean(&server)?;
        println!("round {round}: serving again after {restart:?}, {verdict:?}");
        acknowledged += verdict.acknowledged;
    }
    println!("{acknowledged} acknowledged writes, none lost");
    Ok(())
}

/// A start after a kill must not complain.
fn clean(server: &Server) -> Result<()> {
    if server.kind() == Kind::Center {
        let logged = server.everything_logged();
        for word in ["panicked", "ERROR", "corrupt"] {
            let line = logged.lines().find(|line| line.contains(word));
            ensure!(line.is_none(), "the log says {line:?}");
        }
    }
    Ok(())
}

async fn check(
    server: &Server,
    prefix: &str,
    base: i64,
    record: &Record,
) -> Result<history::Verdict> {
    history::verify(&server.url(), prefix, base, &record.acknowledged, record).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_refuses_new_connections_and_a_started_one_takes_them() -> Result<()> {
    let mut server = Server::subject()?;
    let begin = Instant::now();
    let status = server.stop()?;
    ensure!(status.success(), "{status}");
    println!("an idle server stops in {:?}", begin.elapsed());
    ensure!(
        client::connect(&server.url()).await.is_err(),
        "somebody answers on a stopped port"
    );
    server.restart()?;
    client::revision(&mut client::kv(&server.url()).await?).await?;
    Ok(())
}
