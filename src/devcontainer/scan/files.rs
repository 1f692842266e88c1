//! Fingerprints of files, read in bounded memory.

use std::fs::Metadata;
use std::io::{self, Read};
use std::path::Path;

use uuid::Uuid;

use crate::base::regular_file::open;
use crate::base::time::Timestamp;
use crate::devcontainer::fingerprint::{CHUNK, append, fingerprint_bytes, verbatim};
use crate::model::inputs::Stamp;

/// The stamp of a file that is looked at now.
pub(super) fn stamp_of(metadata: &Metadata) -> Stamp {
    Stamp::of(metadata, Timestamp::now())
}

/// A fingerprint of the content of a regular file; of its size and time where it is larger than `limit` bytes.
pub(super) fn read_fingerprint(path: &Path, limit: u64) -> io::Result<(Uuid, Stamp)> {
    let (mut file, metadata) = open(path)?;
    let stamp = stamp_of(&metadata);
    if stamp.size() > limit {
        let size_and_time = format!("{} {}", stamp.size(), stamp.modified());
        return Ok((fingerprint_bytes(size_and_time.as_bytes()), stamp));
    }
    // It may grow meanwhile, and a file of size 0 in /proc may be endless.
    let mut left = stamp.size().saturating_add(CHUNK as u64);
    let mut fingerprint = verbatim();
    let mut chunk = Vec::new();
    loop {
        chunk.clear();
        // Every chunk but the last is full, so that the fingerprint does not depend on how much a read returns.
        let mut part = Read::take(&mut file, left.min(CHUNK as u64));
        let length = part.read_to_end(&mut chunk)?;
        if length == 0 {
            return Ok((fingerprint, stamp));
        }
        left -= length as u64;
        fingerprint = append(fingerprint, &chunk);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::test_dir::TestDir;
    use crate::devcontainer::config::file::read_config;

    #[test]
    fn the_fingerprint_of_a_file_is_that_of_its_content() {
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
    fn a_file_above_the_limit_is_compared_by_size_and_time() {
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
        let pipe = dir.pipe("pipe");
        for path in [Path::new("/dev/zero"), &pipe, dir.path()] {
            assert!(read_fingerprint(path, u64::MAX).is_err(), "{path:?}");
            assert!(read_config(path).is_err(), "{path:?}");
        }
    }
}
