//! Standard error, where it is the journal of systemd.

use std::ffi::OsStr;
use std::io::stderr;

use log::Level;
use rustix::fs::fstat;

/// Returns whether standard error is the journal: `JOURNAL_STREAM` names the device and inode of the stream to it, and a
/// process whose standard error was redirected has the variable, too (systemd.exec(5)).
pub fn is_stderr() -> bool {
    let stream = std::env::var_os("JOURNAL_STREAM");
    let (Some(stream), Ok(stat)) = (stream, fstat(stderr())) else {
        return false;
    };
    let own = format!("{}:{}", stat.st_dev, stat.st_ino);
    *stream == *OsStr::new(&own)
}

/// Returns the beginning of a line from which the journal takes its priority (sd-daemon(3)).
pub fn priority(level: Level) -> &'static str {
    match level {
        Level::Error => "<3>",
        Level::Warn => "<4>",
        Level::Info => "<6>",
        Level::Debug | Level::Trace => "<7>",
    }
}
