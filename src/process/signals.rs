//! Signals, as something that can be waited for.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};
use signal_hook::consts::{SIGCHLD, SIGHUP, SIGINT, SIGTERM};
use signal_hook::low_level::pipe;

use crate::base::poll::wait;
use crate::process;

/// Signals that came and were not taken yet.
pub struct Signals {
    stop: UnixStream,
    reload: UnixStream,
    /// Children have ended.
    ended: UnixStream,
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// TERM or INT.
    Stop,
    /// HUP.
    Reload,
}

impl Signals {
    /// Takes over TERM, INT, HUP and CHLD. They are not blocked, so that children get theirs.
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

    /// Waits for the next one. Meanwhile it reaps orphans.
    pub fn wait(&mut self) -> Signal {
        loop {
            if let Some(signal) = self.take() {
                return signal;
            }
            self.reap();
            let mut fds = [
                PollFd::new(&self.stop, PollFlags::IN),
                PollFd::new(&self.reload, PollFlags::IN),
                PollFd::new(&self.ended, PollFlags::IN),
            ];
            // Interrupted by a signal is what we wait for.
            let _ = poll(&mut fds, None);
        }
    }

    /// Waits at most `time`, and less when a child ends, for one that asks to stop.
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
        // Several at once are one, also when they do not fit into one read: then this is called again.
        if self.ended.read(&mut [0; 64]).is_ok() {
            process::reap_orphans();
        }
    }

    fn take(&mut self) -> Option<Signal> {
        if self.stop.read(&mut [0]).is_ok() {
            return Some(Signal::Stop);
        }
        // Several at once are one.
        self.reload
            .read(&mut [0; 64])
            .is_ok()
            .then_some(Signal::Reload)
    }
}
