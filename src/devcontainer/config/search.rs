//! Where the configurations of a folder are.

use std::fs;
use std::path::{Path, PathBuf};

/// The configuration files of a folder, first one first: <https://containers.dev/implementors/spec/#devcontainerjson>.
const SEARCH_ORDER: [&str; 2] = [".devcontainer/devcontainer.json", ".devcontainer.json"];

/// Returns the configuration of `folder` that is used when none is named.
pub fn find(folder: &Path) -> Option<PathBuf> {
    candidates(folder).find(|path| path.is_file())
}

/// The paths that [`find`] tries, in its order.
pub fn candidates(folder: &Path) -> impl Iterator<Item = PathBuf> {
    SEARCH_ORDER.iter().map(|relative| folder.join(relative))
}

/// The directory of configurations, and the name of each in it.
pub const DIRECTORY: &str = ".devcontainer";
/// The name of a configuration in a directory.
pub const FILE: &str = "devcontainer.json";
/// The name of a configuration beside the workspace.
pub const HIDDEN_FILE: &str = ".devcontainer.json";
/// The number of names in [`DIRECTORY`] that are looked at.
const MAX_NAMES: usize = 1000;

/// Returns all configurations of `folder` that `is_config` takes for one: those of [`candidates`], then those of
/// directories in `.devcontainer`, by name.
pub fn all(folder: &Path, is_config: impl Fn(&Path) -> bool) -> Vec<PathBuf> {
    let named = subdirectories(&folder.join(DIRECTORY)).into_iter();
    let all = candidates(folder).chain(named.map(|directory| directory.join(FILE)));
    all.filter(|path| is_config(path)).collect()
}

/// Returns the directories in `directory`, by name. Links are none.
pub fn subdirectories(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten();
    let entries = entries.take(MAX_NAMES).flatten();
    let directories = entries.filter(|one| one.file_type().is_ok_and(|kind| kind.is_dir()));
    let mut paths: Vec<PathBuf> = directories.map(|one| one.path()).collect();
    paths.sort_unstable();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::test_dir::TestDir;

    #[test]
    fn the_hidden_directory_comes_first() {
        let dir = TestDir::new();
        assert_eq!(find(dir.path()), None);
        let second = dir.write(".devcontainer.json", "{}");
        assert_eq!(find(dir.path()), Some(second));
        let first = dir.write(".devcontainer/devcontainer.json", "{}");
        assert_eq!(find(dir.path()), Some(first));
    }

    #[test]
    fn all_configurations_are_those_of_the_three_places() {
        let dir = TestDir::new();
        let expected = [
            ".devcontainer/devcontainer.json",
            ".devcontainer.json",
            ".devcontainer/a/devcontainer.json",
            ".devcontainer/b/devcontainer.json",
        ];
        let expected = expected.map(|path| dir.write(path, "{}"));
        dir.write(".devcontainer/a/b/devcontainer.json", "{}");
        dir.write(".devcontainer/c/other.json", "{}");
        dir.write("d/devcontainer.json", "{}");
        assert_eq!(all(dir.path(), Path::is_file), expected);
    }
}
