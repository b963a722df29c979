//! The command line client: hands its arguments to `cmd::ctl` and ends with the code it answers.

use std::process::ExitCode;

fn main() -> ExitCode {
    ExitCode::from(cmd::ctl::run(std::env::args_os()))
}
