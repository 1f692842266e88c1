//! Which other files a configuration names, as the devcontainer CLI (0.89) reads it.

use std::ffi::OsString;
use std::path::PathBuf;

use serde_json::Value;

use crate::model::inputs::Reference;
use crate::model::location::{CliPaths, MAX_PATH, normal};

/// What compose takes where the list of its files is empty.
const COMPOSE_DEFAULTS: [&str; 2] = ["docker-compose.yml", "docker-compose.override.yml"];

impl CliPaths {
    /// What `config` names. Variables of the local environment are asked of `environment`.
    pub fn references(
        &self,
        config: &Value,
        environment: &dyn Fn(&str) -> Option<OsString>,
    ) -> Vec<Reference> {
        let path = |text: &str| {
            let text = self.substitute(text, environment);
            normal(&self.directory().join(text))
        };
        let dockerfile = match config.get("dockerFile") {
            Some(file) => Some(file),
            None => config
                .get("build")
                .and_then(|build| build.get("dockerfile")),
        };
        let mut references: Vec<Reference> = Vec::new();
        references.extend(
            dockerfile
                .and_then(Value::as_str)
                .map(path)
                .map(Reference::File),
        );
        if dockerfile.is_none() && config.get("image").is_none() {
            let files: Vec<PathBuf> = match config.get("dockerComposeFile") {
                Some(Value::String(one)) => vec![path(one)],
                Some(Value::Array(none)) if none.is_empty() => {
                    let defaults = COMPOSE_DEFAULTS.iter();
                    defaults
                        .map(|name| normal(&self.folder.join(name)))
                        .collect()
                }
                Some(Value::Array(several)) => {
                    several.iter().filter_map(Value::as_str).map(path).collect()
                }
                _ => Vec::new(),
            };
            references.extend(files.into_iter().map(Reference::Compose));
        }
        let features = config.get("features").and_then(Value::as_object);
        let features = features.into_iter().flat_map(|features| features.keys());
        let local = features.filter(|id| id.starts_with("./") || id.starts_with("../"));
        let local = local.map(|id| normal(&self.directory().join(id)));
        references.extend(local.map(Reference::Feature));
        references
    }

    /// What stands for `${…}` is known outside of the container only in part; the rest is left as it stands, as the
    /// CLI does: <https://containers.dev/implementors/json_reference/#variables-in-devcontainerjson>.
    fn substitute(&self, text: &str, environment: &dyn Fn(&str) -> Option<OsString>) -> OsString {
        let mut done = OsString::new();
        let mut rest = text;
        while let Some((before, variable, after)) = split_variable(rest) {
            // No path is so long, whatever follows.
            if done.len() >= MAX_PATH {
                return done;
            }
            done.push(before);
            match self.value(variable, environment) {
                Some(value) => done.push(value),
                None => done.push(format!("${{{variable}}}")),
            }
            rest = after;
        }
        done.push(rest);
        done
    }

    fn value(
        &self,
        variable: &str,
        environment: &dyn Fn(&str) -> Option<OsString>,
    ) -> Option<OsString> {
        let mut parts = variable.split(':');
        match (parts.next()?, parts.next()) {
            ("env" | "localEnv", Some(name)) => {
                let default = || parts.next().unwrap_or_default().into();
                Some(environment(name).unwrap_or_else(default))
            }
            ("localWorkspaceFolder", _) => Some(self.folder.clone().into()),
            ("localWorkspaceFolderBasename", _) => self.folder.file_name().map(OsString::from),
            _ => None,
        }
    }
}

/// What stands before the first `${…}`, inside of it, and after it.
fn split_variable(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("${")?;
    let (variable, after) = rest.split_once('}')?;
    Some((before, variable, after))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::location::relative;
    use serde_json::json;
    use std::path::Path;

    fn site() -> CliPaths {
        CliPaths {
            folder: "/w".into(),
            config: "/w/.devcontainer/devcontainer.json".into(),
        }
    }

    #[track_caller]
    fn check(config: Value, expected: &[&str]) {
        let environment = |name: &str| (name == "NAME").then(|| "value".into());
        let found = site().references(&config, &environment);
        let shown = found.iter().map(|reference| match reference {
            Reference::File(path) => path.display().to_string(),
            Reference::Compose(path) => format!("{}:", path.display()),
            Reference::Feature(path) => format!("{}/", path.display()),
        });
        assert_eq!(shown.collect::<Vec<_>>(), expected, "{config}");
    }

    #[test]
    fn dockerfiles_are_relative_to_the_configuration() {
        check(json!({"image": "x"}), &[]);
        check(
            json!({"build": {"dockerfile": "Dockerfile"}}),
            &["/w/.devcontainer/Dockerfile"],
        );
        check(json!({"build": {"dockerfile": "../a/./b"}}), &["/w/a/b"]);
        check(json!({"build": {"dockerfile": "/d"}}), &["/d"]);
        check(
            json!({"dockerFile": "D", "build": {"dockerfile": "E"}}),
            &["/w/.devcontainer/D"],
        );
        check(json!({"build": {"context": ".."}, "image": "x"}), &[]);
        check(json!({"build": "Dockerfile"}), &[]);
        check(json!({"build": {"dockerfile": 7}}), &[]);
    }

    #[test]
    fn compose_files_count_where_the_cli_reads_them() {
        check(
            json!({"dockerComposeFile": "c.yml"}),
            &["/w/.devcontainer/c.yml:"],
        );
        check(
            json!({"dockerComposeFile": ["../a.yml", "b.yml", 3]}),
            &["/w/a.yml:", "/w/.devcontainer/b.yml:"],
        );
        check(
            json!({"dockerComposeFile": []}),
            &["/w/docker-compose.yml:", "/w/docker-compose.override.yml:"],
        );
        check(json!({"dockerComposeFile": "c.yml", "image": "x"}), &[]);
    }

    #[test]
    fn of_features_the_local_ones_are_files() {
        check(
            json!({"image": "x", "features": {
                "./here": {}, "../there": {}, "/absolute": {}, "ghcr.io/a/b:1": {}, "https://a/b.tgz": {}}}),
            &["/w/there/", "/w/.devcontainer/here/"],
        );
        check(json!({"features": ["./x"]}), &[]);
    }

    #[test]
    fn variables_are_those_that_the_cli_knows_before_there_is_a_container() {
        for (text, expected) in [
            ("${localWorkspaceFolder}/D", "/w/D"),
            ("../${localWorkspaceFolderBasename}/D", "/w/w/D"),
            ("${localEnv:NAME}", "/w/.devcontainer/value"),
            ("${env:NAME:default}", "/w/.devcontainer/value"),
            ("${localEnv:NONE:default}", "/w/.devcontainer/default"),
            ("a${localEnv:NONE}b", "/w/.devcontainer/ab"),
            ("${devcontainerId}", "/w/.devcontainer/${devcontainerId}"),
            ("${localEnv}", "/w/.devcontainer/${localEnv}"),
            ("${open", "/w/.devcontainer/${open"),
        ] {
            check(json!({"dockerFile": text}), &[expected]);
        }
    }

    #[test]
    fn the_lock_file_of_a_hidden_configuration_is_hidden() {
        let lock = |config: &str| {
            CliPaths {
                config: config.into(),
                ..site()
            }
            .lock_file()
        };
        assert_eq!(
            lock("/w/.devcontainer.json"),
            Path::new("/w/.devcontainer-lock.json")
        );
        assert_eq!(
            site().lock_file(),
            Path::new("/w/.devcontainer/devcontainer-lock.json")
        );
    }

    #[test]
    fn paths_are_written_as_in_the_directory_of_the_configuration() {
        for (path, expected) in [
            ("/w/.devcontainer/D", "D"),
            ("/w/.devcontainer/a/b", "a/b"),
            ("/w/D", "../D"),
            ("/x/D", "../../x/D"),
            ("/w/.devcontainer", "."),
        ] {
            let found = relative(Path::new(path), site().directory());
            assert_eq!(found, Path::new(expected));
            assert_eq!(normal(&site().directory().join(found)), Path::new(path));
        }
    }
}
