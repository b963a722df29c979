//! Reads `PLACEMENT_CENTER_*` variables.
//!
//! A variable that looks like a mistyped key is refused. Other foreign ones are skipped, because the
//! prefix is not ours alone: an orchestrator announces a service called placement-center to its
//! neighbours as PLACEMENT_CENTER_SERVICE_HOST, PLACEMENT_CENTER_PORT and so on.

use std::ffi::OsString;

use super::raw::Raw;
use super::{Error, KEYS, Key, Origin};

/// What every variable of ours begins with.
pub const PREFIX: &str = "PLACEMENT_CENTER_";

/// Edits between a mistyped name and the real one: a transposed pair, a missing or a doubled letter.
const TYPING_ERRORS_MAX: usize = 2;

/// The settings among all variables, in a stable order.
pub fn read(variables: &[(OsString, OsString)]) -> Result<Vec<(&'static Key, Raw, Origin)>, Error> {
    let mut entries = Vec::new();
    let mut variables: Vec<_> = variables.iter().collect();
    variables.sort();
    for (name, value) in variables {
        let Some(name) = name.to_str().filter(|name| name.starts_with(PREFIX)) else {
            continue;
        };
        let origin = Origin::Environment(name.to_owned());
        match KEYS.iter().find(|key| key.variable() == name) {
            Some(key) => entries.push((key, raw(key, value, &origin)?, origin)),
            None => refuse_typing_error(name, origin)?,
        }
    }
    Ok(entries)
}

fn raw(key: &'static Key, value: &OsString, origin: &Origin) -> Result<Raw, Error> {
    value.to_str().map(Raw::word).ok_or_else(|| Error::Invalid {
        key: key.name,
        value: key.shown(&format!("{value:?}")),
        allowed: "expected UTF-8 text".to_owned(),
        origin: origin.clone(),
    })
}

fn refuse_typing_error(name: &str, origin: Origin) -> Result<(), Error> {
    let near = KEYS
        .iter()
        .map(|key| (strsim::damerau_levenshtein(name, &key.variable()), key))
        .filter(|(edits, _)| *edits <= TYPING_ERRORS_MAX)
        .min_by_key(|(edits, _)| *edits);
    match near {
        None => Ok(()),
        Some((_, key)) => Err(Error::Unknown {
            what: "environment variable",
            name: name.to_owned(),
            nearest: Some(key.variable()),
            origin,
        }),
    }
}
