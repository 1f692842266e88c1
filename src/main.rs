//! The program: reads its command line and does the task that it asks for.

// Input from outside must not end a thread. Tests and benchmarks may panic.
#![warn(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing
)]

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use devcontainerd::cli::{self, Config, Task};
use devcontainerd::{logging, one_line, serve, shim, words};

/// The exit status for a command line, a variable or a manifest that cannot be used.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    if let Some(code) = shim::run(std::env::args_os()) {
        return code;
    }
    let arguments = std::env::args_os().skip(1);
    match cli::parse(arguments, &|name| std::env::var_os(name)) {
        Ok(Task::Print(text)) => print(&text),
        Ok(Task::Healthcheck(target)) => words::healthcheck(&target),
        Ok(Task::Ask(target, question)) => words::run(&target, question),
        Ok(Task::Serve(config)) => serve(*config),
        Ok(Task::Check(config, problems)) => serve::check(config, problems),
        Err(error) => fail(&error, USAGE.into()),
    }
}

fn serve(config: Config) -> ExitCode {
    logging::start(config.log_level, config.log_format);
    match serve::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.is_usage() => fail(&error, USAGE.into()),
        Err(error) => fail(&error, ExitCode::FAILURE),
    }
}

/// A reader may close the pipe early, which is not a failure.
fn print(text: &str) -> ExitCode {
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn fail(error: &dyn Display, code: ExitCode) -> ExitCode {
    let line = one_line(&error.to_string());
    let _ = writeln!(std::io::stderr(), "devcontainerd: {line}");
    code
}
