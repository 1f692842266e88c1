//! Where the configuration of a folder is.

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
}
