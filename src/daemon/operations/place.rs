//! Where an operation works: at the place that was listed, and nowhere else (P25).

use std::sync::Arc;

use super::run::OperationRun;
use super::{Operations, StartError};
use crate::daemon::disk::{Disk, Silent};
use crate::devcontainer::ownership::{NotOwn, not_own};
use crate::devcontainer::resolve::resolve;
use crate::model::location::Resolved;
use crate::model::moved::Moved;
use crate::model::operation::OperationKind;
use crate::state::Target;

/// A look at the place of a dev container.
struct Sight {
    resolved: Resolved,
    /// The place to which the labels of the container lead.
    labelled: Option<Resolved>,
    not_own: Option<NotOwn>,
}

impl Operations {
    /// Resolves a dev container on disk, where it may be operated on in this way, and is where it was listed.
    pub(super) fn find(
        &self,
        target: &Target,
        kind: OperationKind,
    ) -> Result<Resolved, StartError> {
        let silent = |Silent| StartError::silent(&target.declared.folder);
        let sight = look(&self.settings.disk, target).map_err(silent)?;
        let not_allowed = |why: String| Err(StartError::NotAllowed(why));
        let access = &sight.resolved.access;
        // The folder of a container that is stopped is not used. It may be gone.
        let refused = if kind.makes_containers() {
            access.why_no_up()
        } else {
            access.why_no_stop()
        };
        if let Some(why) = refused {
            return not_allowed(why.to_string());
        }
        if let Some(moved) = sight.moved(target, kind) {
            return Err(StartError::Moved(moved.to_string()));
        }
        match sight.not_own.filter(|_| kind.makes_containers()) {
            Some(why) => not_allowed(why.to_string()),
            None => Ok(sight.resolved),
        }
    }
}

impl OperationRun {
    /// Returns why the CLI is not to be run here any more, if there is a reason: something has changed since the
    /// operation began.
    pub(super) fn moved(&self) -> Option<String> {
        let target = Target {
            listed: self.resolved.clone(),
            declared: self.declared.clone(),
            labelled: self.labelled.clone(),
            labels: None,
        };
        match self.operations.find(&target, self.kind) {
            Ok(_) => None,
            Err(why) => Some(why.to_string()),
        }
    }
}

fn look(disk: &Arc<Disk>, target: &Target) -> Result<Sight, Silent> {
    let declared = target.declared.clone();
    let (looker, target) = (disk.clone(), target.clone());
    disk.at(&declared, move || {
        let roots = &looker.roots();
        let resolved = resolve(&target.declared, roots);
        Sight {
            labelled: target
                .labelled
                .as_ref()
                .map(|labelled| resolve(labelled, roots)),
            not_own: not_own(&target.declared, &resolved, roots),
            resolved,
        }
    })
}

impl Sight {
    /// Returns how the place differs from the one that was listed. An operation that makes no container uses none of its
    /// files: the path of its folder is enough, and the folder may be gone.
    fn moved(&self, target: &Target, kind: OperationKind) -> Option<Moved> {
        let listed = &target.listed;
        // The words of the label come first: only in these are the links by which it moved.
        let spellings = [
            target.labelled.as_ref().zip(self.labelled.as_ref()),
            Some((&target.declared, &self.resolved)),
        ];
        spellings
            .into_iter()
            .flatten()
            .find_map(|(declared, found)| {
                let written = &declared.folder;
                if !kind.makes_containers() {
                    let is_elsewhere = found.folder_exists && listed.folder != found.folder;
                    is_elsewhere.then(|| listed.folder_moved(found, written))?
                } else if declared.config.is_some() {
                    listed.moved(found, written)
                } else {
                    listed.folder_moved(found, written)
                }
            })
    }
}
