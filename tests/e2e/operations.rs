//! Operations belong to the daemon, exclude each other, and leave nothing behind.

use std::fs;

use serde_json::json;

use crate::common::eventually;
use crate::engine::daemon;
use crate::workspace::{Live, WAITING_HOOK, Workspace, container_of};

/// The command lines with `text` of processes on this machine.
fn processes_with(text: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| {
        let line = fs::read(process.path().join("cmdline")).ok()?;
        Some(String::from_utf8_lossy(&line).replace('\0', " "))
    });
    lines.filter(|line| line.contains(text)).collect()
}

#[test]
fn p13_a_client_that_goes_away_changes_nothing() {
    let workspace = Workspace::new("leaves", json!({"postCreateCommand": WAITING_HOOK}));
    let devcontainer = format!("--devcontainer-folder {}", workspace.shown());
    let daemon = daemon().args(&devcontainer).start();
    let waiting = Live::send(
        &daemon,
        "POST",
        &format!("{}?wait=true", workspace.recreate()),
    );
    workspace.wait_for_log(&daemon, "begun");
    drop(waiting);
    workspace.release();
    let done = workspace.wait_for(&daemon, "it ends", |one| one["job"]["state"] != "running");
    assert_eq!(done["job"]["state"], "succeeded", "{done:#}");
    assert_eq!(done["status"], "running");
}

#[test]
fn p14_one_at_a_time_for_a_dev_container_and_different_ones_at_once() {
    let [a, b] = ["one", "other"]
        .map(|name| Workspace::new(name, json!({"postCreateCommand": WAITING_HOOK})));
    let daemon = daemon()
        .args(&format!("--devcontainer-folder {}", a.shown()))
        .args(&format!("--devcontainer-folder {}", b.shown()))
        .start();
    for workspace in [&a, &b] {
        assert_eq!(daemon.post(&workspace.recreate()).status, 202);
    }
    for workspace in [&a, &b] {
        workspace.wait_for_log(&daemon, "begun");
    }
    let second = daemon.post(&a.recreate());
    second.assert_error(
        409,
        "Devcontainer operation in progress",
        "an operation is already running for this dev container",
    );
    for workspace in [&a, &b] {
        workspace.release();
        let done = workspace.wait_for(&daemon, "it ends", |o| o["job"]["state"] != "running");
        assert_eq!(done["job"]["state"], "succeeded", "{done:#}");
        assert_eq!(workspace.containers().len(), 1, "made once");
    }
}

#[test]
fn p16_nothing_of_a_recreate_is_left_but_the_container() {
    let workspace = Workspace::new("leftovers", json!({"postCreateCommand": "echo made"}));
    workspace.up();
    let daemon = daemon().args("--no-events").start();
    workspace.devcontainer(&daemon);
    let (threads, descriptors) = (daemon.threads(), daemon.descriptors());
    for _ in 0..3 {
        let made = daemon.post(&format!("{}?wait", workspace.recreate()));
        assert_eq!(made.status, 204, "{made:?}");
        assert_eq!(
            processes_with(workspace.shown()),
            [""; 0],
            "the CLI's docker client is ended"
        );
        // Containers are listed again at once, which takes a moment.
        eventually("no child is left, no zombie", || {
            daemon.children().is_empty().then_some(())
        });
    }
    let one = workspace.devcontainer(&daemon);
    assert_eq!(one["status"], "running", "the container outlives it");
    assert_eq!(workspace.containers(), [container_of(&one)]);
    eventually("threads and descriptors are back", || {
        (daemon.threads() <= threads && daemon.descriptors() <= descriptors).then_some(())
    });
}

#[test]
fn p16_an_operation_that_is_ended_leaves_no_process() {
    let wait = "echo begun >begun; while :; do sleep 0.05; done";
    let workspace = Workspace::new("ended", json!({"initializeCommand": wait}));
    let mut daemon = daemon()
        .args(&format!("--devcontainer-folder {}", workspace.shown()))
        .start();
    assert_eq!(daemon.post(&workspace.recreate()).status, 202);
    let begun = workspace.folder().join("begun");
    eventually("the hook runs", || begun.exists().then_some(()));
    daemon.signal("TERM");
    daemon.log.wait_for("stopping");
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
    assert_eq!(processes_with(workspace.shown()), [""; 0]);
    let folder = workspace.folder().to_path_buf();
    let inside = fs::read_dir("/proc").unwrap().flatten();
    let inside = inside.filter(|p| fs::read_link(p.path().join("cwd")).is_ok_and(|d| d == folder));
    assert_eq!(inside.count(), 0, "the hook ran in the folder");
}
