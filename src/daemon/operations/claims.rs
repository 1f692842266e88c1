//! The compose projects that an operation claims, and the locks on their directories (P14).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Operations;
use crate::base::flock::FolderLock;
use crate::devcontainer::config::compose_project;
use crate::devcontainer::resolve::canonical;
use crate::model::ids::Key;
use crate::model::location::{Declared, MAX_PATH, Resolved, normal};
use crate::model::project::Project;

impl Operations {
    /// Returns the compose projects of a dev container: those of its containers, and the one of its configuration.
    pub(super) fn claims(
        &self,
        key: Key,
        declared: &Declared,
        resolved: &Resolved,
    ) -> Vec<Project> {
        let labelled = self.shared.read(|state| state.projects_of(key));
        let (names, directories): (Vec<_>, Vec<_>) = labelled
            .into_iter()
            .map(|project| (project.name, project.directory))
            .unzip();
        let directories = directories.into_iter().flatten().map(PathBuf::from);
        let configured = resolved
            .cli_paths(&declared.folder)
            .and_then(|paths| compose_project(&paths));
        let (name, directory) = configured.map(|own| (own.name, own.directory)).unzip();
        let directories = directories
            .filter(|directory| self.may_be_resolved(directory))
            .chain(directory);
        let mut claims: Vec<Project> = Vec::new();
        let all = names.into_iter().chain(name).map(Project::Named);
        for claim in all.chain(directories.map(|one| Project::In(canonical(&one)))) {
            if !claims.contains(&claim) {
                claims.push(claim);
            }
        }
        claims
    }

    /// Returns whether a directory that a label names may be looked at (P18).
    fn may_be_resolved(&self, directory: &Path) -> bool {
        let roots = &self.settings.roots;
        let plain = normal(directory);
        let is_path = directory.is_absolute() && directory.as_os_str().len() < MAX_PATH;
        is_path && (roots.is_empty() || roots.iter().any(|root| plain.starts_with(root)))
    }

    /// Locks the workspace folder and the directories of compose projects, each with `lock`. Returns `None` while another
    /// daemon has one of them.
    pub(super) fn lock_all(
        resolved: &Resolved,
        claims: &[Project],
        lock: impl Fn(&Path) -> Option<Arc<FolderLock>>,
    ) -> Option<Vec<Arc<FolderLock>>> {
        let mut locks = vec![lock(&resolved.folder)?];
        for claim in claims {
            if let Project::In(directory) = claim {
                locks.push(lock(directory)?);
            }
        }
        Some(locks)
    }
}
