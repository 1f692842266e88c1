//! The owners of containers: which ones an operation may change, and which ones it must leave alone.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::rules::Rules;
use crate::docker::{self, Snapshot};
use crate::model::labels::ComposeService;
use crate::model::location::normal;
use crate::model::project::Project;

/// The role of a container in the operation.
pub(super) enum Role {
    /// It has been made by the operation.
    Made,
    /// It is to be replaced.
    Replaced,
    /// It belongs to someone else, and may not be changed.
    Foreign(Owner),
    /// It belongs to the compose project.
    Companion,
    /// It is none of the above.
    Other,
}

/// Another owner of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Owner {
    /// The dev container of a folder.
    Devcontainer(String),
    /// A compose project of the same name in another directory.
    Project(String),
}

/// The relation of a compose project to the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Membership {
    Ours,
    /// It has the name of ours, and is in another directory.
    Namesake,
    Unrelated,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Devcontainer(folder) => write!(f, "is the dev container of {folder}"),
            Self::Project(directory) => {
                write!(f, "belongs to the compose project in {directory}")
            }
        }
    }
}

impl Owner {
    /// Why a container of the service cannot be made in place of `foreign`.
    pub(super) fn refusal(&self, foreign: &Snapshot, service: &ComposeService) -> String {
        let ComposeService { project, service } = service;
        let name = &foreign.name;
        format!(
            "container {name} of service {service} in the compose project {project} {self}, and stays; give this project another name (`name:` in the compose file, or COMPOSE_PROJECT_NAME)"
        )
    }
}

impl Rules {
    /// Returns what a container is to the operation.
    pub(super) fn role(&self, seen: &Snapshot) -> Role {
        let is_own = self.plan.own.iter().any(|one| one.id == seen.id);
        if self.is_replaced(&seen.id) {
            Role::Replaced
        } else if self.progress().made.contains(&seen.id) {
            Role::Made
        } else if let Some(folder) = seen.folder.as_ref().filter(|_| !is_own) {
            Role::Foreign(Owner::Devcontainer(folder.clone()))
        } else {
            self.role_in_project(seen, is_own)
        }
    }

    fn role_in_project(&self, seen: &Snapshot, is_own: bool) -> Role {
        let Some(service) = seen.compose.as_ref().filter(|_| !is_own && !seen.one_off) else {
            return Role::Other;
        };
        let working_dir = seen.working_dir.as_deref();
        match self.membership(&service.project, working_dir) {
            Membership::Ours => Role::Companion,
            Membership::Namesake => {
                let directory = working_dir.unwrap_or_default().to_owned();
                Role::Foreign(Owner::Project(directory))
            }
            Membership::Unrelated => Role::Other,
        }
    }

    /// A container of the service that belongs to someone else. `working_dir` is the directory of the project.
    pub(super) fn foreign_of(
        &self,
        service: &ComposeService,
        working_dir: Option<&str>,
    ) -> io::Result<Option<(Snapshot, Owner)>> {
        let path = docker::list_path(&service.labels());
        let listed = self.engine.get(&path)?.unwrap_or_default();
        let listed: Vec<Value> = serde_json::from_slice(&listed).unwrap_or_default();
        for one in &listed {
            let id = one.get("Id").and_then(Value::as_str).unwrap_or_default();
            if let Some(seen) = self.see(id)?
                && let Some(owner) = self.other_owner(&seen, working_dir)
            {
                return Ok(Some((seen, owner)));
            }
        }
        Ok(None)
    }

    /// Returns the other owner of a container of a service, if it has one. `working_dir` is the directory of the project.
    fn other_owner(&self, seen: &Snapshot, working_dir: Option<&str>) -> Option<Owner> {
        let role = self.role(seen);
        let directories = seen.working_dir.as_deref().zip(working_dir);
        let elsewhere = directories.filter(|(its, ours)| !is_same_path(its, Path::new(ours)));
        match (role, elsewhere) {
            (Role::Made | Role::Replaced, _) => None,
            (_, Some((its, _))) => {
                let directory = seen.folder.as_deref().unwrap_or(its);
                Some(Owner::Project(directory.to_owned()))
            }
            (Role::Foreign(owner), None) => Some(owner),
            (Role::Companion | Role::Other, None) => None,
        }
    }

    /// Takes the project of the new dev container as one of the operation's.
    pub(super) fn learn_project(
        &self,
        service: Option<&ComposeService>,
        working_dir: Option<&str>,
    ) {
        let Some(service) = service else { return };
        let mut progress = self.progress();
        progress
            .projects
            .push(Project::Named(service.project.clone()));
        let directory = working_dir.map(|path| Project::In(normal(Path::new(path))));
        progress.projects.extend(directory);
    }

    /// Returns whether a compose project is one of the operation's. Projects are told apart by their directories, and
    /// by their names where a directory is not known.
    pub(super) fn membership(&self, name: &str, working_dir: Option<&str>) -> Membership {
        let progress = self.progress();
        let all: Vec<&Project> = self
            .plan
            .projects
            .iter()
            .chain(&progress.projects)
            .collect();
        membership(&all, name, working_dir)
    }
}

fn membership(ours: &[&Project], name: &str, working_dir: Option<&str>) -> Membership {
    let is_named = |one: &&&Project| matches!(one, Project::Named(other) if other == name);
    let is_named = ours.iter().any(|one| is_named(&one));
    let directories = ours.iter().filter_map(|one| match one {
        Project::In(directory) => Some(directory),
        Project::Named(_) => None,
    });
    let directories: Vec<&PathBuf> = directories.collect();
    let is_there = working_dir
        .filter(|_| !directories.is_empty())
        .map(|path| directories.iter().any(|one| is_same_path(path, one)));
    match (is_there, is_named) {
        (Some(true), _) | (None, true) => Membership::Ours,
        (Some(false), true) => Membership::Namesake,
        (_, false) => Membership::Unrelated,
    }
}

/// Compares paths by their words: a look at a label's path on disk might never end.
pub(super) fn is_same_path(label: &str, path: &Path) -> bool {
    let label = Path::new(label);
    label == path || normal(label) == normal(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p24_a_project_is_told_from_its_namesakes_by_its_directory() {
        let named = Project::Named("p".into());
        let there = Project::In("/a/p".into());
        for (ours, name, directory, expected) in [
            (vec![&named, &there], "p", Some("/a/p"), Membership::Ours),
            (vec![&named, &there], "p", Some("/a/./p"), Membership::Ours),
            (
                vec![&named, &there],
                "p",
                Some("/b/p"),
                Membership::Namesake,
            ),
            (vec![&named, &there], "p", None, Membership::Ours),
            (vec![&named], "p", Some("/b/p"), Membership::Ours),
            (vec![&there], "q", Some("/a/p"), Membership::Ours),
            (
                vec![&named, &there],
                "q",
                Some("/b/p"),
                Membership::Unrelated,
            ),
            (vec![&there], "p", None, Membership::Unrelated),
            (vec![], "p", Some("/a/p"), Membership::Unrelated),
        ] {
            let found = membership(&ours, name, directory);
            assert_eq!(found, expected, "{ours:?} {name} {directory:?}");
        }
    }

    #[test]
    fn paths_are_compared_by_their_words() {
        assert!(is_same_path("/w/", Path::new("/w")));
        assert!(is_same_path("/w/../x", Path::new("/x")));
        assert!(!is_same_path("/w", Path::new("/x")));
    }
}
