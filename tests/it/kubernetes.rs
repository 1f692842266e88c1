//! The examples for Kubernetes: their resources are valid, and what they say to the daemon means something to it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::{BINARY, Sandbox};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// The oldest version that has native sidecars, and a current one. `scripts/setup.sh` keeps their schemas.
const VERSIONS: [&str; 2] = ["1.29.0", "1.37.0"];

fn files() -> Vec<PathBuf> {
    let directory = Path::new(ROOT).join("packaging/kubernetes");
    let files = fs::read_dir(directory).unwrap();
    files.map(|entry| entry.unwrap().path()).collect()
}

/// Compares files with the schemas of a version.
fn validate(tool: &Path, version: &str, files: &[PathBuf]) -> Output {
    let mut command = Command::new("python3");
    command.args(["-m", "kubernetes_validate", "--strict", "-k", version]);
    command.args(files).env("PYTHONPATH", tool);
    command.output().unwrap()
}

#[test]
fn the_resources_are_valid_by_the_schemas_of_kubernetes() {
    let tool = Path::new(ROOT).join("target/tools/kubernetes");
    if !tool.join("kubernetes_validate").exists() {
        println!("not tested: the schemas of Kubernetes, which scripts/setup.sh test installs");
        return;
    }
    for version in VERSIONS {
        let output = validate(&tool, version, &files());
        assert!(output.status.success(), "{version}: {output:?}");
    }
    // The check would find a mistake.
    let sandbox = Sandbox::new();
    let text = fs::read_to_string(Path::new(ROOT).join("packaging/kubernetes/workspace.yaml"));
    let wrong = text.unwrap().replace("livenessProbe:", "aliveProbe:");
    let wrong = sandbox.write("wrong.yaml", &wrong);
    let output = validate(&tool, VERSIONS[1], &[wrong]);
    assert!(!output.status.success(), "{output:?}");
}

/// The lines of a file without comments.
fn lines(file: &Path) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    let lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    lines.map(str::to_owned).collect()
}

#[test]
fn the_variables_and_words_are_those_of_the_daemon() {
    let sandbox = Sandbox::new();
    let mut check = Command::new(BINARY);
    check.args(["check", "--listen", "127.0.0.1:0"]);
    check.env("PATH", sandbox.bare_path());
    let mut names = Vec::new();
    for file in files() {
        for line in lines(&file) {
            if let Some((_, name)) = line.split_once("name: DEVCONTAINERD_") {
                let name = format!("DEVCONTAINERD_{name}");
                check.env(&name, "none");
                names.push(name);
            }
            if let Some((_, command)) = line.split_once("command: [devcontainerd, ") {
                let word = command.trim_end_matches(']');
                let help = Command::new(BINARY).args(["help", word]).output().unwrap();
                assert!(help.status.success(), "{line}");
            }
        }
    }
    assert!(names.len() > 5, "{names:?}");
    let output = check.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("problem"),
        "none of the values is right: {said}"
    );
    for name in names {
        assert!(
            !said.contains(&format!("no flag has the variable {name}")),
            "{said}"
        );
    }
}

#[test]
fn the_engine_and_the_daemon_have_the_workspace_at_the_same_path() {
    let file = Path::new(ROOT).join("packaging/kubernetes/workspace.yaml");
    let mounts = lines(&file)
        .into_iter()
        .filter(|line| line.contains("subPath: src"));
    let mounts: Vec<String> = mounts.map(|line| line.trim().to_owned()).collect();
    assert_eq!(mounts.len(), 3, "docker, devcontainerd and the workspace");
    assert!(mounts.iter().all(|one| *one == mounts[0]), "{mounts:?}");
}
