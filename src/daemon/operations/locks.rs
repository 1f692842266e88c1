//! Locks on workspace folders, which keep the operations of several daemons apart.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::base::flock::FolderLock;

/// How long to wait for a lock that another daemon may be about to give back.
const PATIENCE: Duration = Duration::from_millis(500);
/// The time between two attempts.
const RETRY_EVERY: Duration = Duration::from_millis(20);

/// The locks of the folders in which operations of this daemon run. They share one lock for each folder.
#[derive(Default)]
pub(super) struct FolderLocks(Mutex<HashMap<PathBuf, Weak<FolderLock>>>);

impl FolderLocks {
    /// Locks a folder, and waits for that up to half a second. Returns `None` while another daemon has the lock.
    pub(super) fn lock(&self, folder: &Path) -> Option<Arc<FolderLock>> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let lock = self.try_lock(folder);
            if lock.is_some() || Instant::now() >= deadline {
                return lock;
            }
            thread::sleep(RETRY_EVERY);
        }
    }

    /// Locks a folder without waiting. Returns `None` while another daemon has the lock.
    pub(super) fn try_lock(&self, folder: &Path) -> Option<Arc<FolderLock>> {
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
