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
        let operations = self.operations.clone();
        let save = meanwhile("save", move || operations.settings.persister.save());
        let leftovers = meanwhile("leftovers", || {
            end_leftovers();
        });
        let found = ask();
        for thread in [save, leftovers].into_iter().flatten() {
            // A panic in there has been reported.
            let _ = thread.join();
        }
        if ended() == before { found } else { ask() }
    }
}

/// Returns the thread that does something; `None` where no thread could be started, and it is done.
fn meanwhile(name: &str, act: impl Fn() + Clone + Send + 'static) -> Option<JoinHandle<()>> {
    let thread = threads::start(name, act.clone()).ok();
    if thread.is_none() {
        act();
    }
    thread
}
