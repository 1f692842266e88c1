//! The evidence that a thread is at work: slow is not the same as hung.

use std::fs;
use std::path::Path;
use std::sync::Arc;

/// The state of a thread at one moment, as the kernel shows it (proc_pid_status(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// True if it computes, or would if a processor were free.
    is_runnable: bool,
    /// How often it has been taken off a processor.
    switches: u64,
}

impl Sample {
    /// Returns whether a thread did anything between an earlier sample and this one. One that waits for a file system
    /// that does not answer does nothing at all.
    pub(super) fn shows_work_since(&self, earlier: &Self) -> bool {
        self.is_runnable || self.switches != earlier.switches
    }

    fn parse(status: &str) -> Option<Self> {
        let value = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()
        };
        let number = |name| value(name)?.parse::<u64>().ok();
        Some(Self {
            is_runnable: value("State:")? == "R",
            switches: number("voluntary_ctxt_switches:")?
                .wrapping_add(number("nonvoluntary_ctxt_switches:")?),
        })
    }
}

/// A thread of this process, as `/proc` names it.
#[derive(Clone, Debug)]
pub(super) struct Thread(Arc<Path>);

thread_local! {
    static CURRENT: Option<Thread> = Thread::find_current();
}

impl Thread {
    /// Returns the thread that calls. Without `/proc` there is none.
    pub(super) fn current() -> Option<Self> {
        CURRENT.with(Clone::clone)
    }

    fn find_current() -> Option<Self> {
        let link = fs::read_link("/proc/thread-self").ok()?;
        let status = Path::new("/proc").join(link).join("status");
        Some(Self(status.into()))
    }

    /// Returns what the kernel says of it now.
    pub(super) fn sample(&self) -> Option<Sample> {
        Sample::parse(&fs::read_to_string(&self.0).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn what_a_thread_does_shows_in_samples() {
        let status = |state: &str, voluntary: u64| {
            let text = format!(
                "Name:\tlook\nState:\t{state}\nvoluntary_ctxt_switches:\t{voluntary}\nnonvoluntary_ctxt_switches:\t7\n"
            );
            Sample::parse(&text).unwrap()
        };
        let before = status("S (sleeping)", 1);
        for (now, works) in [
            (status("S (sleeping)", 1), false),
            (status("D (disk sleep)", 1), false),
            (status("D (disk sleep)", 2), true),
            (status("R (running)", 1), true),
        ] {
            assert_eq!(now.shows_work_since(&before), works, "{now:?}");
        }
        assert_eq!(Sample::parse("State:\tR\n"), None);
    }

    #[test]
    fn a_thread_that_waits_shows_no_work_and_one_that_computes_does() {
        static IS_DONE: AtomicBool = AtomicBool::new(false);
        let (tell, told) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || {
                tell.send(Thread::current().unwrap()).unwrap();
                let _ = released.recv();
                while !IS_DONE.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            });
            let thread = told.recv().unwrap();
            let deadline = Instant::now() + Duration::from_secs(60);
            let mut before = thread.sample().unwrap();
            let mut until = |works: bool| {
                loop {
                    std::thread::yield_now();
                    let now = thread.sample().unwrap();
                    if now.shows_work_since(&before) == works || Instant::now() > deadline {
                        assert_eq!(now.shows_work_since(&before), works);
                        return;
                    }
                    before = now;
                }
            };
            until(false);
            drop(release);
            until(true);
            IS_DONE.store(true, Ordering::Relaxed);
        });
    }
}
