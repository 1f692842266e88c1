//! Settles what an operation did: either its new container stays, or the originals are restored.

use super::aftermath::{Aftermath, Lost};
use super::restore::Restoring;
use crate::docker::{self, Client, Snapshot, is_id};
use crate::model::container::RunState;
use crate::model::ids::OperationId;
use crate::model::labels::LABEL_OPERATION;
use crate::model::original::{Original, ParkedName, PriorState};

/// Which originals are given back their prior run state, if the new container does not stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreScope {
    /// All, those included that something else stopped while the operation ran.
    All,
    /// Those that the operation parked. The others may have been stopped on purpose since it ended.
    Parked,
}

/// The end of an operation, as far as it is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndReport<'a> {
    /// True if it succeeded.
    pub succeeded: bool,
    /// The container that the CLI reported to have made.
    pub named: Option<&'a str>,
    /// The containers of the compose project that it parked, besides the originals. `None` if that is not known; then
    /// they are found by their names.
    pub parked: Option<&'a [Original]>,
    /// True if docker was told to stop the originals; `None` if that is not known.
    pub is_stopping: Option<bool>,
    /// True if compose replaced its containers in place, so that an original may be gone.
    pub in_place: bool,
    /// True if a daemon that is gone ran it, so that the containers may have been used since its end.
    pub deferred: bool,
}

/// Settles what `operation` did, by what docker says now.
///
/// If a container that it made runs (or exists, if the operation succeeded), the originals that it parked are removed.
/// Otherwise the containers that it made are removed, and the originals are started and renamed back. The same goes for
/// other containers of a compose project that it parked. May be called again after it failed, or was ended, at any
/// point: the name, which says what is to be done, is restored last.
///
/// # Errors
///
/// docker did not say which containers there are; nothing was changed. Later failures are `troubles`.
pub fn settle(
    docker: &Client<'_>,
    operation: &OperationId,
    originals: &[Original],
    report: &EndReport<'_>,
    scope: RestoreScope,
) -> Result<Aftermath, docker::Error> {
    let settling = Settling {
        docker,
        operation,
        originals,
        scope,
    };
    let containers = settling.containers(report)?;
    let mut aftermath = Aftermath::default();
    if let Some(stays) = containers.new_one(report) {
        aftermath.made = Some(stays.id.clone());
        settling.remove_parked(&containers, &mut aftermath);
    } else if report.deferred && containers.devcontainer_has_run() {
        // It may have been worked in, and stopped since.
        let trouble = "both the old container and the new one are kept: the new one has run, but does not now";
        aftermath.troubles.push(trouble.to_owned());
    } else {
        let lost = originals
            .iter()
            .filter(|one| containers.find(one).is_none());
        aftermath.lost.extend(lost.map(|original| Lost {
            name: original.name.clone(),
            by_compose: report.in_place && original.compose.is_some(),
        }));
        let restoring = Restoring {
            docker,
            operation,
            containers: &containers,
            is_stopping: report.is_stopping.unwrap_or(!containers.made.is_empty()),
            scope,
        };
        restoring.restore(originals, &mut aftermath);
    }
    Ok(aftermath)
}

/// The containers that concern an operation, as docker knows them now.
pub(super) struct Containers {
    /// Those of the originals that exist.
    pub(super) present: Vec<Snapshot>,
    /// The container that the CLI reported to have made.
    named: Option<Snapshot>,
    /// The containers that the operation made. Not searched for if it succeeded, `named` exists, and nothing else was
    /// parked.
    pub(super) made: Vec<Snapshot>,
    /// Other containers of the compose project that it parked, as they were and as they are.
    pub(super) companions: Vec<(Original, Snapshot)>,
}

impl Containers {
    /// The new container, if there is one that stays.
    fn new_one(&self, report: &EndReport<'_>) -> Option<&Snapshot> {
        let runs = |one: &&Snapshot| matches!(one.run_state, RunState::Running | RunState::Paused);
        let made = self.made.iter().filter(|one| one.folder.is_some());
        let mut candidates = self.named.iter().chain(made);
        // Where compose could not start all services, the CLI has not been at work in the new container.
        let is_whole = report.succeeded || self.named.is_some() || !self.is_half_started();
        let running = candidates.clone().find(runs).filter(|_| is_whole);
        running.or(candidates.next().filter(|_| report.succeeded))
    }

    /// Returns whether there is a service that compose has made and not started, or stopped and not made again.
    fn is_half_started(&self) -> bool {
        let mut services = self.made.iter().filter(|one| one.folder.is_none());
        let is_stopped = |(one, _): &(Original, Snapshot)| {
            one.was == PriorState::Running && !self.is_replaced(one)
        };
        services.any(|one| one.run_state == RunState::Created)
            || self.companions.iter().any(is_stopped)
    }

    /// Returns whether a new dev container has run, which may have been worked in.
    fn devcontainer_has_run(&self) -> bool {
        let mut made = self.made.iter();
        made.any(|one| one.folder.is_some() && one.has_run)
    }

    pub(super) fn find(&self, original: &Original) -> Option<&Snapshot> {
        self.present.iter().find(|one| one.id == original.id)
    }

    /// Returns whether the operation made another container of the service.
    fn is_replaced(&self, original: &Original) -> bool {
        let mut made = self.made.iter();
        original.compose.is_some() && made.any(|one| one.compose == original.compose)
    }
}

/// Settles one operation.
struct Settling<'a> {
    docker: &'a Client<'a>,
    operation: &'a OperationId,
    originals: &'a [Original],
    scope: RestoreScope,
}

impl Settling<'_> {
    fn containers(&self, report: &EndReport<'_>) -> Result<Containers, docker::Error> {
        // The CLI also reports a container that it only started.
        let named = report.named.filter(|id| is_id(id) && !self.is_original(id));
        let originals = self.originals.iter().map(|original| &*original.id);
        let ids: Vec<String> = originals.chain(named).map(str::to_owned).collect();
        let mut present = self.docker.inspect(&ids)?;
        let position = present.iter().position(|one| Some(&*one.id) == named);
        let named = position.map(|at| present.swap_remove(at));
        let companions = self.companions(report)?;
        let made = if named.is_some() && report.succeeded && companions.is_empty() {
            Vec::new()
        } else {
            self.made(&present, report)?
        };
        Ok(Containers {
            present,
            named,
            made,
            companions,
        })
    }

    fn is_original(&self, id: &str) -> bool {
        self.originals.iter().any(|original| original.id == id)
    }

    fn companions(
        &self,
        report: &EndReport<'_>,
    ) -> Result<Vec<(Original, Snapshot)>, docker::Error> {
        let ids = match report.parked {
            Some(parked) => parked.iter().map(|one| one.id.clone()).collect(),
            None => self.docker.parked_by(self.operation)?,
        };
        let ids: Vec<String> = ids.into_iter().filter(|id| !self.is_original(id)).collect();
        let snapshots = self.docker.inspect(&ids)?.into_iter();
        let is_ours = |one: &Snapshot| {
            let parked = ParkedName::parse(&one.name);
            parked.is_some_and(|parked| parked.operation == *self.operation)
        };
        Ok(snapshots
            .filter(is_ours)
            .map(|one| (Original::from(one.clone()), one))
            .collect())
    }

    /// The containers with the label of the operation, and those of the services of the originals: where compose
    /// replaces containers in place, they have no label. Only these are the operation's to remove.
    fn made(
        &self,
        present: &[Snapshot],
        report: &EndReport<'_>,
    ) -> Result<Vec<Snapshot>, docker::Error> {
        let label = format!("{LABEL_OPERATION}={}", self.operation);
        let mut ids = self.docker.with_labels(&[label])?;
        let is_renamed = |one: &Snapshot| {
            let mut originals = self.originals.iter();
            originals.any(|original| original.id == one.id && original.name != one.name)
        };
        // Some time after the operation, a container of the service need not be its own.
        if report.in_place && (self.scope == RestoreScope::All || present.iter().any(is_renamed)) {
            for service in self.originals.iter().filter_map(|one| one.compose.as_ref()) {
                ids.extend(self.docker.with_labels(&service.labels())?);
            }
        }
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| !self.is_original(id));
        let is_of_service = |one: &Snapshot| {
            let mut services = self.originals.iter().map(|original| &original.compose);
            one.compose.is_some() && services.any(|service| *service == one.compose)
        };
        let is_labelled =
            |one: &Snapshot| one.operation.as_deref() == Some(self.operation.as_str());
        let mut made = self.docker.inspect(&ids)?;
        made.retain(|one| !one.one_off && (is_labelled(one) || is_of_service(one)));
        Ok(made)
    }

    fn remove_parked(&self, containers: &Containers, aftermath: &mut Aftermath) {
        let is_parked = |one: &&Snapshot| ParkedName::parse(&one.name).is_some();
        let parked = containers.present.iter().filter(is_parked);
        let companions = containers.companions.iter();
        let (replaced, stay): (Vec<_>, Vec<_>) =
            companions.partition(|(original, _)| containers.is_replaced(original));
        let replaced: Vec<&str> = replaced.iter().map(|(one, _)| one.id.as_str()).collect();
        let parked: Vec<&str> = parked.map(|one| one.id.as_str()).collect();
        // Compose hands the volumes of a service on. What it did not hand on stays.
        let removed = self
            .docker
            .remove_with_volumes(&parked)
            .and_then(|()| self.docker.remove(&replaced));
        if let Err(e) = removed {
            let trouble = format!("the old container could not be removed: {e}");
            aftermath.troubles.push(trouble);
        }
        for (original, now) in stay {
            if let Err(e) = self.docker.rename(&original.id, &original.name) {
                let (name, current) = (&original.name, &now.name);
                let trouble =
                    format!("container {name} was renamed to {current} and keeps that name: {e}");
                aftermath.troubles.push(trouble);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::labels::ComposeService;

    fn container(id: &str, run_state: RunState) -> Snapshot {
        Snapshot {
            run_state,
            folder: Some("/w".to_owned()),
            ..Snapshot::running(id)
        }
    }

    /// Returns the id of the container that stays as the new one.
    fn new_one(
        named: Option<RunState>,
        made: &[(&str, RunState)],
        succeeded: bool,
    ) -> Option<String> {
        let made = made.iter().map(|(id, state)| container(id, state.clone()));
        let containers = Containers {
            present: Vec::new(),
            companions: Vec::new(),
            named: named.map(|state| container("named", state)),
            made: made.collect(),
        };
        let report = EndReport {
            succeeded,
            ..EndReport::default()
        };
        containers.new_one(&report).map(|one| one.id.clone())
    }

    #[test]
    fn p12_only_a_container_that_runs_takes_the_place_of_the_original() {
        use RunState::{Created, Dead, Exited, Paused, Restarting, Running};
        let check = |named, made: &[(&str, RunState)], succeeded, expected: Option<&str>| {
            let found = new_one(named, made, succeeded);
            assert_eq!(found.as_deref(), expected, "{made:?} {succeeded}");
        };
        for succeeded in [false, true] {
            check(None, &[], succeeded, None);
            check(Some(Running), &[], succeeded, Some("named"));
            check(None, &[("made", Running)], succeeded, Some("made"));
            check(None, &[("made", Paused)], succeeded, Some("made"));
            check(
                None,
                &[("half", Created), ("made", Running)],
                succeeded,
                Some("made"),
            );
        }
        // A failed or cancelled operation may have left any of these. The original comes back.
        for state in [Created, Exited(0), Exited(1), Restarting, Dead] {
            check(None, &[("half", state.clone())], false, None);
            check(Some(state.clone()), &[], false, None);
            // A container that ends at once is a success of the CLI all the same.
            check(Some(state), &[], true, Some("named"));
        }
    }

    #[test]
    fn p12_a_container_whose_project_is_half_started_does_not_stay() {
        let service = |id: &str, run_state| Snapshot {
            folder: None,
            compose: Some(ComposeService {
                project: "p".to_owned(),
                service: id.to_owned(),
            }),
            ..container(id, run_state)
        };
        let new_one = |named: Option<&str>, db: RunState, succeeded| {
            let containers = Containers {
                present: Vec::new(),
                named: named.map(|id| container(id, RunState::Running)),
                made: vec![service("db", db), container("dev", RunState::Running)],
                companions: Vec::new(),
            };
            let report = EndReport {
                succeeded,
                ..EndReport::default()
            };
            containers.new_one(&report).map(|one| one.id.clone())
        };
        assert_eq!(new_one(None, RunState::Created, false), None);
        // It ran, or the CLI has been at work in the new one.
        let dev = Some("dev".to_owned());
        for ran in [RunState::Running, RunState::Exited(0), RunState::Exited(1)] {
            assert_eq!(new_one(None, ran, false), dev);
        }
        assert_eq!(new_one(Some("dev"), RunState::Created, false), dev);
        assert_eq!(new_one(None, RunState::Created, true), dev);
    }

    #[test]
    fn p12_a_service_is_replaced_by_another_container_of_it() {
        let compose = |service: &str| {
            Some(ComposeService {
                project: "p".to_owned(),
                service: service.to_owned(),
            })
        };
        let containers = Containers {
            present: Vec::new(),
            named: None,
            made: vec![Snapshot {
                compose: compose("db"),
                ..container("db2", RunState::Running)
            }],
            companions: Vec::new(),
        };
        for (service, is_replaced) in [("db", true), ("cache", false)] {
            let old = Snapshot {
                compose: compose(service),
                ..container("old", RunState::Exited(0))
            };
            assert_eq!(
                containers.is_replaced(&old.into()),
                is_replaced,
                "{service}"
            );
        }
        let plain = container("old", RunState::Exited(0)).into();
        assert!(!containers.is_replaced(&plain), "of no service");
    }
}
