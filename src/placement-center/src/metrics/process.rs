//! What the kernel knows of this process: memory, processor time, open files. Linux only, read from
//! `/proc/self` when the page is asked for; a figure that cannot be read is left out.

use std::fs;

/// Clock ticks of `/proc/self/stat` a second; fixed at 100 in the Linux ABI.
const TICKS_PER_SECOND: f64 = 100.0;

/// A reading; absent figures could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Resident memory.
    pub resident_bytes: Option<u64>,
    /// User and system time since start.
    pub cpu_seconds: Option<f64>,
    /// Open file descriptors.
    pub open_files: Option<u64>,
    /// Soft limit of open file descriptors.
    pub open_files_max: Option<u64>,
}

/// Reads the figures now.
pub fn usage() -> Usage {
    let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
    Usage {
        resident_bytes: resident_bytes(&read("/proc/self/status")),
        cpu_seconds: cpu_seconds(&read("/proc/self/stat")),
        open_files: fs::read_dir("/proc/self/fd")
            .map(|files| files.count() as u64)
            .ok(),
        open_files_max: open_files_limit(&read("/proc/self/limits")),
    }
}

/// From `status`, which counts in KiB; `stat` counts in pages, whose size differs between machines.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    kibibytes.checked_mul(1024)
}

/// The command name, in parentheses, may hold anything, so fields are counted from the last closing one.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<u64>().ok();
    // proc(5) numbers from 1 with the state as field 3: utime is 14, stime 15.
    Some(ticks(11)?.saturating_add(ticks(12)?) as f64 / TICKS_PER_SECOND)
}

fn open_files_limit(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))?;
    line.split_whitespace().nth(3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_process_name_does_not_shift_the_fields() {
        assert_eq!(
            cpu_seconds("1 (a) b (c)) S 2 3 4 5 6 7 8 9 10 11 150 50 14"),
            Some(2.0)
        );
        assert_eq!(cpu_seconds("garbage"), None);
        assert_eq!(cpu_seconds("1 (x) S 2"), None);
    }

    #[test]
    fn memory_is_read_in_kibibytes() {
        assert_eq!(
            resident_bytes("VmPeak:\t 9 kB\nVmRSS:\t    1234 kB\n"),
            Some(1234 * 1024)
        );
        assert_eq!(resident_bytes("VmRSS: ? kB"), None);
    }

    #[test]
    fn the_limit_is_found_by_name() {
        let limits = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n";
        assert_eq!(open_files_limit(limits), Some(1024));
        assert_eq!(open_files_limit(""), None);
    }

    #[test]
    fn this_process_can_be_measured() {
        let usage = usage();
        assert!(usage.resident_bytes.is_some_and(|bytes| bytes > 0));
        assert!(usage.open_files.is_some_and(|files| files > 0));
        assert!(usage.cpu_seconds.is_some() && usage.open_files_max.is_some());
    }
}
