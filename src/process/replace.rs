//! Replacing this process by another program, and the interrupt key of a terminal.

use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use signal_hook::consts::SIGINT;
use signal_hook::low_level::pipe;

use super::SpawnError;

/// Becomes another program, which is found on `PATH` unless its name has a slash. Returns only if that fails.
pub fn become_program(program: &Path, arguments: &[OsString]) -> SpawnError {
    let source = Command::new(program).args(arguments).exec();
    SpawnError {
        program: PathBuf::from(program),
        source,
    }
}

/// Does something, on a thread of its own, when this process is interrupted (INT).
pub fn on_interrupt(action: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let (mut arrived, sender) = UnixStream::pair()?;
    let wait: Box<dyn FnOnce() + Send> = Box::new(move || {
        if matches!(arrived.read(&mut [0]), Ok(1)) {
            action();
        }
    });
    thread::Builder::new()
        .name("interrupt".into())
        .spawn(wait)?;
    pipe::register(SIGINT, sender)?;
    Ok(())
}
