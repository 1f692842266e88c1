//! Waiting for descriptors until a deadline.

use std::time::{Duration, Instant};

use rustix::event::{PollFd, Timespec, poll};

/// Waits until one of `fds` is ready or `deadline` has come. Interruptions are the caller's next look.
pub fn wait(fds: &mut [PollFd<'_>], deadline: Instant) {
    let left = deadline.saturating_duration_since(Instant::now());
    // One nanosecond short of a timer's grain would be a busy loop.
    let left = left.max(Duration::from_micros(100));
    let _ = poll(fds, Timespec::try_from(left).ok().as_ref());
}
