//! The errors of the daemon when the real CLI fails.

use serde_json::json;

use crate::engine::{daemon, inspect};
use crate::workspace::{Workspace, container_of};

const FAILED: &str = "Could not recreate devcontainer";

#[test]
fn a_failing_hook_leaves_a_running_container_and_an_error() {
    let fields = json!({
        "containerEnv": {"TOKEN": "hunter2"},
        "postCreateCommand": "echo about to fail; exit 7",
    });
    let workspace = Workspace::new("hook-fails", json!({}));
    let before = workspace.up();
    let daemon = daemon().start();
    workspace.devcontainer(&daemon);
    workspace.configure(fields);
    let failed = daemon.post(&format!("{}?wait", workspace.recreate()));
    failed.assert_error(500, FAILED, "postCreateCommand");
    let one = workspace.devcontainer(&daemon);
    assert_eq!(one["status"], "running", "{one:#}");
    assert_eq!(one["job"]["state"], "failed");
    assert_eq!(one["dirty"], false, "it was made from what is there");
    let error = one["error"].as_str().unwrap();
    assert!(error.contains("postCreateCommand"), "{error}");
    let id = container_of(&one);
    assert_ne!(id, before);
    assert_eq!(inspect(&id, ".State.Running"), "true");
    let log = daemon
        .get(&format!("{}?format=text", workspace.logs()))
        .body;
    assert!(log.lines().any(|line| line == "about to fail"), "{log}");
    assert!(log.contains("\nrecreate failed after "), "{log}");
    assert!(log.ends_with("\noutcome: failed\n"), "{log}");
    assert!(
        !log.contains("hunter2") && !failed.body.contains("hunter2"),
        "{log}"
    );
}

#[test]
fn bad_run_arguments_are_an_error_without_the_command_line() {
    let workspace = Workspace::new("run-args", json!({}));
    let devcontainer = format!("--devcontainer-folder {}", workspace.shown());
    let daemon = daemon().args(&devcontainer).start();
    workspace.configure(json!({
        "runArgs": ["--no-such-flag"],
        "containerEnv": {"TOKEN": "hunter2"},
    }));
    let failed = daemon.post(&format!("{}?wait", workspace.recreate()));
    failed.assert_error(500, FAILED, "Command failed: docker run …");
    let one = workspace.devcontainer(&daemon);
    assert_eq!(one["status"], "error", "{one:#}");
    let log = daemon
        .get(&format!("{}?format=text", workspace.logs()))
        .body;
    assert!(
        log.contains("unknown flag: --no-such-flag"),
        "docker's own words: {log}"
    );
    let own = daemon.log.lines().join("\n");
    for text in [failed.body, log, own, one.to_string()] {
        assert!(!text.contains("hunter2"), "{text}");
    }
    // The cause can be fixed, and the next recreate succeeds.
    workspace.configure(json!({}));
    let again = daemon.post(&format!("{}?wait", workspace.recreate()));
    assert_eq!(again.status, 204, "{again:?}");
    let one = workspace.devcontainer(&daemon);
    assert_eq!(one["status"], "running");
    assert!(one.get("error").is_none(), "{one:#}");
}

#[test]
fn an_image_that_is_not_there_is_named() {
    let fields = json!({"image": "devcontainerd-no-such-image:latest"});
    let workspace = Workspace::new("no-image", fields);
    let devcontainer = format!("--devcontainer-folder {}", workspace.shown());
    let daemon = daemon().args(&devcontainer).start();
    let failed = daemon.post(&format!("{}?wait", workspace.recreate()));
    failed.assert_error(500, FAILED, "devcontainerd-no-such-image:latest");
    assert_eq!(workspace.devcontainer(&daemon)["status"], "error");
}

#[test]
fn a_cli_that_is_missing_is_an_error_that_names_it() {
    let workspace = Workspace::new("no-cli", json!({}));
    let daemon = daemon()
        .args("--devcontainer /nonexistent/devcontainer")
        .args(&format!("--devcontainer-folder {}", workspace.shown()))
        .start();
    let failed = daemon.post(&format!("{}?wait", workspace.recreate()));
    failed.assert_error(500, FAILED, "/nonexistent/devcontainer was not found");
    let ready = daemon.get("/readyz");
    ready.assert_error(
        503,
        "Not ready",
        "devcontainer CLI: /nonexistent/devcontainer",
    );
}
