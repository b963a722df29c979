//! The life of the server process: check everything, bind, log, start the node, wait for a signal or
//! a failure, stop. What the node does in between is the node's.

mod refusal;
mod signals;

use std::ffi::OsString;
use std::future::Future;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, anyhow};
use placement_center::config::Config;
use placement_center::node::{Listeners, Node, NotReady, Readiness};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::logging::{self, Logging, Wanted};
use crate::settings::Effective;
use crate::{args, version};
use signals::Signals;

/// Exit codes of the server; a second signal adds its number to 128, as a shell would report it.
mod code {
    pub const STOPPED: u8 = 0;
    pub const FAILED: u8 = 1;
    pub const WRONG_CONFIGURATION: u8 = 2;
}

/// How long a started node may take to answer its first request before that is worth a line, and the
/// longest time between two such lines. A lone member elects itself at once.
const PATIENCE_MIN: Duration = Duration::from_secs(5);
const PATIENCE_MAX: Duration = Duration::from_secs(120);

/// Pause before a failed first read is tried again.
const RETRY_TIME: Duration = Duration::from_millis(100);

/// What the process grants a stop beyond `limits.shutdown_timeout`, which the node keeps by itself.
const STOP_MARGIN: Duration = Duration::from_secs(5);

/// Runs the server and answers its exit code.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> u8 {
    let arguments = match args::parse(arguments, environment) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too. A closed output leaves nobody to tell.
            let _ = error.print().and_then(|()| io::stdout().flush());
            return error
                .exit_code()
                .try_into()
                .unwrap_or(code::WRONG_CONFIGURATION);
        }
    };
    let checked = Effective::load(&arguments.layers)
        .map_err(anyhow::Error::from)
        .and_then(|effective| {
            effective.check_paths()?;
            logging::check(&Wanted::from_settings(&effective))?;
            Ok(effective)
        });
    let effective = match checked {
        Ok(effective) => effective,
        Err(error) => return complain(code::WRONG_CONFIGURATION, &error),
    };
    if arguments.check_config {
        say(&effective.to_toml());
        return code::STOPPED;
    }
    serve(&effective)
}

/// Serves until a signal or a failure. The ports come first: a port in use must not leave a log or
/// data directory behind.
fn serve(effective: &Effective) -> u8 {
    let config = effective.settings.node.clone();
    let listeners = match Listeners::bind(&config) {
        Ok(listeners) => listeners,
        Err(error) => return complain(code::FAILED, &refusal::of_bind(&error)),
    };
    let logging = match Logging::install(&Wanted::from_settings(effective)) {
        Ok(logging) => Arc::new(logging),
        Err(error) => return complain(code::WRONG_CONFIGURATION, &error.into()),
    };
    log_panics();
    log::info!(
        "placement-center {} starts with\n{}",
        version::text(),
        effective.to_toml().trim_end()
    );
    let ignored = effective.ignored();
    if !ignored.is_empty() {
        log::info!(
            "{} not read: the data directory exists, and the members of its cluster are part of its state",
            ignored.join(" and ")
        );
    }
    match live(config, listeners, Arc::clone(&logging)) {
        Ok(code) => code,
        Err(error) => {
            log::error!("{error:#}");
            if logging.reaches_console() {
                code::FAILED
            } else {
                complain(code::FAILED, &error)
            }
        }
    }
}

/// Two runtimes: the node's, and one of this thread that only watches signals, so that a second
/// signal ends the process even when every worker of the node is stuck.
fn live(config: Config, listeners: Listeners, logging: Arc<Logging>) -> anyhow::Result<u8> {
    let workers = workers().context("start the worker threads")?;
    let watch = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start the signal watch")?;
    let outcome = watch.block_on(async {
        let signals = Signals::watch().context("watch signals")?;
        let stop_time = config.limits.shutdown_timeout + STOP_MARGIN;
        let (stop_tx, stop_rx) = oneshot::channel();
        let node = workers.spawn(node(config, listeners, logging, stop_rx));
        let node = async {
            node.await
                .map_err(|error| anyhow!("the node's task failed: {error}"))?
        };
        supervise(node, signals, stop_tx, stop_time).await
    });
    // Whatever still runs there was told to stop and did not, or is of no account after a second
    // signal: waiting for it is what must not happen here.
    workers.shutdown_background();
    outcome
}

fn workers() -> io::Result<Runtime> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    Builder::new_multi_thread()
        .worker_threads(cores)
        .thread_name("worker")
        .enable_all()
        .build()
}

/// Waits for the node's end, passing the first signal on and giving up at the second.
async fn supervise(
    node: impl Future<Output = anyhow::Result<()>>,
    mut signals: Signals,
    stop_tx: oneshot::Sender<()>,
    stop_time: Duration,
) -> anyhow::Result<u8> {
    let mut node = std::pin::pin!(node);
    let first = tokio::select! {
        ended = &mut node => return ended.map(|()| code::STOPPED),
        signal = signals.next() => signal,
    };
    log::info!("{first} received: stopping, a second signal stops at once");
    // A node that has just ended by itself no longer listens; its result is taken below.
    let _ = stop_tx.send(());
    tokio::select! {
        ended = timeout(stop_time, &mut node) => {
            ended.with_context(|| format!("the node did not stop within {stop_time:?}"))?.map(|()| code::STOPPED)
        }
        second = signals.next() => {
            log::warn!("{second} received while stopping: stopped at once");
            Ok(second.exit_code())
        }
    }
}

/// Starts the node, says when it serves, runs it until it is told to stop.
async fn node(
    config: Config,
    listeners: Listeners,
    logging: Arc<Logging>,
    mut stop_rx: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let data_path = config.data_path.clone();
    let node = tokio::select! {
        started = Node::start(config, listeners, logging) => started.map_err(refusal::of_start)?,
        // Nothing was served yet, and a start can be abandoned at any point, as by a crash.
        _ = &mut stop_rx => return Ok(()),
    };
    let addresses = node.addresses();
    let serving = format!(
        "placement-center {} serving: gRPC http://{}, HTTP http://{}, data {}\n",
        version::number(),
        addresses.grpc,
        addresses.http,
        data_path.display()
    );
    let mut announced = std::pin::pin!(announce(node.readiness(), &serving));
    let mut ended = std::pin::pin!(node.run_until(async {
        // A dropped sender means that the watch is gone: stop as well.
        let _ = stop_rx.await;
    }));
    tokio::select! {
        ended = &mut ended => return ended.map_err(Into::into),
        () = &mut announced => {}
    }
    ended.await.map_err(Into::into)
}

/// Says when the node serves, and until then, at growing intervals, what it waits for: a member of
/// several may wait long for the others.
async fn announce(readiness: Readiness, serving: &str) {
    let mut patience = PATIENCE_MIN;
    let mut complain_at = Instant::now() + patience;
    loop {
        let left = complain_at.saturating_duration_since(Instant::now());
        let Err(error) = readiness.wait(left).await else {
            break;
        };
        if Instant::now() < complain_at {
            // A first read that failed at once, as in an election, may succeed at the next attempt.
            tokio::time::sleep(RETRY_TIME).await;
            continue;
        }
        let waiting_for = match error {
            NotReady::NoLeader(_) => {
                "a leader: a majority of the members must run and reach each other"
            }
            NotReady::NoRead(_) | NotReady::Read(_) => "the leader's answer",
        };
        log::info!("not ready: {:#}", anyhow!(error));
        say(&format!("waiting for {waiting_for}\n"));
        patience = (patience * 2).min(PATIENCE_MAX);
        complain_at = Instant::now() + patience;
    }
    log::info!("{}", serving.trim_end());
    say(serving);
}

/// A panic must be found in the log, not only on a terminal that nobody watches.
fn log_panics() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        log::error!("{panic}");
        print(panic);
    }));
}

fn complain(code: u8, error: &anyhow::Error) -> u8 {
    // A closed error output leaves nobody to tell; the exit code still says it.
    let _ = writeln!(io::stderr(), "placement-center: {error:#}");
    code
}

fn say(text: &str) {
    let mut stdout = io::stdout().lock();
    // A reader that went away (`| head`) is no reason to fail.
    let _ = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
}
