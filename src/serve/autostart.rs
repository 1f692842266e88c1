//! Starts the dev containers of the manifest that have `autostart`, once, when the daemon starts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::daemon::current::{NoView, Observer};
use crate::daemon::operations::{Operations, StartError};
use crate::daemon::shared::Shared;
use crate::daemon::wanted::ALWAYS;
use crate::model::ids::Key;
use crate::model::operation::OperationKind;
use crate::model::origin::Origin;
use crate::state::{Refusal, State};

/// How long docker has time to come up: after a boot, the daemon may be earlier.
const PATIENCE: Duration = Duration::from_secs(300);
/// The pause before docker is asked again, or the queue looked at, at first and at most.
const PAUSE: Duration = Duration::from_millis(500);
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// The dev containers with `autostart`, and how they are started.
pub(super) struct Autostart {
    pub(super) shared: Arc<Shared>,
    pub(super) observer: Arc<Observer>,
    pub(super) operations: Arc<Operations>,
}

impl Autostart {
    /// Starts those none of whose containers runs, in the order of the manifest.
    pub(super) fn run(&self) {
        let deadline = Instant::now() + PATIENCE;
        let Some(mut left) = self.await_list(deadline) else {
            return;
        };
        let mut pause = PAUSE;
        while !left.is_empty() && !self.shared.is_draining() {
            left.retain(|key| self.must_wait(*key));
            if !left.is_empty() {
                self.rest(&mut pause);
            }
        }
    }

    /// Waits until docker shows which containers run. Returns the dev containers to start.
    fn await_list(&self, deadline: Instant) -> Option<Vec<Key>> {
        let mut pause = PAUSE;
        loop {
            let why = match self.observer.probe(ALWAYS) {
                Ok(current) if current.stale.is_none() => {
                    return Some(self.shared.read(State::to_autostart));
                }
                Ok(current) => current.stale.map(|(_, why)| why).unwrap_or_default(),
                Err(NoView::Failed(why)) => why,
                Err(NoView::Closing | NoView::Unwanted) => return None,
            };
            if Instant::now() >= deadline {
                log::error!("autostart: nothing is started: containers cannot be listed: {why}");
                return None;
            }
            self.rest(&mut pause);
        }
    }

    /// Starts a dev container. Returns true if the queue has no room, so that it has to wait. The log says of any other
    /// reason why it is not started.
    fn must_wait(&self, key: Key) -> bool {
        if !self.shared.read(State::has_room_in_queue) {
            return true;
        }
        let origin = Origin {
            address: "autostart".into(),
            credentials: None,
        };
        let request = OperationKind::Start.into();
        let started = self.operations.start(key, request, &origin);
        matches!(started, Err(StartError::Refused(Refusal::QueueFull(_))))
    }

    /// Waits for a while, longer each time, or until the daemon stops.
    fn rest(&self, pause: &mut Duration) {
        let until = Instant::now() + *pause;
        let is_ending = |state: &State| state.is_draining().then_some(());
        self.shared.wait_until_or(until, is_ending);
        *pause = (*pause * 2).min(MAX_PAUSE);
    }
}
