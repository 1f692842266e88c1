//! Wakes the watcher.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// Wakes the watcher from another thread.
#[derive(Clone)]
pub struct Wake(Arc<Bell>);

struct Bell {
    event: OwnedFd,
    /// Whether something is elsewhere, though no event has told so.
    elsewhere: AtomicBool,
}

impl Wake {
    /// One that nobody hears yet.
    pub fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self(Arc::new(Bell {
            event: eventfd(0, flags)?,
            elsewhere: AtomicBool::new(false),
        })))
    }

    /// There may be other directories to watch.
    pub fn wake(&self) {
        // Fails only when it has been woken 2^64 - 2 times and not once come round.
        let _ = rustix::io::write(&self.0.event, &1_u64.to_ne_bytes());
    }

    /// Something was found that events should have told: paths may lead elsewhere.
    pub fn follow_paths_again(&self) {
        self.0.elsewhere.store(true, Ordering::Release);
        self.wake();
    }

    /// Whether somebody has rung since this was last asked.
    pub fn heard(&self) -> bool {
        rustix::io::read(&self.0.event, &mut [0; 8]).is_ok()
    }

    /// Whether paths may lead elsewhere, if so, once.
    pub fn take_elsewhere(&self) -> bool {
        self.0.elsewhere.swap(false, Ordering::AcqRel)
    }
}

impl AsFd for Wake {
    /// Readable once somebody has rung.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.event.as_fd()
    }
}
