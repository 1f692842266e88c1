//! Restores what an operation was to replace: run states first, names last.

use super::aftermath::{Aftermath, Kept};
use super::settle::{Containers, RestoreScope};
use crate::docker::{self, Client, Snapshot};
use crate::model::container::RunState;
use crate::model::ids::OperationId;
use crate::model::original::{Original, ParkedName, PriorState};

/// A container in its prior run state, which may still have another name.
struct Revived<'a> {
    original: &'a Original,
    current_name: &'a str,
    needs_rename: bool,
    /// True if it has been started, so that it has new namespaces.
    is_started: bool,
}

/// The restoration of what an operation was to replace.
pub(super) struct Restoring<'a> {
    pub(super) docker: &'a Client<'a>,
    pub(super) operation: &'a OperationId,
    pub(super) containers: &'a Containers,
    /// True if the originals may have been stopped, or may be about to be.
    pub(super) is_stopping: bool,
    pub(super) scope: RestoreScope,
}

impl<'a> Restoring<'a> {
    /// Removes the containers that the operation made, and gives the originals and their companions back their run
    /// states and names.
    pub(super) fn restore(&self, originals: &'a [Original], aftermath: &mut Aftermath) {
        // Those that have processes may hold ports that an original needs. The others tell what happened if this is cut
        // short, and so they go later.
        let has_processes = |one: &&Snapshot| one.run_state.has_processes();
        let (first, last): (Vec<&Snapshot>, Vec<&Snapshot>) =
            self.containers.made.iter().partition(has_processes);
        self.remove_made(&first, originals, aftermath);
        let mut revived = self.revive_all(originals, aftermath);
        revived.extend(self.revive_companions(aftermath));
        self.restart_joined(&revived, aftermath);
        self.remove_made(&last, originals, aftermath);
        self.rename_all(revived, aftermath);
    }

    fn remove_made(&self, made: &[&Snapshot], originals: &[Original], aftermath: &mut Aftermath) {
        // If compose has removed an original, the new container has its volumes.
        let is_replaced =
            |one: &Original| one.compose.is_some() && self.containers.find(one).is_none();
        if originals.iter().any(is_replaced) {
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

    fn revive_all(&self, originals: &'a [Original], aftermath: &mut Aftermath) -> Vec<Revived<'a>> {
        let mut revived = Vec::new();
        for original in originals {
            let Some(now) = self.containers.find(original) else {
                continue;
            };
            let is_compose = original.compose.is_some();
            let parked = ParkedName::parse(&now.name);
            let is_parked = parked.is_some_and(|parked| parked.operation == *self.operation);
            let needs_rename = is_parked || (is_compose && now.name != original.name);
            let mut is_started = false;
            if needs_rename || self.scope == RestoreScope::All {
                // docker goes on with a stop even if its client is ended.
                let may_be_stopping = self.is_stopping && (is_parked || is_compose);
                match self.revive(original, now, may_be_stopping) {
                    Ok(started) => is_started = started,
                    Err(e) => {
                        let trouble = not_restored(&original.name, &now.name, &e);
                        aftermath.troubles.push(trouble);
                        continue;
                    }
                }
            }
            revived.push(Revived {
                original,
                current_name: &now.name,
                needs_rename,
                is_started,
            });
        }
        revived
    }

    fn revive_companions(&self, aftermath: &mut Aftermath) -> Vec<Revived<'a>> {
        let mut revived = Vec::new();
        for (original, now) in &self.containers.companions {
            match self.revive(original, now, true) {
                Ok(is_started) => revived.push(Revived {
                    original,
                    current_name: &now.name,
                    needs_rename: true,
                    is_started,
                }),
                Err(e) => {
                    let trouble = not_restored(&original.name, &now.name, &e);
                    aftermath.troubles.push(trouble);
                }
            }
        }
        revived
    }

    /// Restores the prior run state of an original. Returns whether it was started.
    fn revive(
        &self,
        original: &Original,
        now: &Snapshot,
        may_be_stopping: bool,
    ) -> Result<bool, docker::Error> {
        let docker = self.docker;
        let id = &original.id;
        if now.auto_remove {
            self.join_networks(original, now)?;
        }
        match (original.was, PriorState::from(&now.run_state)) {
            (PriorState::Running, PriorState::Paused) => docker.unpause(id).map(|()| false),
            (PriorState::Running, PriorState::Stopped) => docker.start(id).map(|()| true),
            (PriorState::Running, PriorState::Running) if may_be_stopping && !now.auto_remove => {
                docker.stop(&[id])?;
                docker.start(id).map(|()| true)
            }
            (PriorState::Paused, PriorState::Running) => docker.pause(id).map(|()| false),
            (PriorState::Paused, PriorState::Stopped) => {
                docker.start(id)?;
                docker.pause(id).map(|()| true)
            }
            (PriorState::Running, PriorState::Running)
            | (PriorState::Paused, PriorState::Paused)
            | (PriorState::Stopped, _) => Ok(false),
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

    /// Restarts the running services that live in the namespaces of containers that were started: those are new.
    fn restart_joined(&self, revived: &[Revived<'_>], aftermath: &mut Aftermath) {
        let started = revived.iter().filter(|one| one.is_started);
        for owner in started.map(|one| one.original) {
            let Some(service) = &owner.compose else {
                continue;
            };
            if let Err(e) = self.restart_joined_to(owner, &service.project_label(), revived) {
                let name = &owner.name;
                aftermath.troubles.push(format!(
                    "services that use the network of container {name} could not be restarted: {e}"
                ));
            }
        }
    }

    fn restart_joined_to(
        &self,
        owner: &Original,
        project: &str,
        revived: &[Revived<'_>],
    ) -> Result<(), docker::Error> {
        let members = self.docker.with_labels(&[project.to_owned()])?;
        for one in self.docker.inspect(&members)? {
            let was_started = |other: &Revived<'_>| other.is_started && other.original.id == one.id;
            let runs = one.run_state == RunState::Running;
            if runs && one.is_joined_to(&owner.id, &owner.name) && !revived.iter().any(was_started)
            {
                self.docker.stop(&[&one.id])?;
                self.docker.start(&one.id)?;
            }
        }
        Ok(())
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
