//! Reads files that somebody else names: only regular ones, in bounded memory, and not twice without need.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::time::Duration;

use uuid::Uuid;

use crate::time::Timestamp;

/// Larger files are no configuration.
pub(super) const MAX_CONFIG: u64 = 1 << 20;
/// A file changed so shortly before it was read may change again without its times telling: the kernel's clock for
/// them has steps of some milliseconds.
const SETTLED_AFTER: Duration = Duration::from_millis(100);
/// The same on file systems that keep whole seconds, or every other one (FAT).
const COARSELY_SETTLED_AFTER: Duration = Duration::from_millis(2100);
/// What is read at once of a file that is no configuration.
const CHUNK: usize = 64 << 10;

/// Fingerprints of contents are UUIDs of version 5 below this one.
const CONTENTS: Uuid = Uuid::from_u128(0x6c1d_22a1_6f0c_4b6e_9d5b_3e0f_0a8f_6d11);

/// A fingerprint of content that means what `canonical` says.
pub(super) fn fingerprint_of_meaning(canonical: &str) -> Uuid {
    Uuid::new_v5(&CONTENTS, canonical.as_bytes())
}

/// A fingerprint of content as it stands.
pub fn fingerprint_bytes(content: &[u8]) -> Uuid {
    content.chunks(CHUNK).fold(as_it_stands(), next)
}

fn as_it_stands() -> Uuid {
    Uuid::new_v5(&CONTENTS, b"as it stands")
}

/// One fingerprint goes into the next one, so that content of any size takes a chunk of memory.
fn next(before: Uuid, chunk: &[u8]) -> Uuid {
    Uuid::new_v5(&before, chunk)
}

/// What tells a file that changed from one that did not, without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    pub(super) size: u64,
    pub(super) modified: Timestamp,
    changed: Timestamp,
    /// Whether it was old enough when it was looked at for the rest to be trusted.
    pub(super) settled: bool,
}

/// A file of a file system, whatever its names are.
pub type FileId = (u64, u64);

/// Which file this is about.
pub fn file_id(metadata: &Metadata) -> FileId {
    (metadata.dev(), metadata.ino())
}

impl Stamp {
    pub(super) fn of(metadata: &Metadata) -> Self {
        let changed = Timestamp::new(metadata.ctime(), metadata.ctime_nsec() as u32);
        let is_coarse = metadata.ctime_nsec() == 0 && metadata.mtime_nsec() == 0;
        let settled_after = match is_coarse {
            true => COARSELY_SETTLED_AFTER,
            false => SETTLED_AFTER,
        };
        let age = Timestamp::now().seconds_since(changed);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: Timestamp::new(metadata.mtime(), metadata.mtime_nsec() as u32),
            changed,
            settled: age > settled_after.as_secs_f64(),
        }
    }

    /// One of which only this is known, for tests of the rules.
    #[cfg(test)]
    pub(super) fn modified_at(modified: Timestamp) -> Self {
        Self {
            device: 0,
            inode: 0,
            size: 0,
            modified,
            changed: modified,
            settled: true,
        }
    }

    pub(super) fn file_id(&self) -> FileId {
        (self.device, self.inode)
    }

    /// Whether what was found then is certainly what is there `now`.
    pub(super) fn still_holds(&self, now: &Metadata) -> bool {
        let modified = Timestamp::new(now.mtime(), now.mtime_nsec() as u32);
        let changed = Timestamp::new(now.ctime(), now.ctime_nsec() as u32);
        self.settled
            && (self.device, self.inode, self.size) == (now.dev(), now.ino(), now.size())
            && (self.modified, self.changed) == (modified, changed)
    }
}

/// A configuration's content; `None` where the file is too large to be one.
pub(super) fn read_config(path: &Path) -> io::Result<(Option<Vec<u8>>, Stamp)> {
    let (file, stamp) = open(path)?;
    let mut content = Vec::new();
    file.take(MAX_CONFIG + 1).read_to_end(&mut content)?;
    let fits = content.len() as u64 <= MAX_CONFIG;
    Ok((fits.then_some(content), stamp))
}

/// A fingerprint of the whole content; of a file larger than `limit`, one of its size and time of change.
pub(super) fn read_fingerprint(path: &Path, limit: u64) -> io::Result<(Uuid, Stamp)> {
    let (mut file, stamp) = open(path)?;
    if stamp.size > limit {
        let told_apart_by = format!("{} {}", stamp.size, stamp.modified);
        return Ok((fingerprint_bytes(told_apart_by.as_bytes()), stamp));
    }
    // It may grow meanwhile, and what has no size, as in /proc, may have no end.
    let mut left = stamp.size.saturating_add(CHUNK as u64);
    let mut fingerprint = as_it_stands();
    let mut chunk = Vec::new();
    loop {
        chunk.clear();
        // A chunk is always full but for the last one: where they begin must not depend on how the file is read.
        let mut part = Read::take(&mut file, left.min(CHUNK as u64));
        let length = part.read_to_end(&mut chunk)?;
        if length == 0 {
            return Ok((fingerprint, stamp));
        }
        left -= length as u64;
        fingerprint = next(fingerprint, &chunk);
    }
}

/// Opens a regular file to be read, and nothing else.
pub(crate) fn open(path: &Path) -> io::Result<(File, Stamp)> {
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
        true => Ok((file, Stamp::of(&metadata))),
        false => Err(io::ErrorKind::InvalidInput.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;

    #[test]
    fn the_fingerprint_of_a_file_is_that_of_its_content_whatever_its_size() {
        let dir = TestDir::new();
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 7] {
            let content = vec![b'x'; size];
            let path = dir.write("file", std::str::from_utf8(&content).unwrap());
            let (read, _) = read_fingerprint(&path, u64::MAX).unwrap();
            assert_eq!(read, fingerprint_bytes(&content), "{size}");
            assert_ne!(
                read,
                fingerprint_bytes(&[&content[..], b"x"].concat()),
                "{size}"
            );
        }
    }

    #[test]
    fn what_would_take_too_long_to_read_is_told_by_size_and_time() {
        let dir = TestDir::new();
        let path = dir.write("file", "12345");
        let (before, _) = read_fingerprint(&path, 4).unwrap();
        assert_ne!(read_fingerprint(&path, 5).unwrap().0, before);
        dir.write("file", "123456");
        assert_ne!(read_fingerprint(&path, 4).unwrap().0, before);
    }

    #[test]
    fn no_device_pipe_or_directory_is_read() {
        let dir = TestDir::new();
        let pipe = dir.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status();
        assert!(made.unwrap().success());
        for path in [Path::new("/dev/zero"), &pipe, dir.path()] {
            assert!(read_fingerprint(path, u64::MAX).is_err(), "{path:?}");
            assert!(read_config(path).is_err(), "{path:?}");
        }
    }
}
