//! The table of all keys. One row defines a key's name, type, range, help and the field it sets; its
//! flag, environment variable, default, place in `--help` and line in `--check-config` follow from it.

mod table;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use log::LevelFilter;
use placement_center::config::ClusterToken;

use super::Settings;
use super::environment;
use super::raw::{Form, Raw};

pub use table::KEYS;

/// A mistyped name within this share of its length of a known one is worth a suggestion.
const SUGGESTION_EDITS_SHARE: usize = 3;

/// What stands for a secret wherever a value is shown.
pub(crate) const SECRET: &str = "(not shown)";

/// One key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// Dotted name, as in the file.
    pub name: &'static str,
    /// Type, range and field.
    pub(crate) kind: Kind,
    /// One or two sentences for `--help`.
    pub help: &'static str,
}

/// The type of a key: how a value is read, what is allowed, which field it sets. Every `set` receives
/// a value that was checked already.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A number in a range; the field may hold it in another unit.
    Whole {
        min: u64,
        max: u64,
        get: fn(&Settings) -> u64,
        set: fn(&mut Settings, u64),
    },
    /// Text whose rules are the node's.
    Text {
        field: fn(&mut Settings) -> &mut String,
    },
    /// A path that is not empty.
    Path {
        field: fn(&mut Settings) -> &mut PathBuf,
    },
    /// An IP address.
    Address {
        field: fn(&mut Settings) -> &mut IpAddr,
    },
    /// A log level.
    Level {
        field: fn(&mut Settings) -> &mut LevelFilter,
    },
    /// True or false.
    Switch {
        field: fn(&mut Settings) -> &mut bool,
    },
    /// Node ids and their addresses.
    Members {
        field: fn(&mut Settings) -> &mut BTreeMap<u64, String>,
    },
    /// Any number of `host:port`, whose rules are the node's.
    Addresses {
        field: fn(&mut Settings) -> &mut Vec<String>,
    },
    /// One `host:port`, or nothing.
    Target {
        field: fn(&mut Settings) -> &mut Option<String>,
    },
    /// A file, or nothing.
    File {
        field: fn(&mut Settings) -> &mut Option<PathBuf>,
    },
    /// What no message and no output may show.
    Token {
        field: fn(&mut Settings) -> &mut ClusterToken,
    },
}

impl Key {
    /// Section of the key in the file; empty for the keys above all sections.
    pub fn section(&self) -> &'static str {
        self.name.split_once('.').map_or("", |(section, _)| section)
    }

    /// Name of the key within its section.
    pub fn leaf(&self) -> &'static str {
        self.name
            .split_once('.')
            .map_or(self.name, |(_, leaf)| leaf)
    }

    /// The dotted name joined by underscores. A leaf that repeats its section does so once:
    /// `log.log_path` is LOG_PATH, not LOG_LOG_PATH.
    fn joined(&self) -> String {
        let section = self.section();
        let repeats = self
            .leaf()
            .strip_prefix(section)
            .is_some_and(|rest| rest.starts_with('_'));
        if section.is_empty() || repeats {
            self.leaf().to_owned()
        } else {
            format!("{section}_{}", self.leaf())
        }
    }

    /// The flag, without its dashes.
    pub fn flag(&self) -> String {
        self.joined().replace('_', "-")
    }

    /// The environment variable.
    pub fn variable(&self) -> String {
        format!("{}{}", environment::PREFIX, self.joined().to_uppercase())
    }

    /// Whether the value must not be shown.
    fn is_secret(&self) -> bool {
        matches!(self.kind, Kind::Token { .. })
    }

    /// What a message shows of a value that was given for this key.
    pub fn shown(&self, given: &str) -> String {
        let shown = if self.is_secret() { SECRET } else { given };
        shown.to_owned()
    }

    /// What the value looks like in `--help`.
    pub fn value_name(&self) -> &'static str {
        match self.kind {
            Kind::Whole { .. } => "N",
            Kind::Text { .. } => "NAME",
            Kind::Path { .. } => "PATH",
            Kind::Address { .. } => "IP",
            Kind::Level { .. } => "LEVEL",
            Kind::Switch { .. } => "BOOL",
            Kind::Members { .. } => "ID=HOST:PORT,...",
            Kind::Addresses { .. } => "HOST:PORT,...",
            Kind::Target { .. } => "HOST:PORT",
            Kind::File { .. } => "FILE",
            Kind::Token { .. } => "TOKEN",
        }
    }

    /// What the key takes, as the end of "expected".
    pub fn allowed(&self) -> String {
        match self.kind {
            Kind::Whole { min, max, .. } => format!("a whole number from {min} to {max}"),
            Kind::Text { .. } => "text".to_owned(),
            Kind::Path { .. } => "a path that is not empty and has no control characters".to_owned(),
            Kind::Address { .. } => "an IP address, such as 127.0.0.1 or ::1".to_owned(),
            Kind::Level { .. } => "one of off, error, warn, info, debug, trace".to_owned(),
            Kind::Switch { .. } => "true or false".to_owned(),
            Kind::Members { .. } => {
                "node ids and addresses: { 1 = \"host:port\" } in the file, 1=host:port,2=host:port elsewhere"
                    .to_owned()
            }
            Kind::Addresses { .. } => {
                "addresses: [\"host:port\"] in the file, host:port,host:port elsewhere".to_owned()
            }
            Kind::Target { .. } => "host:port, or nothing".to_owned(),
            Kind::File { .. } => "a path without control characters, or nothing".to_owned(),
            Kind::Token { .. } => "text".to_owned(),
        }
    }

    /// Reads the value as this key's type and stores it; answers what is allowed when it cannot.
    pub fn store(&self, settings: &mut Settings, raw: &Raw) -> Result<(), String> {
        let stored = match self.kind {
            Kind::Whole { min, max, set, .. } => raw
                .whole()
                .and_then(|number| u64::try_from(number).ok())
                .filter(|number| (min..=max).contains(number))
                .map(|number| set(settings, number)),
            Kind::Text { field } => raw.string().map(|text| *field(settings) = text.to_owned()),
            Kind::Path { field } => raw
                .string()
                .filter(|text| path_usable(text))
                .map(|text| *field(settings) = PathBuf::from(text)),
            Kind::Address { field } => parsed(raw).map(|address| *field(settings) = address),
            Kind::Level { field } => parsed(raw).map(|level| *field(settings) = level),
            Kind::Switch { field } => raw.switch().map(|on| *field(settings) = on),
            Kind::Members { field } => members(raw)?.map(|nodes| *field(settings) = nodes),
            Kind::Addresses { field } => raw.list().map(|texts| *field(settings) = texts),
            Kind::Target { field } => raw.string().map(|text| {
                *field(settings) = (!text.is_empty()).then(|| text.to_owned());
            }),
            Kind::File { field } => raw
                .string()
                .filter(|text| text.is_empty() || path_usable(text))
                .map(|text| *field(settings) = (!text.is_empty()).then(|| PathBuf::from(text))),
            Kind::Token { field } => raw
                .string()
                .map(ClusterToken::new)
                .transpose()?
                .map(|token| *field(settings) = token),
        };
        stored.ok_or_else(|| match (&raw.form, &self.kind) {
            (Form::Text(_), Kind::Whole { .. } | Kind::Switch { .. }) => {
                format!("expected {}, without quotes", self.allowed())
            }
            _ => format!("expected {}", self.allowed()),
        })
    }

    /// The value in force, as TOML; of a secret only that there is one.
    pub fn text(&self, settings: &Settings) -> String {
        let mut settings = settings.clone();
        match self.kind {
            Kind::Whole { get, .. } => get(&settings).to_string(),
            Kind::Text { field } => quoted(field(&mut settings)),
            Kind::Path { field } => quoted(&field(&mut settings).display().to_string()),
            Kind::Address { field } => quoted(&field(&mut settings).to_string()),
            Kind::Level { field } => quoted(&field(&mut settings).to_string().to_lowercase()),
            Kind::Switch { field } => field(&mut settings).to_string(),
            Kind::Members { .. } => settings.node.nodes_text(),
            Kind::Addresses { .. } => settings.node.join_text(),
            Kind::Target { field } => quoted(field(&mut settings).as_deref().unwrap_or_default()),
            Kind::File { field } => {
                let path = field(&mut settings).clone().unwrap_or_default();
                quoted(&path.display().to_string())
            }
            Kind::Token { field } if field(&mut settings).is_set() => SECRET.to_owned(),
            Kind::Token { .. } => quoted(""),
        }
    }
}

/// The key whose name looks most like this unknown one, if any looks like it at all. A key written in
/// the wrong section is found by its last part.
pub fn nearest(unknown: &str) -> Option<&'static str> {
    let leaf = unknown.rsplit('.').next().unwrap_or(unknown);
    let edits = |key: &Key| {
        strsim::damerau_levenshtein(unknown, key.name)
            .min(1 + strsim::damerau_levenshtein(leaf, key.leaf()))
    };
    let (edits, key) = KEYS
        .iter()
        .map(|key| (edits(key), key))
        .min_by_key(|(edits, _)| *edits)?;
    let likely = edits <= 1 + leaf.chars().count() / SUGGESTION_EDITS_SHARE;
    likely.then_some(key.name)
}

/// Whether a name is a section of the file.
pub fn is_section(name: &str) -> bool {
    KEYS.iter()
        .any(|key| !name.is_empty() && key.section() == name)
}

fn parsed<T: std::str::FromStr>(raw: &Raw) -> Option<T> {
    raw.string().and_then(|text| text.parse().ok())
}

fn path_usable(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

/// A TOML basic string.
fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn members(raw: &Raw) -> Result<Option<BTreeMap<u64, String>>, String> {
    let Some(pairs) = raw.pairs() else {
        return Ok(None);
    };
    let mut nodes = BTreeMap::new();
    for (id, address) in pairs {
        // TOML integers end at 2^63, and node_id is one.
        let Some(id) = id
            .parse()
            .ok()
            .filter(|id| (1..=i64::MAX as u64).contains(id))
        else {
            return Err(format!(
                "expected node ids from 1 to {}, not {id:?}",
                i64::MAX
            ));
        };
        if nodes.insert(id, address).is_some() {
            return Err(format!("node {id} is listed twice"));
        }
    }
    Ok(Some(nodes))
}
