//! Where the configuration comes from: four layers (flag over environment over file over default),
//! one table of keys, and the checks that need to know a value's origin.
//!
//! The typed result for the node is `placement_center::config::Config`, which also owns the rules
//! between its values; `logging` owns the content of log4rs.yaml.

mod environment;
mod error;
mod file;
pub(crate) mod keys;
mod logs;
mod paths;
mod raw;
mod show;
mod token;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use placement_center::config::{Config, Invalid};

pub use error::Error;
pub use keys::{KEYS, Key};
pub use logs::LogSettings;
pub(crate) use paths::check_writable;

use raw::Raw;

/// Everything the server process is configured with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// What the node itself needs.
    pub node: Config,
    /// Where and how much is logged.
    pub log: LogSettings,
    /// File that holds the cluster token.
    pub cluster_token_file: Option<PathBuf>,
    /// Permission to listen beyond loopback although nothing authenticates or encrypts yet.
    pub insecure_listen: bool,
}

/// The layers above the defaults, as the process found them.
#[derive(Debug, Default)]
pub struct Layers {
    /// The configuration file; without one the defaults are the lowest layer.
    pub file: Option<PathBuf>,
    /// All environment variables; those that are not ours are skipped.
    pub environment: Vec<(OsString, OsString)>,
    /// Flags that were given: the key and the text.
    pub flags: Vec<(&'static Key, String)>,
    /// `--force-new-cluster`, which is no setting: left in a file, it would strike again at every start.
    pub force_new_cluster: bool,
}

/// Which layer a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the configuration file.
    File {
        /// The file as it was named on the command line.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A command-line flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Default => f.write_str("default"),
            Origin::File { path, line } => write!(f, "{}:{line}", path.display()),
            Origin::Environment(variable) => write!(f, "environment {variable}"),
            Origin::Flag(flag) => write!(f, "flag --{flag}"),
        }
    }
}

/// The settings in force and where each value came from.
#[derive(Clone, Debug)]
pub struct Effective {
    /// The values.
    pub settings: Settings,
    /// One origin per entry of [`KEYS`], in its order.
    origins: Vec<Origin>,
}

impl Effective {
    /// Applies the layers in order of precedence and checks the result. Reads the token file, and looks
    /// whether the data directory exists; whether it can be used, [`Effective::check_paths`] tells.
    ///
    /// # Errors
    /// The first thing a user must correct, with its origin.
    pub fn load(layers: &Layers) -> Result<Effective, Error> {
        let mut effective = Effective {
            settings: Settings::default(),
            origins: vec![Origin::Default; KEYS.len()],
        };
        if let Some(path) = &layers.file {
            for (key, raw, origin) in file::read(path)? {
                effective.apply(key, &raw, origin)?;
            }
        }
        for (key, raw, origin) in environment::read(&layers.environment)? {
            effective.apply(key, &raw, origin)?;
        }
        for (key, text) in &layers.flags {
            effective.apply(key, &Raw::word(text), Origin::Flag(key.flag()))?;
        }
        effective.settings.node.force_new_cluster = layers.force_new_cluster;
        effective.read_token_file()?;
        effective.derive();
        effective.check()?;
        Ok(effective)
    }

    /// The origin of a key's value.
    pub fn origin(&self, name: &str) -> &Origin {
        let position = KEYS.iter().position(|key| key.name == name);
        position.map_or(&Origin::Default, |position| &self.origins[position])
    }

    /// Every layer is checked, a lower one too when a higher one overrides it: a file that is wrong
    /// today must not surprise the person who removes the override tomorrow.
    fn apply(&mut self, key: &'static Key, raw: &Raw, origin: Origin) -> Result<(), Error> {
        match key.store(&mut self.settings, raw) {
            Ok(()) => {
                let position = KEYS.iter().position(|known| known.name == key.name);
                self.origins[position.expect("every key handed around is an entry of the table")] =
                    origin;
                Ok(())
            }
            Err(allowed) => Err(Error::Invalid {
                key: key.name,
                value: key.shown(&raw.text),
                allowed,
                origin,
            }),
        }
    }

    /// Defaults that follow another value.
    fn derive(&mut self) {
        let unset = |name: &str| *self.origin(name) == Origin::Default;
        let [alias, peer_addr, nodes] = ["node_alias", "peer_addr", "nodes"].map(unset);
        let node = &mut self.settings.node;
        if alias {
            node.node_alias = format!("node-{}", node.node_id);
        }
        if peer_addr {
            // Who has no token wants no strangers: the port of a lone node need not be open to them.
            let open = node.addr.is_loopback() || node.cluster_token.is_set();
            node.peer_addr = if open {
                node.addr
            } else {
                Ipv4Addr::LOCALHOST.into()
            };
        }
        if nodes {
            node.nodes = if node.join.is_empty() {
                let listener = SocketAddr::new(node.peer_addr, node.peer_port).to_string();
                let address = node.advertise.peer.clone().unwrap_or(listener);
                BTreeMap::from([(node.node_id, address)])
            } else {
                BTreeMap::new()
            };
        }
    }

    fn check(&self) -> Result<(), Error> {
        let node = &self.settings.node;
        node.validate()
            .and_then(|()| {
                if node.is_founded() {
                    Ok(())
                } else {
                    node.validate_founding()
                }
            })
            .map_err(|invalid| self.located(invalid))?;
        for (key, addr) in [("addr", node.addr), ("peer_addr", node.peer_addr)] {
            if !addr.is_loopback() && !self.settings.insecure_listen {
                return Err(self.located(Invalid {
                    key,
                    value: addr.to_string(),
                    allowed: "this version has neither TLS nor client authentication, so it listens on loopback \
                              only (127.0.0.1 or ::1); to accept connections from anyone who can reach the \
                              machine, say so with insecure_listen = true or --insecure-listen"
                        .to_owned(),
                }));
            }
        }
        Ok(())
    }

    /// The founding settings that were given although the data directory exists, and are therefore ignored.
    pub fn ignored(&self) -> Vec<&'static str> {
        let given = |name: &&str| *self.origin(name) != Origin::Default;
        let founded = self.settings.node.is_founded();
        let keys = ["nodes", "join"].into_iter().filter(given);
        keys.filter(|_| founded).collect()
    }

    fn located(&self, invalid: Invalid) -> Error {
        let origin = self.origin(invalid.key).clone();
        Error::Invalid {
            key: invalid.key,
            value: invalid.value,
            allowed: invalid.allowed,
            origin,
        }
    }
}

#[cfg(test)]
mod tests;
