//! The server process. Dispatch and exit codes only.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = match cmd::args::parse(std::env::args_os(), std::env::vars_os()) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    let effective = match cmd::settings::Effective::load(&arguments.layers) {
        Ok(effective) => effective,
        Err(error) => {
            eprintln!("placement-center: {error}");
            return ExitCode::from(2);
        }
    };
    print!("{}", effective.to_toml());
    ExitCode::SUCCESS
}
