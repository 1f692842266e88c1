//! Ending an operation early.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::base::notify::Notifier;

/// Tells one operation to end early, and why.
pub(super) struct Abort {
    notifier: Notifier,
    is_cancelled: AtomicBool,
}

impl Abort {
    /// Returns a handle that has not been used yet.
    ///
    /// # Errors
    ///
    /// Fails where the process has no descriptors left.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            notifier: Notifier::new()?,
            is_cancelled: AtomicBool::new(false),
        })
    }

    /// Ends the operation because a client cancels it.
    pub(super) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Release);
        self.notifier.notify();
    }

    /// Ends the operation because the daemon stops.
    pub(super) fn interrupt(&self) {
        self.notifier.notify();
    }

    /// Returns whether a client has cancelled the operation.
    pub(super) fn is_cancelled(&self) -> bool {
        self.is_cancelled.load(Ordering::Acquire)
    }
}

impl AsFd for Abort {
    /// Returns a descriptor that becomes readable when the operation is to end.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notifier.as_fd()
    }
}
