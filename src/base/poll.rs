//! Waiting for descriptors until a deadline.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, Timespec, poll};

/// Waits until one of `fds` is ready, `deadline` has passed, or a signal interrupts the wait. The caller checks which.
pub fn wait(fds: &mut [PollFd<'_>], deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    // A timeout below the resolution of the timer would make the caller's loop a busy loop.
    let timeout = left.max(Duration::from_micros(100));
    let _ = poll(fds, Timespec::try_from(timeout).ok().as_ref());
}
