//! Locks on folders: one operation at a time in a folder, even if several daemons use it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

/// A folder that this process may work in: nothing else has locked it.
#[derive(Debug)]
pub enum FolderLock {
    /// An exclusive flock(2) lock. It is released when it is dropped, and by the kernel when the process ends.
    Held {
        /// The locked directory, which is kept open.
        _directory: File,
    },
    /// The folder cannot be opened as a directory, or its file system has no locks. Others may work in it.
    NotLockable,
}

impl FolderLock {
    /// Locks `folder` without waiting. Returns `None` if it is locked already, by another process or by this one.
    pub fn take(folder: &Path) -> Option<Self> {
        // A label may name any path. Without these flags, opening a pipe would block and opening a device might act.
        let flags = OFlags::DIRECTORY | OFlags::NONBLOCK;
        let opened = OpenOptions::new()
            .read(true)
            .custom_flags(flags.bits() as i32)
            .open(folder);
        let Ok(directory) = opened else {
            return Some(Self::NotLockable);
        };
        match flock(&directory, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Some(Self::Held {
                _directory: directory,
            }),
            Err(Errno::WOULDBLOCK) => None,
            Err(e) => {
                let e = io::Error::from(e);
                log::debug!("{} cannot be locked: {e}", folder.display());
                Some(Self::NotLockable)
            }
        }
    }

    /// Returns whether the folder is locked, so that nothing else can lock it.
    pub fn is_held(&self) -> bool {
        matches!(self, Self::Held { .. })
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
    fn a_path_that_is_not_a_directory_is_not_lockable() {
        let dir = TestDir::new();
        let fifo = dir.pipe("fifo");
        for path in [dir.path().join("nothing"), dir.write("file", ""), fifo] {
            let lock = FolderLock::take(&path).unwrap();
            assert!(!lock.is_held(), "{}", path.display());
            assert!(FolderLock::take(&path).is_some());
        }
    }
}
