//! The reading of compose projects, held against `docker compose config`, which needs no engine.
//!
//! A file counts as read by compose if its output differs, or it fails, where the file has other content.

mod cases;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use devcontainerd::compose::{self, Build, Call, Dockerfile, Project};
use serde_json::{Value, json};

use self::cases::{CASES, Case};
use crate::engine::Directory;

fn environment(case: &Case, name: &str) -> Option<OsString> {
    let mut variables = case.environment.iter();
    match name {
        "HOME" => Some("/home/user".into()),
        name => variables
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (*value).into()),
    }
}

/// The project as the daemon reads it, and the files that it reads for this.
fn ours(case: &Case, folder: &Path, named: &[PathBuf]) -> (Project, BTreeSet<PathBuf>) {
    let environment = |name: &str| environment(case, name);
    let mut seen = BTreeSet::new();
    let read = &mut |path: &Path, _| {
        seen.insert(path.to_path_buf());
        Ok(fs::read_to_string(path).ok())
    };
    let call = Call::new(folder, named, &environment, read);
    let project = compose::read(&call, &environment, read);
    let env_files = project.services.values();
    let env_files = env_files.flat_map(|service| &service.env_files);
    seen.extend(env_files.map(|file| file.path.clone()));
    (project, seen)
}

/// The project as compose prints it; `None` where it fails.
fn theirs(case: &Case, folder: &Path, named: &[PathBuf]) -> Option<Value> {
    // Where the configuration names none, the CLI chooses the files.
    let chosen: Vec<PathBuf> = match case.name {
        "the default files" => ["docker-compose.yml", "docker-compose.override.yml"]
            .map(|name| folder.join(name))
            .into(),
        "the files that .env names" => ["x/c.yml", "d.yml"].map(|name| folder.join(name)).into(),
        _ => named.to_vec(),
    };
    let mut command = Command::new("docker");
    command.arg("compose").current_dir(folder);
    for file in chosen {
        command.arg("-f").arg(file);
    }
    if named.is_empty() {
        command.arg("--env-file").arg(folder.join(".env"));
    }
    command.args(["--profile", "*", "config", "--format", "json"]);
    let kept =
        ["PATH", "DOCKER_CONFIG"].map(|name| (name, std::env::var_os(name).unwrap_or_default()));
    command.env_clear().envs(kept).env("HOME", "/home/user");
    command.envs(case.environment.iter().copied());
    let output = command.output().unwrap();
    if !output.status.success() {
        println!("{}: {}", case.name, String::from_utf8_lossy(&output.stderr));
        return None;
    }
    // It prints dollar signs so that it would read them again.
    let printed = String::from_utf8(output.stdout).unwrap().replace("$$", "$");
    Some(serde_json::from_str(&printed).unwrap())
}

/// A build as compose prints it.
fn shown(build: &Build) -> Value {
    let mut shown = json!({"args": build.args});
    if let Some(context) = &build.context {
        shown["context"] = json!(context);
    }
    match &build.dockerfile {
        Dockerfile::File(file) => shown["dockerfile"] = json!(file),
        Dockerfile::Inline(text) => shown["dockerfile_inline"] = json!(text),
        Dockerfile::Remote => {}
    }
    if let Some(target) = &build.target {
        shown["target"] = json!(target);
    }
    shown
}

/// `path` without `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}

/// The builds that compose prints, as [`shown`].
fn builds(config: &Value) -> BTreeMap<String, Value> {
    let services = config["services"].as_object().unwrap().iter();
    let builds = services.filter(|(_, service)| service["build"].is_object());
    let shown = builds.map(|(name, service)| {
        let mut build = service["build"].clone();
        let fields = build.as_object_mut().unwrap();
        fields.entry("args").or_insert(json!({}));
        let context = fields["context"].as_str().unwrap().to_owned();
        let is_remote = context.contains("://");
        if is_remote {
            fields.remove("context");
        }
        if let Some(Value::String(file)) = fields.remove("dockerfile").filter(|_| !is_remote) {
            let file = plain(&Path::new(&context).join(file));
            fields.insert("dockerfile".to_owned(), json!(file));
        }
        (name.clone(), build)
    });
    shown.collect()
}

fn check(case: &Case, directory: &Path) {
    let name = case.name;
    let folder = directory.join(name.replace([' ', ','], "-")).join("w");
    for (path, text) in case.files {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let named: Vec<PathBuf> = case.named.iter().map(|file| folder.join(file)).collect();
    let (project, seen) = ours(case, &folder, &named);
    let config = theirs(case, &folder, &named);
    assert_eq!(config.is_none(), case.fails, "{name}: {config:?}");
    assert_eq!(
        project.problems.is_empty() && project.missing.is_empty(),
        !case.fails,
        "{name}: {:?}",
        project.problems
    );
    let Some(config) = config else { return };
    let found = project.services.iter();
    let found =
        found.filter_map(|(name, service)| Some((name.clone(), shown(service.build.as_ref()?))));
    assert_eq!(found.collect::<BTreeMap<_, _>>(), builds(&config), "{name}");
    assert_eq!(config["name"], json!(project.name), "{name}");
    for (path, text) in case.files {
        let path = folder.join(path);
        fs::write(&path, format!("}} {{ [\n{text}")).unwrap();
        let is_read = theirs(case, &folder, &named).as_ref() != Some(&config);
        fs::write(&path, text).unwrap();
        assert_eq!(seen.contains(&path), is_read, "{name}: {}", path.display());
    }
}

#[test]
fn a_compose_project_is_read_as_compose_reads_it() {
    let version = Command::new("docker")
        .args(["compose", "version", "--short"])
        .output()
        .unwrap();
    if !String::from_utf8_lossy(&version.stdout).starts_with('2') {
        println!("not compared: `docker compose` of version 2 is missing");
        return;
    }
    let directory = Directory::new("compose-reading");
    let path = fs::canonicalize(directory.path()).unwrap();
    let checked = CASES
        .iter()
        .map(|case| std::panic::catch_unwind(|| check(case, &path)));
    let failed = checked.filter(Result::is_err).count();
    assert_eq!(failed, 0, "{} cases", CASES.len());
}
