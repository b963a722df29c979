//! `--check-config`: the effective settings as a TOML document that says where each value came from.

use std::fmt::Write;

use super::keys::SECRET;
use super::{Effective, KEYS};

impl Effective {
    /// A TOML document with every key; it loads as a configuration file and gives the same settings, but
    /// for a secret, which stands in it as a comment.
    pub fn to_toml(&self) -> String {
        let mut text = String::new();
        let mut section = "";
        for (key, origin) in KEYS.iter().zip(&self.origins) {
            if key.section() != section {
                section = key.section();
                // Writing to a String cannot fail.
                let _ = writeln!(text, "\n[{section}]");
            }
            let value = key.text(&self.settings);
            let mark = if value == SECRET { "# " } else { "" };
            let line = format!("{mark}{} = {value}", key.leaf());
            let _ = writeln!(text, "{line:<48} # {origin}");
        }
        text
    }
}
