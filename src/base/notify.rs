//! Bells: what one thread rings and another one can wait for together with other descriptors.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::event::{EventfdFlags, eventfd};

/// Rung by some threads, heard by another one.
#[derive(Debug)]
pub struct Notifier(OwnedFd);

impl Notifier {
    /// One that nobody has rung. Fails where no descriptors are left.
    pub fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self(eventfd(0, flags)?))
    }

    /// Wakes whoever waits for it.
    pub fn notify(&self) {
        // Fails only when it was rung 2^64 - 2 times and never heard.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Whether somebody has rung since this was last asked.
    pub fn take(&self) -> bool {
        rustix::io::read(&self.0, &mut [0; 8]).is_ok()
    }
}

impl AsFd for Notifier {
    /// Readable once somebody has rung.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Wakes the watcher from another thread.
#[derive(Clone)]
pub struct RescanSignal(Arc<Hint>);

struct Hint {
    notifier: Notifier,
    /// Whether something is elsewhere, though no event has told so.
    elsewhere: AtomicBool,
}

impl RescanSignal {
    /// One that nobody hears yet.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(Hint {
            notifier: Notifier::new()?,
            elsewhere: AtomicBool::new(false),
        })))
    }

    /// There may be other directories to watch.
    pub fn request(&self) {
        self.0.notifier.notify();
    }

    /// Something was found that events should have told: paths may lead elsewhere.
    pub fn request_retrace(&self) {
        self.0.elsewhere.store(true, Ordering::Release);
        self.request();
    }

    /// Whether somebody has rung since this was last asked.
    pub fn take(&self) -> bool {
        self.0.notifier.take()
    }

    /// Whether paths may lead elsewhere, if so, once.
    pub fn take_retrace(&self) -> bool {
        self.0.elsewhere.swap(false, Ordering::AcqRel)
    }
}

impl AsFd for RescanSignal {
    /// Readable once somebody has rung.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.notifier.as_fd()
    }
}
