//! Listening sockets that a service manager has opened for this process, see sd_listen_fds(3).

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;

use rustix::io::{FdFlags, fcntl_setfd};

/// The variables that are meant for this process only.
pub const VARIABLES: [&str; 4] = [
    "LISTEN_PID",
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PIDFDID",
];
/// The number of the first descriptor.
const FIRST: usize = 3;
/// More sockets are taken for a mistake.
const MOST: usize = 64;

/// Variables that do not match what the process has inherited.
#[derive(Debug)]
pub enum ListenFdsError {
    /// `LISTEN_FDS` is no number from 1 to 64.
    Count(String),
    /// This descriptor is no socket.
    NotSocket(usize),
    /// This descriptor cannot be kept from child processes.
    Io(usize, io::Error),
}

/// Returns whether the variables say that this process has inherited sockets.
pub fn are_given(environment: &dyn Fn(&str) -> Option<OsString>) -> bool {
    let pid = environment("LISTEN_PID");
    pid.is_some_and(|pid| *pid == *std::process::id().to_string())
        && environment("LISTEN_FDS").is_some()
}

/// Takes the sockets that this process has inherited, so that no child process inherits them too.
///
/// It must be called once, before this process opens files.
pub fn take() -> Result<Vec<OwnedFd>, ListenFdsError> {
    if !are_given(&|name| std::env::var_os(name)) {
        return Ok(Vec::new());
    }
    let given = std::env::var("LISTEN_FDS").unwrap_or_default();
    let count = given
        .parse()
        .ok()
        .filter(|count| (1..=MOST).contains(count));
    let count = count.ok_or(ListenFdsError::Count(given))?;
    // The descriptors become owned below, which must not happen to one that is not there.
    let mut numbers = FIRST..FIRST + count;
    if let Some(number) = numbers.find(|number| !is_socket(*number)) {
        return Err(ListenFdsError::NotSocket(number));
    }
    let sockets = sd_listen_fds::get().unwrap_or_default();
    let owned = sockets.into_iter().map(|(_, socket)| socket.into_std());
    (FIRST..)
        .zip(owned)
        .map(|(number, socket)| {
            let kept = fcntl_setfd(&socket, FdFlags::CLOEXEC);
            kept.map_err(|e| ListenFdsError::Io(number, e.into()))?;
            Ok(socket)
        })
        .collect()
}

fn is_socket(number: usize) -> bool {
    let link = fs::read_link(format!("/proc/self/fd/{number}"));
    link.is_ok_and(|target| {
        target
            .as_os_str()
            .as_encoded_bytes()
            .starts_with(b"socket:")
    })
}

impl fmt::Display for ListenFdsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(given) => write!(
                f,
                "LISTEN_FDS {given}: it should be a number of sockets from 1 to {MOST}; unset it if no service manager has opened any"
            ),
            Self::NotSocket(number) => write!(
                f,
                "LISTEN_FDS: descriptor {number} is no socket; unset the variable if no service manager has opened any"
            ),
            Self::Io(number, error) => write!(f, "LISTEN_FDS: descriptor {number}: {error}"),
        }
    }
}

impl std::error::Error for ListenFdsError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_given_to_the_process_that_the_variable_names() {
        let own = std::process::id().to_string();
        let given = |pid: &str, count: Option<&str>| {
            are_given(&|name| match name {
                "LISTEN_PID" => Some(pid.into()),
                "LISTEN_FDS" => count.map(OsString::from),
                _ => None,
            })
        };
        assert!(given(&own, Some("1")));
        assert!(!given(&own, None));
        assert!(!given("1", Some("1")));
        assert!(!are_given(&|_| None));
    }
}
