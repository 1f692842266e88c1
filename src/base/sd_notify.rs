//! Messages to a service manager, see sd_notify(3).

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

const SOCKET: &str = "NOTIFY_SOCKET";
const WATCHDOG: &str = "WATCHDOG_USEC";
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// The variables that are meant for this process only. The last one names the journal, which is the standard error of
/// this process and of no other.
pub const VARIABLES: [&str; 4] = [SOCKET, WATCHDOG, WATCHDOG_PID, "JOURNAL_STREAM"];

/// A service manager that reads its socket takes a message at once.
const PATIENCE: Duration = Duration::from_secs(1);

/// The service manager of this process.
pub struct ServiceManager {
    socket: UnixDatagram,
    address: SocketAddr,
}

impl ServiceManager {
    /// Returns the one that `NOTIFY_SOCKET` names, or `None` if the variable is not set.
    pub fn find() -> io::Result<Option<Self>> {
        let Some(name) = std::env::var_os(SOCKET) else {
            return Ok(None);
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        let address = address(&name)?;
        Ok(Some(Self { socket, address }))
    }

    /// Sends a message: assignments, one a line.
    pub fn tell(&self, message: &str) -> io::Result<()> {
        let sent = self.socket.send_to_addr(message.as_bytes(), &self.address);
        sent.map(drop)
    }

    /// Sends that a reload begins, which ends with `READY=1`.
    pub fn tell_reloading(&self) -> io::Result<()> {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}"))
    }
}

fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_encoded_bytes().strip_prefix(b"@") {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name),
        None => SocketAddr::from_pathname(Path::new(name)),
    }
}

/// Returns how often the service manager wants to hear that this process works: at half of the time after which it would
/// end it. `None` if it does not want to hear that, or not from this process (see sd_watchdog_enabled(3)).
///
/// # Errors
///
/// The value of `WATCHDOG_USEC` is no number of microseconds.
pub fn watchdog_interval(
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Result<Option<Duration>, OsString> {
    let Some(given) = environment(WATCHDOG) else {
        return Ok(None);
    };
    let own = std::process::id().to_string();
    if environment(WATCHDOG_PID).is_some_and(|pid| *pid != *own) {
        return Ok(None);
    }
    let micros = given.to_str().and_then(|text| text.parse::<u64>().ok());
    match micros.filter(|micros| *micros > 0) {
        Some(micros) => Ok(Some(Duration::from_micros(micros) / 2)),
        None => Err(given),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watchdog_is_fed_at_half_of_its_time_by_the_process_that_it_watches() {
        let own = std::process::id().to_string();
        let interval = |micros: &str, pid: Option<&str>| {
            watchdog_interval(&|name| match name {
                WATCHDOG => Some(micros.into()),
                WATCHDOG_PID => pid.map(OsString::from),
                _ => None,
            })
        };
        let second = Ok(Some(Duration::from_secs(1)));
        assert_eq!(interval("2000000", None), second);
        assert_eq!(interval("2000000", Some(&own)), second);
        assert_eq!(interval("2000000", Some("1")), Ok(None));
        assert_eq!(watchdog_interval(&|_| None), Ok(None));
        for wrong in ["", "0", "-1", "2s"] {
            assert_eq!(interval(wrong, None), Err(wrong.into()), "{wrong}");
        }
    }
}
