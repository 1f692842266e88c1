//! Work that must not take too long.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use super::threads;

/// The result of work on another thread. Unlike a channel, it needs little code for each type of results.
struct Slot<T> {
    result: Mutex<Progress<T>>,
    ended: Condvar,
}

enum Progress<T> {
    Working,
    Done(T),
    Panicked,
}

/// Does `work` on a thread of its own. One that takes longer than `time` is left behind, as nothing can end a call that
/// does not return.
///
/// # Errors
///
/// The work takes longer, or no thread can be started.
pub fn within<T: Send + 'static>(
    time: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<T> {
    let slot = Arc::new(Slot {
        result: Mutex::new(Progress::Working),
        ended: Condvar::new(),
    });
    let end = End(slot.clone());
    threads::start("within", move || end.set(Progress::Done(work())))?;
    let result = slot.result.lock().unwrap_or_else(PoisonError::into_inner);
    let is_working = |result: &mut Progress<T>| matches!(result, Progress::Working);
    let waited = slot.ended.wait_timeout_while(result, time, is_working);
    let (mut result, _) = waited.unwrap_or_else(PoisonError::into_inner);
    match std::mem::replace(&mut *result, Progress::Panicked) {
        Progress::Done(value) => Ok(value),
        Progress::Working => {
            let text = format!("no answer within {} s", time.as_secs());
            Err(io::Error::new(io::ErrorKind::TimedOut, text))
        }
        Progress::Panicked => Err(io::Error::other("the thread has panicked")),
    }
}

/// The end of the work, also by a panic.
struct End<T>(Arc<Slot<T>>);

impl<T> End<T> {
    fn set(&self, progress: Progress<T>) {
        let mut result = self.0.result.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*result, Progress::Working) {
            *result = progress;
        }
        self.0.ended.notify_one();
    }
}

impl<T> Drop for End<T> {
    fn drop(&mut self) {
        self.set(Progress::Panicked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_takes_too_long_is_left_behind() {
        let (sender, receiver) = std::sync::mpsc::channel::<()>();
        let hangs = within(Duration::from_millis(1), move || receiver.recv().is_ok());
        assert_eq!(hangs.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(sender);
        assert_eq!(within(Duration::from_secs(60), || 1).unwrap(), 1);
        let panics = within(Duration::from_secs(60), || panic!("on purpose"));
        assert_eq!(panics.unwrap_err().kind(), io::ErrorKind::Other);
    }
}
