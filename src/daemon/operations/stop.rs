//! `stop` and `DELETE`: their containers (P24), and what is done to them.

use std::collections::HashSet;

use super::failure::Failure;
use super::run::{OperationRun, Outcome, Targets};
use super::services::companions;
use crate::docker::{self, Client, Snapshot};
use crate::model::container::RunState;
use crate::model::labels::LABEL_OPERATION;
use crate::model::operation::{Ending, OperationKind};
use crate::model::original::ParkedName;
use crate::state::Fact;

/// The containers on which an operation acts.
struct Scope {
    containers: Vec<Snapshot>,
    /// True if the dev container has more of them.
    is_partial: bool,
}

impl OperationRun {
    /// Stops the container, and the services that go with it.
    pub(super) fn stop(&self) -> Outcome {
        self.act("stopping", stop)
    }

    /// Removes the container, and the services that go with it.
    pub(super) fn delete(&self) -> Outcome {
        self.act("removing", |docker, containers| {
            self.remove(docker, containers)
        })
    }

    /// Acts on the containers of the operation. `doing` stands in the log.
    fn act(
        &self,
        doing: &str,
        act: impl Fn(&Client<'_>, &[Snapshot]) -> Result<(), docker::Error>,
    ) -> Outcome {
        let program = self.operations.programs.docker();
        let docker = self.docker(&program);
        let thorough = Client {
            thorough: true,
            ..docker
        };
        let acted = self.prepared(|| self.scope(&docker)).and_then(|scope| {
            let names = scope.containers.iter().map(|one| one.name.as_str());
            let names: Vec<&str> = names.collect();
            if !names.is_empty() {
                self.say(&format!("{doing} {}", names.join(", ")));
            }
            act(&thorough, &scope.containers)?;
            Ok::<bool, Failure>(scope.is_partial)
        });
        match acted {
            Ok(is_partial) => {
                if is_partial {
                    self.operations.shared.apply(Fact::DuplicatesStay(self.key));
                }
                Ending::Succeeded.into()
            }
            Err(e) => self.stopped_by(e).into(),
        }
    }

    fn scope(&self, docker: &Client<'_>) -> Result<Scope, Failure> {
        let Targets {
            target,
            mut duplicates,
        } = self.targets(docker)?;
        duplicates.retain(Snapshot::is_devcontainer);
        let leftovers = self.leftovers(docker)?;
        let (more, others): (Vec<Snapshot>, Vec<Snapshot>) = duplicates
            .into_iter()
            .partition(|one| self.all || leftovers.contains(&one.id) || self.is_left(one));
        let mut containers: Vec<Snapshot> = target.into_iter().chain(more).collect();
        let projects = containers
            .iter()
            .filter_map(|one| Some(one.compose.as_ref()?.project_label()));
        let mut services = Vec::new();
        for project in projects.collect::<HashSet<_>>() {
            let mut members = docker.inspect(&docker.with_labels(&[project])?)?;
            // Those that have the label from their image are no members.
            members.retain(|one| one.compose.is_some());
            let companions = companions(self.kind, &containers, &members);
            services.extend(companions.into_iter().cloned());
        }
        containers.extend(services);
        Ok(Scope {
            containers,
            is_partial: !others.is_empty(),
        })
    }

    /// Returns whether a container is what a `DELETE` clears away of an operation that did not come to its end.
    fn is_left(&self, one: &Snapshot) -> bool {
        self.kind == OperationKind::Delete && ParkedName::parse(&one.name).is_some()
    }

    /// Returns the ids of the containers that earlier operations made and did not settle, where a `DELETE` is to clear
    /// them away. Other operations have repaired them by now.
    fn leftovers(&self, docker: &Client<'_>) -> Result<HashSet<String>, docker::Error> {
        let mut made = HashSet::new();
        if self.kind == OperationKind::Delete {
            let shared = &self.operations.shared;
            for repair in shared.read(|state| state.left_behind(self.key)) {
                let label = format!("{LABEL_OPERATION}={}", repair.operation);
                made.extend(docker.with_labels(&[label])?);
            }
        }
        Ok(made)
    }

    /// Stops containers with their own grace, then removes them. What cannot be stopped is removed all the same.
    fn remove(&self, docker: &Client<'_>, containers: &[Snapshot]) -> Result<(), docker::Error> {
        let running = containers
            .iter()
            .filter(|one| one.run_state.has_processes());
        let running: Vec<Snapshot> = running.cloned().collect();
        match stop(docker, &running) {
            Err(e) if e.is_aborted() => return Err(e),
            Err(e) => self.say(&format!("{e}; removing it all the same")),
            _ => {}
        }
        docker.remove(&ids(containers))
    }
}

/// Stops containers, each with its own grace period.
fn stop(docker: &Client<'_>, containers: &[Snapshot]) -> Result<(), docker::Error> {
    let is_paused = |one: &&Snapshot| one.run_state == RunState::Paused;
    for paused in containers.iter().filter(is_paused) {
        // podman does not stop a paused container. If this fails, stopping it says why.
        let _ = docker.unpause(&paused.id);
    }
    docker.stop(&ids(containers))
}

fn ids(containers: &[Snapshot]) -> Vec<&str> {
    containers.iter().map(|one| one.id.as_str()).collect()
}
