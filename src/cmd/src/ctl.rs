//! `placement-ctl`: one request to a placement center, one answer for a person or a script.
//!
//! A file for each command; what they share is the session (where, how long), the rendering of bytes,
//! and the errors with their exit codes.

mod arguments;
mod endpoint;
mod error;
mod http;
mod kv;
mod leader;
mod member;
mod output;
mod session;
mod status;

use std::ffi::OsString;
use std::io::{self, Write};

use clap::Parser;
use tokio::runtime::Builder;

use arguments::{Arguments, Command, KvCommand};
pub use error::Error;
use http::Client;
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
        match &arguments.command {
            Command::Kv { command } => keys(arguments, &output, command).await,
            Command::Status(all) if all.all => {
                status::all::run(&client(arguments), &output, all).await
            }
            Command::Status(_) => status::run(session(arguments).await?, &output).await,
            Command::Member { command } => member::run(&client(arguments), &output, command),
            Command::Leader { command } => leader::run(&client(arguments), &output, command),
        }
    })
}

async fn keys(arguments: &Arguments, output: &Output, command: &KvCommand) -> Result<(), Error> {
    let session = session(arguments).await?;
    match command {
        KvCommand::Put(put) => kv::put::run(session, output, put).await,
        KvCommand::Get(get) => kv::get::run(session, output, get).await,
        KvCommand::Del(del) => kv::del::run(session, output, del).await,
        KvCommand::List(list) => kv::list::run(session, output, list).await,
    }
}

async fn session(arguments: &Arguments) -> Result<Session, Error> {
    Session::open(&arguments.endpoint, arguments.timeout).await
}

fn client(arguments: &Arguments) -> Client {
    let endpoints = arguments.http_endpoint.or_beside(&arguments.endpoint);
    Client::new(endpoints, arguments.timeout)
}

#[cfg(test)]
mod tests;
