//! Signals that a thread can wait for.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use crate::base::poll::wait;
use crate::process;

/// The signals that have arrived and not been taken yet. Each descriptor is readable after its signal.
pub struct Signals {
    stop: UnixStream,
    reload: UnixStream,
    /// SIGCHLD: children have ended.
    ended: UnixStream,
}

/// The request that a signal stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// TERM or INT: stop the daemon.
    Stop,
    /// HUP: read the manifest again.
    Reload,
}

impl Signals {
    /// Installs handlers for TERM, INT, HUP and CHLD. The signals are not blocked, because children would inherit that.
    pub fn new() -> io::Result<Self> {
        let (stop, stop_signals) = UnixStream::pair()?;
        let (reload, reload_signals) = UnixStream::pair()?;
        let (ended, ended_signals) = UnixStream::pair()?;
        pipe::register(SIGTERM, stop_signals.try_clone()?)?;
        pipe::register(SIGINT, stop_signals)?;
        pipe::register(SIGHUP, reload_signals)?;
        pipe::register(SIGCHLD, ended_signals)?;
        stop.set_nonblocking(true)?;
        reload.set_nonblocking(true)?;
        ended.set_nonblocking(true)?;
        Ok(Self {
            stop,
            reload,
            ended,
        })
    }

    /// Waits for the next request and reaps orphans meanwhile.
    pub fn wait(&mut self) -> Signal {
        loop {
            let mut fds = [
                PollFd::new(&self.stop, PollFlags::IN),
                PollFd::new(&self.reload, PollFlags::IN),
                PollFd::new(&self.ended, PollFlags::IN),
            ];
            if poll(&mut fds, None).is_err() {
                // A signal has interrupted it. The next call shows which.
                continue;
            }
            let [stop, reload, ended] = fds.map(|fd| !fd.revents().is_empty());
            if ended {
                self.reap();
            }
            if stop && self.stop.read(&mut [0]).is_ok() {
                return Signal::Stop;
            }
            // Several requests at once count as one.
            if reload && self.reload.read(&mut [0; 64]).is_ok() {
                return Signal::Reload;
            }
        }
    }

    /// Waits up to `time`, or until a child ends. Returns whether a request to stop has arrived.
    pub fn stop_within(&mut self, time: Duration) -> bool {
        self.reap();
        let mut fds = [
            PollFd::new(&self.stop, PollFlags::IN),
            PollFd::new(&self.ended, PollFlags::IN),
        ];
        wait(&mut fds, Instant::now() + time);
        self.stop.read(&mut [0]).is_ok()
    }

    fn reap(&mut self) {
        // One read takes many signals. If it does not take all, the descriptor stays readable.
        if self.ended.read(&mut [0; 64]).is_ok() {
            process::reap_orphans();
        }
    }
}
