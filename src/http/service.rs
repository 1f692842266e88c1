//! The parts of the daemon that answers need, and all access of answers to the state.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::access::Access;
use super::encode::Bodies;
use super::errors::{ContainerError, Error};
use super::limits::Limits;
use super::places::Places;
use super::refusals::Refusals;
use crate::base::notify::Notifier;
use crate::base::text::enumerate;
use crate::base::time::Timestamp;
use crate::daemon::current::{Current, NoView, Observer};
use crate::daemon::operations::journal::Journal;
use crate::daemon::operations::{OperationRequest, Operations, StartError};
use crate::daemon::registry::Registry;
use crate::daemon::shared::Shared;
use crate::daemon::surroundings::Surroundings;
use crate::daemon::wanted::{ALWAYS, IsWanted};
use crate::docker::why_no_access;
use crate::model::api::{Container, Devcontainer};
use crate::model::ids::Key;
use crate::model::labels::LABEL_FOLDER;
use crate::model::origin::Origin;
use crate::process;
use crate::state::{Fact, Scraped, Selected, State, Update, View};

/// The reason why a client that has most likely gone away gets no list.
const UNWANTED: &str = "the client closed the connection before there was a list";

/// The daemon as the HTTP interface sees it, shared by all connections.
pub struct Service {
    shared: Arc<Shared>,
    observer: Arc<Observer>,
    operations: Arc<Operations>,
    pub(super) registry: Registry,
    surroundings: Arc<Surroundings>,
    pub(super) access: Access,
    pub(super) limits: Limits,
    pub(super) places: Arc<Places>,
    pub(super) bodies: Bodies,
    /// When the daemon was started.
    pub(super) started: Timestamp,
    pub(super) refusals: Refusals,
}

/// Keeps the daemon following docker's events for as long as a client follows changes.
pub(super) struct Interest<'a>(&'a Service);

impl Service {
    /// Creates a service that serves whom `access` admits, and gives their connections `places`.
    pub fn new(
        shared: Arc<Shared>,
        observer: Arc<Observer>,
        operations: Arc<Operations>,
        registry: Registry,
        surroundings: Arc<Surroundings>,
        access: Access,
        places: Arc<Places>,
    ) -> Self {
        Self {
            shared,
            observer,
            operations,
            registry,
            surroundings,
            access,
            limits: Limits::default(),
            places,
            bodies: Bodies::default(),
            started: Timestamp::now(),
            refusals: Refusals::default(),
        }
    }

    /// True once the daemon is about to stop: it answers, and changes nothing any more.
    pub(super) fn is_draining(&self) -> bool {
        self.shared.is_draining()
    }

    /// True once the daemon stops.
    pub(super) fn is_closing(&self) -> bool {
        self.shared.is_closing()
    }

    /// Returns the current view. Where docker gives no list, the error is built from the reason.
    pub(super) fn current(
        &self,
        is_wanted: IsWanted<'_>,
        no_list: fn(String) -> Error,
    ) -> Result<Current, Error> {
        let current = self.observer.current(is_wanted);
        current.map_err(|no_view| match no_view {
            NoView::Closing => Error::Closing,
            NoView::Failed(reason) => no_list(reason),
            NoView::Unwanted => no_list(UNWANTED.into()),
        })
    }

    /// Returns the current view by a list that begins now, so that it shows what is not there (P20).
    ///
    /// # Errors
    ///
    /// There is no such list, for whatever reason.
    pub(super) fn newer(&self, is_wanted: IsWanted<'_>) -> Result<Arc<View>, Error> {
        match self.observer.newer(is_wanted) {
            Ok(Current {
                view, stale: None, ..
            }) => Ok(view),
            Ok(Current {
                stale: Some((_, reason)),
                ..
            })
            | Err(NoView::Failed(reason)) => Err(Error::NoListing(reason)),
            Err(NoView::Closing) => Err(Error::Closing),
            Err(NoView::Unwanted) => Err(Error::NoListing(UNWANTED.into())),
        }
    }

    /// Finds a dev container by id or name. A known one needs no listing, so that it is found while docker hangs.
    pub(super) fn known(&self, id_or_name: &str, is_wanted: IsWanted<'_>) -> Result<Key, Error> {
        // Only the first list shows which configuration the container of a predefined one was made from. Where docker
        // gives none, the definition has to do.
        if !self.shared.read(State::has_tried_to_list) {
            let _ = self.current(is_wanted, Error::NoListing);
        }
        let find = || self.shared.read(|state| state.find(id_or_name));
        if let Some(key) = find() {
            return Ok(key);
        }
        self.newer(is_wanted)?;
        find().ok_or_else(|| self.absent(Error::NoDevcontainer(id_or_name.to_owned())))
    }

    /// Returns the error for what a list that has just been made does not show: `not_found`, unless docker has not told
    /// of all containers.
    pub(super) fn absent(&self, not_found: Error) -> Error {
        self.shared.read(|state| match state.unread() {
            [] => not_found,
            unread => Error::NoListing(format!(
                "docker inspect does not answer for {}, which may be it",
                enumerate(&unread.iter().map(String::as_str).collect::<Vec<_>>())
            )),
        })
    }

    /// Finds the dev container that a container belongs to, and the id of the container. Waits for a list even if the
    /// client goes away: an operation that was asked for begins (P13).
    pub(super) fn owner_of(&self, container: &str) -> Result<(Key, String), Error> {
        if container.is_empty() {
            return Err(Error::Container(ContainerError::Empty));
        }
        self.current(ALWAYS, Error::NoListing)?;
        let find = || self.shared.read(|state| owner_of(state, container));
        find().or_else(|_| {
            self.newer(ALWAYS)?;
            find().map_err(|error| match error {
                Error::Container(ContainerError::NotFound(_)) => self.absent(error),
                error => error,
            })
        })
    }

    /// Finds a dev container as answers show it now, with the revision of its last change.
    pub(super) fn shown_devcontainer(&self, id_or_name: &str) -> Option<(Arc<Devcontainer>, u64)> {
        self.shared
            .shown(|state| state.shown_devcontainer(id_or_name))
    }

    /// Finds a dev container in a list that begins after the request, as answers show it.
    pub(super) fn newer_devcontainer(
        &self,
        id_or_name: &str,
        is_wanted: IsWanted<'_>,
    ) -> Result<(Arc<Devcontainer>, u64), Error> {
        self.newer(is_wanted)?;
        let shown = self.shown_devcontainer(id_or_name);
        shown.ok_or_else(|| self.absent(Error::NoDevcontainer(id_or_name.to_owned())))
    }

    /// Finds a container as answers show it now, with the revision of its last change.
    pub(super) fn shown_container(
        &self,
        id_or_name: &str,
    ) -> Result<(Container, u64), ContainerError> {
        if id_or_name.is_empty() {
            return Err(ContainerError::Empty);
        }
        let not_found = || ContainerError::NotFound(id_or_name.to_owned());
        self.shared.shown(|state| match state.select(id_or_name) {
            Selected::One(info) => state.shown_container(&info.id).ok_or_else(not_found),
            Selected::None => Err(not_found()),
            Selected::Ambiguous => Err(ContainerError::Ambiguous(id_or_name.to_owned())),
        })
    }

    /// Returns a dev container as it is now, without waiting for a newer list.
    pub(super) fn shown(&self, key: Key) -> Option<Devcontainer> {
        self.shared.read(|state| state.describe(key))
    }

    /// Returns the dev containers of `view` that are in this folder, by identity on disk.
    pub(super) fn in_folder(&self, view: &View, folder: &Path) -> Vec<Arc<Devcontainer>> {
        let ids = self.shared.read(|state| state.in_folder(folder));
        let all = view.devcontainers.iter();
        all.filter(|one| ids.contains(&one.id)).cloned().collect()
    }

    /// Returns the age of the list and the reason why there is no newer one, while listing fails.
    pub(super) fn outage(&self) -> Option<(Duration, String)> {
        self.shared.read(|state| state.staleness(Instant::now()))
    }

    /// Waits for a list that shows what the last operation has done, if there is none yet.
    pub(super) fn await_owed_list(&self) {
        if self.shared.read(State::owes_list) {
            let _ = self.current(ALWAYS, Error::NoListing);
        }
    }

    /// Returns the log of the running or last operation.
    pub(super) fn journal(&self, key: Key) -> Option<Arc<Journal>> {
        self.operations.journal(key)
    }

    /// Begins an operation for a client. Returns its log.
    pub(super) fn start(
        &self,
        key: Key,
        request: OperationRequest,
        origin: &Origin,
    ) -> Result<Arc<Journal>, Error> {
        let kind = request.kind;
        let started = self.operations.start(key, request, origin);
        if let Err(StartError::Moved(_)) = &started {
            // The client is to find out what there is now, and to be able to ask again for that.
            let _ = self.newer(ALWAYS);
        }
        started.map_err(|error| Error::of_start(error, kind))
    }

    /// Ends the running operation of a dev container for a client. Returns its log.
    pub(super) fn cancel(&self, key: Key, origin: &Origin) -> Result<Arc<Journal>, Error> {
        let cancelled = self.operations.cancel(key, origin);
        cancelled.ok_or(Error::NothingToCancel)
    }

    /// Returns the parts of the daemon that are missing, each with its reason, and what should be otherwise all the same.
    pub(super) fn missing(
        &self,
        is_wanted: IsWanted<'_>,
    ) -> Result<(Vec<String>, Vec<String>), Error> {
        let programs = &self.surroundings.programs;
        let mut missing = programs.missing();
        let (failure, view) = match self.observer.probe(is_wanted) {
            Err(NoView::Closing) => return Err(Error::Closing),
            Err(NoView::Failed(reason)) => (Some(reason), None),
            Err(NoView::Unwanted) => (Some(UNWANTED.into()), None),
            Ok(Current { view, stale }) => (stale.map(|(_, reason)| reason), Some(view)),
        };
        let docker = programs.docker();
        if let Some(reason) = failure.filter(|_| process::find(&docker).is_some()) {
            missing.push(format!("docker: {reason}"));
            missing.extend(why_no_access(&docker).map(|why| format!("docker: {why}")));
        }
        missing.extend(self.watcher_warning().map(|why| format!("watcher: {why}")));
        let advice = view.map(|view| self.surroundings.of_view(&self.shared, &view));
        Ok((missing, advice.unwrap_or_default()))
    }

    /// Returns what a scrape of the metrics shows of the state.
    pub(super) fn scrape(&self) -> Scraped {
        self.shared.scrape()
    }

    /// Returns the reason why the watcher notices no changes of files, if there is one.
    pub(super) fn watcher_warning(&self) -> Option<String> {
        self.shared
            .read(|state| state.watcher_warning().map(str::to_owned))
    }

    /// Returns the changes since a revision, or a snapshot.
    pub(super) fn update_since(&self, revision: Option<u64>) -> Update {
        self.shared.updates_since(revision)
    }

    /// Scans the inputs of all dev containers for changes.
    pub(super) fn scan(&self) {
        self.observer.scan();
    }

    /// Returns a notifier of every change of the state.
    pub(super) fn notifier(&self) -> Result<Arc<Notifier>, Error> {
        self.shared.notifier().map_err(Error::NoDescriptor)
    }

    /// Begins to follow docker's events, until the returned guard is dropped.
    pub(super) fn interest(&self) -> Interest<'_> {
        self.shared.apply(Fact::StreamOpened);
        Interest(self)
    }
}

fn owner_of(state: &State, container: &str) -> Result<(Key, String), Error> {
    let error = match state.select(container) {
        Selected::One(info) if info.own_label(LABEL_FOLDER).is_none() => {
            ContainerError::NotDevcontainer(info.name.clone())
        }
        Selected::One(info) => {
            let owner = state.owner(&info.id);
            return match owner {
                Some(owner) => Ok((owner, info.id.clone())),
                None => Err(Error::NoDevcontainer(info.name.clone())),
            };
        }
        Selected::None => ContainerError::NotFound(container.to_owned()),
        Selected::Ambiguous => ContainerError::Ambiguous(container.to_owned()),
    };
    Err(Error::Container(error))
}

impl Drop for Interest<'_> {
    fn drop(&mut self) {
        let Self(service) = self;
        service.shared.apply(Fact::StreamClosed);
        if !service.shared.read(State::has_streams) {
            service.bodies.forget_changes();
        }
    }
}
