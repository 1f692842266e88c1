//! Operations: a thread for each, which belongs to the daemon and not to the request that began it (P13).

pub mod journal;
mod output;
mod run;
mod settle;
pub mod sink;
mod up;

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use self::journal::Journal;
use self::run::{Done, OperationRun};
use self::sink::Sink;
use super::persist::Persister;
use super::shared::Shared;
use crate::base::flock::FolderLock;
use crate::base::notify::Notifier;
use crate::docker::Client;
use crate::model::ids::{Key, OperationId};
use crate::model::operation::OperationKind;
use crate::process;
use crate::process::programs::Programs;
use crate::state::Refusal;

/// How long to wait for a lock on a folder that may be about to be given back.
const LOCK_PATIENCE: Duration = Duration::from_millis(500);
/// How long an operation waits before it begins for what an earlier one left to be put right.
const REPAIR_PATIENCE: Duration = Duration::from_secs(10);
/// For all docker commands that it takes to put right what an operation did.
const SETTLING_PATIENCE: Duration = Duration::from_secs(60);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What operations need, and how they are ended.
pub struct Operations {
    shared: Arc<Shared>,
    programs: Arc<Programs>,
    roots: Arc<[PathBuf]>,
    sink: Option<Sink>,
    timeout: Duration,
    persister: Arc<Persister>,
    /// Of the operations that run.
    aborts: Mutex<HashMap<Key, Arc<Abort>>>,
    /// Of the folders in which operations run.
    locks: Mutex<HashMap<PathBuf, Weak<FolderLock>>>,
    /// Readable when even what is being put right must end.
    last_call: Notifier,
    threads: AtomicUsize,
}

/// What operations are told on the command line.
pub struct OperationSettings {
    /// The resolved folders of `--workspace-root`.
    pub roots: Arc<[PathBuf]>,
    /// Who reads their logs.
    pub sink: Option<Sink>,
    /// How long one may take.
    pub timeout: Duration,
    /// Writes down what of them outlives a restart.
    pub persister: Arc<Persister>,
}

/// Why an operation did not begin.
#[derive(Debug, PartialEq, Eq)]
pub enum StartError {
    /// The state says no.
    Refused(Refusal),
    /// The folder may not be operated on.
    NotAllowed(String),
    /// The system has nothing left for it.
    NoResources(String),
}

/// Tells one operation to end early.
struct Abort {
    /// Readable once it shall end.
    notifier: Notifier,
    /// Whether somebody wants that, and not the end of the daemon.
    cancelled: AtomicBool,
}

/// Ends what runs on of the operations of daemons that were killed.
pub fn end_leftovers() {
    let ended = process::end_leftovers();
    if ended > 0 {
        log::info!("processes that a daemon left which is gone were ended: {ended}");
    }
}

/// Counts a thread for as long as it lives.
struct Counted(Arc<Operations>);

impl Operations {
    /// No operation yet.
    pub fn new(
        shared: Arc<Shared>,
        programs: Arc<Programs>,
        settings: OperationSettings,
    ) -> std::io::Result<Self> {
        Ok(Self {
            shared,
            programs,
            roots: settings.roots,
            sink: settings.sink,
            timeout: settings.timeout,
            persister: settings.persister,
            aborts: Mutex::default(),
            locks: Mutex::default(),
            last_call: Notifier::new()?,
            threads: AtomicUsize::new(0),
        })
    }

    /// Begins an operation and returns its log, which also tells its end.
    pub fn start(
        self: &Arc<Self>,
        key: Key,
        kind: OperationKind,
    ) -> Result<Arc<Journal>, StartError> {
        let address = self.shared.read(|state| state.address(key));
        let address = address.ok_or(StartError::Refused(Refusal::Gone))?;
        let place = address.resolve(&self.roots);
        let refused = match kind {
            OperationKind::Recreate | OperationKind::Start => &place.refused,
            // Nothing of the folder is used, which may be gone.
            OperationKind::Stop | OperationKind::Delete => &place.outside,
        };
        if let Some(why) = refused {
            return Err(StartError::NotAllowed(why.clone()));
        }
        let abort = Abort::new().map_err(|e| StartError::NoResources(e.to_string()))?;
        let abort = Arc::new(abort);
        self.shared
            .wait_until_or(Instant::now() + REPAIR_PATIENCE, |state| {
                (!state.is_repairing(key) || state.is_closing()).then_some(())
            });
        let lock = self
            .lock(&place.folder)
            .ok_or(StartError::Refused(Refusal::Elsewhere))?;
        let mut aborts = self.aborts();
        // While the lock is held, no two can have the same.
        let id = OperationId::new(SystemTime::now());
        let begun = self
            .shared
            .update(|state| state.begin(key, kind, id.clone()));
        let journal = begun.map_err(StartError::Refused)?;
        aborts.insert(key, abort.clone());
        drop(aborts);
        let job = OperationRun {
            key,
            kind,
            id,
            address,
            place,
            journal: journal.clone(),
            abort,
            _lock: lock,
            deadline: Instant::now() + self.timeout,
            operations: Counted::new(self),
        };
        self.feed_sink(&journal);
        let failed_job = job.clone();
        let thread = thread::Builder::new().name(kind.verb().into());
        if let Err(e) = thread.spawn(move || job.run()) {
            failed_job.end(Done::failed(format!("no thread can be started: {e}")));
        }
        Ok(journal)
    }

    /// Ends the operation that runs for a dev container. Returns its log; `None` where none runs.
    pub fn cancel(&self, key: Key) -> Option<Arc<Journal>> {
        let aborts = self.aborts();
        let abort = aborts.get(&key)?;
        let journal = self.shared.read(|state| state.journal(key))?;
        abort.cancelled.store(true, Ordering::Release);
        abort.signal();
        Some(journal)
    }

    /// Puts right what operations left that did not come to their end, each dev container's in a thread.
    pub fn repair(self: &Arc<Self>) {
        for key in self.shared.read(|state| state.to_repair()) {
            let counted = Counted::new(self);
            let thread = thread::Builder::new().name("repair".into());
            if let Err(e) = thread.spawn(move || up::repair(&counted.0, key)) {
                log::warn!("containers cannot be put right: no thread can be started: {e}");
            }
        }
    }

    fn feed_sink(self: &Arc<Self>, journal: &Arc<Journal>) {
        let Some(sink) = &self.sink else { return };
        let (sink, journal, counted) = (sink.clone(), journal.clone(), Counted::new(self));
        let thread = thread::Builder::new().name("sink".into());
        let spawned = thread.spawn(move || sink.feed(&journal, &counted.0.shared));
        if let Err(e) = spawned {
            log::warn!(
                "the log sink gets nothing of this operation: no thread can be started: {e}"
            );
        }
    }

    /// Ends all operations early. None may begin any more.
    pub fn abort(&self) {
        for abort in self.aborts().values() {
            abort.signal();
        }
    }

    /// Ends even what is putting containers right: the next daemon goes on with it.
    pub fn last_call(&self) {
        self.last_call.notify();
    }

    /// Docker, for putting right what `operation` did, which nothing but the daemon's own end may end early.
    fn settling_client<'a>(&'a self, program: &'a Path, operation: &'a OperationId) -> Client<'a> {
        Client {
            program,
            deadline: Instant::now() + SETTLING_PATIENCE,
            abort: Some(self.last_call.as_fd()),
            operation: Some(operation.as_str()),
            thorough: false,
        }
    }

    /// Whether every thread of every operation has ended, the feeding of the sink included.
    pub fn are_idle(&self) -> bool {
        self.threads.load(Ordering::Acquire) == 0
    }

    /// Locks a folder. Operations of this daemon share a lock; while another daemon has it, there is none.
    fn lock(&self, folder: &Path) -> Option<Arc<FolderLock>> {
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            let lock = self.try_lock(folder);
            if lock.is_some() || Instant::now() >= deadline {
                return lock;
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    fn try_lock(&self, folder: &Path) -> Option<Arc<FolderLock>> {
        if let Some(lock) = self.locks().get(folder).and_then(Weak::upgrade) {
            return Some(lock);
        }
        // A folder may hang: the others are not to wait for that.
        let lock = Arc::new(FolderLock::take(folder)?);
        let mut locks = self.locks();
        locks.retain(|_, lock| lock.strong_count() > 0);
        if lock.is_held() {
            locks.insert(folder.to_path_buf(), Arc::downgrade(&lock));
        }
        Some(lock)
    }

    fn locks(&self) -> MutexGuard<'_, HashMap<PathBuf, Weak<FolderLock>>> {
        self.locks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn aborts(&self) -> MutexGuard<'_, HashMap<Key, Arc<Abort>>> {
        self.aborts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Abort {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            notifier: Notifier::new()?,
            cancelled: AtomicBool::new(false),
        })
    }

    fn signal(&self) {
        self.notifier.notify();
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.notifier.as_fd()
    }
}

impl Counted {
    fn new(operations: &Arc<Operations>) -> Self {
        operations.threads.fetch_add(1, Ordering::AcqRel);
        Self(operations.clone())
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(&self.0)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.threads.fetch_sub(1, Ordering::AcqRel);
    }
}
