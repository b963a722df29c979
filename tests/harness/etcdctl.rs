//! Running `etcdctl` against a server.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result};

use crate::binary;

/// An installed `etcdctl` that speaks to one endpoint.
#[derive(Clone, Debug)]
pub struct Etcdctl {
    program: PathBuf,
    endpoint: String,
}

impl Etcdctl {
    /// None where `etcdctl` is not installed.
    pub fn if_installed(endpoint: &str) -> Option<Self> {
        let program = binary::installed("etcdctl")?;
        Some(Self {
            program,
            endpoint: endpoint.to_owned(),
        })
    }

    /// Runs one command, with `input` on its standard input.
    pub fn run(&self, arguments: &[&str], input: &str) -> Result<Output> {
        let mut child = Command::new(&self.program)
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints={}", self.endpoint))
            .args(["--command-timeout=10s", "--dial-timeout=5s"])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start etcdctl")?;
        if let Some(mut stdin) = child.stdin.take() {
            use std::io::Write;
            stdin
                .write_all(input.as_bytes())
                .context("write to etcdctl")?;
        }
        child.wait_with_output().context("wait for etcdctl")
    }
}
