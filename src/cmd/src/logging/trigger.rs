//! The trigger `size_or_time`: rolls a log file when it is large enough or when its interval has
//! passed, whichever comes first.
//!
//! Intervals are counted from 1970 in UTC, and the interval of a file that was there before the
//! process started is that of its last line. So a server that is restarted every evening still rolls
//! once a day.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, bail, ensure};
use log4rs::append::rolling_file::LogFile;
use log4rs::append::rolling_file::policy::compound::trigger::Trigger;
use log4rs::config::{Deserialize as Build, Deserializers};
use serde::Deserialize;

use crate::clock;

const SIZE_UNITS: &[(&str, u64)] = &[
    ("b", 1),
    ("kb", 1 << 10),
    ("kib", 1 << 10),
    ("mb", 1 << 20),
    ("mib", 1 << 20),
    ("gb", 1 << 30),
    ("gib", 1 << 30),
];

const TIME_UNITS: &[(&str, u64)] = &[
    ("second", 1),
    ("seconds", 1),
    ("minute", 60),
    ("minutes", 60),
    ("hour", 3600),
    ("hours", 3600),
    ("day", 86_400),
    ("days", 86_400),
    ("week", 604_800),
    ("weeks", 604_800),
];

/// Rolls by size or by time.
pub struct SizeOrTime {
    size_bytes: u64,
    interval_seconds: u64,
    now: Box<dyn Fn() -> u64 + Send + Sync>,
    /// Number of the interval that the current file belongs to; unknown until the first line.
    interval: Mutex<Option<u64>>,
}

impl SizeOrTime {
    fn new(
        size_bytes: u64,
        interval_seconds: u64,
        now: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        SizeOrTime {
            size_bytes,
            interval_seconds,
            now: Box::new(now),
            interval: Mutex::new(None),
        }
    }

    /// Interval of the last line of a file that this process has not written to yet.
    fn interval_of_existing(&self, file: &LogFile<'_>) -> anyhow::Result<u64> {
        let changed = file.path().metadata()?.modified()?;
        Ok(clock::seconds_since_epoch(changed) / self.interval_seconds)
    }
}

impl Trigger for SizeOrTime {
    fn trigger(&self, file: &LogFile<'_>) -> anyhow::Result<bool> {
        // The guarded value is a plain copy: a panic elsewhere cannot have left it half written.
        let mut interval = self.interval.lock().unwrap_or_else(PoisonError::into_inner);
        let current = (self.now)() / self.interval_seconds;
        if file.len_estimate() == 0 {
            *interval = Some(current);
            return Ok(false);
        }
        let of_file = match *interval {
            Some(known) => known,
            None => self.interval_of_existing(file)?,
        };
        // A clock that was set back rolls nothing: the file stays in its later interval.
        *interval = Some(of_file.max(current));
        Ok(current > of_file || file.len_estimate() >= self.size_bytes)
    }

    /// Before a line is written, so that each line is in the file of its own interval.
    fn is_pre_process(&self) -> bool {
        true
    }
}

impl fmt::Debug for SizeOrTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SizeOrTime")
            .field("size_bytes", &self.size_bytes)
            .field("interval_seconds", &self.interval_seconds)
            .finish_non_exhaustive()
    }
}

/// Builds the trigger from log4rs.yaml.
pub struct SizeOrTimeDeserializer;

/// Both limits are required: a file without one would not need this trigger.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizeOrTimeConfig {
    size: String,
    interval: String,
}

impl Build for SizeOrTimeDeserializer {
    type Trait = dyn Trigger;
    type Config = SizeOrTimeConfig;

    fn deserialize(
        &self,
        config: SizeOrTimeConfig,
        _: &Deserializers,
    ) -> anyhow::Result<Box<dyn Trigger>> {
        let size = quantity(&config.size, SIZE_UNITS).context("size")?;
        let interval = quantity(&config.interval, TIME_UNITS).context("interval")?;
        Ok(Box::new(SizeOrTime::new(
            size,
            interval,
            clock::unix_seconds,
        )))
    }
}

/// A number with a unit, such as `64 mb`.
fn quantity(text: &str, units: &[(&str, u64)]) -> anyhow::Result<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().to_lowercase();
    let Some((_, factor)) = units.iter().find(|(name, _)| *name == unit) else {
        let known: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
        bail!(
            "{text:?} is not a number with one of the units {}",
            known.join(", ")
        );
    };
    let number: u64 = number
        .parse()
        .with_context(|| format!("{text:?} does not begin with a number"))?;
    let product = number
        .checked_mul(*factor)
        .with_context(|| format!("{text:?} is too large"))?;
    ensure!(product > 0, "{text:?} must be more than 0");
    Ok(product)
}

#[cfg(test)]
mod tests;
