//! One child process: started with its output in a file, signalled, waited for with a deadline, and
//! always reaped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::wait;

/// Lines of a server's output shown when its test fails.
const TAIL_LINES: usize = 30;

/// A running or ended child. Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: PathBuf,
}

/// A signal a test may send.
#[derive(Clone, Copy, Debug)]
pub enum Signal {
    /// The polite end.
    Terminate,
    /// What Ctrl-C sends.
    Interrupt,
    /// The end nobody can refuse.
    Kill,
    /// Stops the process where it is.
    Pause,
    /// Lets it go on.
    Resume,
}

impl Process {
    /// Starts `command`, standard output and error appended to the file `output`.
    pub fn spawn(name: &str, mut command: Command, output: &Path) -> Result<Self> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(output)
            .with_context(|| format!("open {}", output.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("share the output file")?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("start {name}"))?;
        Ok(Self {
            name: name.to_owned(),
            child,
            output: output.to_path_buf(),
        })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// All it has printed so far, as text.
    pub fn printed(&self) -> String {
        fs::read(&self.output)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// The exit status, if it has ended.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.child
            .try_wait()
            .with_context(|| format!("ask for the state of {}", self.name))
    }

    /// Sends a signal to the process that this value started.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let name = match signal {
            Signal::Terminate => "TERM",
            Signal::Interrupt => "INT",
            Signal::Kill => "KILL",
            Signal::Pause => "STOP",
            Signal::Resume => "CONT",
        };
        // The shell's own `kill`, because a separate program of that name is not installed everywhere.
        let status = Command::new("sh")
            .arg("-c")
            .arg(format!("kill -s {name} {}", self.pid()))
            .status()
            .context("run sh")?;
        ensure!(status.success(), "send {name} to {}", self.name);
        Ok(())
    }

    /// Waits for its end.
    pub fn wait(&mut self, deadline: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let child = &mut self.child;
        wait::until(&what, deadline, || child.try_wait().transpose())?
            .with_context(|| format!("wait for {}", self.name))
    }

    /// Kills it (as `kill -9` does) and reaps it.
    pub fn kill(&mut self) -> Result<()> {
        if self.ended()?.is_none() {
            self.child
                .kill()
                .with_context(|| format!("kill {}", self.name))?;
            self.child
                .wait()
                .with_context(|| format!("reap {}", self.name))?;
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("{} may still run: {error:#}", self.name);
        }
        if std::thread::panicking() {
            let printed = self.printed();
            let lines: Vec<&str> = printed.lines().collect();
            let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
            eprintln!(
                "--- last output of {}:\n{}\n---",
                self.name,
                tail.join("\n")
            );
        }
    }
}
