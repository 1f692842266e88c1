//! The configuration of a folder: where it is, and which service of its compose files is the dev container.

use std::path::{Path, PathBuf};

use super::file::read_config;
use super::jsonc;

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

/// Returns the compose service that is the dev container
/// (<https://containers.dev/implementors/json_reference/#compose-specific>). `None` where the configuration names no
/// compose files or cannot be read.
pub fn compose_service(config: &Path) -> Option<String> {
    let (content, _) = read_config(config).ok()?;
    let config = jsonc::parse(&content?)?;
    config.get("dockerComposeFile")?;
    Some(config.get("service")?.as_str()?.to_owned())
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
    fn only_a_configuration_with_compose_files_has_a_service() {
        let dir = TestDir::new();
        for (content, expected) in [
            (
                r#"{"dockerComposeFile":"c.yml","service":"app"} // x"#,
                Some("app"),
            ),
            (r#"{"service":"app"}"#, None),
            (r#"{"dockerComposeFile":"c.yml"}"#, None),
            (r#"{"dockerComposeFile":"c.yml","service":7}"#, None),
            ("{", None),
        ] {
            let config = dir.write("c.json", content);
            assert_eq!(compose_service(&config).as_deref(), expected, "{content}");
        }
        assert_eq!(compose_service(&dir.path().join("none")), None);
    }
}
