//! Repair of what operations left that did not come to their end.

use std::time::Duration;

use super::run::OperationRun;
use super::settle::{self, RestoreScope};
use super::{Operations, end_leftovers};
use crate::base::event::{Event, Value};
use crate::base::time::Timestamp;
use crate::docker;
use crate::model::ids::Key;
use crate::model::operation::{LeftBy, Repair, Repaired};
use crate::state::Fact;

/// The report on an operation that was ended while the CLI was at work in the new container.
pub(super) const NEW_CONTAINER_RUNS: &str =
    "the new container runs, but some of its lifecycle commands may not have run";

impl Operations {
    /// Repairs what an operation left of a dev container, unless another daemon is at work in its folder
    /// or in its compose project.
    pub(super) fn repair_one(&self, key: Key) {
        let Some(target) = self.shared.read(|state| state.target(key, None)) else {
            return;
        };
        let declared = target.declared;
        let Ok(resolved) = self.settings.disk.resolve(&declared) else {
            return;
        };
        if !resolved.access.allows_stop() {
            return;
        }
        let Ok(claims) = self.claims(key, &declared, &resolved) else {
            return;
        };
        // A daemon that has a lock is in the middle of an operation, and this is no leftover.
        let Ok(Some(locks)) = self.lock_all(&resolved, &claims, Duration::ZERO) else {
            return;
        };
        let is_locked = locks.first().is_some_and(|folder| folder.is_held());
        end_leftovers();
        let now = Timestamp::now();
        let begun = self
            .shared
            .update(|state| state.begin_repair(key, is_locked, claims, now));
        let Some(repair) = begun else { return };
        let result = self.settle_leftovers(&repair);
        report(&result);
        self.shared.apply(Fact::RepairEnded(key, result.ok()));
        self.settings.persister.save();
    }

    fn settle_leftovers(&self, repair: &Repair) -> Result<Repaired, docker::Error> {
        let program = self.programs.docker();
        let docker = self.settling_client(&program, &repair.operation, None);
        let scope = match repair.left_by {
            LeftBy::ThisRun => RestoreScope::All,
            LeftBy::Earlier | LeftBy::Unknown => RestoreScope::Parked,
        };
        let mut originals = repair.originals.iter();
        let has_services = originals.any(|original| original.compose.is_some());
        let report = settle::EndReport {
            succeeded: repair.made.is_some(),
            named: repair.made.as_deref(),
            parked: None,
            is_stopping: None,
            in_place: has_services && docker.endpoint()?.is_none(),
            deferred: repair.left_by != LeftBy::ThisRun,
        };
        let aftermath = settle::settle(
            &docker,
            &repair.operation,
            &repair.originals,
            &report,
            scope,
        )?;
        let runs = aftermath
            .made
            .is_some()
            .then(|| NEW_CONTAINER_RUNS.to_owned());
        Ok(Repaired {
            complete: aftermath.troubles.is_empty(),
            summary: aftermath.summary().or(runs),
        })
    }
}

impl OperationRun {
    /// Repairs what operations before this one left. A container that cannot be put back is an old container like
    /// others.
    pub(super) fn repair_first(&self) {
        let shared = &self.operations.shared;
        let left_behind = shared.read(|state| state.left_behind(self.key));
        if !left_behind.is_empty() {
            self.prepared(|| ());
        }
        for repair in left_behind {
            self.say("cleaning up after an earlier operation");
            match self.operations.settle_leftovers(&repair) {
                Ok(_) => {
                    shared.apply(Fact::LeftoversCleared(self.key));
                }
                Err(e) => self.say(&format!("the cleanup failed: {e}")),
            }
        }
    }
}

fn report(result: &Result<Repaired, docker::Error>) {
    match result {
        Ok(repaired) => {
            let summary = repaired.summary.as_deref().unwrap_or_default();
            let event = match repaired.complete {
                true if summary.is_empty() => return,
                true => Event::Repaired,
                false => Event::RepairFailed,
            };
            event.log(&[("reason", Value::Text(summary))]);
        }
        Err(e) => Event::RepairFailed.log(&[
            ("when", Value::Text("yet")),
            ("reason", Value::Text(&e.to_string())),
        ]),
    }
}
