//! Claims on compose projects: one operation or repair at a time for a project (P14).

use super::State;
use super::entry::Entry;
use super::operation::Activity;
use super::operations::Refusal;
use crate::model::ids::Key;
use crate::model::labels::{LABEL_COMPOSE_PROJECT, LABEL_COMPOSE_WORKING_DIR};
use crate::model::project::Project;

/// The compose project that the labels of a container name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelledProject {
    /// Its name.
    pub name: String,
    /// Its directory, as the label has it.
    pub directory: Option<String>,
}

impl State {
    /// Returns the compose projects of the containers of a dev container, each once.
    pub fn projects_of(&self, key: Key) -> Vec<LabelledProject> {
        let entry = self.fleet.get(key);
        let containers = entry.into_iter().flat_map(Entry::containers);
        let mut projects = Vec::new();
        for info in containers {
            let Some(name) = info.own_label(LABEL_COMPOSE_PROJECT) else {
                continue;
            };
            let project = LabelledProject {
                name: name.to_owned(),
                directory: info.own_label(LABEL_COMPOSE_WORKING_DIR).map(str::to_owned),
            };
            if !projects.contains(&project) {
                projects.push(project);
            }
        }
        projects
    }

    /// Returns whether what an earlier operation left is being repaired, of this dev container or of another one with one
    /// of these projects.
    pub fn is_repairing(&self, key: Key, claims: &[Project]) -> bool {
        let mut entries = self.fleet.entries.iter();
        entries.any(|entry| {
            let concerns = entry.key == key || entry.claimed_among(claims).is_some();
            concerns && matches!(entry.activity, Activity::Repairing { .. })
        })
    }

    /// Returns the refusal of an operation or a repair that claims what another dev container's has claimed before.
    pub(super) fn conflict(&self, key: Key, claims: &[Project]) -> Option<Refusal> {
        let mut others = self.fleet.entries.iter().filter(|entry| entry.key != key);
        others.find_map(|entry| {
            Some(Refusal::ProjectInProgress {
                work: entry.work()?,
                name: entry.name.clone(),
                project: entry.claimed_among(claims)?.clone(),
            })
        })
    }
}

impl Entry {
    /// Returns the first of these projects that is claimed for what is being done to its containers.
    fn claimed_among<'a>(&self, claims: &'a [Project]) -> Option<&'a Project> {
        let own = match &self.activity {
            Activity::Idle => return None,
            Activity::Operating(running) => &running.claims,
            Activity::Repairing { claims, .. } => claims,
        };
        claims.iter().find(|claim| own.contains(claim))
    }

    /// Returns the word for what is being done to its containers.
    pub(super) fn work(&self) -> Option<&'static str> {
        match &self.activity {
            Activity::Idle => None,
            Activity::Operating(running) => Some(running.kind().verb()),
            Activity::Repairing { .. } => Some("repair"),
        }
    }
}
