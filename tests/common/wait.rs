//! Waiting for conditions and for lines of a log, in time that other work on the machine does not use up.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use std::{fs, thread};

/// Longer than anything takes while there is a core to run on. A wait that has lasted that long has failed.
pub const LONG: Duration = Duration::from_secs(30);
/// Longer than anything takes, however busy the machine is.
pub const LONGEST: Duration = Duration::from_secs(300);

/// Measures how long something takes, without the time in which processes waited for a core.
///
/// A limit that holds on an idle machine, where no process waits, then holds on a busy one, too.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    begun: Instant,
    waited: Duration,
}

impl Stopwatch {
    pub fn start() -> Self {
        Self {
            begun: Instant::now(),
            waited: waited_for_cores(),
        }
    }

    /// The time since the start, without the time in which any process of the machine waited for a core.
    pub fn elapsed(&self) -> Duration {
        let waited = waited_for_cores().saturating_sub(self.waited);
        self.begun.elapsed().saturating_sub(waited)
    }

    /// The time since the start by the clock, for what must not be too early.
    pub fn by_the_clock(&self) -> Duration {
        self.begun.elapsed()
    }

    /// True once a wait that began at the start has failed.
    pub fn is_too_long(&self) -> bool {
        self.elapsed() > LONG || self.by_the_clock() > LONGEST
    }
}

/// How long some process has waited for a core since the machine was started, by the kernel's pressure stall
/// information (Documentation/accounting/psi.rst). Zero where the kernel does not keep it.
fn waited_for_cores() -> Duration {
    let pressure = fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    let some = pressure.lines().find(|line| line.starts_with("some "));
    let total = some.and_then(|line| line.split("total=").nth(1));
    let microseconds = total.and_then(|total| total.trim().parse().ok());
    Duration::from_micros(microseconds.unwrap_or_default())
}

/// Waits until `condition` returns a value, and returns that.
#[track_caller]
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let waiting = Stopwatch::start();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(!waiting.is_too_long(), "never: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The lines that a daemon has written on standard error.
#[derive(Clone, Default)]
pub struct Log(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Log {
    pub(super) fn collect(&self, stderr: impl Read) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            self.0.0.lock().unwrap().push(line);
            self.0.1.notify_all();
        }
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.0.lock().unwrap().clone()
    }

    /// Waits for a line with `text` and returns the first one.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        let waiting = Stopwatch::start();
        let (lines, grown) = &*self.0;
        let mut guard = lines.lock().unwrap();
        loop {
            if let Some(line) = guard.iter().find(|line| line.contains(text)) {
                return line.clone();
            }
            if waiting.is_too_long() {
                // The lock must not be poisoned: the end of the daemon needs it.
                drop(guard);
                panic!("never logged: {text}");
            }
            (guard, _) = grown.wait_timeout(guard, Duration::from_secs(1)).unwrap();
        }
    }
}
