//! Carries what raft-rs logs (through slog) to the product's log, target `raft`.

use slog::{Drain, Logger, Never, OwnedKVList, Record};

/// A slog drain that ends in the `log` crate.
struct Forward;

impl Drain for Forward {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, _values: &OwnedKVList) -> Result<(), Never> {
        let level = match record.level() {
            slog::Level::Critical | slog::Level::Error => ::log::Level::Error,
            slog::Level::Warning => ::log::Level::Warn,
            slog::Level::Info => ::log::Level::Info,
            slog::Level::Debug => ::log::Level::Debug,
            slog::Level::Trace => ::log::Level::Trace,
        };
        ::log::log!(target: "raft", level, "{}", record.msg());
        Ok(())
    }
}

/// The logger handed to raft-rs.
pub(crate) fn logger() -> Logger {
    Logger::root(Forward, slog::o!())
}
