//! The preparation of an operation, which it need not wait for while it asks docker what there is.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use super::end_leftovers;
use super::run::OperationRun;
use crate::base::threads;

/// A preparation on a thread of its own.
struct Preparation {
    /// `None` where no thread could be started, and all is done.
    thread: Option<JoinHandle<()>>,
    /// True if there was something left to end.
    had_leftovers: Arc<AtomicBool>,
}

impl OperationRun {
    /// Saves that the operation has begun, and ends what killed daemons left. Calls `ask` meanwhile, which changes nothing,
    /// and again where there was something left, as that may have been at work.
    ///
    /// The locks are held: no other daemon begins anything here that would be taken for a leftover.
    pub(super) fn prepared<T>(&self, ask: impl Fn() -> T) -> T {
        let preparation = self.prepare();
        let found = ask();
        if preparation.end() { ask() } else { found }
    }

    fn prepare(&self) -> Preparation {
        let had_leftovers = Arc::new(AtomicBool::new(false));
        let prepare = {
            let (operations, had_leftovers) = (self.operations.clone(), had_leftovers.clone());
            move || {
                operations.settings.persister.save();
                had_leftovers.store(end_leftovers(), Ordering::Release);
            }
        };
        let thread = threads::start("prepare", prepare.clone()).ok();
        if thread.is_none() {
            prepare();
        }
        Preparation {
            thread,
            had_leftovers,
        }
    }
}

impl Preparation {
    /// Waits for its end. Returns whether there was something left to end.
    fn end(self) -> bool {
        if let Some(thread) = self.thread {
            let _ = thread.join();
        }
        self.had_leftovers.load(Ordering::Acquire)
    }
}
