//! Logging: reads log4rs.yaml, puts the directory and the level of the configuration into it, opens
//! the files, and changes the level while the server runs.
//!
//! log4rs does the writing. What it has no answer for is added here: a trigger that knows both size
//! and time ([`trigger`]), a check that touches nothing ([`appender`]), appenders that outlive a
//! change of level ([`shared`]).

mod appender;
mod document;
mod error;
mod pattern;
mod shared;
mod trigger;

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use log::LevelFilter;
use log4rs::Handle;
use log4rs::config::{Config, Logger, Root};
use placement_center::http::LogLevel;

use crate::settings::{Effective, Origin};
use appender::Mode;
use document::{Document, Level};
use shared::SharedAppender;

pub use error::Error;

/// The copy of config/log4rs.yaml that serves when the default file does not exist.
const BUILT_IN: &str = include_str!("../../../../config/log4rs.yaml");

/// What the configuration says about logging.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The log4rs file.
    pub file: PathBuf,
    /// Whether a person named that file; then it must exist.
    pub file_named: bool,
    /// Directory of the logs.
    pub path: PathBuf,
    /// The level of root and of the loggers that follow it.
    pub level: LevelFilter,
    /// Whether a person set the level; then it holds against a fixed level of root in the file.
    pub level_named: bool,
}

impl Wanted {
    /// The logging part of the settings.
    pub fn from_settings(effective: &Effective) -> Wanted {
        let log = &effective.settings.log;
        Wanted {
            file: log.config.clone(),
            // The shipped configuration spells the defaults out; that names nothing.
            file_named: *effective.origin("log.log_config") != Origin::Default
                && log.config != crate::settings::LogSettings::default().config,
            path: log.path.clone(),
            level: log.level,
            level_named: *effective.origin("log.level") != Origin::Default,
        }
    }
}

/// Checks that logging could start with these settings. Creates nothing.
///
/// # Errors
/// What is wrong with the file or with a path in it.
pub fn check(wanted: &Wanted) -> Result<(), Error> {
    let document = Document::read(wanted)?;
    let appenders = document.appenders(wanted, Mode::Check)?;
    let level = document.root_level(wanted.level, wanted.level_named);
    configuration(&document, &appenders, level).map(drop)
}

/// Logging that runs: lets the level be changed.
#[derive(Debug)]
pub struct Logging {
    document: Document,
    appenders: Vec<SharedAppender>,
    handle: Handle,
    level: Mutex<LevelFilter>,
}

impl Logging {
    /// Opens the log files and makes this the logger of the process.
    ///
    /// # Errors
    /// What is wrong with the file or with a path in it.
    pub fn install(wanted: &Wanted) -> Result<Logging, Error> {
        let (logger, logging) = Logging::open(wanted)?;
        log::set_max_level(logger.max_log_level());
        log::set_boxed_logger(Box::new(logger)).map_err(|_| Error::Installed)?;
        Ok(logging)
    }

    /// Opens the log files behind a logger of the caller's.
    fn open(wanted: &Wanted) -> Result<(log4rs::Logger, Logging), Error> {
        let document = Document::read(wanted)?;
        let appenders = document.appenders(wanted, Mode::Open)?;
        let level = document.root_level(wanted.level, wanted.level_named);
        let logger = log4rs::Logger::new(configuration(&document, &appenders, level)?);
        let handle = logger.handle();
        Ok((
            logger,
            Logging {
                document,
                appenders,
                handle,
                level: Mutex::new(level),
            },
        ))
    }

    /// Whether errors that are logged reach the terminal; if not, the process has to say them itself.
    pub fn reaches_console(&self) -> bool {
        self.document.root_reaches_console()
    }
}

impl LogLevel for Logging {
    fn level(&self) -> LevelFilter {
        // The guarded value is a plain copy: a panic elsewhere cannot have left it half written.
        *self.level.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_level(&self, level: LevelFilter) -> Result<(), String> {
        let mut current = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let config = configuration(&self.document, &self.appenders, level)
            .map_err(|error| error.to_string())?;
        self.handle.set_config(config);
        *current = level;
        Ok(())
    }
}

/// A log4rs configuration in which root, and each logger that follows it, has this level.
fn configuration(
    document: &Document,
    appenders: &[SharedAppender],
    level: LevelFilter,
) -> Result<Config, Error> {
    let root = Root::builder()
        .appenders(document.root.appenders.clone())
        .build(level);
    let loggers = document.loggers.iter().map(|(name, logger)| {
        let own = match logger.level {
            Level::Follow => level,
            Level::Fixed(own) => own,
        };
        Logger::builder()
            .appenders(logger.appenders.clone())
            .additive(logger.additive)
            .build(name, own)
    });
    Config::builder()
        .appenders(appenders.iter().map(SharedAppender::entry))
        .loggers(loggers)
        .build(root)
        .map_err(|errors| document.inconsistent(&errors))
}

#[cfg(test)]
mod tests;
