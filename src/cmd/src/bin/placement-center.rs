//! The server process: hands its surroundings to `cmd::server` and ends with the code it answers.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    ExitCode::from(cmd::server::run(std::env::args_os(), std::env::vars_os()))
}
