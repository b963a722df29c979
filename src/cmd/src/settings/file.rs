//! Reads the TOML file into (key, value, line). Knows which keys exist, not what they may hold.

use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::keys::{self, Kind};
use super::raw::{Form, Raw};
use super::{Error, KEYS, Key, Origin};

/// No configuration is larger; the limit keeps a mistyped `--conf=/dev/zero` from reading for ever.
const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// One setting of the file.
type Entry = (&'static Key, Raw, Origin);

/// Reads all settings of a file.
pub fn read(path: &Path) -> Result<Vec<Entry>, Error> {
    let text = read_text(path)?;
    let reader = Reader { path, text: &text };
    let document = DeTable::parse(&text).map_err(|error| Error::Syntax {
        path: path.to_owned(),
        line: reader.line(&error.span().unwrap_or_default()),
        message: error.message().trim().replace('\n', ", "),
    })?;
    let mut entries = Vec::new();
    reader.collect("", document.get_ref(), &mut entries)?;
    Ok(entries)
}

fn read_text(path: &Path) -> Result<String, Error> {
    let unreadable = |source| Error::Unreadable {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(unreadable)?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Error::TooLarge {
            path: path.to_owned(),
            limit: FILE_BYTES_MAX,
        });
    }
    String::from_utf8(bytes).map_err(|error| Error::NotUtf8 {
        path: path.to_owned(),
        offset: error.utf8_error().valid_up_to(),
    })
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Reader<'_> {
    /// Walks one table; sections are the only nesting, so the recursion is as deep as the table of
    /// keys and no deeper.
    fn collect(
        &self,
        section: &str,
        table: &DeTable<'_>,
        entries: &mut Vec<Entry>,
    ) -> Result<(), Error> {
        for (name, value) in table {
            let full = if section.is_empty() {
                name.get_ref().to_string()
            } else {
                format!("{section}.{}", name.get_ref())
            };
            let origin = self.origin(&name.span());
            if let Some(key) = KEYS.iter().find(|key| key.name == full) {
                entries.push((key, self.raw(key, value), origin));
                continue;
            }
            match value.get_ref() {
                DeValue::Table(inner) if keys::is_section(&full) => {
                    self.collect(&full, inner, entries)?
                }
                _ => {
                    let nearest = keys::nearest(&full).map(str::to_owned);
                    return Err(Error::Unknown {
                        what: "key",
                        name: full,
                        nearest,
                        origin,
                    });
                }
            }
        }
        Ok(())
    }

    fn raw(&self, key: &Key, value: &Spanned<DeValue<'_>>) -> Raw {
        let form = match value.get_ref() {
            DeValue::String(text) => Form::Text(text.to_string()),
            DeValue::Boolean(on) => Form::Switch(*on),
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
                .map_or(Form::Other, Form::Whole),
            DeValue::Table(table) if matches!(key.kind, Kind::Members { .. }) => members(table),
            DeValue::Array(values) if matches!(key.kind, Kind::Addresses { .. }) => texts(values),
            _ => Form::Other,
        };
        // A section header spans no value; the key's own name is what the message shows then.
        let text = self
            .text
            .get(value.span())
            .unwrap_or_default()
            .trim()
            .to_owned();
        Raw { text, form }
    }

    fn origin(&self, span: &Range<usize>) -> Origin {
        Origin::File {
            path: self.path.to_owned(),
            line: self.line(span),
        }
    }

    fn line(&self, span: &Range<usize>) -> usize {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        before.iter().filter(|byte| **byte == b'\n').count() + 1
    }
}

fn texts(values: &DeArray<'_>) -> Form {
    values
        .iter()
        .map(|value| value.get_ref().as_str().map(str::to_owned))
        .collect::<Option<Vec<_>>>()
        .map_or(Form::Other, Form::List)
}

fn members(table: &DeTable<'_>) -> Form {
    let pair = |(id, address): (&Spanned<_>, &Spanned<DeValue<'_>>)| {
        let id: &std::borrow::Cow<'_, str> = id.get_ref();
        address
            .get_ref()
            .as_str()
            .map(|address| (id.to_string(), address.to_owned()))
    };
    table
        .iter()
        .map(pair)
        .collect::<Option<Vec<_>>>()
        .map_or(Form::Other, Form::Table)
}
