//! Operations: a thread for each, which belongs to the daemon and not to the request that began it (P13).

mod abort;
mod aftermath;
mod audit;
mod claims;
mod failure;
pub mod journal;
mod locks;
mod output;
mod place;
mod prepare;
mod queue;
mod rendering;
mod repair;
mod request;
mod restore;
mod run;
mod services;
mod settle;
pub mod sink;
mod stop;
mod up;
mod way;

use std::collections::HashMap;
use std::io;
use std::ops::Deref;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use self::abort::Abort;
use self::audit::Audit;
use self::failure::Failure;
use self::journal::Journal;
use self::locks::FolderLocks;
pub use self::request::{OperationRequest, StartError};
use self::run::{OperationRun, Subject};
use self::sink::Sink;
use super::disk::{Disk, Silent};
use super::persist::Persister;
use super::shared::Shared;
use crate::base::flock::FolderLock;
use crate::base::notify::Notifier;
use crate::base::threads;
use crate::docker::Client;
use crate::model::ids::{Key, OperationId};
use crate::model::location::Resolved;
use crate::model::operation::OperationKind;
use crate::model::origin::Origin;
use crate::model::project::Project;
use crate::model::up_arg::UpArg;
use crate::process::programs::Programs;
use crate::state::{Refusal, Target};
use crate::{process, proxy};

/// How long an operation waits before it begins for a repair that is under way.
const REPAIR_PATIENCE: Duration = Duration::from_secs(10);
/// The time for all docker commands that it takes to settle one operation.
const SETTLING_PATIENCE: Duration = Duration::from_secs(60);

/// All operations of the daemon: what they need, and how they are ended.
pub struct Operations {
    shared: Arc<Shared>,
    programs: Arc<Programs>,
    settings: OperationSettings,
    /// The running or last operation of each dev container. Locked before the state.
    handles: Mutex<HashMap<Key, Handle>>,
    locks: Arc<FolderLocks>,
    /// Readable when even repairs must end.
    last_call: Notifier,
    threads: AtomicUsize,
}

/// The settings of operations, from the command line.
pub struct OperationSettings {
    /// The folders of dev containers.
    pub disk: Arc<Disk>,
    /// Additional arguments of every `devcontainer up`.
    pub up_args: Vec<UpArg>,
    /// The program that reads the logs.
    pub sink: Option<Sink>,
    /// The longest time that one operation may take.
    pub timeout: Duration,
    /// Saves what outlives a restart.
    pub persister: Arc<Persister>,
}

/// Where an operation works, which is its own until it has ended.
#[derive(Clone)]
struct OperationPlace {
    target: Target,
    resolved: Resolved,
    claims: Vec<Project>,
    locks: Vec<Arc<FolderLock>>,
}

/// The handle of the running or last operation of a dev container.
struct Handle {
    journal: Arc<Journal>,
    /// `None` once the operation has ended.
    abort: Option<Arc<Abort>>,
}

/// How many processes that operations of killed daemons left were ended by any thread.
static LEFTOVERS_ENDED: AtomicUsize = AtomicUsize::new(0);
/// Locked while one thread looks for them: another one looks only when those are ended and counted that the first has found.
static ENDING_LEFTOVERS: Mutex<()> = Mutex::new(());

/// Ends the processes that operations of killed daemons left, and removes their sockets. Returns whether there were any.
pub fn end_leftovers() -> bool {
    let ending = ENDING_LEFTOVERS.lock();
    let ended = process::end_leftovers();
    LEFTOVERS_ENDED.fetch_add(ended, Ordering::AcqRel);
    drop(ending);
    if ended > 0 {
        log::info!("ended {ended} processes that an earlier daemon left");
    }
    proxy::remove_leftovers();
    ended > 0
}

impl Operations {
    /// Returns the operations of a daemon that has not begun one yet.
    ///
    /// # Errors
    ///
    /// Fails where the process has no descriptors left.
    pub fn new(
        shared: Arc<Shared>,
        programs: Arc<Programs>,
        settings: OperationSettings,
    ) -> io::Result<Self> {
        Ok(Self {
            shared,
            programs,
            settings,
            handles: Mutex::default(),
            locks: Arc::default(),
            last_call: Notifier::new()?,
            threads: AtomicUsize::new(0),
        })
    }

    /// Begins an operation, or queues it, and returns its log, which also reports its end. The daemon's own log says who
    /// asked for it.
    pub fn start(
        self: &Arc<Self>,
        key: Key,
        request: OperationRequest,
        origin: &Origin,
    ) -> Result<Arc<Journal>, StartError> {
        let target = self.target(key, request.container.as_deref())?;
        let mut audit = self.audit(key, request.kind.verb(), origin)?;
        let started = self.start_on(key, request, target, &mut audit);
        if let Err(why) = &started {
            audit.refused(why);
        }
        started
    }

    fn start_on(
        self: &Arc<Self>,
        key: Key,
        request: OperationRequest,
        target: Target,
        audit: &mut Audit,
    ) -> Result<Arc<Journal>, StartError> {
        let abort = Abort::new().map_err(|e| StartError::NoResources(e.to_string()))?;
        let place = self.place(key, request.kind, target)?;
        audit.found(&place.resolved);
        let abort = Arc::new(abort);
        let deadline = Instant::now() + REPAIR_PATIENCE;
        let run = loop {
            let place = place.clone();
            let claims = place.claims.clone();
            let begun = self.begin(key, request.clone(), place, abort.clone(), audit.clone());
            match begun {
                // A repair has begun since the last look.
                Err(StartError::Refused(Refusal::Repairing)) if Instant::now() < deadline => {
                    self.wait_for_repair(key, &claims);
                }
                begun => break begun?,
            }
        };
        let journal = run.journal.clone();
        self.spawn(run);
        Ok(journal)
    }

    fn audit(
        &self,
        key: Key,
        operation: &'static str,
        origin: &Origin,
    ) -> Result<Audit, StartError> {
        let identity = self.shared.read(|state| state.identity(key));
        let identity = identity.ok_or(StartError::Refused(Refusal::Gone))?;
        Ok(Audit::new(operation, origin, identity))
    }

    fn target(&self, key: Key, container: Option<&str>) -> Result<Target, StartError> {
        let target = self.shared.read(|state| state.target(key, container));
        target.ok_or(StartError::Refused(Refusal::Gone))
    }

    /// Finds out where an operation works, and locks that.
    fn place(
        &self,
        key: Key,
        kind: OperationKind,
        target: Target,
    ) -> Result<OperationPlace, StartError> {
        let resolved = self.find(&target, kind)?;
        let declared = &target.declared;
        let silent = |Silent| StartError::silent(&declared.folder);
        let claims = self.claims(key, declared, &resolved).map_err(silent)?;
        self.wait_for_repair(key, &claims);
        let locks = self.lock_all(&resolved, &claims, locks::PATIENCE);
        let locks = locks.map_err(silent)?.ok_or(StartError::Locked)?;
        Ok(OperationPlace {
            target,
            resolved,
            claims,
            locks,
        })
    }

    fn wait_for_repair(&self, key: Key, claims: &[Project]) {
        let deadline = Instant::now() + REPAIR_PATIENCE;
        self.shared.wait_until_or(deadline, |state| {
            (!state.is_repairing(key, claims) || state.is_draining()).then_some(())
        });
    }

    fn begin(
        self: &Arc<Self>,
        key: Key,
        request: OperationRequest,
        place: OperationPlace,
        abort: Arc<Abort>,
        audit: Audit,
    ) -> Result<OperationRun, StartError> {
        let mut handles = self.handles();
        // While the handles are locked, no two operations get the same id.
        let id = OperationId::new(SystemTime::now());
        let kind = request.kind;
        let begun = self.shared.update(|state| {
            let begun = state.begin(key, kind, id.clone(), place.claims.clone())?;
            let labels = place.target.labels.clone();
            Ok((begun, Subject::of(state, key, labels)))
        });
        let (begun, subject) = begun.map_err(StartError::Refused)?;
        let journal = Arc::new(Journal::new(begun.log_source));
        handles.insert(
            key,
            Handle {
                journal: journal.clone(),
                abort: Some(abort.clone()),
            },
        );
        let queued_at = begun.waits_for.as_ref().map(|_| Instant::now());
        let run = OperationRun {
            key,
            kind,
            container: request.container,
            subject,
            all: request.all,
            id,
            audit,
            declared: place.target.declared,
            labelled: place.target.labelled,
            resolved: place.resolved,
            claims: place.claims,
            journal,
            abort,
            _locks: place.locks,
            queued_at,
            deadline: Instant::now() + self.settings.timeout,
            operations: ThreadGuard::new(self),
        };
        if let Some(ahead) = begun.waits_for {
            run.announce(&ahead);
        }
        Ok(run)
    }

    fn spawn(&self, run: OperationRun) {
        let unstarted = run.clone();
        if let Err(e) = threads::start(run.kind.verb(), move || run.run()) {
            unstarted.end(Failure::Thread(e).into());
        }
    }

    /// Returns the log of the running or last operation of a dev container. Operations of earlier runs of the daemon
    /// have none.
    pub fn journal(&self, key: Key) -> Option<Arc<Journal>> {
        self.handles()
            .get(&key)
            .map(|handle| handle.journal.clone())
    }

    /// Ends the operation that runs, or is queued, for a dev container. Returns its log; `None` where there is none. The
    /// daemon's own log says who asked for it.
    pub fn cancel(&self, key: Key, origin: &Origin) -> Option<Arc<Journal>> {
        let audit = self.audit(key, "cancel", origin).ok()?;
        let running = |handle: &Handle| Some((handle.journal.clone(), handle.abort.clone()?));
        let running = self.handles().get(&key).and_then(running);
        let Some((journal, abort)) = running else {
            audit.cancelled(Some("no operation is running or queued"));
            return None;
        };
        audit.cancelled(None);
        abort.cancel();
        self.shared.wake();
        Some(journal)
    }

    /// Repairs what operations left that did not come to their end, in a thread for each dev container. Called after each
    /// full listing; so the logs of dev containers that are gone are dropped here, too.
    pub fn repair(self: &Arc<Self>) {
        let mut handles = self.handles();
        self.shared
            .read(|state| handles.retain(|key, _| state.id(*key).is_some()));
        drop(handles);
        for key in self.shared.read(|state| state.to_repair()) {
            let operations = ThreadGuard::new(self);
            if let Err(e) = threads::start("repair", move || operations.repair_one(key)) {
                log::warn!("containers cannot be repaired: no thread can be started: {e}");
            }
        }
    }

    fn feed_sink(self: &Arc<Self>, journal: &Arc<Journal>) {
        let Some(sink) = self.settings.sink.clone() else {
            return;
        };
        let (journal, operations) = (journal.clone(), ThreadGuard::new(self));
        let spawned = threads::start("sink", move || sink.feed(&journal, &operations.shared));
        if let Err(e) = spawned {
            log::warn!(
                "no thread can be started for the log sink, which receives nothing of this operation: {e}"
            );
        }
    }

    /// Returns whether an operation has begun and not ended, for those who read its log.
    pub fn are_at_work(&self) -> bool {
        let handles = self.handles();
        handles.values().any(|one| one.journal.ended_at().is_none())
    }

    /// Ends all operations early, because the daemon stops. No other one begins from then on.
    pub fn interrupt(&self) {
        let handles = self.handles();
        let aborts = handles.values().filter_map(|handle| handle.abort.as_ref());
        aborts.for_each(|abort| abort.interrupt());
    }

    /// Ends even repairs: the next daemon goes on with them.
    pub fn last_call(&self) {
        self.last_call.notify();
    }

    /// Returns whether every thread of every operation has ended, those of the log sink included.
    pub fn are_idle(&self) -> bool {
        self.threads.load(Ordering::Acquire) == 0
    }

    /// Returns a docker client to settle `operation` with. Nothing but the end of the daemon ends its commands early.
    fn settling_client<'a>(
        &'a self,
        program: &'a Path,
        operation: &'a OperationId,
        socket: Option<&'a Path>,
    ) -> Client<'a> {
        Client {
            program,
            deadline: Instant::now() + SETTLING_PATIENCE,
            abort: Some(self.last_call.as_fd()),
            operation: Some(operation.as_str()),
            thorough: false,
            socket,
        }
    }

    /// Notes that the operation of a dev container has ended. Its log stays.
    fn release(&self, key: Key) {
        if let Some(handle) = self.handles().get_mut(&key) {
            handle.abort = None;
        }
    }

    fn handles(&self) -> MutexGuard<'_, HashMap<Key, Handle>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a thread of an operation for as long as it lives.
struct ThreadGuard(Arc<Operations>);

impl ThreadGuard {
    fn new(operations: &Arc<Operations>) -> Self {
        operations.threads.fetch_add(1, Ordering::AcqRel);
        Self(operations.clone())
    }
}

impl Clone for ThreadGuard {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for ThreadGuard {
    fn drop(&mut self) {
        self.0.threads.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Deref for ThreadGuard {
    type Target = Operations;

    fn deref(&self) -> &Operations {
        &self.0
    }
}
