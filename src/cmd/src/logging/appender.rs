//! The file appenders: they put the log directory into their paths, and can be checked without
//! creating a file or a directory.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use log::Record;
use log4rs::append::Append;
use log4rs::append::file::FileAppender;
use log4rs::append::rolling_file::RollingFileAppender;
use log4rs::append::rolling_file::policy::Policy;
use log4rs::append::rolling_file::policy::compound::{
    CompoundPolicyConfig, CompoundPolicyDeserializer,
};
use log4rs::config::{Deserialize as Build, Deserializers};
use log4rs::encode::{Encode, EncoderConfig};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::pattern::{self, CheckedPattern};
use super::trigger::SizeOrTimeDeserializer;
use crate::settings::check_writable;

/// Stands for the configured log directory.
const PATH_PLACEHOLDER: &str = "${log_path}";

/// Whether files are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Only find out whether they could be.
    Check,
    /// Create directories and files.
    Open,
}

/// Every component a log4rs.yaml may name.
pub fn deserializers(log_path: &Path, mode: Mode) -> Deserializers {
    let files = Files {
        log_path: log_path.to_owned(),
        mode,
    };
    let mut deserializers = Deserializers::default();
    deserializers.insert("file", PlainFile(files.clone()));
    deserializers.insert("rolling_file", RollingFile(files));
    deserializers.insert("pattern", CheckedPattern);
    deserializers.insert("size_or_time", SizeOrTimeDeserializer);
    deserializers
}

#[derive(Clone, Debug)]
struct Files {
    log_path: PathBuf,
    mode: Mode,
}

impl Files {
    fn resolve(&self, text: &str) -> anyhow::Result<String> {
        let resolved = text.replace(PATH_PLACEHOLDER, &self.log_path.display().to_string());
        ensure!(
            !resolved.contains("${"),
            "{text:?} has a placeholder other than {PATH_PLACEHOLDER}"
        );
        Ok(resolved)
    }

    /// Finds out whether a log file could be written.
    fn check(&self, path: &str) -> anyhow::Result<()> {
        let path = Path::new(path);
        if path.exists() {
            let opened = OpenOptions::new().append(true).open(path);
            opened.with_context(|| format!("cannot write {}", path.display()))?;
        } else if let Err(reason) = check_writable(path.parent().unwrap_or(path)) {
            bail!("cannot create {}: {reason}", path.display());
        }
        Ok(())
    }
}

struct PlainFile(Files);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PlainFileConfig {
    path: String,
    append: Option<bool>,
    encoder: Option<EncoderConfig>,
}

impl Build for PlainFile {
    type Trait = dyn Append;
    type Config = PlainFileConfig;

    fn deserialize(
        &self,
        config: PlainFileConfig,
        parts: &Deserializers,
    ) -> anyhow::Result<Box<dyn Append>> {
        let path = self.0.resolve(&config.path)?;
        let encoder = encoder(config.encoder, parts)?;
        if self.0.mode == Mode::Check {
            self.0.check(&path)?;
            return Ok(Box::new(Nowhere));
        }
        let builder = FileAppender::builder()
            .append(config.append.unwrap_or(true))
            .encoder(encoder);
        Ok(Box::new(
            builder
                .build(&path)
                .with_context(|| format!("cannot open {path}"))?,
        ))
    }
}

struct RollingFile(Files);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RollingFileConfig {
    path: String,
    append: Option<bool>,
    encoder: Option<EncoderConfig>,
    policy: Map<String, Value>,
}

impl RollingFile {
    fn policy(
        &self,
        mut policy: Map<String, Value>,
        parts: &Deserializers,
    ) -> anyhow::Result<Box<dyn Policy>> {
        if let Some(kind) = policy.remove("kind") {
            ensure!(
                kind == "compound",
                "the policy kind {kind} is unknown; there is only \"compound\""
            );
        }
        if let Some(Value::String(pattern)) = policy
            .get_mut("roller")
            .and_then(|roller| roller.get_mut("pattern"))
        {
            *pattern = self.0.resolve(pattern)?;
        }
        let config: CompoundPolicyConfig = serde_json::from_value(Value::Object(policy))?;
        CompoundPolicyDeserializer.deserialize(config, parts)
    }
}

impl Build for RollingFile {
    type Trait = dyn Append;
    type Config = RollingFileConfig;

    fn deserialize(
        &self,
        config: RollingFileConfig,
        parts: &Deserializers,
    ) -> anyhow::Result<Box<dyn Append>> {
        let path = self.0.resolve(&config.path)?;
        let encoder = encoder(config.encoder, parts)?;
        let policy = self.policy(config.policy, parts).context("policy")?;
        if self.0.mode == Mode::Check {
            self.0.check(&path)?;
            return Ok(Box::new(Nowhere));
        }
        let builder = RollingFileAppender::builder()
            .append(config.append.unwrap_or(true))
            .encoder(encoder);
        Ok(Box::new(
            builder
                .build(&path, policy)
                .with_context(|| format!("cannot open {path}"))?,
        ))
    }
}

fn encoder(
    config: Option<EncoderConfig>,
    parts: &Deserializers,
) -> anyhow::Result<Box<dyn Encode>> {
    match config {
        None => Ok(pattern::default()),
        Some(config) => parts
            .deserialize(&config.kind, config.config)
            .context("encoder"),
    }
}

/// Takes the place of a file that a check must not open.
#[derive(Debug)]
struct Nowhere;

impl Append for Nowhere {
    fn append(&self, _record: &Record<'_>) -> anyhow::Result<()> {
        Ok(())
    }

    fn flush(&self) {}
}
