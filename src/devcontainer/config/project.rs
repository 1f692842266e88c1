//! The compose project of a configuration.

use std::path::PathBuf;

use super::file::read_config;
use super::jsonc;
use super::references::references;
use crate::model::inputs::Reference;
use crate::model::location::CliPaths;

/// Returns the directory of the compose project that the configuration at `paths` belongs to, which is that of its first
/// compose file. `None` where the configuration names no compose files or cannot be read.
pub fn compose_directory(paths: &CliPaths) -> Option<PathBuf> {
    let (content, _) = read_config(&paths.config).ok()?;
    let config = jsonc::parse(&content?)?;
    let environment = |name: &str| std::env::var_os(name);
    let references = references(paths, &config, &environment);
    references.iter().find_map(|reference| match reference {
        Reference::Compose(file) => file.parent().map(PathBuf::from),
        Reference::File(_) | Reference::Feature(_) | Reference::Unchecked(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::test_dir::TestDir;

    #[test]
    fn p14_a_project_is_in_the_directory_of_its_first_compose_file() {
        let dir = TestDir::new();
        for (content, expected) in [
            (
                r#"{"dockerComposeFile":"c.yml"} // x"#,
                Some(".devcontainer/a"),
            ),
            (r#"{"dockerComposeFile":["../../c.yml","d.yml"]}"#, Some("")),
            (r#"{"dockerComposeFile":[]}"#, Some("")),
            (r#"{"dockerComposeFile":"c.yml","image":"i"}"#, None),
            (r#"{"image":"i"}"#, None),
            ("{", None),
        ] {
            let config = dir.write(".devcontainer/a/devcontainer.json", content);
            let folder = dir.path().to_path_buf();
            let found = compose_directory(&CliPaths { folder, config });
            let expected = expected.map(|below| dir.path().join(below));
            assert_eq!(found, expected, "{content}");
        }
        let folder = dir.path().to_path_buf();
        let config = folder.join("none");
        assert_eq!(compose_directory(&CliPaths { folder, config }), None);
    }
}
