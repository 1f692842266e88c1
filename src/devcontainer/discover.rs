//! Finds folders with a configuration below a directory.

use std::collections::HashSet;
use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

use super::config::search;
use super::gitignore::{self, IgnoreFiles};

/// How many levels below the directory folders are looked at.
const MAX_DEPTH: usize = 3;
/// How many folders are looked at.
pub const MAX_FOLDERS: usize = 5000;
/// How many names in these folders are looked at.
const MAX_NAMES: usize = 200_000;
/// How many configurations are found.
pub const MAX_FOUND: usize = 1000;
/// A directory in which packages bring their own configurations.
const PACKAGES: &str = "node_modules";

/// A configuration, and the folder that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The workspace folder.
    pub folder: PathBuf,
    /// The configuration, which may be a link, or in a directory that is one.
    pub config: PathBuf,
}

/// The finds below a directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Search {
    /// The configurations, those of the upper folders first.
    pub candidates: Vec<Candidate>,
    /// The directories in which others would come or go, upper ones first.
    pub directories: Vec<PathBuf>,
    /// The files that decide which folders are looked at.
    pub ignore_files: Vec<PathBuf>,
    /// True if a bound was reached, so that there may be more.
    pub is_cut: bool,
}

/// A folder that is to be looked at.
struct Folder {
    path: PathBuf,
    depth: usize,
    ignored: IgnoreFiles,
}

/// The names in a folder that count.
#[derive(Default)]
struct Names {
    directories: Vec<PathBuf>,
    is_repository: bool,
    has_ignore_file: bool,
    hidden_file: bool,
    /// The kind of `.devcontainer`.
    config_directory: Option<FileType>,
}

/// Searches below `directory`, which has no links, but not in what git ignores, in `node_modules`, and behind links and
/// `elsewhere`, where other file systems are mounted. `global` are the ignored patterns of the user.
///
/// # Errors
///
/// The directory cannot be read.
pub fn discover(
    directory: &Path,
    elsewhere: &HashSet<PathBuf>,
    global: Option<&Path>,
) -> io::Result<Search> {
    fs::read_dir(directory)?;
    let mut search = Search::default();
    let mut names_left = MAX_NAMES;
    let mut level = vec![Folder {
        path: directory.to_path_buf(),
        depth: 0,
        ignored: IgnoreFiles::around(directory, global),
    }];
    let mut looked_at = 0;
    while !level.is_empty() && !search.is_cut {
        let mut below = Vec::new();
        for folder in level {
            if looked_at >= MAX_FOLDERS || search.candidates.len() >= MAX_FOUND || names_left == 0 {
                search.is_cut = true;
                break;
            }
            looked_at += 1;
            let Ok(names) = Names::read(&folder, &mut names_left) else {
                continue;
            };
            search.take(&folder.path, &names);
            below.extend(folder.below(names, elsewhere, global));
        }
        level = below;
    }
    search.is_cut |= names_left == 0 || search.candidates.len() > MAX_FOUND;
    search.candidates.truncate(MAX_FOUND);
    Ok(search)
}

impl Folder {
    /// Returns the folders in it that are to be looked at.
    fn below(
        &self,
        names: Names,
        elsewhere: &HashSet<PathBuf>,
        global: Option<&Path>,
    ) -> impl Iterator<Item = Self> {
        let is_repository = names.is_repository;
        let ignored = self
            .ignored
            .within(&self.path, is_repository, names.has_ignore_file, global);
        let depth = self.depth + 1;
        let below = names.directories.into_iter();
        below.filter_map(move |path| {
            let is_left_out = elsewhere.contains(&path) || ignored.ignore(&path);
            let ignored = ignored.clone();
            (!is_left_out).then_some(Self {
                path,
                depth,
                ignored,
            })
        })
    }
}

impl Names {
    /// Reads the names in a folder. In one on the last level, only those of configurations count.
    fn read(folder: &Folder, left: &mut usize) -> io::Result<Self> {
        let mut names = Self::default();
        if folder.depth >= MAX_DEPTH {
            let kind = |name: &str| {
                let metadata = folder.path.join(name).symlink_metadata();
                Some(metadata.ok()?.file_type())
            };
            names.config_directory = kind(search::DIRECTORY);
            names.hidden_file = kind(search::HIDDEN_FILE).is_some_and(|kind| !kind.is_dir());
            return Ok(names);
        }
        for entry in fs::read_dir(&folder.path)? {
            let Some(rest) = left.checked_sub(1) else {
                break;
            };
            *left = rest;
            let entry = entry?;
            let kind = entry.file_type()?;
            match entry.file_name().to_str() {
                Some(gitignore::REPOSITORY) => names.is_repository = true,
                Some(gitignore::FILE) => names.has_ignore_file = true,
                Some(search::DIRECTORY) => names.config_directory = Some(kind),
                Some(search::HIDDEN_FILE) => names.hidden_file = !kind.is_dir(),
                Some(PACKAGES) => {}
                _ if kind.is_dir() => names.directories.push(entry.path()),
                _ => {}
            }
        }
        names.directories.sort_unstable();
        Ok(names)
    }
}

impl Search {
    /// Takes what is in a folder. Links are followed later: they may lead to a file system that does not answer.
    fn take(&mut self, folder: &Path, names: &Names) {
        self.directories.push(folder.to_path_buf());
        if names.has_ignore_file {
            self.ignore_files.push(folder.join(gitignore::FILE));
        }
        let directory = folder.join(search::DIRECTORY);
        let mut configs = Vec::new();
        if names.config_directory.is_some_and(|kind| kind.is_dir()) {
            let named = search::subdirectories(&directory);
            let all = [&directory].into_iter().chain(&named);
            let all = all.map(|one| one.join(search::FILE));
            configs.extend(all.filter(|config| config.symlink_metadata().is_ok()));
            self.directories.push(directory);
            self.directories.extend(named);
        } else if names.config_directory.is_some_and(|kind| kind.is_symlink()) {
            configs.push(directory.join(search::FILE));
        }
        if names.hidden_file {
            configs.push(folder.join(search::HIDDEN_FILE));
        }
        let candidates = configs.into_iter().map(|config| Candidate {
            folder: folder.to_path_buf(),
            config,
        });
        self.candidates.extend(candidates);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::test_dir::TestDir;
    use std::os::unix::fs::symlink;

    const CONFIG: &str = ".devcontainer/devcontainer.json";

    fn search(dir: &TestDir) -> Search {
        discover(dir.path(), &HashSet::new(), None).unwrap()
    }

    /// Returns the configurations that are found, relative to the directory.
    fn found(dir: &TestDir) -> Vec<String> {
        let search = search(dir);
        let relative = |one: &Candidate| {
            assert!(one.config.starts_with(&one.folder));
            let relative = one.config.strip_prefix(dir.path()).unwrap();
            relative.to_str().unwrap().to_owned()
        };
        search.candidates.iter().map(relative).collect()
    }

    #[test]
    fn configurations_are_found_in_three_places_and_three_levels_deep() {
        let dir = TestDir::new();
        let expected = [
            ".devcontainer.json",
            "a/.devcontainer/devcontainer.json",
            "a/.devcontainer/x/devcontainer.json",
            "a/.devcontainer/y/devcontainer.json",
            "a/.devcontainer.json",
            "a/b/.devcontainer.json",
            "a/b/c/.devcontainer/devcontainer.json",
            "a/b/c/.devcontainer/z/devcontainer.json",
            "a/b/c/.devcontainer.json",
        ];
        for config in expected {
            dir.write(config, "{}");
        }
        for none in [
            "a/b/c/d/.devcontainer.json",
            "a/.devcontainer/x/y/devcontainer.json",
            "node_modules/p/.devcontainer.json",
            "a/node_modules/.devcontainer.json",
            ".git/.devcontainer.json",
            "e/devcontainer.json",
            "f/.devcontainer.json/x",
        ] {
            dir.write(none, "{}");
        }
        assert_eq!(found(&dir), expected);
    }

    #[test]
    fn links_are_found_but_not_followed_on_the_way() {
        let dir = TestDir::new();
        dir.write("real/.devcontainer/devcontainer.json", "{}");
        symlink(dir.path().join("real"), dir.path().join("folder")).unwrap();
        dir.write("a/x", "");
        symlink("../real/.devcontainer", dir.path().join("a/.devcontainer")).unwrap();
        dir.write("b/x", "");
        symlink("nowhere", dir.path().join("b/.devcontainer.json")).unwrap();
        let expected = ["a/.devcontainer/devcontainer.json", "b/.devcontainer.json"];
        assert_eq!(found(&dir)[..2], expected);
        assert_eq!(found(&dir).len(), 3);
    }

    #[test]
    fn what_git_ignores_is_not_looked_at() {
        let dir = TestDir::new();
        for folder in [
            "r/out",
            "r/s/out",
            "r/s/kept",
            "r/s/own",
            "r/excluded",
            "r/n/out",
            "out",
        ] {
            dir.write(&format!("{folder}/{CONFIG}"), "{}");
        }
        // No repository is around it.
        dir.write(".gitignore", "r\n");
        dir.write("r/.git/info/exclude", "/excluded\n");
        dir.write("r/.gitignore", "out/\nkept\n.devcontainer\n");
        dir.write("r/s/.gitignore", "!kept\nown\n");
        // A repository in another one has ignore files of its own.
        dir.write("r/n/.git", "gitdir: elsewhere\n");
        let expected = ["out", "r/n/out", "r/s/kept"].map(|folder| format!("{folder}/{CONFIG}"));
        assert_eq!(found(&dir), expected);
        let ignore_files = search(&dir).ignore_files;
        let expected = [".gitignore", "r/.gitignore", "r/s/.gitignore"];
        assert_eq!(ignore_files, expected.map(|path| dir.path().join(path)));
    }

    #[test]
    fn the_ignore_files_around_a_directory_count_unless_they_ignore_it() {
        let dir = TestDir::new();
        dir.write("r/.git/HEAD", "");
        dir.write("r/.gitignore", "/named\nout\n");
        for folder in ["r/x/out", "r/x/in", "r/named/out"] {
            dir.write(&format!("{folder}/{CONFIG}"), "{}");
        }
        let folders = |below: &str| -> Vec<PathBuf> {
            let search = discover(&dir.path().join(below), &HashSet::new(), None).unwrap();
            let folders = search.candidates.into_iter().map(|one| one.folder);
            folders.collect()
        };
        assert_eq!(folders("r/x"), [dir.path().join("r/x/in")]);
        assert_eq!(folders("r/named"), [dir.path().join("r/named/out")]);
        let global = dir.write("global", "in\n");
        let search = discover(&dir.path().join("r/x"), &HashSet::new(), Some(&global)).unwrap();
        assert_eq!(search.candidates, []);
    }

    #[test]
    fn p19_the_number_of_folders_is_bounded() {
        let dir = TestDir::new();
        dir.write("zz/.devcontainer.json", "{}");
        for number in 0..MAX_FOLDERS {
            fs::create_dir(dir.path().join(format!("a{number}"))).unwrap();
        }
        let search = search(&dir);
        assert!(search.is_cut);
        assert_eq!(search.directories.len(), MAX_FOLDERS);
        assert!(discover(&dir.path().join("none"), &HashSet::new(), None).is_err());
    }

    #[test]
    fn other_file_systems_are_not_looked_at() {
        let dir = TestDir::new();
        dir.write("mount/.devcontainer.json", "{}");
        let elsewhere = HashSet::from([dir.path().join("mount")]);
        let search = discover(dir.path(), &elsewhere, None).unwrap();
        assert_eq!((search.candidates, search.is_cut), (Vec::new(), false));
    }
}
