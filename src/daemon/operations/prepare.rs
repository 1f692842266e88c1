//! The preparation of an operation, which it need not wait for while it asks docker what there is.

use std::sync::atomic::Ordering;
use std::thread::JoinHandle;

use super::run::OperationRun;
use super::{LEFTOVERS_ENDED, end_leftovers};
use crate::base::threads;

impl OperationRun {
    /// Saves that the operation has begun, and ends what killed daemons left. Calls `ask` meanwhile, which changes nothing,
    /// and again where there was something left, as that may have been at work.
    ///
    /// The locks are held: no other daemon begins anything here that would be taken for a leftover.
    pub(super) fn prepared<T>(&self, ask: impl Fn() -> T) -> T {
        // Another thread may end them at the same time.
        let ended = || LEFTOVERS_ENDED.load(Ordering::Acquire);
        let before = ended();
        let preparation = self.prepare();
        let found = ask();
        if let Some(thread) = preparation {
            // A panic in there has been reported.
            let _ = thread.join();
        }
        if ended() == before { found } else { ask() }
    }

    /// Returns the thread that prepares; `None` where no thread could be started, and all is done.
    fn prepare(&self) -> Option<JoinHandle<()>> {
        let operations = self.operations.clone();
        let prepare = move || {
            operations.settings.persister.save();
            end_leftovers();
        };
        let thread = threads::start("prepare", prepare.clone()).ok();
        if thread.is_none() {
            prepare();
        }
        thread
    }
}
