//! The content of log4rs.yaml, read strictly: an unknown field or a component that cannot be built is
//! an error, where log4rs alone would drop it and go on.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};

use log::LevelFilter;
use log4rs::append::AppenderConfig;
use log4rs::config::runtime::ConfigErrors;
use log4rs::config::{Appender, Deserializers};
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

use super::appender::{self, Mode};
use super::shared::SharedAppender;
use super::{BUILT_IN, Error, Wanted};

/// Stands for the configured level.
const LEVEL_PLACEHOLDER: &str = "${log_level}";

/// No log configuration is larger; the limit keeps a wrong path from being read for ever.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// The content of log4rs.yaml.
#[derive(Debug)]
pub struct Document {
    /// For messages.
    name: String,
    /// Where records go that no logger claims.
    pub root: RootEntry,
    /// By target prefix.
    pub loggers: BTreeMap<String, LoggerEntry>,
    appenders: BTreeMap<String, AppenderConfig>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Yaml {
    root: RootEntry,
    #[serde(default)]
    loggers: BTreeMap<String, LoggerEntry>,
    appenders: BTreeMap<String, AppenderConfig>,
}

/// The `root` entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RootEntry {
    level: Level,
    /// Names of appenders.
    #[serde(default)]
    pub appenders: Vec<String>,
}

/// One entry of `loggers`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoggerEntry {
    /// Its level.
    pub level: Level,
    /// Names of appenders.
    #[serde(default)]
    pub appenders: Vec<String>,
    /// Whether root's appenders get the records too.
    #[serde(default = "additive_by_default")]
    pub additive: bool,
}

fn additive_by_default() -> bool {
    true
}

/// A level in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The placeholder: whatever the configuration, or the operator, says.
    Follow,
    /// This one, always.
    Fixed(LevelFilter),
}

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Level, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == LEVEL_PLACEHOLDER {
            return Ok(Level::Follow);
        }
        text.parse().map(Level::Fixed).map_err(|_| {
            let allowed = "off, error, warn, info, debug, trace";
            D::Error::custom(format!(
                "level {text:?} is not one of {allowed} or {LEVEL_PLACEHOLDER}"
            ))
        })
    }
}

impl Document {
    /// Reads the configured file, or the built-in copy when nobody named a file and the default one
    /// does not exist.
    pub fn read(wanted: &Wanted) -> Result<Document, Error> {
        match read_text(wanted) {
            Ok(text) => Document::parse(&wanted.file.display().to_string(), &text),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !wanted.file_named => {
                Document::parse("(built in)", BUILT_IN)
            }
            Err(reason) => Err(Error::Unreadable {
                path: wanted.file.clone(),
                reason,
            }),
        }
    }

    fn parse(name: &str, text: &str) -> Result<Document, Error> {
        let yaml: Yaml = serde_yaml::from_str(text).map_err(|error| Error::Invalid {
            name: name.to_owned(),
            reason: error.to_string(),
        })?;
        Ok(Document {
            name: name.to_owned(),
            root: yaml.root,
            loggers: yaml.loggers,
            appenders: yaml.appenders,
        })
    }

    /// The level of root: the configured one, unless the file fixes root's and nobody asked for another.
    pub fn root_level(&self, configured: LevelFilter, named: bool) -> LevelFilter {
        match self.root.level {
            Level::Fixed(fixed) if !named => fixed,
            _ => configured,
        }
    }

    /// Whether root writes to the console.
    pub fn root_reaches_console(&self) -> bool {
        let is_console = |name: &String| {
            self.appenders
                .get(name)
                .is_some_and(|entry| entry.kind == "console")
        };
        self.root.appenders.iter().any(is_console)
    }

    /// Builds all appenders.
    pub fn appenders(&self, wanted: &Wanted, mode: Mode) -> Result<Vec<SharedAppender>, Error> {
        let deserializers = appender::deserializers(&wanted.path, mode);
        self.appenders
            .iter()
            .map(|(name, entry)| {
                build(name, entry, &deserializers).map_err(|error| Error::Appender {
                    name: self.name.clone(),
                    appender: name.clone(),
                    reason: format!("{error:#}"),
                })
            })
            .collect()
    }

    /// The error for loggers that name appenders which do not exist and the like.
    pub fn inconsistent(&self, errors: &ConfigErrors) -> Error {
        let reasons: Vec<String> = errors.errors().iter().map(ToString::to_string).collect();
        Error::Invalid {
            name: self.name.clone(),
            reason: reasons.join(", "),
        }
    }
}

fn build(
    name: &str,
    entry: &AppenderConfig,
    deserializers: &Deserializers,
) -> anyhow::Result<SharedAppender> {
    let mut builder = Appender::builder();
    for filter in &entry.filters {
        builder = builder.filter(deserializers.deserialize(&filter.kind, filter.config.clone())?);
    }
    let append = deserializers.deserialize(&entry.kind, entry.config.clone())?;
    Ok(SharedAppender::new(builder.build(name, append)))
}

fn read_text(wanted: &Wanted) -> io::Result<String> {
    let mut text = String::new();
    File::open(&wanted.file)?
        .take(FILE_BYTES_MAX)
        .read_to_string(&mut text)?;
    Ok(text)
}
