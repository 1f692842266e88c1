//! All access to workspaces on disk, each within a deadline: what does not answer is silent (P22).

use std::collections::HashSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

pub use super::looks::Silent;
use super::looks::{Located, Looks};
use super::mounts::Mounts;
use crate::base::notify::RescanSignal;
use crate::base::threads;
use crate::devcontainer::config::search;
use crate::devcontainer::discover::{Search, discover};
use crate::devcontainer::resolve::{canonical, exists, resolve};
use crate::devcontainer::scan;
use crate::model::inputs::{ForceReread, Inputs};
use crate::model::location::{CliPaths, Declared, Resolved, normal};
use crate::state::{Found, ScanTarget, Unlocated};

/// How long the start of the daemon waits until all folders of `--workspace-root` are resolved.
const ROOTS_PATIENCE: Duration = Duration::from_secs(2);

/// The workspaces, as far as `--workspace-root` allows them.
pub struct Disk {
    looks: Looks,
    roots: Arc<Roots>,
}

/// The folders of `--workspace-root`, each as it is written and, once it has answered, resolved.
struct Roots(Mutex<Arc<[PathBuf]>>);

/// A folder to look at.
struct Folder(PathBuf);

/// Several folders, none of which is to be silent for what another one does.
struct Anywhere;

impl Disk {
    /// Returns the workspaces below `roots`, all if there are none. Asks for a scan with `rescan_signal` when a file system
    /// answers again. A root that does not answer is taken as it is written until it does.
    pub fn new(roots: &[PathBuf], rescan_signal: RescanSignal) -> Self {
        Self {
            roots: Roots::resolved(roots, &rescan_signal),
            looks: Looks::new(rescan_signal),
        }
    }

    /// The folders of `--workspace-root`, each as it is written and resolved.
    pub fn roots(&self) -> Arc<[PathBuf]> {
        self.roots.all()
    }

    /// Does something in a folder. An operation may do it that has been allowed there.
    pub fn within<T: Send + 'static>(
        &self,
        folder: &Path,
        act: impl Fn() -> T + Send + Sync + 'static,
    ) -> Result<T, Silent> {
        self.looks.one(Folder(folder.to_path_buf()), move |_| act())
    }

    /// Does something at the place of a dev container, for which its folder and its configuration are looked at.
    pub fn at<T: Send + 'static>(
        &self,
        declared: &Declared,
        act: impl Fn() -> T + Send + Sync + 'static,
    ) -> Result<T, Silent> {
        self.looks.one(declared.clone(), move |_| act())
    }

    /// Does something in several folders at once.
    pub fn anywhere<T: Send + 'static>(
        &self,
        act: impl Fn() -> T + Send + Sync + 'static,
    ) -> Result<T, Silent> {
        self.looks.one(Anywhere, move |_| act())
    }

    /// Resolves the place of a dev container ([`resolve`]).
    pub fn resolve(&self, declared: &Declared) -> Result<Resolved, Silent> {
        let roots = self.roots();
        let look = move |declared: &Declared| resolve(declared, &roots);
        self.looks.one(declared.clone(), look)
    }

    /// Resolves several places.
    pub fn resolve_all<K>(
        &self,
        declared: Vec<(K, Declared)>,
    ) -> Vec<(K, Declared, Result<Resolved, Silent>)> {
        let items: Arc<[Declared]> = declared.iter().map(|(_, one)| one.clone()).collect();
        let roots = self.roots();
        let look = move |declared: &Declared| resolve(declared, &roots);
        let found = self.looks.each(items, look, |_| {});
        let all = declared.into_iter().zip(found);
        all.map(|((key, declared), found)| (key, declared, found))
            .collect()
    }

    /// Searches below a directory of `--discover`, with the file of the patterns that git ignores everywhere.
    pub fn search(
        &self,
        directory: &Path,
        global: Option<PathBuf>,
    ) -> Result<io::Result<Search>, Silent> {
        self.looks
            .one(Folder(directory.to_path_buf()), move |folder| {
                let directory = canonical(&folder.0);
                let elsewhere = Mounts::read().elsewhere(&directory);
                discover(&directory, &elsewhere, global.as_deref())
            })
    }

    /// Resolves what a search has found. `None` is what is no file, or below no workspace root.
    pub fn resolve_found(
        &self,
        declared: Vec<Declared>,
    ) -> Vec<(Declared, Result<Option<Resolved>, Silent>)> {
        let items: Arc<[Declared]> = declared.iter().cloned().collect();
        let roots = self.roots();
        let look = move |declared: &Declared| {
            let resolved = resolve(declared, &roots);
            let config = resolved.canonical_config.as_deref();
            let is_there = config.is_some_and(Path::is_file);
            let is_allowed = resolved.access.allows_stop();
            (is_there && is_allowed).then_some(resolved)
        };
        let found = self.looks.each(items, look, |_| {});
        declared.into_iter().zip(found).collect()
    }

    /// Returns those of `folders` that certainly do not exist ([`exists`]).
    pub fn gone(&self, folders: Vec<PathBuf>) -> HashSet<PathBuf> {
        let items: Arc<[Folder]> = folders.iter().cloned().map(Folder).collect();
        let roots = self.roots();
        let look = move |folder: &Folder| exists(&folder.0, &roots);
        let found = self.looks.each(items, look, |_| {});
        let all = folders.into_iter().zip(found);
        all.filter_map(|(folder, exists)| (exists == Ok(false)).then_some(folder))
            .collect()
    }

    /// Scans the inputs of dev containers, and returns what is not as it was. `take_late` takes what is found where the
    /// answer comes too late.
    pub fn scan(
        &self,
        targets: &Arc<[Arc<ScanTarget>]>,
        force_reread: Arc<ForceReread>,
        take_late: impl Fn(Found) + Send + Sync + 'static,
    ) -> Vec<Found> {
        let roots = self.roots();
        let look = move |target: &Arc<ScanTarget>| scan_one(target, &force_reread, &roots);
        let take_late = move |found: Option<Found>| found.into_iter().for_each(&take_late);
        let found = self.looks.each(targets.clone(), look, take_late);
        let all = targets.iter().zip(found);
        all.filter_map(|(target, found)| match found {
            Ok(found) => found,
            Err(Silent) => (!target.is_silent).then_some(Found::Silent(target.key)),
        })
        .collect()
    }

    /// Scans all inputs of one dev container. Returns `None` where they cannot be read.
    pub fn inputs(&self, paths: CliPaths) -> Option<Inputs> {
        let folder = paths.folder.clone();
        let paths = Arc::new(paths);
        let look = move || scan::scan(&paths, None, &ForceReread::default());
        self.within(&folder, look).ok()?.ok()?
    }
}

impl Roots {
    /// Returns these folders, resolved as far as they answer in time. Each has a thread of its own.
    fn resolved(written: &[PathBuf], rescan_signal: &RescanSignal) -> Arc<Self> {
        let words = written.iter().map(|root| normal(root)).collect();
        let roots = Arc::new(Self(Mutex::new(words)));
        let (sender, receiver) = channel();
        for root in written {
            let (root, sender) = (root.clone(), sender.clone());
            let (roots, rescan_signal) = (roots.clone(), rescan_signal.clone());
            let resolve = move || {
                roots.add(canonical(&root));
                if sender.send(()).is_err() {
                    // Nobody waits for it any more.
                    rescan_signal.request_retrace();
                }
            };
            if let Err(error) = threads::start("root", resolve) {
                log::warn!("a --workspace-root is not resolved: no thread can be started: {error}");
            }
        }
        drop(sender);
        let deadline = Instant::now() + ROOTS_PATIENCE;
        let next = || receiver.recv_timeout(deadline.saturating_duration_since(Instant::now()));
        let end = std::iter::repeat_with(next).find_map(Result::err);
        if end == Some(RecvTimeoutError::Timeout) {
            log::warn!(
                "the file system of a --workspace-root does not answer; until it does, links on the way to that folder are \
                 not followed"
            );
        }
        roots
    }

    fn all(&self) -> Arc<[PathBuf]> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn add(&self, root: PathBuf) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains(&root) {
            *all = all.iter().cloned().chain([root]).collect();
        }
    }
}

impl Located for Folder {
    fn paths(&self) -> Vec<&Path> {
        vec![&self.0]
    }
}

impl Located for Anywhere {
    fn paths(&self) -> Vec<&Path> {
        Vec::new()
    }
}

impl Located for Declared {
    fn paths(&self) -> Vec<&Path> {
        Self::paths(self).collect()
    }
}

impl Located for Arc<ScanTarget> {
    fn paths(&self) -> Vec<&Path> {
        let config = self.paths.as_ref().map(|paths| &*paths.config);
        let folders = [&*self.folder, &*self.canonical_folder];
        folders.into_iter().chain(config).collect()
    }
}

fn scan_one(
    target: &Arc<ScanTarget>,
    force_reread: &ForceReread,
    roots: &[PathBuf],
) -> Option<Found> {
    if let Some(unlocated) = &target.unlocated
        && (target.is_silent || is_elsewhere(unlocated))
    {
        let declared = unlocated.declared.clone();
        let resolved = resolve(&declared, roots);
        return Some(Found::Resolved(target.key, declared, resolved));
    }
    let paths = target.paths.as_ref()?;
    let inputs = scan::scan(paths, target.before.as_deref(), force_reread).ok()??;
    Some(Found::Inputs(target.clone(), inputs))
}

/// Returns true if a dev container is no longer where it was found.
fn is_elsewhere(unlocated: &Unlocated) -> bool {
    let declared = &unlocated.declared;
    let other_config =
        || declared.config.is_none() && search::find(&declared.folder) != unlocated.found;
    let folder_exists = declared.folder.is_absolute() && canonical(&declared.folder).is_dir();
    folder_exists != unlocated.folder_exists || other_config()
}
