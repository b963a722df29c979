//! `placement-ctl`: one request to a placement center, one answer for a person or a script.
//!
//! A file for each command; what they share is the session (where, how long), the rendering of bytes,
//! and the errors with their exit codes.

mod arguments;
mod endpoint;
mod error;
mod kv;
mod output;
mod session;
mod status;

use std::ffi::OsString;
use std::io::{self, Write};

use clap::Parser;
use tokio::runtime::Builder;

use arguments::{Arguments, Command, KvCommand};
pub use error::Error;
use output::Output;
use session::Session;

/// Runs one command and answers its exit code: 0 done, 1 failed, 2 wrong usage, 3 not found.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> u8 {
    let arguments = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version come this way too. A closed output leaves nobody to tell.
            let _ = error.print();
            return error.exit_code().try_into().unwrap_or(error::USAGE);
        }
    };
    match perform(&arguments) {
        Ok(()) => 0,
        // Who reads no further has what they wanted.
        Err(Error::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => 0,
        Err(error) => {
            // A closed error output leaves nobody to tell; the exit code still says it.
            let _ = writeln!(io::stderr(), "placement-ctl: {error}");
            error.exit_code()
        }
    }
}

fn perform(arguments: &Arguments) -> Result<(), Error> {
    let output = Output::new(arguments.output);
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::Runtime)?;
    runtime.block_on(async {
        let session = Session::open(&arguments.endpoint, arguments.timeout).await?;
        match &arguments.command {
            Command::Status => status::run(session, &output).await,
            Command::Kv {
                command: KvCommand::Put(put),
            } => kv::put::run(session, &output, put).await,
            Command::Kv {
                command: KvCommand::Get(get),
            } => kv::get::run(session, &output, get).await,
            Command::Kv {
                command: KvCommand::Del(del),
            } => kv::del::run(session, &output, del).await,
            Command::Kv {
                command: KvCommand::List(list),
            } => kv::list::run(session, &output, list).await,
        }
    })
}

#[cfg(test)]
mod tests;
