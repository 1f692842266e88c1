//! Opening files whose paths come from outside: regular files only.

use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a regular file for reading. Anything else is an error of kind [`io::ErrorKind::InvalidInput`].
pub fn open(path: &Path) -> io::Result<(File, Metadata)> {
    // A label may name a device, and opening one may have an effect: it arms a watchdog or rewinds a tape.
    require_regular(&std::fs::metadata(path)?)?;
    // The file may have been replaced since: opening a pipe must not wait for a writer.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits() as i32)
        .open(path)?;
    let metadata = file.metadata()?;
    require_regular(&metadata)?;
    Ok((file, metadata))
}

fn require_regular(metadata: &Metadata) -> io::Result<()> {
    if metadata.is_file() {
        Ok(())
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::test_dir::TestDir;

    #[test]
    fn devices_pipes_and_directories_are_not_opened() {
        let dir = TestDir::new();
        let pipe = dir.pipe("pipe");
        for path in [Path::new("/dev/zero"), &pipe, dir.path()] {
            let error = open(path).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path:?}");
        }
        let file = dir.write("file", "12345");
        assert_eq!(open(&file).unwrap().1.len(), 5);
    }
}
