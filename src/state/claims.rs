//! Claims on compose projects: one operation or repair at a time for a project (P14).

use super::State;
use super::entry::Entry;
use super::operation::Activity;
use super::refusal::{Refusal, Work};
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
        entries.any(|entry| match entry.work() {
            Some((Work::Repair, own)) => entry.key == key || common(own, claims).is_some(),
            _ => false,
        })
    }

    /// Returns the refusal of an operation that claims what another dev container's, or a repair, has claimed before.
    pub(super) fn conflict(&self, key: Key, claims: &[Project]) -> Option<Refusal> {
        let others = self.fleet.entries.iter().filter(|entry| entry.key != key);
        let mut works = others.flat_map(|entry| entry.works().map(move |work| (entry, work)));
        works.find_map(|(entry, (work, own))| {
            Some(Refusal::ProjectInProgress {
                work,
                name: entry.name.clone(),
                project: common(own, claims)?.clone(),
            })
        })
    }

    /// Returns whether something is being done to another dev container in one of these projects. A queued operation does
    /// nothing yet.
    pub(super) fn is_at_work_in(&self, key: Key, claims: &[Project]) -> bool {
        let mut others = self.fleet.entries.iter().filter(|entry| entry.key != key);
        others.any(|entry| {
            let work = entry.work();
            work.is_some_and(|(_, own)| common(own, claims).is_some())
        })
    }
}

impl Entry {
    /// Returns what is being done to its containers, and the projects that are claimed for that.
    fn work(&self) -> Option<(Work, &[Project])> {
        match &self.activity {
            Activity::Idle => None,
            Activity::Operating(running) => {
                Some((Work::Running(running.kind()), running.claims.as_slice()))
            }
            Activity::Repairing { claims, .. } => Some((Work::Repair, claims.as_slice())),
        }
    }

    /// Returns what is being done to its containers, and the operation that is to be done.
    pub(super) fn works(&self) -> impl Iterator<Item = (Work, &[Project])> {
        let queued = self.queued.as_ref();
        let queued = queued.map(|queued| (Work::Queued(queued.kind), queued.claims.as_slice()));
        queued.into_iter().chain(self.work())
    }
}

/// Returns the first of these projects that is claimed.
fn common<'a>(claimed: &[Project], claims: &'a [Project]) -> Option<&'a Project> {
    claims.iter().find(|claim| claimed.contains(claim))
}
