//! Opening files whose paths come from outside: regular ones only.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a regular file to be read, and nothing else.
pub fn open(path: &Path) -> io::Result<(File, Metadata)> {
    // A label chooses the path, and to open a device may do something: a watchdog is armed, a tape rewound.
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // It may be another one by now: opening a pipe must not wait for somebody to write to it.
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path)?;
    let metadata = file.metadata()?;
    match metadata.is_file() {
        true => Ok((file, metadata)),
        false => Err(io::ErrorKind::InvalidInput.into()),
    }
}
