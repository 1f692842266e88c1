//! The files that a configuration names, as the devcontainer CLI (0.89) reads it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::build_options::{BuildOptions, values};
use super::dockerfile::is_remote;
use super::substitute::{Environment, substitute};
use crate::base::json::to_text;
use crate::model::build::{Build, Dockerfile};
use crate::model::compose::ComposeSetup;
use crate::model::inputs::{MAX_INPUTS, Reference};
use crate::model::location::{CliPaths, normal};

/// Returns the files and folders that the configuration at `paths` names.
pub fn references(
    paths: &CliPaths,
    config: &Value,
    environment: Environment<'_>,
) -> Vec<Reference> {
    let text = |text: &str| substitute(text, paths, environment);
    let path = |path: &str| normal(&paths.directory().join(text(path)));
    let mut references = Vec::new();
    let dockerfile = dockerfile(config);
    if let Some(dockerfile) = dockerfile.and_then(Value::as_str) {
        let text = |value: &str| text(value).to_string_lossy().into_owned();
        let mut build = build(config, path(dockerfile), path, text);
        let options = config
            .get("build")
            .and_then(|section| section.get("options"));
        let options = BuildOptions::new(options, text);
        with_options(&mut build, options, &paths.folder, environment);
        references.push(Reference::Build(Box::new(build)));
    }
    references.extend(run_files(paths, config, environment));
    // The CLI reads compose files only where neither a Dockerfile nor an image is named.
    if is_compose(config) {
        let files = config.get("dockerComposeFile");
        let text = |value: &Value| Some(text(value.as_str()?).to_string_lossy().into());
        let run_services = config.get("runServices").and_then(Value::as_array);
        references.extend(files.map(|files| {
            Reference::Compose(ComposeSetup {
                files: compose_files(files, path),
                service: config.get("service").and_then(text),
                run_services: run_services
                    .into_iter()
                    .flatten()
                    .filter_map(text)
                    .collect(),
            })
        }));
    }
    // A feature beyond the limit of inputs would not be compared, so no path is made of it.
    let features = local_features(config).take(MAX_INPUTS + 1);
    references.extend(features.map(|id| {
        let folder = paths.directory().join(id);
        Reference::Feature(normal(&folder))
    }));
    references
}

/// The files that `runArgs` name, relative to the working directory of the CLI's docker. Compose gets no such arguments.
fn run_files(paths: &CliPaths, config: &Value, environment: Environment<'_>) -> Vec<Reference> {
    let words = config.get("runArgs").and_then(Value::as_array);
    let words = words.filter(|_| !is_compose(config)).into_iter().flatten();
    let text = |word: &str| substitute(word, paths, environment);
    let words: Vec<String> = words
        .filter_map(Value::as_str)
        .map(|word| text(word).to_string_lossy().into_owned())
        .collect();
    let files = values(&words, &["--env-file", "--label-file"]).into_iter();
    let file = |file: &str| Reference::File(normal(&paths.folder.join(file)));
    files.take(MAX_INPUTS + 1).map(file).collect()
}

/// Returns whether the CLI has compose make the container.
pub(super) fn is_compose(config: &Value) -> bool {
    dockerfile(config).is_none() && config.get("image").is_none()
}

/// The compose files that a configuration names. Where these are none, the CLI looks for others.
fn compose_files(files: &Value, path: impl Fn(&str) -> PathBuf) -> Box<[PathBuf]> {
    match files {
        Value::String(one) => [path(one)].into(),
        Value::Array(several) => {
            let several = several.iter().filter_map(Value::as_str);
            several.take(MAX_INPUTS + 1).map(path).collect()
        }
        _ => Box::default(),
    }
}

/// `dockerFile` is the older spelling, and the CLI prefers it.
fn dockerfile(config: &Value) -> Option<&Value> {
    let nested = || config.get("build")?.get("dockerfile");
    config.get("dockerFile").or_else(nested)
}

/// How the image is built from a Dockerfile. The context is next to `dockerFile` in the older spelling.
fn build(
    config: &Value,
    dockerfile: PathBuf,
    path: impl Fn(&str) -> PathBuf,
    text: impl Fn(&str) -> String,
) -> Build {
    let section = config.get("build");
    let of_section = |key: &str| section.and_then(|section| section.get(key));
    let context = match config.get("dockerFile") {
        Some(_) => config.get("context"),
        None => of_section("context"),
    };
    let context = context
        .and_then(Value::as_str)
        .filter(|context| !context.is_empty());
    let context = match context {
        Some(context) => path(context),
        None => dockerfile.parent().unwrap_or(Path::new("/")).to_path_buf(),
    };
    let args = of_section("args").and_then(Value::as_object);
    let args = args.into_iter().flatten().map(|(name, value)| {
        let value = match value {
            Value::String(value) => text(value),
            other => to_text(other),
        };
        (name.clone(), value)
    });
    Build {
        context: Some(context),
        dockerfile: Dockerfile::File(dockerfile),
        target: of_section("target").and_then(Value::as_str).map(&text),
        args: args.collect::<BTreeMap<_, _>>(),
        contexts: BTreeMap::new(),
        ignore_file: None,
    }
}

/// Adds the options of a build. Paths in them are relative to the working directory of the CLI's docker, `folder`.
fn with_options(
    build: &mut Build,
    options: BuildOptions,
    folder: &Path,
    environment: Environment<'_>,
) {
    build.target = options.target.or(build.target.take());
    for (name, value) in options.args {
        let value = value.or_else(|| environment(&name)?.into_string().ok());
        build.args.extend(value.map(|value| (name, value)));
    }
    let is_local = |(_, path): &(String, String)| !is_remote(path);
    let contexts = options.contexts.into_iter().filter(is_local);
    build.contexts = contexts
        .map(|(name, path)| (name, normal(&folder.join(path))))
        .collect();
}

/// The ids of features that are folders below or near the configuration.
fn local_features(config: &Value) -> impl Iterator<Item = &String> {
    let features = config.get("features").and_then(Value::as_object);
    let ids = features.into_iter().flat_map(|features| features.keys());
    ids.filter(|id| id.starts_with("./") || id.starts_with("../"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn paths() -> CliPaths {
        CliPaths {
            folder: "/w".into(),
            config: "/w/.devcontainer/devcontainer.json".into(),
        }
    }

    #[track_caller]
    fn check(config: Value, expected: &[&str]) {
        let environment = |name: &str| (name == "NAME").then(|| "value".into());
        let found = references(&paths(), &config, &environment);
        let shown = found.iter().map(|reference| match reference {
            Reference::Build(build) => match &build.dockerfile {
                Dockerfile::File(path) => path.display().to_string(),
                other => format!("{other:?}"),
            },
            Reference::Compose(setup) => {
                let paths: Vec<String> = setup
                    .files
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect();
                format!("{}:", paths.join(","))
            }
            Reference::Feature(path) => format!("{}/", path.display()),
            Reference::File(path) => format!("{}=", path.display()),
            Reference::Unchecked(reason) => format!("unchecked: {reason}"),
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
    fn a_build_has_a_context_a_target_and_arguments() {
        let build = |config: Value| {
            let environment = |name: &str| (name == "NAME").then(|| "value".into());
            match references(&paths(), &config, &environment).remove(0) {
                Reference::Build(build) => *build,
                other => panic!("{other:?}"),
            }
        };
        let context = |config: Value| build(config).context.unwrap().display().to_string();
        let directory = "/w/.devcontainer";
        assert_eq!(context(json!({"dockerFile": "D"})), directory);
        assert_eq!(context(json!({"dockerFile": "../a/D"})), "/w/a");
        assert_eq!(context(json!({"dockerFile": "D", "context": ".."})), "/w");
        let other = json!({"dockerFile": "D", "build": {"context": ".."}});
        assert_eq!(context(other), directory);
        let nested = |context: &str| json!({"build": {"dockerfile": "../D", "context": context}});
        assert_eq!(context(nested("../x/${localEnv:NAME}")), "/w/x/value");
        assert_eq!(context(nested("/c")), "/c");
        assert_eq!(context(nested("")), "/w");
        let args = json!({"A": "${localEnv:NAME}", "B": 1, "C": true});
        let full = build(json!({"build": {"dockerfile": "D", "target": "t", "args": args}}));
        assert_eq!(full.target.as_deref(), Some("t"));
        let args = ["A=value", "B=1", "C=true"];
        let found = full
            .args
            .iter()
            .map(|(name, value)| format!("{name}={value}"));
        assert_eq!(found.collect::<Vec<_>>(), args);
    }

    #[test]
    fn compose_files_count_where_the_cli_reads_them() {
        check(
            json!({"dockerComposeFile": "c.yml"}),
            &["/w/.devcontainer/c.yml:"],
        );
        check(
            json!({"dockerComposeFile": ["../a.yml", "b.yml", 3]}),
            &["/w/a.yml,/w/.devcontainer/b.yml:"],
        );
        check(json!({"dockerComposeFile": []}), &[":"]);
        check(json!({"dockerComposeFile": null}), &[":"]);
        check(json!({"dockerComposeFile": "c.yml", "image": "x"}), &[]);
    }

    #[test]
    fn files_of_run_arguments_are_relative_to_the_folder() {
        let args = json!([
            "--env-file",
            "a.env",
            "--label-file=/l",
            "-e",
            "X=1",
            "--env-file=${localEnv:NAME}/b",
            7
        ]);
        check(
            json!({"image": "x", "runArgs": args}),
            &["/w/a.env=", "/l=", "/w/value/b="],
        );
        check(json!({"runArgs": args}), &[]);
        check(json!({"image": "x", "runArgs": "--env-file a"}), &[]);
    }

    #[test]
    fn local_features_are_folders() {
        check(
            json!({"image": "x", "features": {
                "./here": {}, "../there": {}, "/absolute": {}, "ghcr.io/a/b:1": {}, "https://a/b.tgz": {}}}),
            &["/w/there/", "/w/.devcontainer/here/"],
        );
        check(json!({"features": ["./x"]}), &[]);
    }

    #[test]
    fn variables_are_replaced_in_paths() {
        for (text, expected) in [
            ("${localWorkspaceFolder}/D", "/w/D"),
            ("../${localWorkspaceFolderBasename}/D", "/w/w/D"),
            ("${localEnv:NAME}", "/w/.devcontainer/value"),
            ("${devcontainerId}", "/w/.devcontainer/${devcontainerId}"),
        ] {
            check(json!({"dockerFile": text}), &[expected]);
        }
    }
}
