//! Locks on workspace folders, which keep the operations of several daemons apart.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::base::flock::FolderLock;

/// How long an operation waits for a lock that another daemon may be about to give back. It has one for a moment where it
/// looks after a container that an operation of this daemon is about to remove.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// The time between two attempts.
const RETRY_EVERY: Duration = Duration::from_millis(20);

/// The locks of the folders in which operations of this daemon run. They share one lock for each folder.
#[derive(Default)]
pub(super) struct FolderLocks(Mutex<HashMap<PathBuf, Weak<FolderLock>>>);

impl FolderLocks {
    /// Locks folders, and waits for that up to `patience`. Returns `None` while another daemon has one of the locks.
    pub(super) fn lock_all(
        &self,
        folders: &[PathBuf],
        patience: Duration,
    ) -> Option<Vec<Arc<FolderLock>>> {
        let deadline = Instant::now() + patience;
        let lock = |folder: &PathBuf| self.lock(folder, deadline);
        folders.iter().map(lock).collect()
    }

    fn lock(&self, folder: &Path, deadline: Instant) -> Option<Arc<FolderLock>> {
        loop {
            let lock = self.try_lock(folder);
            if lock.is_some() || Instant::now() >= deadline {
                return lock;
            }
            thread::sleep(RETRY_EVERY);
        }
    }

    fn try_lock(&self, folder: &Path) -> Option<Arc<FolderLock>> {
        let shared = self.held().get(folder).and_then(Weak::upgrade);
        if shared.is_some() {
            return shared;
        }
        // The mutex is free meanwhile: a folder on a file system that hangs delays no other one.
        let lock = Arc::new(FolderLock::take(folder)?);
        let mut held = self.held();
        held.retain(|_, lock| lock.strong_count() > 0);
        if lock.is_held() {
            held.insert(folder.to_path_buf(), Arc::downgrade(&lock));
        }
        Some(lock)
    }

    fn held(&self) -> MutexGuard<'_, HashMap<PathBuf, Weak<FolderLock>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
