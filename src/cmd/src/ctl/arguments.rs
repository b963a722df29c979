//! The command line of `placement-ctl`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use bytes::Bytes;
use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};

use placement_center::admin::MemberRef;

use super::endpoint::{Endpoints, HttpEndpoints};
use crate::version;

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not found";

const PUT_EXAMPLES: &str = "\
Examples:
  placement-ctl kv put color blue
  placement-ctl kv put photo - < photo.jpg";

const GET_EXAMPLES: &str = "\
Examples:
  placement-ctl kv get color
  placement-ctl kv get photo > photo.jpg
  placement-ctl kv get color --revision 7 --output json";

const STATUS_EXAMPLES: &str = "\
Examples:
  placement-ctl --endpoint 127.0.0.1:8871 status
  placement-ctl status --all --watch";

const MEMBER_EXAMPLES: &str = "\
Examples:
  placement-ctl member add 4 10.0.0.4:8872 --alias node-4
  placement-ctl member check node-2 && ssh node-2 systemctl restart placement-center";

const LIST_EXAMPLES: &str = "\
Examples:
  placement-ctl kv list --prefix brokers/ --keys-only
  placement-ctl kv list --limit 0 --output json";

/// Talks to a placement center
#[derive(Debug, Parser)]
#[command(name = "placement-ctl", version = version::text(), after_help = EXIT_CODES)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Arguments {
    /// gRPC address of any member; of several, with commas between, the first that answers [default:
    /// $PLACEMENT_CTL_ENDPOINT, else 127.0.0.1:8871]
    #[arg(long, value_name = "HOST:PORT", global = true)]
    #[arg(default_value = Endpoints::from_environment(), hide_default_value = true)]
    pub endpoint: Endpoints,
    /// HTTP address of any member, for `member`, `leader` and `status --all` [default:
    /// $PLACEMENT_CTL_HTTP_ENDPOINT, else that of --endpoint with its port raised by 100]
    #[arg(long, value_name = "HOST:PORT", global = true)]
    #[arg(default_value = HttpEndpoints::from_environment(), hide_default_value = true)]
    pub http_endpoint: HttpEndpoints,
    /// How to print; `kv get` prints the bare value into a pipe unless this is given
    #[arg(long, value_enum, value_name = "FORMAT", global = true)]
    pub output: Option<Format>,
    /// Seconds to wait for each answer
    #[arg(long, value_name = "SECONDS", global = true, default_value = "5", value_parser = seconds)]
    pub timeout: Duration,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people: columns, unprintable bytes escaped
    Table,
    /// For programs: one JSON document, complete, values also in base64
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Shows the member that answers and all members it knows
    #[command(after_help = STATUS_EXAMPLES)]
    Status(Status),
    /// Shows and changes the members of the cluster
    #[command(after_help = MEMBER_EXAMPLES)]
    Member {
        /// What to do with members
        #[command(subcommand)]
        command: MemberCommand,
    },
    /// Shows who leads, or hands leadership over
    #[command(after_help = "Example:\n  placement-ctl leader transfer --to node-2")]
    Leader {
        /// What to do with leadership
        #[command(subcommand)]
        command: LeaderCommand,
    },
    /// Reads and writes keys
    #[command(
        after_help = "Example:\n  placement-ctl kv put color blue && placement-ctl kv get color"
    )]
    Kv {
        /// What to do with keys
        #[command(subcommand)]
        command: KvCommand,
    },
}

/// `status`
#[derive(Debug, Args)]
pub struct Status {
    /// Every member, as far as it answers, instead of the one that is asked
    #[arg(long)]
    pub all: bool,
    /// Again every second, until all members vote and have caught up
    #[arg(long, requires = "all")]
    pub watch: bool,
}

/// What to do with members.
#[derive(Debug, Subcommand)]
pub enum MemberCommand {
    /// Lists the members, with how far each is
    List,
    /// Adds a member, which becomes a voter by itself once it has caught up
    Add(AddMember),
    /// Removes a member for good: its id is never used again
    Remove {
        /// Id or alias
        member: MemberRef,
    },
    /// Makes a learner a voter now
    Promote {
        /// Id or alias
        member: MemberRef,
    },
    /// Makes a voter a learner, which stays one
    Demote {
        /// Id or alias
        member: MemberRef,
    },
    /// Tells whether a member can be restarted now; exit code 1 when not
    Check {
        /// Id or alias
        member: MemberRef,
    },
}

/// `member add`
#[derive(Debug, Args)]
pub struct AddMember {
    /// Number of the new member, never used before
    #[arg(value_parser = clap::value_parser!(u64).range(1..=i64::MAX as u64))]
    pub id: u64,
    /// Where the other members will reach it
    #[arg(value_name = "HOST:PORT")]
    pub peer_address: String,
    /// Its name for people
    #[arg(
        long,
        value_name = "NAME",
        default_value = "",
        hide_default_value = true
    )]
    pub alias: String,
}

/// What to do with leadership.
#[derive(Debug, Subcommand)]
pub enum LeaderCommand {
    /// Shows who leads
    Show,
    /// Hands leadership to a voter; to the most caught-up one when none is named
    Transfer {
        /// Id or alias
        #[arg(long, value_name = "MEMBER")]
        to: Option<MemberRef>,
    },
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KvCommand {
    /// Writes one key
    #[command(after_help = PUT_EXAMPLES)]
    Put(Put),
    /// Prints the value of one key; exit code 3 when it does not exist
    #[command(after_help = GET_EXAMPLES)]
    Get(Get),
    /// Deletes one key; exit code 3 when it does not exist
    #[command(after_help = "Example:\n  placement-ctl kv del color")]
    Del(Del),
    /// Lists keys in key order
    #[command(after_help = LIST_EXAMPLES)]
    List(List),
}

/// `kv put`
#[derive(Debug, Args)]
pub struct Put {
    /// Any bytes, at least one
    #[arg(value_parser = key())]
    pub key: OsString,
    /// Any bytes; - reads them from the standard input to its end
    #[arg(allow_negative_numbers = true)]
    pub value: OsString,
}

/// `kv get`
#[derive(Debug, Args)]
pub struct Get {
    /// Any bytes, at least one
    #[arg(value_parser = key())]
    pub key: OsString,
    /// Read the store as it was at this revision; 0 reads the newest
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub revision: i64,
}

/// `kv del`
#[derive(Debug, Args)]
pub struct Del {
    /// Any bytes, at least one
    #[arg(value_parser = key())]
    pub key: OsString,
}

/// `kv list`
#[derive(Debug, Args)]
pub struct List {
    /// Only keys that begin with this
    #[arg(
        long,
        value_name = "PREFIX",
        default_value = "",
        hide_default_value = true
    )]
    pub prefix: OsString,
    /// Keys at most; 0 lists all and holds them in memory
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub limit: u64,
    /// List the store as it was at this revision; 0 lists the newest
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(i64).range(0..))]
    pub revision: i64,
    /// Leave out the values
    #[arg(long)]
    pub keys_only: bool,
}

/// The bytes of an argument, which need not be text.
pub fn bytes(argument: &OsString) -> Bytes {
    Bytes::copy_from_slice(argument.as_bytes())
}

fn key() -> impl TypedValueParser<Value = OsString> {
    OsStringValueParser::new().try_map(|key| {
        if key.is_empty() {
            Err("a key has at least one byte")
        } else {
            Ok(key)
        }
    })
}

/// A day is longer than anyone waits and far from what a clock can add.
const TIMEOUT_SECONDS_MAX: f64 = 86_400.0;

fn seconds(text: &str) -> Result<Duration, String> {
    let allowed = || {
        format!("expected seconds, more than 0 and at most {TIMEOUT_SECONDS_MAX}, such as 5 or 0.5")
    };
    let seconds: f64 = text.parse().map_err(|_| allowed())?;
    // A comparison is false for what is not a number.
    if seconds > 0.0 && seconds <= TIMEOUT_SECONDS_MAX {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(allowed())
    }
}
