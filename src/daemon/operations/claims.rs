//! The compose projects that an operation claims, and the locks on their directories (P14).

use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::Operations;
use crate::base::flock::FolderLock;
use crate::daemon::disk::Silent;
use crate::devcontainer::config::compose_project;
use crate::devcontainer::resolve::canonical;
use crate::model::ids::Key;
use crate::model::location::{CliPaths, Declared, MAX_PATH, Resolved, normal};
use crate::model::project::Project;
use crate::state::LabelledProject;

impl Operations {
    /// Returns the compose projects of a dev container: those of its containers, and the one of its configuration.
    pub(super) fn claims(
        &self,
        key: Key,
        declared: &Declared,
        resolved: &Resolved,
    ) -> Result<Vec<Project>, Silent> {
        let labelled = self.shared.read(|state| state.projects_of(key));
        let disk = self.settings.disk.clone();
        let paths = resolved.cli_paths(&declared.folder);
        let look = move || projects(&labelled, paths.as_ref(), &disk.roots());
        self.settings.disk.at(declared, look)
    }

    /// Locks the workspace folder and the directories of compose projects, and waits for that up to `patience`. Returns
    /// `None` while another daemon has one of the locks.
    pub(super) fn lock_all(
        &self,
        resolved: &Resolved,
        claims: &[Project],
        patience: Duration,
    ) -> Result<Option<Vec<Arc<FolderLock>>>, Silent> {
        let directories = claims.iter().filter_map(|claim| match claim {
            Project::In(directory) => Some(directory.clone()),
            Project::Named(_) => None,
        });
        let folders: Vec<PathBuf> = iter::once(resolved.folder.clone())
            .chain(directories)
            .collect();
        let locks = self.locks.clone();
        let lock_all = move || locks.lock_all(&folders, patience);
        self.settings.disk.within(&resolved.folder, lock_all)
    }
}

/// Returns the compose projects of containers, as their labels say, and the one of a configuration.
fn projects(
    labelled: &[LabelledProject],
    paths: Option<&CliPaths>,
    roots: &[PathBuf],
) -> Vec<Project> {
    let configured = paths.and_then(compose_project);
    let (name, directory) = configured.map(|own| (own.name, own.directory)).unzip();
    let names = labelled.iter().map(|project| project.name.clone());
    let directories = labelled
        .iter()
        .filter_map(|project| project.directory.as_deref().map(PathBuf::from))
        .filter(|directory| may_be_resolved(directory, roots))
        .chain(directory);
    let mut claims: Vec<Project> = Vec::new();
    let all = names.chain(name).map(Project::Named);
    for claim in all.chain(directories.map(|one| Project::In(canonical(&one)))) {
        if !claims.contains(&claim) {
            claims.push(claim);
        }
    }
    claims
}

/// Returns whether a directory that a label names may be looked at (P18).
fn may_be_resolved(directory: &Path, roots: &[PathBuf]) -> bool {
    let plain = normal(directory);
    let is_path = directory.is_absolute() && directory.as_os_str().len() < MAX_PATH;
    is_path && (roots.is_empty() || roots.iter().any(|root| plain.starts_with(root)))
}
