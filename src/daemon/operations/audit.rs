//! The lines of the daemon's own log that say who asked for an operation, where it works, and how it went.

use std::fmt;
use std::path::PathBuf;

use super::StartError;
use crate::model::location::Resolved;
use crate::model::operation::OperationKind;
use crate::model::origin::Origin;
use crate::state::Target;

/// An operation as the log names it.
#[derive(Clone)]
pub(super) struct Audit {
    kind: OperationKind,
    origin: Origin,
    /// The workspace folder without symbolic links.
    folder: PathBuf,
    /// The configuration without symbolic links.
    config: Option<PathBuf>,
}

impl Audit {
    /// Returns the operation with its place as it was listed.
    pub(super) fn new(kind: OperationKind, origin: &Origin, target: &Target) -> Self {
        Self {
            kind,
            origin: origin.clone(),
            folder: target.listed.folder.clone(),
            config: target.listed.canonical_config.clone(),
        }
    }

    /// Takes the place as it was found when the operation began.
    pub(super) fn found(&mut self, resolved: &Resolved) {
        self.folder.clone_from(&resolved.folder);
        self.config.clone_from(&resolved.canonical_config);
    }

    pub(super) fn queued(&self, ahead: &str) {
        log::info!("{self}: queued: {ahead}");
    }

    pub(super) fn begun(&self) {
        log::info!("{self}: begins");
    }

    pub(super) fn refused(&self, why: &StartError) {
        log::warn!("{self}: refused: {why}");
    }

    pub(super) fn ended(&self, summary: &str) {
        log::info!("{self}: {summary}");
    }
}

impl fmt::Display for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, folder) = (self.kind.verb(), &self.folder);
        // Paths are quoted, as they may hold anything.
        write!(f, "{verb} of {folder:?} (config ")?;
        match &self.config {
            Some(config) => write!(f, "{config:?}")?,
            None => f.write_str("none")?,
        }
        write!(f, ") for {}", self.origin)
    }
}
