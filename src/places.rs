//! Where a dev container is: paths resolved on disk, and whether its folder may be operated on.

use std::path::{Component, Path, PathBuf};

use crate::devcontainer::config;
use crate::devcontainer::references::{MAX_PATH, Site, append, normal};

/// How much of an odd path is shown.
const SHOWN: usize = 200;

/// Where the labels of a container, or an entry, point: what has to be resolved on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// As it was written.
    pub folder: PathBuf,
    /// As it was written; `None` lets the search order find it.
    pub config: Option<PathBuf>,
    /// Who wrote it.
    pub source: Source,
}

/// Folder and configuration of a dev container, resolved on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The workspace folder without symbolic links.
    pub folder: PathBuf,
    /// Whether that is an existing directory.
    pub folder_exists: bool,
    /// The configuration as it was given, or as the search found it.
    pub config: Option<PathBuf>,
    /// The same without symbolic links.
    pub canonical_config: Option<PathBuf>,
    /// Whether it may be looked at: all of it is where it may be, though it need not exist.
    pub may_be_looked_at: bool,
    /// Why it may not be operated on, if so.
    pub refused: Option<String>,
    /// Why nothing may be done to its containers either, if so.
    pub outside: Option<String>,
}

/// Who named a folder, and with that how far it is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Whoever started the daemon.
    Predefined,
    /// A label, which any image can set.
    Label,
}

impl Address {
    /// Resolves it on disk. `roots` are the resolved folders of `--workspace-root`.
    pub fn resolve(&self, roots: &[PathBuf]) -> Place {
        Place::resolve(&self.folder, self.config.as_deref(), self.source, roots)
    }
}

impl Place {
    /// Resolves a place. `roots` are the resolved folders of `--workspace-root`; none means any folder.
    pub fn resolve(
        folder: &Path,
        config: Option<&Path>,
        source: Source,
        roots: &[PathBuf],
    ) -> Self {
        let mut given = [Some(folder), config].into_iter().flatten();
        let is_long = |path: &&Path| path.as_os_str().len() >= MAX_PATH;
        if let Some(long) = given.clone().find(is_long) {
            return Self::unresolved(folder, config, long);
        }
        let twofold = given.find_map(|path| why_twofold(path, source));
        let config = match config {
            Some(config) => Some(config.to_path_buf()),
            None => config::find(folder),
        };
        let canonical_folder = canonical(folder);
        let canonical_config = config.as_deref().map(canonical);
        let mut place = Self {
            folder_exists: folder.is_absolute() && canonical_folder.is_dir(),
            folder: canonical_folder,
            config,
            canonical_config,
            may_be_looked_at: false,
            refused: None,
            outside: None,
        };
        place.outside = place.why_outside(folder, roots);
        let config_outside = place.why_config_outside(folder, source);
        let is_inside = place.outside.is_none() && config_outside.is_none();
        place.may_be_looked_at = folder.is_absolute() && is_inside && twofold.is_none();
        let missing = place.why_missing(folder);
        let elsewhere = place.outside.clone().or(config_outside);
        place.refused = missing.or(elsewhere).or(twofold);
        place
    }

    /// One that is not even looked for on disk.
    fn unresolved(folder: &Path, config: Option<&Path>, long: &Path) -> Self {
        let shown: String = long.to_string_lossy().chars().take(SHOWN).collect();
        let why = format!("{shown}… is longer than a path can be: it is not an existing directory");
        let why = Some(why);
        Self {
            folder: folder.to_path_buf(),
            folder_exists: false,
            config: config.map(Path::to_path_buf),
            canonical_config: config.map(Path::to_path_buf),
            may_be_looked_at: false,
            refused: why.clone(),
            outside: why,
        }
    }

    fn why_outside(&self, folder: &Path, roots: &[PathBuf]) -> Option<String> {
        let is_inside = roots.is_empty() || roots.iter().any(|root| self.folder.starts_with(root));
        (!is_inside).then(|| {
            format!(
                "the workspace folder {} is not below a --workspace-root; add one to allow it",
                folder.display()
            )
        })
    }

    fn why_missing(&self, folder: &Path) -> Option<String> {
        let shown = folder.display();
        if !folder.is_absolute() {
            return Some(format!(
                "the workspace folder {shown} is not an absolute path"
            ));
        }
        (!self.folder_exists)
            .then(|| format!("the workspace folder {shown} is not an existing directory"))
    }

    fn why_config_outside(&self, folder: &Path, source: Source) -> Option<String> {
        let config = self.canonical_config.as_deref()?;
        let is_outside = source == Source::Label && !config.starts_with(&self.folder);
        is_outside.then(|| {
            format!(
                "the config {} that the label names is not below the workspace folder {}",
                config.display(),
                folder.display()
            )
        })
    }

    /// What to look at to learn whether its container is up to date. `None`: it has no configuration, or may not be
    /// looked at.
    pub fn site(&self, folder: &Path) -> Option<Site> {
        let config = self.config.as_deref().filter(|_| self.may_be_looked_at)?;
        Some(Site {
            folder: normal(folder),
            config: normal(config),
        })
    }

    /// Whether both are the same dev container.
    pub fn is_same(&self, other: &Self) -> bool {
        // As text: they have no `.` and `..`, and paths are compared part by part, which takes longer.
        let config = self.canonical_config.as_deref().map(Path::as_os_str);
        let others = other.canonical_config.as_deref().map(Path::as_os_str);
        config == others && self.folder.as_os_str() == other.folder.as_os_str()
    }
}

/// Why a path is not followed that may mean two places: behind a link, `..` leads elsewhere for the kernel than for the CLI,
/// which takes it by its words, so that what is checked would not be what is used. The CLI writes no such labels.
fn why_twofold(path: &Path, source: Source) -> Option<String> {
    let leads_up = path.components().any(|part| part == Component::ParentDir);
    (leads_up && source == Source::Label)
        .then(|| format!("the path {} leads upwards with `..`", path.display()))
}

/// `path` without symbolic links, `.` and `..`, as far as it exists; what does not exist is taken by its words.
pub fn canonical(path: &Path) -> PathBuf {
    let mut missing = Vec::new();
    let mut existing = path;
    loop {
        if let Ok(resolved) = existing.canonicalize() {
            let rest = missing.into_iter().rev();
            return rest.fold(resolved, append);
        }
        let mut parts = existing.components();
        let Some(last) = parts.next_back() else {
            return normal(path);
        };
        missing.push(last);
        existing = parts.as_path();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_dir::TestDir;

    fn refused(folder: &Path, config: Option<&Path>, roots: &[PathBuf]) -> Option<String> {
        Place::resolve(folder, config, Source::Label, roots).refused
    }

    #[test]
    fn one_folder_written_in_several_ways_is_one_place() {
        let dir = TestDir::new();
        let config = dir.write("w/.devcontainer/devcontainer.json", "{}");
        let folder = dir.path().join("w");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        let plain = Place::resolve(&folder, Some(&config), Source::Label, &[]);
        let upwards = Place::resolve(&folder.join("../w"), None, Source::Predefined, &[]);
        assert!(plain.is_same(&upwards));
        for (folder, config) in [
            (folder.join(""), None),
            (folder.join("."), Some(config.clone())),
            (link.clone(), Some(config.clone())),
            (
                link.clone(),
                Some(link.join(".devcontainer/devcontainer.json")),
            ),
        ] {
            let other = Place::resolve(&folder, config.as_deref(), Source::Label, &[]);
            assert!(plain.is_same(&other), "{folder:?} {config:?}");
            assert_eq!(other.refused, None);
        }
    }

    #[test]
    fn paths_that_do_not_exist_are_compared_too() {
        let dir = TestDir::new();
        let gone = dir.path().join("gone/./deeper/../folder/");
        assert_eq!(canonical(&gone), dir.path().join("gone/folder"));
        assert_eq!(
            canonical(Path::new("/..//nonexistent/x/..")),
            Path::new("/nonexistent")
        );
    }

    #[test]
    fn the_search_order_finds_the_config() {
        let dir = TestDir::new();
        let folder = dir.path();
        let find = || Place::resolve(folder, None, Source::Predefined, &[]).config;
        assert_eq!(find(), None);
        let second = dir.write(".devcontainer.json", "{}");
        assert_eq!(find(), Some(second));
        let first = dir.write(".devcontainer/devcontainer.json", "{}");
        assert_eq!(find(), Some(first));
    }

    #[test]
    fn p18_a_label_is_not_trusted() {
        let dir = TestDir::new();
        let config = dir.write("root/w/.devcontainer.json", "{}");
        let outside = dir.write("outside/devcontainer.json", "{}");
        let folder = dir.path().join("root/w");
        let roots = [dir.path().join("root")];
        let why = |folder: &Path, config: Option<&Path>| refused(folder, config, &roots);

        assert_eq!(why(&folder, Some(&config)), None);
        assert!(
            why(Path::new("w"), None)
                .unwrap()
                .ends_with("is not an absolute path")
        );
        assert!(
            why(Path::new("-w"), None)
                .unwrap()
                .ends_with("is not an absolute path")
        );
        assert!(
            why(&folder.join("none"), None)
                .unwrap()
                .ends_with("is not an existing directory")
        );
        assert!(
            why(&config, None)
                .unwrap()
                .ends_with("is not an existing directory")
        );
        assert!(
            why(&dir.path().join("outside"), None)
                .unwrap()
                .contains("--workspace-root")
        );
        assert!(
            why(&dir.path().join("root/../outside"), None)
                .unwrap()
                .contains("--workspace-root")
        );
        assert!(
            why(&folder, Some(&outside))
                .unwrap()
                .contains("not below the workspace folder")
        );
        assert!(
            why(
                &folder,
                Some(&folder.join("../../outside/devcontainer.json"))
            )
            .unwrap()
            .contains("not below")
        );
        // What the kernel and the CLI would take for different places.
        dir.write("root/a/b/c/x", "");
        std::os::unix::fs::symlink(dir.path().join("root/a/b/c"), folder.join("l")).unwrap();
        let twofold = folder.join("l/../../../w");
        assert!(
            why(&twofold, None)
                .unwrap()
                .ends_with("leads upwards with `..`")
        );
        let long = folder.join("a/".repeat(3000));
        assert!(
            why(&long, None)
                .unwrap()
                .contains("is longer than a path can be")
        );
        let escape = dir.path().join("root/escape");
        std::os::unix::fs::symlink(dir.path().join("outside"), &escape).unwrap();
        assert!(why(&escape, None).unwrap().contains("--workspace-root"));
        let link = folder.join("linked.json");
        std::os::unix::fs::symlink(&outside, &link).unwrap();
        assert!(
            why(&folder, Some(&link))
                .unwrap()
                .contains("not below the workspace folder")
        );
        // A prefix of a name is not above it.
        assert!(why(&dir.path().join("rooted"), None).is_some());
    }

    #[test]
    fn a_predefined_config_may_be_anywhere() {
        let dir = TestDir::new();
        let outside = dir.write("outside/devcontainer.json", "{}");
        dir.write("w/x", "");
        let folder = dir.path().join("w");
        let place = Place::resolve(&folder, Some(&outside), Source::Predefined, &[]);
        assert_eq!(place.refused, None);
        let place = Place::resolve(&folder, None, Source::Predefined, &[dir.path().join("x")]);
        assert!(place.refused.is_some());
    }
}
