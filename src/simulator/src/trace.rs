//! What happened, in order: always a hash over all of it, and the text on request. Two runs of one seed
//! have the same trace, byte for byte.

use crate::queue::Micros;
use std::fmt::{Display, Write};
use xxhash_rust::xxh3::Xxh3;

/// The record of one run.
pub(crate) struct Trace {
    hasher: Xxh3,
    text: Option<String>,
}

impl Trace {
    pub(crate) fn new(keep_text: bool) -> Self {
        Trace {
            hasher: Xxh3::new(),
            text: keep_text.then(String::new),
        }
    }

    /// An event: its kind and the numbers that make it up.
    pub(crate) fn event(&mut self, now: Micros, kind: &'static str, numbers: &[u64]) {
        self.hasher.update(&now.to_le_bytes());
        self.hasher.update(kind.as_bytes());
        for number in numbers {
            self.hasher.update(&number.to_le_bytes());
        }
        if let Some(text) = &mut self.text {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{now:>10} {kind} {numbers:?}");
        }
    }

    /// A remark for whoever reads the text; no part of the hash.
    pub(crate) fn remark(&mut self, now: Micros, remark: impl Display) {
        if let Some(text) = &mut self.text {
            let _ = writeln!(text, "{now:>10}   {remark}");
        }
    }

    pub(crate) fn keeps_text(&self) -> bool {
        self.text.is_some()
    }

    pub(crate) fn hash(&self) -> u64 {
        self.hasher.digest()
    }

    pub(crate) fn into_text(self) -> Option<String> {
        self.text
    }
}

/// A short name of some bytes.
pub(crate) fn digest(bytes: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(bytes)
}
