//! An appender that several log4rs configurations share.
//!
//! A change of level means a new log4rs configuration. Building its appenders anew would open each
//! file a second time while the first still writes and rolls it; so they are kept and lent out.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use log::Record;
use log4rs::append::Append;
use log4rs::config::Appender;
use log4rs::filter::Response;

/// A handle to one appender and its filters.
#[derive(Clone, Debug)]
pub struct SharedAppender(Arc<Kept>);

#[derive(Debug)]
struct Kept {
    appender: Appender,
    lines_lost: AtomicU64,
}

impl SharedAppender {
    /// Takes an appender into keeping.
    pub fn new(appender: Appender) -> SharedAppender {
        SharedAppender(Arc::new(Kept {
            appender,
            lines_lost: AtomicU64::new(0),
        }))
    }

    /// An entry for one log4rs configuration.
    pub fn entry(&self) -> Appender {
        Appender::builder().build(self.0.appender.name(), Box::new(self.clone()))
    }

    /// Lines that could not be written since the start.
    #[cfg(test)]
    pub fn lines_lost(&self) -> u64 {
        self.0.lines_lost.load(Ordering::Relaxed)
    }

    fn passes_filters(&self, record: &Record<'_>) -> bool {
        for filter in self.0.appender.filters() {
            match filter.filter(record) {
                Response::Accept => return true,
                Response::Neutral => {}
                Response::Reject => return false,
            }
        }
        true
    }
}

impl Append for SharedAppender {
    /// Never fails. A full disk would otherwise put one complaint per line on the standard error
    /// output: it is told at the 1st, 2nd, 4th, 8th lost line and so on.
    fn append(&self, record: &Record<'_>) -> anyhow::Result<()> {
        if !self.passes_filters(record) {
            return Ok(());
        }
        if let Err(error) = self.0.appender.appender().append(record) {
            let lost = self.0.lines_lost.fetch_add(1, Ordering::Relaxed) + 1;
            if lost.is_power_of_two() {
                let name = self.0.appender.name();
                // When the standard error output is gone too, nobody is left to tell.
                let _ = writeln!(
                    std::io::stderr(),
                    "placement-center: cannot write the {name} log ({lost} lines lost): {error:#}"
                );
            }
        }
        Ok(())
    }

    fn flush(&self) {
        self.0.appender.appender().flush();
    }
}
