//! The program: reads its command line and does what that says.

// Nothing that comes from outside may end a thread. Tests and benchmarks may.
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::process::ExitCode;

use devcontainerd::cli::{self, Task, healthcheck};
use devcontainerd::serve::{self, StartError};
use devcontainerd::{logging, one_line, shim};

const USAGE: u8 = 2;

fn main() -> ExitCode {
    if let Some(code) = shim::run(std::env::args_os()) {
        return code;
    }
    let task = cli::parse(std::env::args_os().skip(1), &|name| std::env::var_os(name));
    match task {
        Ok(Task::Help) => print(cli::HELP),
        Ok(Task::Version) => print(concat!("devcontainerd ", env!("CARGO_PKG_VERSION"), "\n")),
        Ok(Task::Healthcheck(url)) => match healthcheck::run(&url) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, ExitCode::FAILURE),
        },
        Ok(Task::Serve(config)) => {
            logging::start(config.log_level, config.log_json);
            match serve::run(*config) {
                Ok(()) => ExitCode::SUCCESS,
                Err(StartError::Usage(error)) => fail(&error, USAGE.into()),
                Err(StartError::Other(error)) => fail(&error, ExitCode::FAILURE),
            }
        }
        Err(error) => fail(&error, USAGE.into()),
    }
}

/// A reader that has enough closes the pipe; that is no failure.
fn print(text: &str) -> ExitCode {
    use std::io::Write;
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn fail(error: &str, code: ExitCode) -> ExitCode {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "devcontainerd: {}", one_line(error));
    code
}
