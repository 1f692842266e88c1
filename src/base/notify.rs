//! Wake-ups that a thread can wait for together with other file descriptors.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd};

use super::poll::wait;

/// A notification between threads, based on eventfd(2). Several notifications before a `take` count as one.
#[derive(Debug)]
pub struct Notifier(OwnedFd);

impl Notifier {
    /// Creates a notifier without a pending notification. Fails if the process has no file descriptors left.
    pub fn new() -> io::Result<Self> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Self(eventfd(0, flags)?))
    }

    /// Makes the descriptor readable until the next `take`. Never blocks.
    pub fn notify(&self) {
        // It fails only if the counter is full (2^64 - 2). Then a notification is pending anyway.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Clears the pending notification. Returns whether there was one.
    pub fn take(&self) -> bool {
        rustix::io::read(&self.0, &mut [0; 8]).is_ok()
    }
}

impl AsFd for Notifier {
    /// Returns a descriptor that is readable while a notification is pending.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A question to a thread that polls descriptors: does it still go round?
pub struct Pulse {
    asked: Notifier,
    answered: Notifier,
}

impl Pulse {
    /// Creates a pulse that nobody has asked for. Fails if the process has no file descriptors left.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            asked: Notifier::new()?,
            answered: Notifier::new()?,
        })
    }

    /// Returns whether the thread answers until `deadline`.
    pub fn beats(&self, deadline: Instant) -> bool {
        self.answered.take();
        self.asked.notify();
        wait(&mut [PollFd::new(&self.answered, PollFlags::IN)], deadline);
        self.answered.take()
    }

    /// Answers, if there is a question.
    pub fn answer(&self) {
        if self.asked.take() {
            self.answered.notify();
        }
    }
}

impl AsFd for Pulse {
    /// Returns a descriptor that is readable while there is a question.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.asked.as_fd()
    }
}

/// Asks the watcher, from another thread, to check which directories it must watch.
#[derive(Clone)]
pub struct RescanSignal(Arc<Request>);

struct Request {
    notifier: Notifier,
    /// True if paths may lead elsewhere although no event has said so.
    retrace: AtomicBool,
}

impl RescanSignal {
    /// Creates a signal without a pending request. Fails if the process has no file descriptors left.
    pub fn new() -> io::Result<Self> {
        Ok(Self(Arc::new(Request {
            notifier: Notifier::new()?,
            retrace: AtomicBool::new(false),
        })))
    }

    /// Asks for a check because the inputs may have changed.
    pub fn request(&self) {
        self.0.notifier.notify();
    }

    /// Asks for a check of all paths because a change was found that no event has reported.
    pub fn request_retrace(&self) {
        self.0.retrace.store(true, Ordering::Release);
        self.request();
    }

    /// Clears the pending request. Returns whether there was one.
    pub fn take(&self) -> bool {
        self.0.notifier.take()
    }

    /// Clears the request to check all paths. Returns whether there was one.
    pub fn take_retrace(&self) -> bool {
        self.0.retrace.swap(false, Ordering::AcqRel)
    }
}

impl AsFd for RescanSignal {
    /// Returns a descriptor that is readable while a request is pending.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.notifier.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_pulse_beats_while_it_is_answered() {
        let pulse = Pulse::new().unwrap();
        let soon = || Instant::now() + Duration::from_millis(1);
        assert!(!pulse.beats(soon()));
        // An answer that comes late is none to the next question.
        pulse.answer();
        assert!(!pulse.beats(soon()));
        pulse.asked.take();
        let far = Instant::now() + Duration::from_secs(60);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                wait(&mut [PollFd::new(&pulse, PollFlags::IN)], far);
                pulse.answer();
            });
            assert!(pulse.beats(far));
        });
    }
}
