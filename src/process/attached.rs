//! Programs whose standard input and output are one socket.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use super::SpawnError;
use super::group::Group;

/// A running program that reads from a socket and writes to it. It is killed with its group when this is dropped.
pub struct Attached {
    _group: Group,
}

impl Attached {
    /// Starts `command`, and returns the other end of its socket. Its standard error is discarded.
    pub fn spawn(mut command: Command) -> Result<(Self, UnixStream), SpawnError> {
        let ends = UnixStream::pair().and_then(|(ours, theirs)| {
            let again = theirs.try_clone()?;
            Ok((ours, theirs, again))
        });
        let (ours, input, output) = ends.map_err(|source| SpawnError {
            program: command.get_program().into(),
            source,
        })?;
        command
            .stdin(Stdio::from(OwnedFd::from(input)))
            .stdout(Stdio::from(OwnedFd::from(output)))
            .stderr(Stdio::null());
        let group = Group::spawn(&mut command)?;
        Ok((Self { _group: group }, ours))
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::Shutdown;

    use super::*;

    #[test]
    fn a_program_reads_from_the_socket_and_writes_to_it() {
        let (_cat, mut socket) = Attached::spawn(Command::new("cat")).unwrap();
        socket.write_all(b"both ways").unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        let mut read = String::new();
        socket.read_to_string(&mut read).unwrap();
        assert_eq!(read, "both ways");
    }

    #[test]
    fn p16_a_program_ends_with_its_owner() {
        let (sleep, mut socket) = Attached::spawn({
            let mut command = Command::new("sleep");
            command.arg("1000");
            command
        })
        .unwrap();
        drop(sleep);
        assert_eq!(socket.read(&mut [0; 8]).unwrap(), 0);
        let missing = Attached::spawn(Command::new("/nonexistent/docker"));
        let error = missing.err().unwrap().to_string();
        assert_eq!(error, "/nonexistent/docker was not found");
    }
}
