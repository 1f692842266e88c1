//! The reading of compose projects, held against `docker compose config`, which needs no engine.
//!
//! A file counts as read by compose if its output differs, or it fails, where the file has other content.

mod cases;
mod shapes;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, Output};

use devcontainerd::compose::{self, Build, Call, ComposeSetup, Dockerfile, Project};
use serde_json::{Map, Value, json};

use self::cases::{CASES, Case};
use self::shapes::SHAPES;
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

/// Runs compose with these arguments.
fn compose(case: &Case, folder: &Path, named: &[PathBuf], arguments: &[&str]) -> Output {
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
    command.args(arguments);
    let kept =
        ["PATH", "DOCKER_CONFIG"].map(|name| (name, std::env::var_os(name).unwrap_or_default()));
    command.env_clear().envs(kept).env("HOME", "/home/user");
    command.envs(case.environment.iter().copied());
    command.output().unwrap()
}

/// The project as compose prints it; `None` where it fails.
fn theirs(case: &Case, folder: &Path, named: &[PathBuf]) -> Option<Value> {
    let arguments = ["--profile", "*", "config", "--format", "json"];
    let output = compose(case, folder, named, &arguments);
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
    if !build.contexts.is_empty() {
        shown["additional_contexts"] = json!(build.contexts);
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

/// The fields of a build that are of interest.
const FIELDS: [&str; 6] = [
    "additional_contexts",
    "args",
    "context",
    "dockerfile",
    "dockerfile_inline",
    "target",
];

/// The builds that compose prints, as [`shown`].
fn builds(config: &Value) -> BTreeMap<String, Value> {
    let services = config["services"].as_object().unwrap().iter();
    let builds = services.filter(|(_, service)| service["build"].is_object());
    let shown = builds.map(|(name, service)| {
        let mut build = service["build"].clone();
        let fields = build.as_object_mut().unwrap();
        fields.retain(|field, _| FIELDS.contains(&&**field));
        fields.entry("args").or_insert(json!({}));
        let context = fields["context"].as_str().unwrap().to_owned();
        let is_remote = context.contains("://");
        if is_remote {
            fields.remove("context");
        }
        if let Some(Value::Object(contexts)) = fields.remove("additional_contexts") {
            let is_local = |context: &str| Path::new(context).is_absolute();
            let local = contexts
                .into_iter()
                .filter(|(_, context)| context.as_str().is_some_and(is_local));
            let local: Map<_, _> = local.collect();
            if !local.is_empty() {
                fields.insert("additional_contexts".to_owned(), local.into());
            }
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
    if case
        .files
        .iter()
        .any(|(_, text)| text.contains("profiles:"))
    {
        let started = compose(case, &folder, &named, &["config", "--services"]);
        let started = String::from_utf8(started.stdout).unwrap();
        let started: BTreeSet<String> = started.lines().map(str::to_owned).collect();
        assert_eq!(project.used(&ComposeSetup::default()), started, "{name}");
    }
    for (path, text) in case.files {
        let path = folder.join(path);
        fs::write(&path, format!("}} {{ [\n{text}")).unwrap();
        let is_read = theirs(case, &folder, &named).as_ref() != Some(&config);
        fs::write(&path, text).unwrap();
        assert_eq!(seen.contains(&path), is_read, "{name}: {}", path.display());
    }
}

/// The major versions of compose that the reading is held against.
const HELD_AGAINST: [u32; 2] = [2, 5];

/// The version of compose; zeros where there is none.
fn version() -> (u32, u32) {
    let output = Command::new("docker")
        .args(["compose", "version", "--short"])
        .output()
        .unwrap();
    let version = String::from_utf8_lossy(&output.stdout);
    let mut numbers = version
        .trim_start_matches('v')
        .split('.')
        .map(|number| number.parse().unwrap_or(0));
    let mut number = || numbers.next().unwrap_or(0);
    (number(), number())
}

#[test]
fn a_compose_project_is_read_as_compose_reads_it() {
    let version = version();
    if !HELD_AGAINST.contains(&version.0) {
        println!("test: NOT RUN, because docker compose 2 and 5 are missing");
        return;
    }
    let directory = Directory::new("compose-reading");
    let path = fs::canonicalize(directory.path()).unwrap();
    let cases = CASES.iter().chain(SHAPES);
    let cases: Vec<&Case> = cases.filter(|case| case.since <= version).collect();
    let checked = cases
        .iter()
        .map(|case| std::panic::catch_unwind(|| check(case, &path)));
    let failed = checked.filter(Result::is_err).count();
    assert_eq!(failed, 0, "{} cases", cases.len());
}
