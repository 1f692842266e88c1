//! The service manager: it is told when the daemon is ready, what it does, and that it works.

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, poll};

use super::{ServeError, start};
use crate::base::notify::{Notifier, Pulse};
use crate::base::poll::wait;
use crate::base::sd_notify::{ServiceManager, watchdog_interval};
use crate::daemon::shared::Shared;
use crate::state::{State, Tally};

/// The pause after a status: a burst of changes is one.
const PAUSE: Duration = Duration::from_millis(100);
/// How long the daemon takes to end after its operations had their time.
const ENDING: Duration = Duration::from_secs(8);

/// The service manager, if there is one.
pub(super) struct Manager(Option<Arc<ServiceManager>>);

impl Manager {
    /// Finds the one that the environment names.
    pub(super) fn find() -> Self {
        let found = ServiceManager::find().unwrap_or_else(|e| {
            log::warn!("the service manager cannot be told that the daemon is ready: {e}");
            None
        });
        Self(found.map(Arc::new))
    }

    pub(super) fn tell_ready(&self) {
        self.tell("READY=1");
    }

    pub(super) fn tell_reloading(&self) {
        if let Some(Err(e)) = self.0.as_ref().map(|manager| manager.tell_reloading()) {
            log::debug!("the service manager is not told of a reload: {e}");
        }
    }

    /// Tells that the daemon stops. It may take longer than the service manager would wait by itself.
    pub(super) fn tell_stopping(&self, drain_timeout: Duration) {
        let micros = (drain_timeout + ENDING).as_micros();
        self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={micros}"));
    }

    fn tell(&self, message: &str) {
        if let Some(Err(e)) = self.0.as_ref().map(|manager| manager.tell(message)) {
            log::warn!("the service manager cannot be told that the daemon is ready or stops: {e}");
        }
    }

    /// Returns what tells the service manager that connections are accepted, where it wants to know.
    pub(super) fn watchdog(&self) -> Result<Option<Watchdog>, ServeError> {
        let given = watchdog_interval(&|name| std::env::var_os(name));
        let interval = given.unwrap_or_else(|value| {
            log::warn!(
                "WATCHDOG_USEC {value:?}: it should be a number of microseconds; it is ignored"
            );
            None
        });
        let Some(interval) = interval.filter(|_| self.0.is_some()) else {
            return Ok(None);
        };
        let pulse = Pulse::new().map_err(ServeError::Descriptors)?;
        Ok(Some(Watchdog {
            pulse: Arc::new(pulse),
            interval,
        }))
    }

    /// Starts the thread that tells what the daemon does, and that it works. Without a watchdog, the thread runs only when
    /// something changes.
    pub(super) fn keep_informed(
        &self,
        shared: &Arc<Shared>,
        addresses: String,
        watchdog: Option<Watchdog>,
    ) -> Result<(), ServeError> {
        let Some(manager) = self.0.clone() else {
            return Ok(());
        };
        let reporter = Reporter {
            manager,
            shared: shared.clone(),
            addresses,
            changes: shared.notifier().map_err(ServeError::Descriptors)?,
            watchdog,
        };
        start("status", move || reporter.run()).map(drop)
    }
}

/// A watchdog of the service manager.
pub(super) struct Watchdog {
    pub(super) pulse: Arc<Pulse>,
    interval: Duration,
}

struct Reporter {
    manager: Arc<ServiceManager>,
    shared: Arc<Shared>,
    addresses: String,
    changes: Arc<Notifier>,
    watchdog: Option<Watchdog>,
}

impl Reporter {
    /// Runs until the process ends.
    fn run(mut self) {
        let mut told = String::new();
        let mut due = Instant::now();
        loop {
            self.changes.take();
            let tally = self.shared.read(State::tally);
            let status = describe(&tally, &self.addresses);
            if status != told {
                // The next change brings the next one.
                let _ = self.manager.tell(&format!("STATUS={status}"));
                told = status;
                thread::sleep(PAUSE);
            }
            if tally.is_draining {
                self.watchdog = None;
            }
            if let Some(watchdog) = &self.watchdog
                && Instant::now() >= due
            {
                due = Instant::now() + watchdog.interval;
                self.feed(watchdog, due);
            }
            let mut fds = [PollFd::new(&*self.changes, PollFlags::IN)];
            match self.watchdog {
                Some(_) => wait(&mut fds, due),
                None => drop(poll(&mut fds, None)),
            }
        }
    }

    /// Tells that the daemon works: its state could be read, and it accepts connections. docker and file systems do not
    /// count, as no restart makes them answer.
    fn feed(&self, watchdog: &Watchdog, until: Instant) {
        if watchdog.pulse.beats(until) {
            let _ = self.manager.tell("WATCHDOG=1");
        } else if !self.shared.is_draining() {
            log::error!(
                "connections are not accepted any more; the service manager may restart the daemon"
            );
        }
    }
}

fn describe(tally: &Tally, addresses: &str) -> String {
    let Tally {
        containers,
        devcontainers,
        running,
        queued,
        is_draining,
    } = tally;
    if *is_draining {
        return format!("stops; operations: {running} running");
    }
    format!(
        "serves {addresses}; {containers} containers, {devcontainers} dev containers; operations: {running} running, {queued} queued"
    )
}
