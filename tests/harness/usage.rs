//! What a process has used of the machine, read from `/proc`.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Ticks a second of the CPU times in `/proc/PID/stat`: 100 on every Linux that Rust supports.
const TICKS_PER_SECOND: u64 = 100;

/// Resources of one process at one instant; counters run since its start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// Resident memory.
    pub resident_bytes: u64,
    /// Bytes it caused to be written to a disk.
    pub written_bytes: u64,
}

impl Usage {
    /// Reads the counters of process `pid`.
    pub fn of(pid: u32) -> Result<Self> {
        let stat = read(pid, "stat")?;
        // The second field is the program's name in brackets and may hold spaces: count behind it.
        let behind_name = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = behind_name.split_whitespace().collect();
        let ticks = |index: usize| {
            fields
                .get(index)
                .and_then(|field| field.parse::<u64>().ok())
        };
        let user = ticks(11).context("read user time")?;
        let system = ticks(12).context("read system time")?;
        Ok(Self {
            cpu: Duration::from_millis((user + system) * 1000 / TICKS_PER_SECOND),
            resident_bytes: field(&read(pid, "status")?, "VmRSS:").unwrap_or(0) * 1024,
            written_bytes: field(&read(pid, "io")?, "write_bytes:").unwrap_or(0),
        })
    }
}

fn read(pid: u32, file: &str) -> Result<String> {
    let path = format!("/proc/{pid}/{file}");
    fs::read_to_string(&path).with_context(|| format!("read {path}"))
}

/// The number behind `name` in a file of `name number` lines.
fn field(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn own_process_uses_memory() -> Result<()> {
        let usage = Usage::of(std::process::id())?;
        assert!(usage.resident_bytes > 100_000, "{usage:?}");
        Ok(())
    }

    #[test]
    fn a_field_is_found_by_its_whole_line_start() {
        let text = "cancelled_write_bytes: 7\nwrite_bytes: 42\n";
        assert_eq!(field(text, "write_bytes:"), Some(42));
        assert_eq!(field(text, "absent:"), None);
    }
}
