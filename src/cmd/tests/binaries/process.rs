//! Runs the two binaries as processes: each server in a directory and on a loopback address of its
//! own, every wait with a deadline, and nothing left running when a test ends.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tempfile::TempDir;

/// Longest wait for anything a process does; generous, because a test machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Pause between two looks at a child that has not ended.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Lines of output kept before the reader waits; no test prints that much.
const LINES_MAX: usize = 10_000;

/// A working directory for one server, and an address of its own: all of 127.0.0.0/8 is loopback, so
/// that fixed ports never meet those of a test that runs at the same time.
pub struct Place {
    pub directory: TempDir,
    pub address: String,
}

impl Place {
    pub fn new() -> Place {
        static COUNT: AtomicU32 = AtomicU32::new(1);
        let number = std::process::id()
            .wrapping_mul(64)
            .wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed));
        let [_, a, b, c] = number.to_be_bytes();
        let address = format!("127.{}.{}.{}", a.max(1), b, c.clamp(1, 254));
        Place {
            directory: tempfile::tempdir().expect("a temporary directory can be made"),
            address,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Names of everything in the working directory.
    pub fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.directory.path()).expect("the directory exists");
        let name = |entry: std::io::Result<std::fs::DirEntry>| {
            entry.expect("it can be listed").file_name()
        };
        let mut names: Vec<String> = entries
            .map(|entry| name(entry).into_string().expect("UTF-8"))
            .collect();
        names.sort();
        names
    }

    /// The server with these arguments, at this place.
    pub fn server(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_placement-center"));
        command
            .current_dir(self.directory.path())
            .arg(format!("--addr={}", self.address))
            .args(arguments);
        forget_environment(&mut command);
        command
    }

    /// The client with these arguments, talking to this place.
    pub fn ctl(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_placement-ctl"));
        command
            .args(arguments)
            .env("PLACEMENT_CTL_ENDPOINT", format!("{}:8871", self.address));
        command
    }
}

/// What the developer or cargo has in the environment must not decide a test.
fn forget_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PLACEMENT_") {
            command.env_remove(name);
        }
    }
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Output {
    run_with_input(command, b"")
}

/// Runs a command to its end with this standard input.
pub fn run_with_input(command: &mut Command, input: &[u8]) -> Output {
    let mut running = Running::start(command.stdin(Stdio::piped()));
    std::io::Write::write_all(&mut running.child.stdin.take().expect("it is piped"), input).ok();
    let status = running.wait();
    let (stdout, stderr) = running.outputs();
    Output {
        status,
        stdout,
        stderr,
    }
}

/// A process that ends with the test at the latest.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    stdout: Option<JoinHandle<Vec<u8>>>,
    stderr: Option<JoinHandle<Vec<u8>>>,
}

impl Running {
    pub fn start(command: &mut Command) -> Running {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary was built with this test");
        let (line_tx, lines) = sync_channel(LINES_MAX);
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut stderr = child.stderr.take().expect("it is piped");
        let read_stdout = move || {
            let mut all = Vec::new();
            let mut line = Vec::new();
            while stdout
                .read_until(b'\n', &mut line)
                .is_ok_and(|count| count > 0)
            {
                all.extend_from_slice(&line);
                // A test that reads no lines is fine.
                let _ = line_tx.try_send(String::from_utf8_lossy(&line).trim_end().to_owned());
                line.clear();
            }
            all
        };
        let read_stderr = move || {
            let mut all = Vec::new();
            let _ = stderr.read_to_end(&mut all);
            all
        };
        let spawn = |name: &str, read: Box<dyn FnOnce() -> Vec<u8> + Send>| {
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(read)
                .expect("a thread can be started")
        };
        Running {
            stdout: Some(spawn("stdout", Box::new(read_stdout))),
            stderr: Some(spawn("stderr", Box::new(read_stderr))),
            child,
            lines,
        }
    }

    /// The next line of the standard output.
    pub fn line(&mut self) -> String {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(error) => {
                let _ = self.child.kill();
                let (_, stderr) = self.outputs();
                panic!(
                    "no line of output ({error}); it said: {}",
                    String::from_utf8_lossy(&stderr)
                );
            }
        }
    }

    /// Sends a signal by its name, as a person would.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status();
        assert!(status.expect("kill is installed").success());
    }

    /// Waits for the end.
    pub fn wait(&mut self) -> ExitStatus {
        let looks = PATIENCE.as_millis() / LOOK_AGAIN.as_millis();
        for _ in 0..looks {
            if let Some(status) = self.child.try_wait().expect("the child can be asked") {
                return status;
            }
            thread::park_timeout(LOOK_AGAIN);
        }
        panic!("the process did not end within {PATIENCE:?}");
    }

    /// All output of a process that has ended.
    pub fn outputs(&mut self) -> (Vec<u8>, Vec<u8>) {
        let join = |reader: Option<JoinHandle<Vec<u8>>>| {
            reader
                .expect("it is asked once")
                .join()
                .expect("the reader does not panic")
        };
        (join(self.stdout.take()), join(self.stderr.take()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A server that serves, by its own word.
pub fn serving(place: &Place, arguments: &[&str]) -> Running {
    let mut running = Running::start(&mut place.server(arguments));
    let line = running.line();
    assert!(line.contains(" serving: gRPC http://"), "{line}");
    running
}

pub fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the output is UTF-8")
}

/// Writes a file of the test's.
pub fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("the temporary file can be written");
}
