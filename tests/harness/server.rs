//! A real server process on its own data directory and its own ports: ours, or etcd for comparison.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::ports::{self, Ports};
use crate::process::{Process, Signal};
use crate::settings::{self, Member};
use crate::{binary, wait};

/// Longest a server may take until it serves; generous, because tests share the machine.
pub const START_DEADLINE: Duration = Duration::from_secs(60);

/// Longest a polite stop may take before a test calls it failed.
pub const STOP_DEADLINE: Duration = Duration::from_secs(20);

/// Starts tried with other ports when somebody else has taken one in between.
const START_ATTEMPTS: usize = 5;

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The placement center of this workspace.
    Center,
    /// The installed etcd.
    Etcd,
}

impl Kind {
    /// What the suite judges: ours, or etcd with `SUITE_SUBJECT=etcd`. The latter is how the tests
    /// themselves are judged: the reference must pass whatever is not our own invention.
    pub fn subject() -> Self {
        match std::env::var("SUITE_SUBJECT").as_deref() {
            Ok("etcd") => Self::Etcd,
            _ => Self::Center,
        }
    }

    /// The name for tables and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Center => "placement-center",
            Self::Etcd => "etcd",
        }
    }
}

/// What a test may choose about its server.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where data and logs go; a temporary folder of its own by default.
    pub folder: Option<PathBuf>,
    /// Further lines of the placement center's TOML file, tables included.
    pub config: String,
    /// Its place among several; by default it is a cluster of its own.
    pub member: Option<Member>,
}

/// A started server. Dropping it kills the process and removes its temporary folder.
#[derive(Debug)]
pub struct Server {
    // Declared before the folder, so that the process is gone before its files are.
    process: Process,
    kind: Kind,
    options: Options,
    ports: Ports,
    folder: PathBuf,
    _temporary: Option<TempDir>,
}

impl Server {
    /// Starts our server on a fresh directory and waits until it serves.
    pub fn center() -> Result<Self> {
        Self::start(Kind::Center, Options::default())
    }

    /// Starts the server that the suite judges; see [`Kind::subject`].
    pub fn subject() -> Result<Self> {
        Self::start(Kind::subject(), Options::default())
    }

    /// Starts etcd on a fresh directory; where it is not installed, says so and answers None.
    pub fn etcd_if_installed() -> Result<Option<Self>> {
        if binary::installed("etcd").is_none() {
            println!("skipped: etcd is not installed here, so there is nothing to compare with");
            return Ok(None);
        }
        Self::start(Kind::Etcd, Options::default()).map(Some)
    }

    /// Starts a server and waits until it serves.
    pub fn start(kind: Kind, options: Options) -> Result<Self> {
        let mut server = Self::begin(kind, options)?;
        server.ready()?;
        Ok(server)
    }

    /// Starts a server and does not wait until it serves: a member serves only once others run.
    pub fn begin(kind: Kind, options: Options) -> Result<Self> {
        Self::begin_with(kind, options, None)
    }

    /// Like [`Server::begin`], on given ports.
    pub(crate) fn begin_on(kind: Kind, options: Options, ports: Ports) -> Result<Self> {
        Self::begin_with(kind, options, Some(ports))
    }

    fn begin_with(kind: Kind, options: Options, chosen: Option<Ports>) -> Result<Self> {
        let temporary = match options.folder {
            Some(_) => None,
            None => {
                Some(TempDir::new_in(binary::scratch()?).context("make a folder for a server")?)
            }
        };
        let folder = match (&options.folder, &temporary) {
            (Some(folder), _) => folder.clone(),
            (None, Some(temporary)) => temporary.path().to_path_buf(),
            (None, None) => bail!("a server has no folder"),
        };
        let ports = match (chosen, ports::before(kind, &folder)?) {
            (Some(ports), _) | (None, Some(ports)) => ports,
            (None, None) => ports::free(kind)?,
        };
        let process = spawn(kind, &folder, &options, ports)?;
        Ok(Self {
            process,
            kind,
            options,
            ports,
            folder,
            _temporary: temporary,
        })
    }

    /// Waits until it serves. Somebody else may have taken one of its ports since they were chosen: then it
    /// starts again with others.
    pub fn ready(&mut self) -> Result<()> {
        let mut attempt = 1;
        loop {
            let Err(error) = wait_until_ready(self.kind, self.ports, &mut self.process) else {
                return Ok(());
            };
            let taken = self.process.printed().to_lowercase().contains("in use");
            if !taken || attempt == START_ATTEMPTS {
                return Err(error);
            }
            attempt += 1;
            fs::remove_file(output_file(&self.folder))
                .context("forget the output of a failed start")?;
            // The peer port names the node among the founding members and stays.
            self.ports = Ports {
                peer: self.ports.peer,
                ..ports::free(self.kind)?
            };
            self.respawn()?;
        }
    }

    /// Starts an ended server again on its data, and answers how long it took until it served.
    pub fn restart(&mut self) -> Result<Duration> {
        self.kill()?;
        let begin = Instant::now();
        self.respawn()?;
        self.ready()?;
        Ok(begin.elapsed())
    }

    /// Starts it again without waiting for anything but the process: for measuring how long that takes.
    pub fn respawn(&mut self) -> Result<()> {
        self.kill()?;
        self.process = spawn(self.kind, &self.folder, &self.options, self.ports)?;
        Ok(())
    }

    /// Gives a member of a cluster another token, from its next start on.
    pub fn set_token(&mut self, token: &str) {
        if let Some(member) = &mut self.options.member {
            member.token = token.to_owned();
        }
    }

    /// Which program this is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The process, for signals and output.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Kills it as a power cut of this process alone would.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Asks it to stop and waits for that.
    pub fn stop(&mut self) -> Result<ExitStatus> {
        self.process.signal(Signal::Terminate)?;
        self.process.wait(STOP_DEADLINE)
    }

    /// `http://host:port` of the gRPC listener.
    pub fn url(&self) -> String {
        format!("http://{}", self.endpoint())
    }

    /// `host:port` of the gRPC listener.
    pub fn endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.ports.grpc)
    }

    /// `host:port` of the HTTP listener (etcd serves both on one port).
    pub fn http_endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.ports.http)
    }

    /// `http://host:port` of the HTTP listener.
    pub fn http_url(&self) -> String {
        format!("http://{}", self.http_endpoint())
    }

    /// The port on which other members reach it.
    pub fn peer_port(&self) -> u16 {
        self.ports.peer
    }

    /// The folder that holds `data`, `log` and the configuration.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// The configuration file of the placement center.
    pub fn config_file(&self) -> PathBuf {
        settings::file(&self.folder)
    }

    /// Everything printed and logged so far: the process output and all files of its log folder.
    pub fn everything_logged(&self) -> String {
        let mut text = self.process.printed();
        let files = fs::read_dir(self.folder.join("log"))
            .into_iter()
            .flatten()
            .flatten();
        for file in files {
            if let Ok(bytes) = fs::read(file.path()) {
                text.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        text
    }
}

/// A command line that runs the placement center with `config`.
pub fn center_command(config: &Path) -> Result<Command> {
    let mut command = Command::new(binary::placement_center()?);
    command.arg("--conf").arg(config);
    // Settings of the person who runs the tests must not leak into the server under test.
    for (name, _) in std::env::vars_os() {
        let ours = name
            .to_str()
            .is_some_and(|name| name.starts_with("PLACEMENT_CENTER_"));
        if ours {
            command.env_remove(name);
        }
    }
    Ok(command)
}

fn spawn(kind: Kind, folder: &Path, options: &Options, ports: Ports) -> Result<Process> {
    let command = match kind {
        Kind::Center => {
            settings::write(folder, options, ports)?;
            center_command(&settings::file(folder))?
        }
        Kind::Etcd => etcd_command(folder, ports)?,
    };
    Process::spawn(kind.name(), command, &output_file(folder))
}

fn etcd_command(folder: &Path, ports: Ports) -> Result<Command> {
    let program = binary::installed("etcd").context("etcd is not installed")?;
    let client = format!("http://127.0.0.1:{}", ports.grpc);
    let peer = format!("http://127.0.0.1:{}", ports.peer);
    let mut command = Command::new(program);
    command
        .args(["--name", "node1", "--data-dir"])
        .arg(folder.join("data"))
        .args([
            "--listen-client-urls",
            &client,
            "--advertise-client-urls",
            &client,
        ])
        .args([
            "--listen-peer-urls",
            &peer,
            "--initial-advertise-peer-urls",
            &peer,
        ])
        .args([
            "--initial-cluster",
            &format!("node1={peer}"),
            "--logger",
            "zap",
        ])
        .args(["--log-outputs", "stderr"]);
    Ok(command)
}

fn output_file(folder: &Path) -> PathBuf {
    folder.join("output.txt")
}

/// Polls the readiness route until it answers well, the process ends, or the deadline passes.
fn wait_until_ready(kind: Kind, ports: Ports, process: &mut Process) -> Result<()> {
    let url = match kind {
        Kind::Center => format!("http://127.0.0.1:{}/readyz", ports.http),
        Kind::Etcd => format!("http://127.0.0.1:{}/health", ports.http),
    };
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(2)))
        .build()
        .into();
    let ready = wait::until("the server to serve", START_DEADLINE, || {
        if let Ok(Some(status)) = process.ended() {
            return Some(Err(status));
        }
        agent.get(&url).call().ok().map(|_| Ok(()))
    });
    match ready {
        Ok(Ok(())) => Ok(()),
        Ok(Err(status)) => bail!(
            "{} ended at once, {status}:\n{}",
            kind.name(),
            process.printed()
        ),
        Err(error) => Err(error.context(process.printed())),
    }
}
