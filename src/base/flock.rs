//! One operation at a time in a folder, also where several daemons see it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// A lock on a directory, given back when it is dropped, and by the kernel when its process ends in any way.
#[derive(Debug)]
pub struct FolderLock {
    directory: Option<File>,
}

impl FolderLock {
    /// Locks `folder` with flock(2). `None`: somebody else has it.
    ///
    /// A folder that cannot be opened or is on a file system without locks cannot be locked. That is no error; whoever
    /// must know that nobody else is at work there asks [`FolderLock::is_held`].
    pub fn take(folder: &Path) -> Option<Self> {
        // A label may name anything: a pipe would be waited for, a device would do something.
        let flags = OFlags::DIRECTORY | OFlags::NONBLOCK;
        let directory = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits() as i32)
            .open(folder);
        let Ok(directory) = directory else {
            return Some(Self { directory: None });
        };
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => None,
            Err(e) => {
                let e = io::Error::from(e);
                log::debug!("{} cannot be locked: {e}", folder.display());
                Some(Self { directory: None })
            }
            Ok(()) => Some(Self {
                directory: Some(directory),
            }),
        }
    }

    /// Whether nobody else can have it.
    pub fn is_held(&self) -> bool {
        self.directory.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::test_dir::TestDir;

    #[test]
    fn a_folder_is_locked_once() {
        let dir = TestDir::new();
        let lock = FolderLock::take(dir.path()).unwrap();
        assert!(lock.is_held());
        assert!(FolderLock::take(dir.path()).is_none());
        drop(lock);
        assert!(FolderLock::take(dir.path()).is_some());
    }

    #[test]
    fn what_is_not_there_is_not_locked() {
        let dir = TestDir::new();
        let fifo = dir.path().join("fifo");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status();
        assert!(made.unwrap().success());
        for path in [dir.path().join("nothing"), dir.write("file", ""), fifo] {
            let lock = FolderLock::take(&path).unwrap();
            assert!(!lock.is_held(), "{}", path.display());
            assert!(FolderLock::take(&path).is_some());
        }
    }
}
