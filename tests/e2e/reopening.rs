//! "Reopen in container", as docs/api.md has it: from a folder that was never started to a shell in its container.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use serde_json::json;

use crate::common::Daemon;
use crate::engine::{daemon, docker};
use crate::workspace::Workspace;

/// The lines that the script may have.
const MAX_LINES: usize = 20;

/// The script of the document.
fn script() -> String {
    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md");
    let text = fs::read_to_string(document).unwrap();
    let section = text.split_once("### Reopen in container\n").unwrap().1;
    let block = section.split_once("```bash\n").unwrap().1;
    block.split_once("```\n").unwrap().0.to_owned()
}

/// Runs the script for a folder with these commands for its shell.
fn reopen(workspace: &Workspace, daemon: &Daemon, commands: &str) -> Output {
    let path: PathBuf = workspace.folder().with_file_name("reopen");
    fs::write(&path, script()).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let input = workspace.folder().with_file_name("commands");
    fs::write(&input, commands).unwrap();
    let command = Command::new(&path)
        .arg(workspace.shown())
        .env("DEVCONTAINERD_URL", format!("http://{}", daemon.address))
        .stdin(Stdio::from(fs::File::open(&input).unwrap()))
        .output();
    command.unwrap()
}

#[test]
fn a_folder_that_was_never_started_is_reopened_in_its_container() {
    let lines = script().lines().count();
    assert!(lines <= MAX_LINES, "{lines} lines");
    let workspace = Workspace::new(
        "re opening",
        json!({"postCreateCommand": "echo made >made"}),
    );
    let daemon = daemon().start();
    let mut first = None;
    for what in ["never started", "running"] {
        let begun = Instant::now();
        let output = reopen(&workspace, &daemon, "id -un; pwd; cat made; hostname\n");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        let printed = String::from_utf8(output.stdout).unwrap();
        let ids = workspace.containers();
        assert_eq!(ids.len(), 1, "{ids:?}");
        assert_eq!(
            printed,
            format!("root\n/workspace\nmade\n{}\n", &ids[0][..12])
        );
        assert!(said.contains("start succeeded"), "{said}");
        assert_eq!(first.get_or_insert_with(|| ids[0].clone()), &ids[0]);
        println!(
            "{what}: a shell after {:.2} s",
            begun.elapsed().as_secs_f64()
        );
    }
    docker(&["stop", "--time=0", &workspace.containers()[0]]);
    let output = reopen(&workspace, &daemon, "cat made\n");
    assert_eq!(output.stdout, b"made\n", "one that was stopped");

    workspace.write("{\"image\": \"nowhere.invalid/none\"}");
    docker(&["rm", "--force", &workspace.containers()[0]]);
    let output = reopen(&workspace, &daemon, "echo no\n");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && output.stdout.is_empty(),
        "{said}"
    );
    assert!(said.contains("there is no container"), "{said}");
    fs::remove_file(workspace.config()).unwrap();
    let output = reopen(&workspace, &daemon, "echo no\n");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("Configuration not found"), "{said}");
    assert_eq!(output.status.code(), Some(22), "{said}");
}
