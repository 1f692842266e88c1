//! Resolves folders and configurations on disk, and decides which operations are allowed.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use super::config::search;
use crate::model::inputs::file_id;
use crate::model::location::{Access, Declared, MAX_PATH, Resolved, Source, Why, append, normal};

/// How many characters of a path that is too long are shown.
const SHOWN: usize = 200;

/// `path` without symbolic links, `.` and `..`. The part that does not exist is resolved by its text.
pub fn canonical(path: &Path) -> PathBuf {
    let mut missing = Vec::new();
    let mut existing = path;
    loop {
        if let Ok(resolved) = existing.canonicalize() {
            return missing.into_iter().rev().fold(resolved, append);
        }
        let mut parts = existing.components();
        let Some(last) = parts.next_back() else {
            return normal(path);
        };
        missing.push(last);
        existing = parts.as_path();
    }
}

/// Returns what [`canonical`] does, with fewer looks at a path below `base`, whose canonical form is known.
fn canonical_below(path: &Path, base: &Path, canonical_base: &Path) -> PathBuf {
    let Ok(rest) = path.strip_prefix(base) else {
        return canonical(path);
    };
    let mut resolved = canonical_base.to_path_buf();
    for part in rest.components() {
        resolved.push(part);
        // This is how readlink(2) says that something is there, and is no link.
        let is_plain = matches!(part, Component::Normal(_))
            && fs::read_link(&resolved).is_err_and(|e| e.kind() == ErrorKind::InvalidInput);
        if !is_plain {
            return canonical(path);
        }
    }
    resolved
}

/// Resolves the folder and the configuration of a dev container on disk. `roots` are the folders of `--workspace-root`, as
/// they are written and resolved; without any, every folder is allowed. With some, a path that the operator has not named is
/// looked at only if its words are below one of them: what is elsewhere may be on a file system that does not answer.
pub fn resolve(declared: &Declared, roots: &[PathBuf]) -> Resolved {
    if let Some(long) = declared
        .paths()
        .find(|path| path.as_os_str().len() >= MAX_PATH)
    {
        return unresolved(declared, long);
    }
    if !declared.source.is_operator() && !is_below(&normal(&declared.folder), roots) {
        return outside(declared);
    }
    let folder = canonical(&declared.folder);
    let config = declared
        .config
        .clone()
        .or_else(|| search::find(&declared.folder));
    let canonical_config = config.as_deref().map(|config| {
        if may_be_looked_at(config, declared, roots) {
            canonical_below(config, &declared.folder, &folder)
        } else {
            normal(config)
        }
    });
    let is_absolute = declared.folder.is_absolute();
    let directory = fs::metadata(&folder)
        .ok()
        .filter(|found| is_absolute && found.is_dir());
    let folder_exists = directory.is_some();

    let relative = (!is_absolute).then(|| Why::Relative(declared.folder.clone()));
    let missing = (!folder_exists).then(|| Why::Missing(declared.folder.clone()));
    let unsafe_path = config_outside(declared, &folder, canonical_config.as_deref())
        .or_else(|| leads_up(declared));
    let is_outside = !is_below(&folder, roots);
    let may_be_scanned = is_absolute && !is_outside && unsafe_path.is_none();
    let access = if is_outside {
        Access::None(relative.unwrap_or_else(|| Why::OutsideRoots(declared.folder.clone())))
    } else {
        let why = relative.or(missing).or(unsafe_path);
        why.map_or(Access::Full, Access::StopOnly)
    };
    Resolved {
        folder,
        folder_exists,
        directory: directory.as_ref().map(file_id),
        config,
        canonical_config,
        access,
        may_be_scanned,
    }
}

/// Returns whether a resolved folder is an existing directory. One outside of the workspace roots is not looked at.
pub fn exists(folder: &Path, roots: &[PathBuf]) -> bool {
    is_below(folder, roots) && folder.is_absolute() && folder.is_dir()
}

/// Returns whether a path is below a workspace root. Without any root, every path is.
pub fn is_below(path: &Path, roots: &[PathBuf]) -> bool {
    roots.is_empty() || roots.iter().any(|root| path.starts_with(root))
}

/// Returns whether a configuration may be looked at: a label may name one in its folder, or below a root.
fn may_be_looked_at(config: &Path, declared: &Declared, roots: &[PathBuf]) -> bool {
    let plain = normal(config);
    declared.source == Source::Predefined
        || plain.starts_with(normal(&declared.folder))
        || is_below(&plain, roots)
}

/// A dev container in a folder outside of the workspace roots that the operator has not named. Nothing of it is looked at.
fn outside(declared: &Declared) -> Resolved {
    let folder = declared.folder.clone();
    let why = if folder.is_absolute() {
        Why::OutsideRoots(folder)
    } else {
        Why::Relative(folder)
    };
    Resolved {
        folder_exists: false,
        access: Access::None(why),
        ..Resolved::as_written(declared)
    }
}

/// A dev container with a path that is too long to be looked up on disk.
fn unresolved(declared: &Declared, long: &Path) -> Resolved {
    let begin = long.to_string_lossy().chars().take(SHOWN).collect();
    Resolved {
        folder: declared.folder.clone(),
        folder_exists: false,
        directory: None,
        config: declared.config.clone(),
        canonical_config: declared.config.clone(),
        access: Access::None(Why::TooLong(begin)),
        may_be_scanned: false,
    }
}

fn config_outside(declared: &Declared, folder: &Path, config: Option<&Path>) -> Option<Why> {
    let config = config.filter(|config| !config.starts_with(folder))?;
    (declared.source != Source::Predefined).then(|| Why::ConfigOutside {
        config: config.to_path_buf(),
        folder: declared.folder.clone(),
    })
}

fn leads_up(declared: &Declared) -> Option<Why> {
    let path = declared.leading_upwards()?;
    (declared.source != Source::Predefined).then(|| Why::LeadsUp(path.to_path_buf()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::test_dir::TestDir;

    #[test]
    fn a_path_below_a_folder_is_resolved_as_any_other() {
        let dir = TestDir::new();
        let real = dir.path().join("real");
        fs::create_dir_all(real.join("a/b")).unwrap();
        fs::write(real.join("a/file"), "").unwrap();
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, dir.path().join(name));
        link("real", "folder").unwrap();
        link("a", "real/to-directory").unwrap();
        link("file", "real/a/to-file").unwrap();
        link("nowhere", "real/dangling").unwrap();
        link("loop", "real/loop").unwrap();
        for base in ["real", "folder", "missing"] {
            let base = dir.path().join(base);
            for below in [
                "",
                "a/file",
                "a/./file",
                "a/b/../file",
                "a/to-file",
                "to-directory/file",
                "to-directory/to-file",
                "to-directory/../a/file",
                "a/missing/file",
                "a/file/below-a-file",
                "dangling",
                "dangling/file",
                "loop/file",
                "../real/a",
            ] {
                let path = base.join(below);
                let resolved = canonical_below(&path, &base, &canonical(&base));
                assert_eq!(resolved, canonical(&path), "{}", path.display());
            }
        }
        let elsewhere = dir.path().join("real/a/to-file");
        let folder = dir.path().join("other");
        assert_eq!(
            canonical_below(&elsewhere, &folder, &folder),
            canonical(&elsewhere)
        );
    }

    fn resolve(
        folder: &Path,
        config: Option<&Path>,
        source: Source,
        roots: &[PathBuf],
    ) -> Resolved {
        let declared = Declared {
            folder: folder.to_path_buf(),
            config: config.map(Path::to_path_buf),
            source,
        };
        super::resolve(&declared, roots)
    }

    #[test]
    fn one_folder_written_in_several_ways_is_one_place() {
        let dir = TestDir::new();
        let config = dir.write("w/.devcontainer/devcontainer.json", "{}");
        let folder = dir.path().join("w");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        let plain = resolve(&folder, Some(&config), Source::Label, &[]);
        let upwards = resolve(&folder.join("../w"), None, Source::Predefined, &[]);
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
            let other = resolve(&folder, config.as_deref(), Source::Label, &[]);
            assert!(plain.is_same(&other), "{folder:?} {config:?}");
            assert_eq!(other.access, Access::Full);
        }
    }

    #[test]
    fn paths_that_do_not_exist_are_resolved_too() {
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
        let find = || resolve(folder, None, Source::Predefined, &[]).config;
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
        let why = |folder: &Path, config: Option<&Path>| {
            let place = resolve(folder, config, Source::Label, &roots);
            place.access.why_no_up().map(Why::to_string)
        };

        assert_eq!(why(&folder, Some(&config)), None);
        assert!(
            why(Path::new("w"), None)
                .unwrap()
                .contains("is not an absolute path")
        );
        assert!(
            why(Path::new("-w"), None)
                .unwrap()
                .contains("is not an absolute path")
        );
        assert!(
            why(&folder.join("none"), None)
                .unwrap()
                .contains("is not an existing directory")
        );
        assert!(
            why(&config, None)
                .unwrap()
                .contains("is not an existing directory")
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
        // The kernel and the CLI would take it for different places.
        dir.write("root/a/b/c/x", "");
        dir.write("root/a/w/x", "");
        std::os::unix::fs::symlink(dir.path().join("root/a/b/c"), folder.join("l")).unwrap();
        let twofold = folder.join("l/../../w");
        assert!(
            why(&twofold, None)
                .unwrap()
                .contains("leads upwards with `..`")
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
        // `root` is a prefix of the text `rooted`, but not its parent.
        assert!(why(&dir.path().join("rooted"), None).is_some());
    }

    #[test]
    fn a_predefined_config_may_be_anywhere() {
        let dir = TestDir::new();
        let outside = dir.write("outside/devcontainer.json", "{}");
        dir.write("w/x", "");
        let folder = dir.path().join("w");
        let place = resolve(&folder, Some(&outside), Source::Predefined, &[]);
        assert_eq!(place.access, Access::Full);
        let place = resolve(&folder, None, Source::Predefined, &[dir.path().join("x")]);
        assert_eq!(place.access, Access::None(Why::OutsideRoots(folder)));
    }

    #[test]
    fn access_and_scan_are_those_of_the_table() {
        let dir = TestDir::new();
        dir.write("root/w/.devcontainer.json", "{}");
        let outside = dir.write("outside/c.json", "{}");
        let folder = dir.path().join("root/w");
        let missing = dir.path().join("root/none");
        let up = folder.join("../w");
        let roots = [dir.path().join("root")];
        let check = |folder: &Path, config: Option<&Path>, roots: &[PathBuf], expected, scan| {
            let place = resolve(folder, config, Source::Label, roots);
            assert_eq!(place.access, expected);
            assert_eq!(place.may_be_scanned, scan, "{expected:?}");
        };
        let config = Some(outside.as_path());
        let config_outside = |folder: &Path| Why::ConfigOutside {
            config: outside.clone(),
            folder: folder.into(),
        };
        check(&folder, None, &roots, Access::Full, true);
        let why = Why::Missing(missing.clone());
        check(&missing, None, &roots, Access::StopOnly(why.clone()), true);
        check(&missing, config, &roots, Access::StopOnly(why), false);
        let gone_up = missing.join("../none");
        let why = Why::Missing(gone_up.clone());
        check(&gone_up, None, &roots, Access::StopOnly(why), false);
        let why = config_outside(&folder);
        check(&folder, config, &roots, Access::StopOnly(why), false);
        let why = config_outside(&up);
        check(&up, config, &roots, Access::StopOnly(why), false);
        let why = Why::LeadsUp(up.clone());
        check(&up, None, &roots, Access::StopOnly(why), false);
        let why = Why::Relative("-w".into());
        check(
            Path::new("-w"),
            None,
            &[],
            Access::StopOnly(why.clone()),
            false,
        );
        check(Path::new("-w"), None, &roots, Access::None(why), false);
        let elsewhere = dir.path().join("elsewhere");
        let why = Why::OutsideRoots(elsewhere.clone());
        check(&elsewhere, None, &roots, Access::None(why), false);
        let long = folder.join("x".repeat(MAX_PATH));
        let begin = long.to_str().unwrap().chars().take(SHOWN).collect();
        check(&long, None, &[], Access::None(Why::TooLong(begin)), false);
    }
}
