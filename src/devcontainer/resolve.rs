//! Resolves folders and configurations on disk, and says which may be operated on.

use std::path::{Component, Path, PathBuf};

use super::config::jsonc as config;
use crate::model::location::{Declared, MAX_PATH, Resolved, Source, append, normal};

/// Why a path is not followed that may mean two places: behind a link, `..` leads elsewhere for the kernel than for the CLI,
/// which takes it by its words, so that what is checked would not be what is used. The CLI writes no such labels.
pub fn why_twofold(path: &Path, source: Source) -> Option<String> {
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

/// How much of an odd path is shown.
const SHOWN: usize = 200;

impl Declared {
    /// Resolves it on disk. `roots` are the resolved folders of `--workspace-root`.
    pub fn resolve(&self, roots: &[PathBuf]) -> Resolved {
        Resolved::resolve(&self.folder, self.config.as_deref(), self.source, roots)
    }
}

impl Resolved {
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::test_dir::TestDir;

    fn refused(folder: &Path, config: Option<&Path>, roots: &[PathBuf]) -> Option<String> {
        Resolved::resolve(folder, config, Source::Label, roots).refused
    }

    #[test]
    fn one_folder_written_in_several_ways_is_one_place() {
        let dir = TestDir::new();
        let config = dir.write("w/.devcontainer/devcontainer.json", "{}");
        let folder = dir.path().join("w");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        let plain = Resolved::resolve(&folder, Some(&config), Source::Label, &[]);
        let upwards = Resolved::resolve(&folder.join("../w"), None, Source::Predefined, &[]);
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
            let other = Resolved::resolve(&folder, config.as_deref(), Source::Label, &[]);
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
        let find = || Resolved::resolve(folder, None, Source::Predefined, &[]).config;
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
        let place = Resolved::resolve(&folder, Some(&outside), Source::Predefined, &[]);
        assert_eq!(place.refused, None);
        let place = Resolved::resolve(&folder, None, Source::Predefined, &[dir.path().join("x")]);
        assert!(place.refused.is_some());
    }
}
