//! Printing: columns for people, JSON for programs, bare bytes for pipes.

use std::io::{self, IsTerminal, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use comfy_table::{Table, presets};
use protocol::placement::v1::Item;
use serde::Serialize;

use super::arguments::Format;

/// Characters of a value that a table shows; the rest is for `kv get` and JSON.
const VALUE_CHARACTERS_MAX: usize = 64;

/// What makes a terminal forget what it shows, and write from its first line on.
const CLEAR_SCREEN: &[u8] = b"\x1b[H\x1b[2J";

/// Where and how a command prints.
#[derive(Debug)]
pub struct Output {
    format: Option<Format>,
    terminal: bool,
}

impl Output {
    /// The standard output, in the given format or in the one that fits it.
    pub fn new(format: Option<Format>) -> Output {
        Output {
            format,
            terminal: io::stdout().is_terminal(),
        }
    }

    /// Whether a single value is printed as it is, byte for byte.
    pub fn bare(&self) -> bool {
        self.format.is_none() && !self.terminal
    }

    /// Prints a result: as JSON, or as the table that is made of it.
    pub fn print<T: Serialize>(
        &self,
        result: &T,
        table: impl FnOnce(&T) -> String,
    ) -> io::Result<()> {
        let mut text = match self.format {
            Some(Format::Json) => serde_json::to_string_pretty(result).map_err(io::Error::other)?,
            Some(Format::Table) | None => table(result),
        };
        text.push('\n');
        self.bytes(text.as_bytes())
    }

    /// Before a result that takes the place of the last one: on a terminal, nothing of that stays.
    pub fn begin_frame(&self) -> io::Result<()> {
        if self.terminal && self.format != Some(Format::Json) {
            self.bytes(CLEAR_SCREEN)?;
        }
        Ok(())
    }

    /// Prints bytes as they are.
    pub fn bytes(&self, bytes: &[u8]) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        stdout.flush()
    }
}

/// Columns without lines, so that a script can take them apart too.
pub fn table(header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_header(header.to_vec());
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// A key and its value for JSON. Text is given as text where it is text, and always in base64.
#[derive(Debug, Serialize)]
pub struct ItemView {
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    key_base64: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    create_revision: i64,
    mod_revision: i64,
    version: i64,
}

impl ItemView {
    /// With its value, or without when only keys were asked for.
    pub fn new(item: &Item, with_value: bool) -> ItemView {
        ItemView {
            key: text(&item.key),
            key_base64: STANDARD.encode(&item.key),
            value: with_value.then(|| text(&item.value)).flatten(),
            value_base64: with_value.then(|| STANDARD.encode(&item.value)),
            create_revision: item.create_revision,
            mod_revision: item.mod_revision,
            version: item.version,
        }
    }
}

fn text(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// Bytes on one line: text as it is, everything else (and the backslash) as escapes.
pub fn escaped(bytes: &[u8]) -> String {
    let mut shown = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => shown.push_str("\\\\"),
                control if control.is_control() => shown.extend(control.escape_default()),
                plain => shown.push(plain),
            }
        }
        for byte in chunk.invalid() {
            shown.push_str(&format!("\\x{byte:02x}"));
        }
    }
    shown
}

/// The beginning of a value for a row among others.
pub fn shortened(bytes: &[u8]) -> String {
    // No character takes more than four bytes, so the rest cannot matter.
    let beginning = &bytes[..bytes.len().min(VALUE_CHARACTERS_MAX * 4 + 4)];
    let shown = escaped(beginning);
    match shown.char_indices().nth(VALUE_CHARACTERS_MAX) {
        None => shown,
        Some((end, _)) => format!("{}... ({} bytes)", &shown[..end], bytes.len()),
    }
}
