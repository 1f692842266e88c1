//! The words of the terminal, on a real engine with the real CLI.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::common::{BINARY, Daemon};
use crate::engine::{daemon, inspect, try_docker};
use crate::workspace::Workspace;

/// Runs a word in a workspace and asserts its exit status. Returns its standard output.
#[track_caller]
fn check(daemon: &Daemon, workspace: &Workspace, words: &[&str], status: i32) -> String {
    let output = Command::new(BINARY)
        .args(words)
        .current_dir(workspace.folder())
        .env("DEVCONTAINERD_URL", format!("http://{}", daemon.address))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(status), "{words:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// From a folder that was never started to a command inside, a failed recreate, and the end of the container.
#[test]
fn a_dev_container_is_worked_with_by_words() {
    let fields = |user: &str| json!({"remoteUser": user, "postCreateCommand": "echo made by $0"});
    let workspace = Workspace::new("words", fields("root"));
    let daemon = daemon()
        .args(&format!("--devcontainer-folder {}", workspace.shown()))
        .start();
    let name = &*workspace.name;
    let log = check(&daemon, &workspace, &["start", "."], 0);
    assert!(
        log.contains("made by ") && log.contains("start succeeded after "),
        "{log}"
    );
    let line = || {
        let table = check(&daemon, &workspace, &["ls"], 0);
        let line = table.lines().find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("{name} is not in {table}"))
            .to_owned()
    };
    let container = daemon.json(&format!("/devcontainers/{name}"))["container"]["id"].clone();
    let container = inspect(container.as_str().unwrap(), ".Name");
    let shown = line();
    assert!(
        shown.contains(container.trim().trim_start_matches('/')),
        "{shown}"
    );
    assert!(
        shown.contains("running") && shown.contains(" clean "),
        "{shown}"
    );

    let by_docker = try_docker(&[
        "exec",
        "--workdir",
        "/workspace",
        container.trim(),
        "sh",
        "-c",
        "id; pwd",
    ]);
    let inside = check(
        &daemon,
        &workspace,
        &["exec", ".", "--", "sh", "-c", "id; pwd"],
        0,
    );
    assert_eq!(inside, String::from_utf8(by_docker.stdout).unwrap());
    assert!(inside.ends_with("/workspace\n"), "{inside}");
    check(&daemon, &workspace, &["exec", ".", "sh", "-c", "exit 7"], 7);

    fs::write(
        workspace.config(),
        "{\"image\": \"devcontainerd.invalid/none\"}",
    )
    .unwrap();
    assert!(line().contains("devcontainer.json modified"), "{}", line());
    let log = check(&daemon, &workspace, &["recreate", name], 1);
    assert!(log.contains("recreate failed after "), "{log}");
    assert!(line().contains("running, recreate failed"), "{}", line());
    workspace.configure(fields("root"));
    check(
        &daemon,
        &workspace,
        &["wait", ".", "--clean", "--running"],
        0,
    );
    check(&daemon, &workspace, &["recreate", workspace.shown()], 0);
    check(&daemon, &workspace, &["stop", "."], 0);
    assert!(line().contains(" stopped "), "{}", line());
    check(&daemon, &workspace, &["rm", "."], 0);
    check(&daemon, &workspace, &["exec", ".", "--", "true"], 3);
}
