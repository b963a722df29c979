//! The pattern encoder, checked: log4rs writes "{ERROR: ...}" into every line of a pattern that it
//! does not understand, here such a pattern is refused before the first line.

use std::fmt;
use std::io;

use anyhow::{Context, bail};
use log::{Level, Record};
use log4rs::config::{Deserialize as Build, Deserializers};
use log4rs::encode::pattern::{PatternEncoder, PatternEncoderConfig, PatternEncoderDeserializer};
use log4rs::encode::{self, Encode};

/// What log4rs puts in place of a part it does not understand.
const COMPLAINT: &str = "{ERROR: ";

/// Builds the pattern encoder from log4rs.yaml.
pub struct CheckedPattern;

impl Build for CheckedPattern {
    type Trait = dyn Encode;
    type Config = PatternEncoderConfig;

    fn deserialize(
        &self,
        config: PatternEncoderConfig,
        parts: &Deserializers,
    ) -> anyhow::Result<Box<dyn Encode>> {
        let encoder = PatternEncoderDeserializer.deserialize(config, parts)?;
        probe(&*encoder)?;
        Ok(encoder)
    }
}

/// An encoder for an appender that names none.
pub fn default() -> Box<dyn Encode> {
    Box::new(PatternEncoder::default())
}

fn probe(encoder: &dyn Encode) -> anyhow::Result<()> {
    let mut line = Line(Vec::new());
    let mut record = Record::builder();
    let encoded = encoder.encode(
        &mut line,
        &record
            .level(Level::Info)
            .args(format_args!("probe"))
            .build(),
    );
    encoded.context("pattern")?;
    let line = String::from_utf8_lossy(&line.0);
    match line.split_once(COMPLAINT) {
        None => Ok(()),
        Some((_, reason)) => bail!("pattern: {}", reason.split('}').next().unwrap_or(reason)),
    }
}

struct Line(Vec<u8>);

impl io::Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    /// The provided method panics when a format itself fails, as that of a wrong date does; a probe
    /// is there to find that out.
    fn write_fmt(&mut self, arguments: fmt::Arguments<'_>) -> io::Result<()> {
        let mut text = String::new();
        fmt::write(&mut text, arguments)
            .map_err(|_| io::Error::other("a date format in it is not valid"))?;
        io::Write::write_all(self, text.as_bytes())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl encode::Write for Line {}
