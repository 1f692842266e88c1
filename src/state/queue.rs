//! The queue of operations (P14): as many as `--max-operations` run the devcontainer CLI at once, and those that come
//! later wait. The first one that came is the first one that begins.
//!
//! A queued operation keeps others away from its dev container and its compose projects, and has touched nothing.
//! Repairs neither wait in the queue nor for it.

use super::State;
use super::entry::Entry;
use super::operation::{Activity, Operation, PastOperation, RunningOperation};
use super::persisted::Record;
use super::refusal::Refusal;
use crate::model::ids::{Key, OperationId};
use crate::model::operation::{End, OperationKind, OperationState};
use crate::model::project::Project;

/// How many operations may wait at once. Each has a thread, and a few open files.
const MAX_QUEUED: usize = 64;

/// An operation that waits until it may begin.
pub(super) struct QueuedOperation {
    /// Its id, which says when it was queued. It gets another one when it begins.
    pub(super) id: OperationId,
    pub(super) kind: OperationKind,
    /// The compose projects that it claims.
    pub(super) claims: Vec<Project>,
    /// Its place: smaller numbers begin earlier.
    number: u64,
}

/// The operations that a queued one waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// The number of those that may run at once.
    pub limit: usize,
    /// Those that run, such as ``recreate of `app` ``.
    pub running: Vec<String>,
    /// The number of those that begin before it.
    pub queued: usize,
}

impl State {
    /// Returns whether an operation of this kind has to wait. Those that do not run the CLI never do: they are short, and
    /// people who stop something do not expect to wait for the builds of others.
    pub(super) fn must_wait(&self, kind: OperationKind) -> bool {
        kind.makes_containers() && (self.is_full() || self.next_in_queue().is_some())
    }

    /// Puts an operation at the end of the queue, unless as many wait as may. Returns what it waits for.
    pub(super) fn enqueue(
        &mut self,
        key: Key,
        kind: OperationKind,
        id: OperationId,
        claims: Vec<Project>,
    ) -> Result<Ahead, Refusal> {
        if !self.has_room_in_queue() {
            return Err(Refusal::QueueFull(MAX_QUEUED));
        }
        let ahead = Ahead {
            limit: self.max_operations,
            running: self.limited().map(Entry::limited_work).collect(),
            queued: self.queued().count(),
        };
        self.queued_so_far += 1;
        let number = self.queued_so_far;
        if let Some(entry) = self.fleet.get_mut(key) {
            entry.queued = Some(QueuedOperation {
                id,
                kind,
                claims,
                number,
            });
        }
        Ok(ahead)
    }

    /// Returns whether one more operation may wait.
    pub fn has_room_in_queue(&self) -> bool {
        self.queued().count() < MAX_QUEUED
    }

    /// Returns whether the queued operation of a dev container may begin now.
    pub fn has_turn(&self, key: Key) -> bool {
        !self.is_draining() && !self.is_full() && self.next_in_queue() == Some(key)
    }

    /// Begins the queued operation of a dev container, under this id. Returns false where it is not its turn.
    pub fn leave_queue(&mut self, key: Key, id: OperationId) -> bool {
        if !self.has_turn(key) {
            return false;
        }
        let Some(entry) = self.fleet.get_mut(key) else {
            return false;
        };
        let Some(queued) = entry.queued.take() else {
            return false;
        };
        self.begin_now(key, queued.kind, id, queued.claims);
        true
    }

    /// Claims other compose projects for the running operation of a dev container: those that are its own by now.
    pub fn claim_instead(&mut self, key: Key, claims: Vec<Project>) -> Result<(), Refusal> {
        if let Some(conflict) = self.conflict(key, &claims) {
            return Err(conflict);
        }
        let running = self.running_mut(key).ok_or(Refusal::Gone)?;
        running.claims = claims;
        Ok(())
    }

    /// Ends the queued operation of a dev container, which has touched nothing. Returns false where there is none.
    pub(super) fn end_queued(&mut self, key: Key, end: &End) -> bool {
        let entry = self.fleet.get_mut(key);
        let Some((entry, queued)) =
            entry.and_then(|entry| entry.queued.take().map(|queued| (entry, queued)))
        else {
            return false;
        };
        entry.keep_leftover();
        entry.last = Some(PastOperation::unbegun(queued.id, queued.kind, end.clone()));
        true
    }

    /// Returns the dev container whose operation is the next one to begin. One whose containers are being repaired lets
    /// others pass.
    fn next_in_queue(&self) -> Option<Key> {
        let can_begin = |(entry, queued): &(&Entry, &QueuedOperation)| {
            matches!(entry.activity, Activity::Idle)
                && !self.is_repairing(entry.key, &queued.claims)
        };
        let mut queue: Vec<_> = self.queued().collect();
        queue.sort_by_key(|(_, queued)| queued.number);
        let next = queue.into_iter().find(can_begin);
        next.map(|(entry, _)| entry.key)
    }

    fn is_full(&self) -> bool {
        self.limited().count() >= self.max_operations
    }

    /// Returns the dev containers for which the CLI runs.
    fn limited(&self) -> impl Iterator<Item = &Entry> {
        let entries = self.fleet.entries.iter();
        entries.filter(|entry| {
            let running = entry.running();
            running.is_some_and(|running| running.kind().makes_containers())
        })
    }

    /// Returns the number of operations that wait.
    pub(super) fn operations_queued(&self) -> usize {
        self.queued().count()
    }

    fn queued(&self) -> impl Iterator<Item = (&Entry, &QueuedOperation)> {
        let entries = self.fleet.entries.iter();
        entries.filter_map(|entry| Some((entry, entry.queued.as_ref()?)))
    }
}

impl Entry {
    fn limited_work(&self) -> String {
        let verb = self.running().map(RunningOperation::kind);
        let verb = verb.map_or("operation", OperationKind::verb);
        format!("{verb} of `{}`", self.name)
    }

    /// Returns the record of its queued operation. The next run of the daemon finds it interrupted.
    pub(super) fn record_of_queued(&self) -> Option<Record> {
        let queued = self.queued.as_ref()?;
        let verb = queued.kind.verb();
        let operation = Operation {
            id: queued.id.clone(),
            kind: queued.kind,
            originals: Vec::new(),
            made_from: None,
        };
        Some(Record {
            state: OperationState::Interrupted,
            error: Some(format!("the daemon ended before the {verb} began")),
            ..self.record_of(&operation)
        })
    }
}
