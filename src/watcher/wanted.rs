//! Which directories to watch, and for which names, so that nothing can happen to a file without an event.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

/// As many links in a row as Linux follows (path_resolution(7)).
const MAX_LINKS: u32 = 40;

/// What to watch, by resolved path: as text, since paths are compared part by part, which takes longer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Directories that have something of interest in them. Those with no name are only on the way to others: it counts
    /// whether they are moved or removed themselves.
    pub(super) directories: BTreeMap<OsString, BTreeSet<OsString>>,
    /// Files with another name elsewhere, by which they can be written.
    pub(super) linked: BTreeSet<OsString>,
}

/// Follows paths the way the kernel does, and notes what lies on them.
#[derive(Default)]
pub(super) struct Tracer {
    pub(super) wanted: Wanted,
    /// Where directories are, by the paths that inputs have.
    resolved: HashMap<OsString, Option<PathBuf>>,
}

impl Tracer {
    /// Notes what has to be watched to learn of any change of the file at `path`, if that is absolute: its name in its
    /// directory, every link on the way, and every directory on the way. Of what does not exist, the first missing name
    /// in the nearest directory that does.
    pub(super) fn trace(&mut self, path: &Path) {
        if path.is_absolute()
            && let (Some(parent), Some(name)) = (path.parent(), path.file_name())
            && let Some(directory) = self.directory(parent)
        {
            self.entry(&directory, name, MAX_LINKS);
        }
    }

    fn directory(&mut self, path: &Path) -> Option<PathBuf> {
        if let Some(known) = self.resolved.get(path.as_os_str()) {
            return known.clone();
        }
        let found = match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => {
                let parent = self.directory(parent);
                let found = parent.and_then(|parent| self.entry(&parent, name, MAX_LINKS));
                found.filter(|path| path.is_dir())
            }
            _ => Some(PathBuf::from("/")),
        };
        self.resolved.insert(path.into(), found.clone());
        found
    }

    /// Where `name` in the resolved `directory` leads.
    fn entry(&mut self, directory: &Path, name: &OsStr, links: u32) -> Option<PathBuf> {
        let path = directory.join(name);
        let metadata = path.symlink_metadata().ok();
        let is_directory = metadata.as_ref().is_some_and(|m| m.is_dir());
        let names = self.wanted.directories.entry(directory.into()).or_default();
        if !is_directory {
            names.insert(name.to_os_string());
        }
        let metadata = metadata?;
        if metadata.is_symlink() {
            return self.follow(directory, &path.read_link().ok()?, links.checked_sub(1)?);
        }
        if metadata.is_file() && metadata.nlink() > 1 {
            self.wanted.linked.insert(path.clone().into());
        }
        if is_directory {
            self.wanted
                .directories
                .entry(path.clone().into())
                .or_default();
        }
        Some(path)
    }

    fn follow(&mut self, directory: &Path, target: &Path, links: u32) -> Option<PathBuf> {
        let mut at = directory.to_path_buf();
        for part in target.components() {
            match part {
                Component::RootDir => at = PathBuf::from("/"),
                Component::ParentDir => {
                    at.pop();
                }
                Component::Normal(name) => at = self.entry(&at, name, links)?,
                Component::CurDir | Component::Prefix(_) => {}
            }
        }
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;
    use std::os::unix::fs::symlink;

    /// What is watched below `dir` for the file at `path`: `directory: names` and `=file`, each below `dir`.
    fn traced(dir: &TestDir, path: &str) -> Vec<String> {
        let mut tracer = Tracer::default();
        tracer.trace(&dir.path().join(path));
        let below = |path: &OsString| {
            let below = Path::new(path).strip_prefix(dir.path()).ok()?;
            Some(below.display().to_string())
        };
        let directories = tracer.wanted.directories.iter();
        let directories = directories.filter_map(|(path, names)| {
            let names: Vec<_> = names.iter().map(|name| name.to_str().unwrap()).collect();
            Some(format!("{}: {}", below(path)?, names.join(" ")))
        });
        let linked = tracer.wanted.linked.iter();
        let linked = linked.filter_map(|path| Some(format!("={}", below(path)?)));
        directories.chain(linked).collect()
    }

    #[test]
    fn p8_a_file_is_watched_in_its_directory_and_those_above_for_their_own_fate() {
        let dir = TestDir::new();
        dir.write("w/.devcontainer/devcontainer.json", "{}");
        let expected = [": ", "w: ", "w/.devcontainer: devcontainer.json"];
        assert_eq!(traced(&dir, "w/.devcontainer/devcontainer.json"), expected);
    }

    #[test]
    fn p8_what_is_missing_is_awaited_in_the_nearest_directory_that_exists() {
        let dir = TestDir::new();
        dir.write("w/x", "");
        assert_eq!(traced(&dir, "w/a/b/c"), [": ", "w: a"]);
        assert_eq!(traced(&dir, "w/x/c"), [": ", "w: x"]);
    }

    #[test]
    fn p8_links_are_watched_where_they_are_and_where_they_lead() {
        let dir = TestDir::new();
        dir.write("w/..one/c.json", "{}");
        symlink("..one", dir.path().join("w/..data")).unwrap();
        symlink("..data/c.json", dir.path().join("w/c.json")).unwrap();
        let config_map = [": ", "w: ..data c.json", "w/..one: c.json"];
        assert_eq!(traced(&dir, "w/c.json"), config_map);
        symlink(dir.path().join("w"), dir.path().join("parent")).unwrap();
        let all = [": parent", "w: ..data c.json", "w/..one: c.json"];
        assert_eq!(traced(&dir, "parent/c.json"), all);
        symlink("../none/x", dir.path().join("w/dangling")).unwrap();
        assert_eq!(traced(&dir, "w/dangling"), [": none", "w: dangling"]);
    }

    #[test]
    fn links_in_a_circle_end() {
        let dir = TestDir::new();
        symlink("b", dir.path().join("a")).unwrap();
        symlink("a", dir.path().join("b")).unwrap();
        assert_eq!(traced(&dir, "a"), [": a b"]);
        assert_eq!(traced(&dir, "a/c"), [": a b"]);
    }

    #[test]
    fn p8_a_file_with_two_names_is_watched_itself() {
        let dir = TestDir::new();
        let file = dir.write("w/c.json", "{}");
        std::fs::hard_link(file, dir.path().join("other")).unwrap();
        assert_eq!(traced(&dir, "w/c.json"), [": ", "w: c.json", "=w/c.json"]);
    }
}
