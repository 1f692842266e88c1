//! Settles what an operation did: either its new container stays, or the originals are restored.

use super::aftermath::{Aftermath, Kept, Lost};
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
    /// True if it ended some time ago, so that the containers may have been used since.
    pub deferred: bool,
}

/// The original that `snapshot` shows. If an earlier operation left it parked, it is as it was before that.
pub fn original_of(snapshot: Snapshot) -> Original {
    let removed_when_stopped = snapshot.auto_remove;
    let original = Original {
        was: PriorState::from(&snapshot.run_state),
        leaves_networks: if removed_when_stopped && snapshot.publishes {
            snapshot.networks
        } else {
            Vec::new()
        },
        id: snapshot.id,
        name: snapshot.name,
        removed_when_stopped,
        compose: snapshot.compose,
    };
    original.before_parking()
}

/// Settles what `operation` did, by what docker says now.
///
/// If a container that it made runs (or exists, if the operation succeeded), the originals that it parked are removed.
/// Otherwise the containers that it made are removed, and the originals are started and renamed back. May be called
/// again after it failed, or was ended, at any point: the name, which says what is to be done, is restored last.
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
    } else if report.deferred && containers.made.iter().any(|new| new.has_run) {
        // It may have been worked in, and stopped since.
        let trouble = "both the old container and the new one are kept: the new one has run, but does not now";
        aftermath.troubles.push(trouble.to_owned());
    } else {
        settling.restore(&containers, &mut aftermath);
    }
    Ok(aftermath)
}

/// The containers that concern an operation, as docker knows them now.
struct Containers {
    /// Those of the originals that exist.
    present: Vec<Snapshot>,
    /// The container that the CLI reported to have made.
    named: Option<Snapshot>,
    /// The containers that the operation made. Not searched for if it succeeded and `named` exists.
    made: Vec<Snapshot>,
}

impl Containers {
    /// The new container, if there is one that stays.
    fn new_one(&self, report: &EndReport<'_>) -> Option<&Snapshot> {
        let runs = |one: &&Snapshot| matches!(one.run_state, RunState::Running | RunState::Paused);
        let mut candidates = self.named.iter().chain(&self.made);
        let running = candidates.clone().find(runs);
        running.or(candidates.next().filter(|_| report.succeeded))
    }

    fn find(&self, original: &Original) -> Option<&Snapshot> {
        self.present.iter().find(|one| one.id == original.id)
    }
}

/// An original in its prior run state, which may still have another name.
struct Revived<'a> {
    original: &'a Original,
    current_name: &'a str,
    needs_rename: bool,
}

/// Settles one operation.
struct Settling<'a> {
    docker: &'a Client<'a>,
    operation: &'a OperationId,
    originals: &'a [Original],
    scope: RestoreScope,
}

impl<'a> Settling<'a> {
    fn containers(&self, report: &EndReport<'_>) -> Result<Containers, docker::Error> {
        let is_original = |id: &str| self.originals.iter().any(|original| original.id == id);
        // The CLI also reports a container that it only started.
        let named = report.named.filter(|id| is_id(id) && !is_original(id));
        let originals = self.originals.iter().map(|original| &*original.id);
        let ids: Vec<String> = originals.chain(named).map(str::to_owned).collect();
        let mut present = self.docker.inspect(&ids)?;
        let position = present.iter().position(|one| Some(&*one.id) == named);
        let named = position.map(|at| present.swap_remove(at));
        let made = if named.is_some() && report.succeeded {
            Vec::new()
        } else {
            self.made(&present)?
        };
        Ok(Containers {
            present,
            named,
            made,
        })
    }

    /// The containers with the label of the operation, and those of the services of the originals: compose does not
    /// know the label. Only these are the operation's to remove.
    fn made(&self, present: &[Snapshot]) -> Result<Vec<Snapshot>, docker::Error> {
        let label = format!("{LABEL_OPERATION}={}", self.operation);
        let mut ids = self.docker.with_labels(&[label])?;
        let is_renamed = |one: &Snapshot| {
            let mut originals = self.originals.iter();
            originals.any(|original| original.id == one.id && original.name != one.name)
        };
        // Some time after the operation, a container of the service need not be its own.
        if self.scope == RestoreScope::All || present.iter().any(is_renamed) {
            for service in self.originals.iter().filter_map(|one| one.compose.as_ref()) {
                ids.extend(self.docker.with_labels(&service.labels())?);
            }
        }
        ids.sort_unstable();
        ids.dedup();
        ids.retain(|id| self.originals.iter().all(|original| original.id != *id));
        let mut made = self.docker.inspect(&ids)?;
        made.retain(|one| !one.one_off);
        Ok(made)
    }

    fn remove_parked(&self, containers: &Containers, aftermath: &mut Aftermath) {
        let is_parked = |one: &&Snapshot| ParkedName::parse(&one.name).is_some();
        let parked = containers.present.iter().filter(is_parked);
        let ids: Vec<&str> = parked.map(|one| one.id.as_str()).collect();
        if let Err(e) = self.docker.remove(&ids) {
            let trouble = format!("the old container could not be removed: {e}");
            aftermath.troubles.push(trouble);
        }
    }

    /// Removes the containers that the operation made, and gives the originals back their run states and names.
    fn restore(&self, containers: &Containers, aftermath: &mut Aftermath) {
        let is_restarting = |one: &&Snapshot| one.run_state == RunState::Restarting;
        let (restarting, others): (Vec<&Snapshot>, Vec<&Snapshot>) =
            containers.made.iter().partition(is_restarting);
        // A restarting container may hold a port that an original needs. The others tell what happened if this is cut
        // short, and so they go later.
        self.remove_made(&restarting, containers, aftermath);
        let revived = self.revive_all(containers, aftermath);
        self.remove_made(&others, containers, aftermath);
        self.rename_all(revived, aftermath);
    }

    fn remove_made(&self, made: &[&Snapshot], containers: &Containers, aftermath: &mut Aftermath) {
        // If compose has removed an original, the new container has its volumes.
        let is_replaced = |one: &Original| one.compose.is_some() && containers.find(one).is_none();
        if self.originals.iter().any(is_replaced) {
            return;
        }
        for incomplete in made {
            if let Err(e) = self.docker.remove(&[&incomplete.id]) {
                let name = &incomplete.name;
                aftermath.troubles.push(format!(
                    "the incomplete new container {name} could not be removed: {e}"
                ));
            }
        }
    }

    fn revive_all<'b>(
        &self,
        containers: &'b Containers,
        aftermath: &mut Aftermath,
    ) -> Vec<Revived<'b>>
    where
        'a: 'b,
    {
        let mut revived = Vec::new();
        for original in self.originals {
            let Some(now) = containers.find(original) else {
                aftermath.lost.push(Lost {
                    name: original.name.clone(),
                    by_compose: original.compose.is_some(),
                });
                continue;
            };
            let is_compose = original.compose.is_some();
            let parked = ParkedName::parse(&now.name);
            let is_parked = parked.is_some_and(|parked| parked.operation == *self.operation);
            let needs_rename = is_parked || (is_compose && now.name != original.name);
            if needs_rename || self.scope == RestoreScope::All {
                // Originals are stopped after the new container is made, and docker goes on with that even if its
                // client is ended.
                let may_be_stopping = !containers.made.is_empty() && (is_parked || is_compose);
                if let Err(e) = self.revive(original, now, may_be_stopping) {
                    let trouble = not_restored(&original.name, &now.name, &e);
                    aftermath.troubles.push(trouble);
                    continue;
                }
            }
            revived.push(Revived {
                original,
                current_name: &now.name,
                needs_rename,
            });
        }
        revived
    }

    /// Restores the prior run state of an original.
    fn revive(
        &self,
        original: &Original,
        now: &Snapshot,
        may_be_stopping: bool,
    ) -> Result<(), docker::Error> {
        let docker = self.docker;
        let id = &original.id;
        if now.auto_remove {
            self.join_networks(original, now)?;
        }
        match (original.was, PriorState::from(&now.run_state)) {
            (PriorState::Running, PriorState::Paused) => docker.unpause(id),
            (PriorState::Running, PriorState::Stopped) => docker.start(id),
            (PriorState::Running, PriorState::Running) if may_be_stopping && !now.auto_remove => {
                docker.stop(&[id])?;
                docker.start(id)
            }
            (PriorState::Paused, PriorState::Running) => docker.pause(id),
            (PriorState::Paused, PriorState::Stopped) => {
                docker.start(id)?;
                docker.pause(id)
            }
            (PriorState::Running, PriorState::Running)
            | (PriorState::Paused, PriorState::Paused)
            | (PriorState::Stopped, _) => Ok(()),
        }
    }

    fn join_networks(&self, original: &Original, now: &Snapshot) -> Result<(), docker::Error> {
        let left = original.leaves_networks.iter();
        for network in left.filter(|network| !now.networks.contains(network)) {
            self.docker.connect(&original.id, network)?;
        }
        if !original.leaves_networks.is_empty() || !now.networks.is_empty() || !now.publishes {
            return Ok(());
        }
        // The networks that it left are not known any more. podman's own is not called as docker's.
        match self.docker.connect(&original.id, &now.own_network) {
            Err(_) if now.own_network == "bridge" && !self.docker.may_have_network("bridge") => {
                self.docker.connect(&original.id, "podman")
            }
            result => result,
        }
    }

    fn rename_all(&self, revived: Vec<Revived<'_>>, aftermath: &mut Aftermath) {
        for one in revived {
            let original = one.original;
            if one.needs_rename
                && let Err(e) = self.docker.rename(&original.id, &original.name)
            {
                let trouble = not_restored(&original.name, one.current_name, &e);
                aftermath.troubles.push(trouble);
                continue;
            }
            aftermath.put_back |= one.needs_rename;
            aftermath.kept.push(Kept {
                name: original.name.clone(),
                runs: original.was == PriorState::Running,
            });
        }
    }
}

fn not_restored(name: &str, current_name: &str, error: &docker::Error) -> String {
    if name == current_name {
        format!("container {name} could not be restored: {error}")
    } else {
        format!("container {name} was renamed to {current_name} and could not be restored: {error}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(id: &str, run_state: RunState) -> Snapshot {
        Snapshot {
            id: id.to_owned(),
            name: id.to_owned(),
            run_state,
            has_run: true,
            one_off: false,
            folder: None,
            config: None,
            is_test_run: false,
            auto_remove: false,
            publishes: false,
            networks: Vec::new(),
            own_network: "bridge".to_owned(),
            compose: None,
            working_dir: None,
            depends_on: None,
            joins: Vec::new(),
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
}
