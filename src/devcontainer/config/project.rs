//! The compose project of a configuration, as the devcontainer CLI (0.89) names it.

use std::path::{Path, PathBuf};

use super::compose::{self, Call, Kind, normalized, value_in};
use super::file::read_config;
use super::jsonc;
use super::references::references;
use super::substitute::Environment;
use crate::model::inputs::Reference;
use crate::model::location::CliPaths;

/// The name by which the CLI calls a project that has none and is in `.devcontainer`, in part.
const OWN_DIRECTORY: &str = ".devcontainer";

/// A compose project, as operations claim it.
#[derive(Debug, PartialEq, Eq)]
pub struct ComposeProject {
    /// Its name.
    pub name: String,
    /// Its directory, which is that of its first compose file.
    pub directory: PathBuf,
}

/// Returns the compose project that the configuration at `paths` belongs to. `None` where the configuration names no
/// compose files or cannot be read.
pub fn compose_project(paths: &CliPaths) -> Option<ComposeProject> {
    let (content, _) = read_config(&paths.config).ok()?;
    let config = jsonc::parse(&content?)?;
    let environment = |name: &str| std::env::var_os(name);
    let references = references(paths, &config, &environment);
    let files = references.iter().find_map(|reference| match reference {
        Reference::Compose(setup) => Some(&setup.files),
        _ => None,
    })?;
    Some(project_of(paths, files, &environment))
}

fn project_of(paths: &CliPaths, files: &[PathBuf], environment: Environment<'_>) -> ComposeProject {
    let read = &mut |path: &Path, _: Kind| Ok(read_text(path));
    let call = Call::new(&paths.folder, files, environment, read);
    let project = compose::read(&call, environment, read);
    let directory = call.directory();
    let given = environment("COMPOSE_PROJECT_NAME").and_then(|name| name.into_string().ok());
    let in_file = || {
        let text = read_text(&paths.folder.join(".env"))?;
        value_in(&text, "COMPOSE_PROJECT_NAME")
    };
    let named = |name: String| Some(normalized(&name)).filter(|name| !name.is_empty());
    // Compose itself gives this name to a project in `.devcontainer`.
    let is_of_compose = project.name == "devcontainer" && !project.is_named;
    let by_compose = Some(project.name).filter(|_| !is_of_compose);
    let name = given
        .and_then(named)
        .or_else(|| named(in_file()?))
        .or_else(|| named(by_compose?))
        .unwrap_or_else(|| name_by_directory(&directory, &paths.folder));
    ComposeProject { name, directory }
}

fn name_by_directory(directory: &Path, folder: &Path) -> String {
    let base = |path: &Path| {
        path.file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned()
    };
    if directory == folder.join(OWN_DIRECTORY) {
        normalized(&format!("{}_devcontainer", base(folder)))
    } else {
        normalized(&base(directory))
    }
}

fn read_text(path: &Path) -> Option<String> {
    let (content, _) = read_config(path).ok()?;
    String::from_utf8(content?).ok()
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
            let found = compose_project(&CliPaths { folder, config });
            let found = found.map(|project| project.directory);
            let expected = expected.map(|below| dir.path().join(below));
            assert_eq!(found, expected, "{content}");
        }
        let folder = dir.path().to_path_buf();
        let config = folder.join("none");
        assert_eq!(compose_project(&CliPaths { folder, config }), None);
    }

    #[test]
    fn p14_a_project_has_the_name_that_the_cli_gives_it() {
        for (files, variable, expected) in [
            (&[][..], None, "my-w_devcontainer"),
            (&[("c.yml", "name: Own")], None, "own"),
            (&[("c.yml", "name: devcontainer")], None, "devcontainer"),
            (&[("c.yml", "name: '${X:-d}'"), (".env", "X=x")], None, "x"),
            (&[(".env", "COMPOSE_PROJECT_NAME=beside")], None, "beside"),
            (
                &[
                    ("../.env", "A=a\nCOMPOSE_PROJECT_NAME= In.Folder \n"),
                    ("c.yml", "name: own"),
                ],
                None,
                "infolder",
            ),
            (
                &[("../.env", "COMPOSE_PROJECT_NAME=f")],
                Some("Given"),
                "given",
            ),
        ] {
            let dir = TestDir::new();
            for (name, text) in files {
                dir.write(&format!("My-w/.devcontainer/{name}"), text);
            }
            let folder = dir.path().join("My-w");
            let paths = CliPaths {
                config: folder.join(".devcontainer/devcontainer.json"),
                folder,
            };
            let compose = paths.directory().join("c.yml");
            let environment = |name: &str| {
                let variable = variable.filter(|_| name == "COMPOSE_PROJECT_NAME");
                variable.map(Into::into)
            };
            let found = project_of(&paths, &[compose], &environment);
            assert_eq!(found.name, expected, "{files:?}");
            let elsewhere = project_of(&paths, &[dir.path().join("El se/c.yml")], &|_| None);
            assert!(
                ["else", "infolder", "f"].contains(&&*elsewhere.name),
                "{elsewhere:?}"
            );
        }
    }
}
