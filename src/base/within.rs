//! Work that must not take too long.

use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use std::{io, thread};

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
    let (sender, receiver) = channel();
    let run = move || {
        // Nobody takes the result any more once the time is over.
        let _ = sender.send(work());
    };
    thread::Builder::new().name("within".into()).spawn(run)?;
    receiver.recv_timeout(time).map_err(|error| match error {
        RecvTimeoutError::Timeout => {
            let text = format!("no answer within {} s", time.as_secs());
            io::Error::new(io::ErrorKind::TimedOut, text)
        }
        RecvTimeoutError::Disconnected => io::Error::other("the thread has panicked"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_that_takes_too_long_is_left_behind() {
        let (sender, receiver) = channel::<()>();
        let hangs = within(Duration::from_millis(1), move || receiver.recv().is_ok());
        assert_eq!(hangs.unwrap_err().kind(), io::ErrorKind::TimedOut);
        drop(sender);
        assert_eq!(within(Duration::from_secs(60), || 1).unwrap(), 1);
    }
}
