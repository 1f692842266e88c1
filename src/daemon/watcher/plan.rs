//! The directories to watch, so that no input can change without an event.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use super::file_systems::{FileSystems, Told, is_mounted};
use crate::daemon::discovery::WatchList;
use crate::daemon::vigil::Part;
use crate::model::inputs::{FileId, file_id};

/// The maximum number of symbolic links on one path, as in Linux (path_resolution(7)).
const MAX_LINKS: u32 = 40;
/// The maximum number of components of one path, with those of links. Longer paths are not watched.
const MAX_PARTS: u32 = 256;
/// The number of directories, from that of an input upwards, whose names are watched in their parents. A removed
/// directory has an event of its own only when it is open nowhere any more, and a shell may stay in it for days.
const LEVELS: usize = 2;

/// The files and directories to watch, by resolved path. An `OsString` compares faster than a `PathBuf`.
pub(super) type Plan = BTreeMap<OsString, Planned>;

/// A file or directory to watch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Planned {
    /// Its identity. If another one takes its place, that one gets a new watch.
    pub(super) file: FileId,
    /// The names in the directory whose events count.
    pub(super) names: BTreeSet<OsString>,
    pub(super) purpose: Purpose,
    /// True if an input is in it, or behind it.
    pub(super) is_for_inputs: bool,
    /// True if a search would find what comes there.
    pub(super) is_for_search: bool,
}

/// The events that are needed of a file or directory. Each variant for directories includes those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Purpose {
    /// A file with several names, by hard links or mounts: writes to it by another one.
    LinkedFile,
    /// A directory on the way to another one: its own removal or renaming.
    Passage,
    /// Names that appear or disappear in the directory.
    Names,
    /// Changes of the files of these names.
    Contents,
    /// Changes of all files in the directory.
    AllContents,
}

/// Follows paths as the kernel does, and plans watches for everything on them.
pub(super) struct Tracer {
    pub(super) plan: Plan,
    /// True if the kernel tells of every change that concerns the paths that were traced since this was set.
    is_complete: bool,
    file_systems: FileSystems,
    /// The directories to which paths lead.
    resolved: HashMap<OsString, Found>,
}

/// Where the path of a directory leads.
#[derive(Clone)]
struct Found {
    /// The resolved path, or `None` if there is no such directory.
    directory: Option<PathBuf>,
    /// True if the kernel tells of every change on the way.
    is_complete: bool,
}

/// The links and components that may still be followed on one path.
struct Budget {
    links: u32,
    parts: u32,
}

impl Tracer {
    /// Plans the watches of these paths. Returns whether the kernel tells of every change of them.
    pub(super) fn trace_all(&mut self, paths: &[(PathBuf, Part)]) -> bool {
        self.is_complete = true;
        for (path, part) in paths {
            match part {
                Part::File => self.trace(path, false),
                Part::Contents => self.trace(path, true),
                Part::Place => self.trace_place(path),
            }
        }
        self.is_complete
    }

    /// Plans the watches that report any change of the file at `path`, if `path` is absolute.
    ///
    /// They are for its name in its directory, and for every link and directory on the way. If the path does not exist,
    /// they are for the first missing name in the last directory that exists. If it is a directory that is an input
    /// itself, they are for every name in it.
    fn trace(&mut self, path: &Path, is_directory: bool) {
        let mut budget = Budget {
            links: MAX_LINKS,
            parts: MAX_PARTS,
        };
        let is_short = path.components().nth(MAX_PARTS as usize).is_none();
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            self.is_complete = false;
            return;
        };
        if !path.is_absolute() || !is_short {
            self.is_complete = false;
            return;
        }
        let Some(directory) = self.directory(parent, &mut budget) else {
            return;
        };
        // After all links, the file may be in another directory.
        let container = match self.entry(&directory, name, &mut budget) {
            Some(found) if is_directory && self.is_directory(&found) => {
                self.raise(&found, Purpose::AllContents);
                Some(found)
            }
            Some(found) => {
                // There may be a directory where a file is wanted.
                self.add_own_name(&found);
                found.parent().map(Path::to_path_buf)
            }
            None => Some(directory),
        };
        if let Some(container) = container {
            self.raise(&container, Purpose::Contents);
            self.watch_for_removal(&container);
            if let Some(device) = self.plan.get(container.as_os_str()).map(|one| one.file.0) {
                self.need(Told::Everything, &container, device);
            }
        }
    }

    /// Plans the watches that report that `path` leads to another directory.
    fn trace_place(&mut self, path: &Path) {
        let mut budget = Budget {
            links: MAX_LINKS,
            parts: MAX_PARTS,
        };
        if path.components().nth(MAX_PARTS as usize).is_some() {
            self.is_complete = false;
        } else if let Some(found) = self.directory(path, &mut budget) {
            self.add_own_name(&found);
        }
    }

    /// Plans the watches that report what comes and goes where a search looks. Returns whether the kernel tells of all.
    pub(super) fn trace_search(&mut self, list: &WatchList) -> bool {
        self.is_complete = true;
        for place in &list.places {
            self.trace_place(place);
        }
        for directory in &list.directories {
            self.add_for_search(directory, Purpose::Names);
        }
        for file in &list.files {
            self.add_for_search(file, Purpose::LinkedFile);
        }
        self.is_complete
    }

    fn add_for_search(&mut self, path: &Path, purpose: Purpose) {
        let Ok(metadata) = path.symlink_metadata() else {
            return;
        };
        if metadata.is_dir() != (purpose == Purpose::Names) {
            return;
        }
        self.need(Told::Names, path, metadata.dev());
        let planned = self.plan.entry(path.into()).or_insert_with(|| Planned {
            file: file_id(&metadata),
            names: BTreeSet::new(),
            purpose,
            is_for_inputs: false,
            is_for_search: true,
        });
        planned.is_for_search = true;
        planned.purpose = planned.purpose.max(purpose);
    }

    /// Resolves the path of a directory, component by component. Returns `None` if there is no such directory.
    fn directory(&mut self, path: &Path, budget: &mut Budget) -> Option<PathBuf> {
        let before = std::mem::replace(&mut self.is_complete, true);
        let known = |path: &&Path| self.resolved.contains_key(path.as_os_str());
        let missing: Vec<&Path> = path.ancestors().take_while(|path| !known(path)).collect();
        let known = path.ancestors().find(known);
        let found = known.and_then(|known| self.resolved.get(known.as_os_str()).cloned());
        self.is_complete = found.as_ref().is_none_or(|found| found.is_complete);
        let mut at = found.and_then(|found| found.directory);
        for path in missing.into_iter().rev() {
            at = match (path.components().next_back(), at) {
                (Some(Component::RootDir), _) => self.root(),
                (Some(Component::ParentDir), Some(at)) => {
                    Some(at.parent().map_or_else(|| at.clone(), Path::to_path_buf))
                }
                (Some(Component::Normal(name)), Some(parent)) => {
                    let found = self.entry(&parent, name, budget);
                    let directory = found.filter(|found| self.is_directory(found));
                    if directory.is_none() {
                        self.watch_for_removal(&parent);
                    }
                    directory
                }
                _ => None,
            };
            let found = Found {
                directory: at.clone(),
                is_complete: self.is_complete,
            };
            self.resolved.insert(path.into(), found);
        }
        self.is_complete &= before;
        at
    }

    /// Plans a watch for the root directory.
    fn root(&mut self) -> Option<PathBuf> {
        let root = PathBuf::from("/");
        let metadata = root.metadata();
        self.is_complete &= metadata.is_ok();
        let metadata = metadata.ok()?;
        self.need(Told::Names, &root, metadata.dev());
        self.add(&root, &metadata, Purpose::Passage);
        Some(root)
    }

    /// Resolves `name` in the resolved `directory`, following links.
    fn entry(&mut self, directory: &Path, name: &OsStr, budget: &mut Budget) -> Option<PathBuf> {
        budget.parts = self.take(budget.parts)?;
        let path = directory.join(name);
        let metadata = path.symlink_metadata();
        if let Err(error) = &metadata {
            self.is_complete &= is_absent(error);
        }
        let metadata = metadata.ok();
        let is_directory = metadata.as_ref().is_some_and(Metadata::is_dir);
        if !is_directory {
            self.add_name(directory, name);
        }
        let Some(metadata) = metadata else {
            self.watch_for_removal(directory);
            return None;
        };
        let told = if metadata.is_file() {
            Told::Everything
        } else {
            Told::Names
        };
        self.need(told, &path, metadata.dev());
        if metadata.is_symlink() {
            budget.links = self.take(budget.links)?;
            let target = path.read_link();
            self.is_complete &= target.is_ok();
            return self.follow(directory, &target.ok()?, budget);
        }
        if is_directory {
            self.add(&path, &metadata, Purpose::Passage);
        } else if metadata.is_file() && (metadata.nlink() > 1 || is_mounted(&path, directory)) {
            self.add(&path, &metadata, Purpose::LinkedFile);
        }
        Some(path)
    }

    /// Resolves the `target` of a link in `directory`.
    fn follow(&mut self, directory: &Path, target: &Path, budget: &mut Budget) -> Option<PathBuf> {
        let mut at = directory.to_path_buf();
        for part in target.components() {
            match part {
                Component::RootDir => at = self.root()?,
                Component::ParentDir => {
                    at.pop();
                }
                Component::Normal(name) => at = self.entry(&at, name, budget)?,
                Component::CurDir | Component::Prefix(_) => {}
            }
        }
        Some(at)
    }

    /// Adds the names of `directory` and of those above it to the watches of their parents, see [`LEVELS`].
    fn watch_for_removal(&mut self, directory: &Path) {
        let above = directory.ancestors().take(LEVELS);
        for (parent, name) in above.filter_map(|at| Some((at.parent()?, at.file_name()?))) {
            self.add_name(parent, name);
        }
    }

    /// Takes one from a part of the budget. Returns `None` where nothing is left, so that the path is not followed.
    fn take(&mut self, left: u32) -> Option<u32> {
        let rest = left.checked_sub(1);
        self.is_complete &= rest.is_some();
        rest
    }

    /// Notes whether the kernel tells as much as is needed of `path`, which has this device.
    fn need(&mut self, told: Told, path: &Path, device: u64) {
        self.is_complete &= self.file_systems.told(path, device) >= told;
    }

    fn add_own_name(&mut self, path: &Path) {
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
            self.add_name(parent, name);
        }
    }

    /// Returns whether the resolved path is a directory, for each of which a watch is planned.
    fn is_directory(&self, path: &Path) -> bool {
        let planned = self.plan.get(path.as_os_str());
        planned.is_some_and(|planned| planned.purpose != Purpose::LinkedFile)
    }

    fn add_name(&mut self, directory: &Path, name: &OsStr) {
        if let Some(planned) = self.plan.get_mut(directory.as_os_str()) {
            planned.names.insert(name.to_os_string());
            planned.purpose = planned.purpose.max(Purpose::Names);
        }
    }

    fn raise(&mut self, directory: &Path, purpose: Purpose) {
        if let Some(planned) = self.plan.get_mut(directory.as_os_str()) {
            planned.purpose = planned.purpose.max(purpose);
        }
    }

    fn add(&mut self, path: &Path, metadata: &Metadata, purpose: Purpose) {
        let planned = self.plan.entry(path.into());
        planned.or_insert_with(|| Planned {
            file: file_id(metadata),
            names: BTreeSet::new(),
            purpose,
            is_for_inputs: true,
            is_for_search: false,
        });
    }
}

impl Default for Tracer {
    fn default() -> Self {
        Self {
            plan: Plan::new(),
            is_complete: true,
            file_systems: FileSystems::new(),
            resolved: HashMap::new(),
        }
    }
}

/// Returns whether nothing is at a path.
pub(super) fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::test_dir::TestDir;
    use std::os::unix::fs::symlink;

    fn tracer(dir: &TestDir, path: &str, is_directory: bool) -> Tracer {
        let mut tracer = Tracer::default();
        tracer.trace(&dir.path().join(path), is_directory);
        tracer
    }

    /// Returns the watches in `dir` for the file at `path`, as `path Purpose: names` with paths below `dir`.
    fn traced(dir: &TestDir, path: &str) -> Vec<String> {
        shown(dir, &tracer(dir, path, false))
    }

    fn shown(dir: &TestDir, tracer: &Tracer) -> Vec<String> {
        let show = |(path, planned): (&OsString, &Planned)| {
            let below = Path::new(path).strip_prefix(dir.path()).ok()?;
            let names: Vec<_> = planned
                .names
                .iter()
                .map(|name| name.to_str().unwrap())
                .collect();
            Some(format!(
                "{} {:?}: {}",
                below.display(),
                planned.purpose,
                names.join(" ")
            ))
        };
        tracer.plan.iter().filter_map(show).collect()
    }

    #[test]
    fn p8_a_file_is_watched_in_its_directory_and_the_directories_above_for_their_removal() {
        let dir = TestDir::new();
        dir.write("a/w/.devcontainer/devcontainer.json", "{}");
        let expected = [
            " Passage: ",
            "a Names: w",
            "a/w Names: .devcontainer",
            "a/w/.devcontainer Contents: devcontainer.json",
        ];
        assert_eq!(
            traced(&dir, "a/w/.devcontainer/devcontainer.json"),
            expected
        );
    }

    #[test]
    fn p8_a_missing_file_is_watched_for_in_the_nearest_directory_that_exists() {
        let dir = TestDir::new();
        dir.write("a/b/w/x", "");
        let expected = [" Passage: ", "a Names: b", "a/b Names: w", "a/b/w Names: c"];
        assert_eq!(traced(&dir, "a/b/w/c/d/e"), expected);
        let expected = [" Passage: ", "a Names: b", "a/b Names: w", "a/b/w Names: x"];
        assert_eq!(traced(&dir, "a/b/w/x/c"), expected);
    }

    #[test]
    fn p8_links_are_watched_where_they_are_and_where_they_lead() {
        let dir = TestDir::new();
        dir.write("w/..one/c.json", "{}");
        symlink("..one", dir.path().join("w/..data")).unwrap();
        symlink("..data/c.json", dir.path().join("w/c.json")).unwrap();
        let config_map = [
            " Names: w",
            "w Names: ..data ..one c.json",
            "w/..one Contents: c.json",
        ];
        assert_eq!(traced(&dir, "w/c.json"), config_map);
        symlink(dir.path().join("w"), dir.path().join("parent")).unwrap();
        let all = [
            " Names: parent w",
            "w Names: ..data ..one c.json",
            "w/..one Contents: c.json",
        ];
        assert_eq!(traced(&dir, "parent/c.json"), all);
        symlink("../none/x", dir.path().join("w/dangling")).unwrap();
        let dangling = [" Names: none w", "w Contents: dangling"];
        assert_eq!(traced(&dir, "w/dangling"), dangling);
    }

    #[test]
    fn p8_every_name_counts_in_a_directory_that_is_an_input() {
        let dir = TestDir::new();
        dir.write("w/f/x", "");
        let expected = [" Names: w", "w Contents: f", "w/f AllContents: "];
        let tracer = tracer(&dir, "w/f", true);
        assert_eq!(shown(&dir, &tracer)[2], expected[2]);
    }

    #[test]
    fn p8_a_file_with_two_names_is_watched_itself() {
        let dir = TestDir::new();
        let file = dir.write("w/c.json", "{}");
        std::fs::hard_link(file, dir.path().join("other")).unwrap();
        let expected = [" Names: w", "w Contents: c.json", "w/c.json LinkedFile: "];
        assert_eq!(traced(&dir, "w/c.json"), expected);
    }

    #[test]
    fn p8_the_place_of_a_folder_is_watched_by_its_name_alone() {
        let dir = TestDir::new();
        dir.write("a/w/x", "");
        symlink("a/w", dir.path().join("link")).unwrap();
        let place = |path: &str| {
            let mut tracer = Tracer::default();
            tracer.trace_place(&dir.path().join(path));
            shown(&dir, &tracer)
        };
        let to_w = [" Passage: ", "a Names: w", "a/w Passage: "];
        assert_eq!(place("a/w"), to_w);
        let missing = [" Names: a", "a Names: b"];
        assert_eq!(place("a/b/../w"), missing, "as the kernel follows it");
        assert_eq!(place("a/w/../w"), to_w);
        let by_link = [" Names: link", "a Names: w", "a/w Passage: "];
        assert_eq!(place("link"), by_link);
        assert_eq!(place("none"), [" Names: none"]);
    }

    #[test]
    fn p8_a_directory_in_the_place_of_a_file_is_watched_by_its_name() {
        let dir = TestDir::new();
        dir.write("w/src/x", "");
        let expected = [" Names: w", "w Contents: src", "w/src Passage: "];
        assert_eq!(traced(&dir, "w/src"), expected);
    }

    #[test]
    fn a_file_with_two_names_is_no_directory() {
        let dir = TestDir::new();
        let file = dir.write("w", "");
        std::fs::hard_link(file, dir.path().join("other")).unwrap();
        assert_eq!(traced(&dir, "w/a/b"), [" Names: w", "w LinkedFile: "]);
    }

    #[test]
    fn a_path_through_what_nothing_is_told_of_is_never_complete() {
        let mut tracer = Tracer::default();
        for file in ["version", "meminfo"] {
            tracer.is_complete = true;
            tracer.trace(&Path::new("/proc/self/fdinfo").join(file), false);
            assert!(!tracer.is_complete, "{file}");
        }
    }

    #[test]
    fn links_in_a_circle_end() {
        let dir = TestDir::new();
        symlink("b", dir.path().join("a")).unwrap();
        symlink("a", dir.path().join("b")).unwrap();
        assert_eq!(traced(&dir, "a"), [" Contents: a b"]);
        assert_eq!(traced(&dir, "a/c"), [" Names: a b"]);
    }

    #[test]
    fn paths_that_would_take_forever_to_follow_are_given_up() {
        let dir = TestDir::new();
        for number in 0..30 {
            let next = format!("d{}", number + 1);
            symlink(
                format!("{next}/{next}"),
                dir.path().join(format!("d{number}")),
            )
            .unwrap();
        }
        symlink(".", dir.path().join("d30")).unwrap();
        assert!(traced(&dir, "d0/x").len() == 1);
        let long = "a/".repeat(20_000);
        assert_eq!(traced(&dir, &long), [""; 0]);
    }
}
