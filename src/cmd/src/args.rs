//! The command line of `placement-center`: a few flags of its own, and one for each key.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, CommandFactory, FromArgMatches, Parser};

use crate::settings::keys::Kind;
use crate::settings::{KEYS, Key, Layers, Settings};
use crate::version;

/// Runs one member of a placement center.
///
/// Every setting can be given in the file, by an environment variable and by a flag; a flag wins over
/// the environment, the environment over the file, the file over the default.
#[derive(Debug, Parser)]
#[command(name = "placement-center")]
#[command(
    after_help = "Example:\n  placement-center --conf config/placement-center.toml --log-level debug\n\n\
    Exit codes: 0 stopped on request, 1 could not run, 2 wrong configuration, \
    130 or 143 stopped at once by a second signal."
)]
pub struct Own {
    /// Configuration file (TOML); without one, defaults, environment and flags apply
    #[arg(long, value_name = "FILE")]
    conf: Option<PathBuf>,
    /// Print the effective configuration with the source of each value, and exit
    #[arg(long)]
    check_config: bool,
    /// Make this member the only one of its cluster, because most others are lost for good; what only they
    /// had is lost with them. For one start, with all other members stopped: see docs/operations.md
    #[arg(long)]
    force_new_cluster: bool,
}

/// The command line as the process was given it.
#[derive(Debug)]
pub struct Arguments {
    /// Print the effective configuration instead of serving.
    pub check_config: bool,
    /// Flags, environment and file, to be loaded.
    pub layers: Layers,
}

/// Reads the command line and the environment.
///
/// # Errors
/// Wrong usage, or a request for help or version: clap's error prints either and knows the exit code.
pub fn parse(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Arguments, clap::Error> {
    let matches = command().try_get_matches_from(arguments)?;
    let own = Own::from_arg_matches(&matches)?;
    Ok(Arguments {
        check_config: own.check_config,
        layers: Layers {
            file: own.conf,
            environment: environment.into_iter().collect(),
            force_new_cluster: own.force_new_cluster,
            flags: KEYS.iter().filter_map(|key| given(&matches, key)).collect(),
        },
    })
}

fn given(matches: &ArgMatches, key: &'static Key) -> Option<(&'static Key, String)> {
    matches
        .get_one::<String>(key.name)
        .map(|text| (key, text.clone()))
}

fn command() -> clap::Command {
    let defaults = Settings::default();
    let flags = KEYS.iter().map(|key| flag(key, &defaults));
    Own::command().version(version::text()).args(flags)
}

fn flag(key: &'static Key, defaults: &Settings) -> Arg {
    let heading = match key.section() {
        "" => "Settings".to_owned(),
        section => format!("Settings of [{section}]"),
    };
    let help = format!(
        "{} [default: {}] [env: {}]",
        key.help,
        key.text(defaults),
        key.variable()
    );
    let arg = Arg::new(key.name)
        .long(key.flag())
        .value_name(key.value_name())
        .allow_negative_numbers(true)
        .help_heading(heading)
        .help(help);
    match key.kind {
        // A switch may stand alone; its value must be attached, so that it takes no other argument.
        Kind::Switch { .. } => arg
            .num_args(0..=1)
            .require_equals(true)
            .default_missing_value("true"),
        _ => arg,
    }
}
