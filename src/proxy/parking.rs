//! Setting containers aside, and giving them back.

use std::os::fd::AsFd;
use std::sync::MutexGuard;
use std::time::{Duration, Instant};

use super::rules::{Parked, Progress, Rules};
use crate::docker::{self, Client, Snapshot};
use crate::model::original::Original;

/// The limit of a rename. It is not cut short by the end of the operation, so that names are known from then on.
const RENAME_PATIENCE: Duration = Duration::from_secs(20);
/// The limit of stopping containers, whose own grace may be long. The end of the operation cuts it short.
const STOP_PATIENCE: Duration = Duration::from_secs(3600);

impl Rules {
    /// Parks a container of the compose project, once.
    pub(super) fn park(&self, seen: Snapshot) -> Result<(), docker::Error> {
        let mut progress = self.open_progress()?;
        if progress.parked.iter().any(|one| one.original.id == seen.id) {
            return Ok(());
        }
        let original = Original::from(seen);
        self.renaming_client()
            .park(&original, &self.plan.operation)?;
        progress.parked.push(Parked {
            original,
            is_removed: false,
        });
        Ok(())
    }

    /// Gives a container of the compose project its name back, as compose starts it again.
    pub(super) fn unpark(&self, id: &str) -> Result<(), docker::Error> {
        let mut progress = self.open_progress()?;
        let mut parked = progress.parked.iter();
        let Some(at) = parked.position(|one| one.original.id == id) else {
            return Ok(());
        };
        let one = progress.parked.remove(at);
        let renamed = self.renaming_client().rename(id, &one.original.name);
        if renamed.is_err() {
            progress.parked.push(one);
        }
        renamed
    }

    /// Frees the names of the containers that are to be replaced, once.
    pub(super) fn park_replaced(&self) -> Result<(), docker::Error> {
        let mut progress = self.open_progress()?;
        if !progress.is_replacing {
            for original in &self.plan.replaces {
                self.renaming_client()
                    .park(original, &self.plan.operation)?;
            }
            progress.is_replacing = true;
        }
        Ok(())
    }

    /// Frees the ports of the containers that are to be replaced, once.
    pub(super) fn stop_replaced(&self) -> Result<(), docker::Error> {
        if self.plan.replaces.is_empty() || self.progress().is_stopped {
            return Ok(());
        }
        self.open_progress()?.is_stopping = true;
        let line = self.client().stop_parked(&self.plan.replaces)?;
        self.progress().is_stopped = true;
        (self.plan.say)(&line);
        Ok(())
    }

    /// Takes containers away that are to be replaced, as someone stops or removes them before.
    pub(super) fn take_away_replaced(&self) -> Result<(), docker::Error> {
        self.park_replaced()?;
        self.stop_replaced()
    }

    /// Returns whether a container is set aside, or is about to be.
    pub(super) fn is_set_aside(&self, id: &str) -> bool {
        let progress = self.progress();
        let mut parked = progress.parked.iter();
        self.is_replaced(id) || parked.any(|one| one.original.id == id)
    }

    /// Returns whether any container is set aside.
    pub(super) fn has_set_aside(&self) -> bool {
        let progress = self.progress();
        progress.is_replacing || !progress.parked.is_empty()
    }

    /// The docker client for what the end of the operation cuts short.
    pub(super) fn client(&self) -> Client<'_> {
        Client {
            program: &self.plan.docker,
            deadline: Instant::now() + STOP_PATIENCE,
            abort: Some(self.closing.as_fd()),
            operation: Some(self.plan.operation.as_str()),
            thorough: false,
            socket: self.plan.endpoint.socket(),
        }
    }

    fn renaming_client(&self) -> Client<'_> {
        Client {
            deadline: Instant::now() + RENAME_PATIENCE,
            abort: None,
            ..self.client()
        }
    }

    /// The progress, unless the operation has ended.
    fn open_progress(&self) -> Result<MutexGuard<'_, Progress>, docker::Error> {
        let progress = self.progress();
        match progress.is_closed {
            true => Err(docker::Error::Aborted {
                command: "docker rename".to_owned(),
            }),
            false => Ok(progress),
        }
    }
}
