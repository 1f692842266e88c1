//! Which directories to watch, and for what, so that nothing can happen to a file without an event.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use crate::model::inputs::{FileId, file_id};

/// As many links as Linux follows on one path (path_resolution(7)).
const MAX_LINKS: u32 = 40;
/// As many parts as are followed of one path, those of links included. Longer ones are looked at when somebody asks.
const MAX_PARTS: u32 = 256;
/// How many directories above that of an input are watched for being removed, and coming again. They tell it themselves
/// only when nobody has them open any more, and a shell may be in them for days.
const LEVELS: usize = 2;

/// What to watch, by resolved path: as text, since paths are compared part by part, which takes longer.
pub(super) type Wanted = BTreeMap<OsString, Want>;

/// For what something is watched.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Want {
    /// Which one is there: another one in its place is watched anew.
    pub(super) file: FileId,
    /// What in it is of interest.
    pub(super) names: BTreeSet<OsString>,
    pub(super) kind: Kind,
}

/// Each includes what those before it are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// A file, for what is written to it by another name.
    Linked,
    /// A directory on the way to others, for what becomes of itself.
    OnTheWay,
    /// For names in it that come and go.
    Names,
    /// For what the files of these names hold, too.
    Contents,
    /// The same for all names.
    Everything,
}

/// Follows paths the way the kernel does, and notes what lies on them.
#[derive(Default)]
pub(super) struct Tracer {
    pub(super) wanted: Wanted,
    /// Where directories are, by the paths that inputs have.
    resolved: HashMap<OsString, Option<PathBuf>>,
}

/// What may be spent on one path.
struct Budget {
    links: u32,
    parts: u32,
}

impl Tracer {
    /// Notes what has to be watched to learn of any change of the file at `path`, if that is absolute: its name in its
    /// directory, every link on the way, and every directory on the way. Of what does not exist, the first missing name
    /// in the nearest directory that does. In a directory that is an input itself, every name.
    pub(super) fn trace(&mut self, path: &Path, is_directory: bool) {
        let mut budget = Budget {
            links: MAX_LINKS,
            parts: MAX_PARTS,
        };
        let is_short = path.components().nth(MAX_PARTS as usize).is_none();
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return;
        };
        if !path.is_absolute() || !is_short {
            return;
        }
        let Some(directory) = self.directory(parent, &mut budget) else {
            return;
        };
        let found = self.entry(&directory, name, &mut budget);
        let holds = match found {
            Some(found) if is_directory && self.wanted.contains_key(found.as_os_str()) => {
                self.raise(&found, Kind::Everything);
                Some(found)
            }
            // Where it is after all links, or where it would be.
            Some(found) => found.parent().map(Path::to_path_buf),
            None => Some(directory),
        };
        if let Some(holds) = holds {
            self.raise(&holds, Kind::Contents);
            self.await_anew(&holds);
        }
    }

    /// Where the directory with this path is, whose parts are followed one after the other.
    fn directory(&mut self, path: &Path, budget: &mut Budget) -> Option<PathBuf> {
        let known = |path: &&Path| self.resolved.contains_key(path.as_os_str());
        let missing: Vec<&Path> = path.ancestors().take_while(|path| !known(path)).collect();
        let mut at = match path.ancestors().find(known) {
            Some(known) => self.resolved.get(known.as_os_str()).cloned().flatten(),
            None => None,
        };
        for path in missing.into_iter().rev() {
            at = match (path.file_name(), at) {
                (Some(name), Some(parent)) => {
                    let found = self.entry(&parent, name, budget);
                    let is_directory =
                        |found: &PathBuf| self.wanted.contains_key(found.as_os_str());
                    let found = found.filter(is_directory);
                    if found.is_none() {
                        self.await_anew(&parent);
                    }
                    found
                }
                (Some(_), None) => None,
                (None, _) => self.root(),
            };
            self.resolved.insert(path.into(), at.clone());
        }
        at
    }

    fn root(&mut self) -> Option<PathBuf> {
        let root = PathBuf::from("/");
        let metadata = root.metadata().ok()?;
        self.want(&root, &metadata, Kind::OnTheWay);
        Some(root)
    }

    /// Where `name` in the resolved `directory` leads.
    fn entry(&mut self, directory: &Path, name: &OsStr, budget: &mut Budget) -> Option<PathBuf> {
        budget.parts = budget.parts.checked_sub(1)?;
        let path = directory.join(name);
        let metadata = path.symlink_metadata().ok();
        let is_directory = metadata.as_ref().is_some_and(Metadata::is_dir);
        if !is_directory {
            self.name(directory, name);
        }
        let Some(metadata) = metadata else {
            self.await_anew(directory);
            return None;
        };
        if metadata.is_symlink() {
            budget.links = budget.links.checked_sub(1)?;
            return self.follow(directory, &path.read_link().ok()?, budget);
        }
        if is_directory {
            self.want(&path, &metadata, Kind::OnTheWay);
        } else if metadata.is_file() && metadata.nlink() > 1 {
            self.want(&path, &metadata, Kind::Linked);
        }
        Some(path)
    }

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

    /// That directories above are removed is told by those that they are in.
    fn await_anew(&mut self, directory: &Path) {
        let above = directory.ancestors().take(LEVELS);
        for (parent, name) in above.filter_map(|at| Some((at.parent()?, at.file_name()?))) {
            self.name(parent, name);
        }
    }

    fn name(&mut self, directory: &Path, name: &OsStr) {
        if let Some(want) = self.wanted.get_mut(directory.as_os_str()) {
            want.names.insert(name.to_os_string());
            want.kind = want.kind.max(Kind::Names);
        }
    }

    fn raise(&mut self, directory: &Path, kind: Kind) {
        if let Some(want) = self.wanted.get_mut(directory.as_os_str()) {
            want.kind = want.kind.max(kind);
        }
    }

    fn want(&mut self, path: &Path, metadata: &Metadata, kind: Kind) {
        let want = self.wanted.entry(path.into());
        want.or_insert_with(|| Want {
            file: file_id(metadata),
            names: BTreeSet::new(),
            kind,
        });
    }
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

    /// What is watched in `dir` for the file at `path`: `path Kind: names`, each path below `dir`.
    fn traced(dir: &TestDir, path: &str) -> Vec<String> {
        shown(dir, &tracer(dir, path, false))
    }

    fn shown(dir: &TestDir, tracer: &Tracer) -> Vec<String> {
        let show = |(path, want): (&OsString, &Want)| {
            let below = Path::new(path).strip_prefix(dir.path()).ok()?;
            let names: Vec<_> = want
                .names
                .iter()
                .map(|name| name.to_str().unwrap())
                .collect();
            Some(format!(
                "{} {:?}: {}",
                below.display(),
                want.kind,
                names.join(" ")
            ))
        };
        tracer.wanted.iter().filter_map(show).collect()
    }

    #[test]
    fn p8_a_file_is_watched_in_its_directory_and_those_above_for_their_own_fate() {
        let dir = TestDir::new();
        dir.write("a/w/.devcontainer/devcontainer.json", "{}");
        let expected = [
            " OnTheWay: ",
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
    fn p8_what_is_missing_is_awaited_in_the_nearest_directory_that_exists() {
        let dir = TestDir::new();
        dir.write("a/b/w/x", "");
        let expected = [
            " OnTheWay: ",
            "a Names: b",
            "a/b Names: w",
            "a/b/w Names: c",
        ];
        assert_eq!(traced(&dir, "a/b/w/c/d/e"), expected);
        let expected = [
            " OnTheWay: ",
            "a Names: b",
            "a/b Names: w",
            "a/b/w Names: x",
        ];
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
        let expected = [" Names: w", "w Contents: f", "w/f Everything: "];
        let tracer = tracer(&dir, "w/f", true);
        assert_eq!(shown(&dir, &tracer)[2], expected[2]);
    }

    #[test]
    fn p8_a_file_with_two_names_is_watched_itself() {
        let dir = TestDir::new();
        let file = dir.write("w/c.json", "{}");
        std::fs::hard_link(file, dir.path().join("other")).unwrap();
        let expected = [" Names: w", "w Contents: c.json", "w/c.json Linked: "];
        assert_eq!(traced(&dir, "w/c.json"), expected);
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
    fn what_would_take_for_ever_to_follow_is_given_up() {
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
