//! The files that a builder takes from a context, and those that make a dev container dirty.

mod cases;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use serde_json::{Map, json};

use self::cases::Case;
use crate::common::Daemon;
use crate::engine::{Containers, Directory, IMAGE, daemon, docker, try_docker, unique};
use crate::workspace::Workspace;

/// A case on disk, with a container that is older than any edit.
struct Stage {
    workspace: Workspace,
}

impl Stage {
    fn new(case: &Case, containers: &Containers) -> Self {
        let args = case.args.iter();
        let args: Map<_, _> = args
            .map(|(name, value)| (name.to_string(), json!(value)))
            .collect();
        let mut build = json!({"dockerfile": "../Dockerfile", "context": "..", "args": args});
        if let Some(target) = case.target {
            build["target"] = json!(target);
        }
        let workspace = Workspace::new("dockerfile", json!({"image": null, "build": build}));
        fs::write(workspace.folder().join("Dockerfile"), case.text()).unwrap();
        fs::write(workspace.folder().join(".dockerignore"), case.dockerignore).unwrap();
        let stage = Self { workspace };
        for file in case.taken.iter().chain(case.taken_whole).chain(case.others) {
            stage.write(file, &content(file));
        }
        for (link, target) in case.links {
            symlink(target, stage.workspace.folder().join(link)).unwrap();
        }
        let folder = format!("devcontainer.local_folder={}", stage.workspace.shown());
        let config = format!(
            "devcontainer.config_file={}",
            stage.workspace.config().display()
        );
        containers.create(&["--label", &folder, "--label", &config, IMAGE]);
        stage
    }

    fn write(&self, file: &str, text: &[u8]) {
        let path = self.workspace.folder().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Builds with the arguments that the CLI uses. Returns the contents of the files in the image.
    fn build(&self, case: &Case) -> Vec<String> {
        let folder = self.workspace.folder();
        let dockerfile = folder.join("Dockerfile").display().to_string();
        let tag = unique("devcontainerd-dockerfile");
        let build: &[&str] = if has_buildkit() {
            &["buildx", "build", "--load"]
        } else {
            &["build"]
        };
        let mut arguments: Vec<String> = build.iter().map(|word| word.to_string()).collect();
        arguments.extend(["--quiet", "--tag", &tag, "--file", &dockerfile].map(str::to_owned));
        if let Some(target) = case.target {
            arguments.extend(["--target", target].map(str::to_owned));
        }
        for (name, value) in case.args {
            arguments.extend(["--build-arg".to_owned(), format!("{name}={value}")]);
        }
        arguments.push(self.workspace.shown().to_owned());
        docker(&arguments);
        // A copy, as docker sometimes loses what a container prints that ends at once.
        let container = docker(&["create", &tag]);
        let copy = Directory::new("image");
        let copied = format!("{container}:/x");
        docker(&["cp", &copied, &copy.path().display().to_string()]);
        try_docker(&["rm", &container]);
        try_docker(&["rmi", "--force", &tag]);
        contents(copy.path())
    }

    #[track_caller]
    fn assert(&self, daemon: &Daemon, changed: Option<&str>) {
        let one = self.workspace.devcontainer(daemon);
        let text = fs::read_to_string(self.workspace.folder().join("Dockerfile")).unwrap();
        assert!(one.get("unchecked").is_none(), "{one:#}");
        assert_eq!(
            one["dirty"],
            changed.is_some(),
            "{changed:?} of {text}: {one:#}"
        );
    }
}

const CONTENT: &str = "the content of";

fn line(file: &str) -> String {
    format!("{CONTENT} {file}\n")
}

/// The content of a file, which is an archive with that name or has this line.
fn content(file: &str) -> Vec<u8> {
    let line = line(file);
    if !file.ends_with(".tar") {
        return line.into();
    }
    let directory = Directory::new("archive");
    fs::write(directory.path().join("file"), line).unwrap();
    let mut tar = Command::new("tar");
    tar.args(["-c", "-f", "-", "--mtime=@0", "file"])
        .current_dir(directory.path());
    tar.output().unwrap().stdout
}

/// The lines with content in the files below a directory, sorted, each once.
fn contents(directory: &Path) -> Vec<String> {
    let mut grep = Command::new("grep");
    grep.args(["-rh", CONTENT]).arg(directory);
    let found = String::from_utf8(grep.output().unwrap().stdout).unwrap();
    let mut found: Vec<String> = found.lines().map(str::to_owned).collect();
    found.sort();
    found.dedup();
    found
}

/// Compares what the builder takes with what the daemon says of edits.
fn compare(case: &Case, containers: &Containers, daemon: &Daemon) {
    let stage = Stage::new(case, containers);
    let taken = case.taken.iter().chain(case.taken_whole);
    let mut taken: Vec<String> = taken.map(|file| line(file).trim_end().to_owned()).collect();
    taken.sort();
    assert_eq!(stage.build(case), taken, "{}", case.text());
    stage.assert(daemon, None);
    for file in case.others.iter().chain(case.taken_whole) {
        stage.write(file, b"other");
    }
    stage.assert(daemon, None);
    for file in case.taken {
        stage.write(file, b"other");
        stage.assert(daemon, Some(file));
        stage.write(file, &content(file));
        stage.assert(daemon, None);
    }
}

fn has_buildkit() -> bool {
    try_docker(&["buildx", "version"]).status.success()
}

#[test]
fn what_the_builder_takes_by_name_is_an_input() {
    let containers = Containers::new("dockerfile");
    let daemon = daemon().start();
    let buildkit = has_buildkit();
    let cases = cases::CASES.iter();
    let cases = cases.filter(|case| buildkit || !case.needs_buildkit);
    let failed = std::thread::scope(|scope| {
        let running: Vec<_> = cases
            .map(|case| scope.spawn(|| compare(case, &containers, &daemon)))
            .collect();
        let ends = running.into_iter().map(|thread| thread.join());
        ends.filter(Result::is_err).count()
    });
    assert_eq!(failed, 0, "cases failed");
}

#[test]
fn an_ignore_file_with_the_name_of_the_dockerfile_does_not_count_for_the_cli() {
    let build = json!({"dockerfile": "Dockerfile"});
    let workspace = Workspace::new("ignore-file", json!({"image": null, "build": build}));
    let directory = workspace.config().parent().map(Path::to_path_buf).unwrap();
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).unwrap();
    write("Dockerfile", &format!("FROM {IMAGE}\nCOPY a.txt /a.txt\n"));
    write("Dockerfile.dockerignore", "a.txt\n");
    write("a.txt", "one");
    let container = workspace.up();
    assert_eq!(docker(&["exec", &container, "cat", "/a.txt"]).trim(), "one");
    let daemon = daemon().start();
    assert_eq!(workspace.devcontainer(&daemon)["dirty"], false);
    write("a.txt", "two");
    assert_eq!(workspace.devcontainer(&daemon)["dirty"], true);
}
