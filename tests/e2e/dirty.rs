//! Whether a container was made from what is on disk now.

use std::fs::{self, File};
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::common::Daemon;
use crate::engine::{daemon, listed};
use crate::workspace::{WAITING_HOOK, Workspace, container_of};

#[track_caller]
fn assert_clean(workspace: &Workspace, daemon: &Daemon, when: &str) {
    let one = workspace.devcontainer(daemon);
    assert_eq!(one["dirty"], false, "{when}: {one:#}");
    assert!(one.get("changes").is_none(), "{when}: {one:#}");
    let container = listed(daemon, &container_of(&one)).unwrap();
    assert_eq!(container["devcontainer_dirty"], false, "{when}");
}

#[track_caller]
fn assert_dirty(workspace: &Workspace, daemon: &Daemon, change: &str) {
    let one = workspace.devcontainer(daemon);
    let changes = json!([{"path": workspace.config(), "change": change}]);
    assert_eq!((&one["dirty"], &one["changes"]), (&json!(true), &changes));
    let container = listed(daemon, &container_of(&one)).unwrap();
    assert_eq!(container["devcontainer_dirty"], true);
}

#[test]
fn p5_an_edit_is_dirty_and_what_changes_nothing_is_not() {
    let workspace = Workspace::new("dirty", json!({"containerEnv": {"NAME": "one"}}));
    workspace.up();
    let daemon = daemon().start();
    assert_clean(&workspace, &daemon, "made from it");
    let config = workspace.config();
    let made_from = workspace.read();

    fs::write(&config, &made_from).unwrap();
    assert_clean(&workspace, &daemon, "the same content");
    let file = File::options().write(true).open(&config).unwrap();
    file.set_modified(SystemTime::now()).unwrap();
    assert_clean(&workspace, &daemon, "touched");
    workspace.write(&format!("// A comment.\n{made_from}/* and one more */"));
    assert_clean(&workspace, &daemon, "comments");
    let parsed: Value = serde_json::from_str(&made_from).unwrap();
    let backwards = parsed.as_object().unwrap().iter().rev();
    let backwards: Vec<String> = backwards.map(|(k, v)| format!("\"{k}\":{v},")).collect();
    workspace.write(&format!("{{{}}}", backwards.concat()));
    assert_clean(
        &workspace,
        &daemon,
        "other order, other spacing, a trailing comma",
    );

    workspace.write(&made_from.replace("\"one\"", "\"two\""));
    assert_dirty(&workspace, &daemon, "modified");
    workspace.write(&made_from);
    assert_clean(&workspace, &daemon, "undone");

    // As an editor replaces a file, and as git takes one away and brings it back.
    let new = config.with_extension("new");
    fs::write(&new, made_from.replace("\"one\"", "\"three\"")).unwrap();
    fs::rename(&new, &config).unwrap();
    assert_dirty(&workspace, &daemon, "modified");
    let directory = config.parent().unwrap();
    let away = directory.with_extension("away");
    fs::rename(directory, &away).unwrap();
    assert_dirty(&workspace, &daemon, "removed");
    fs::rename(&away, directory).unwrap();
    assert_dirty(&workspace, &daemon, "modified");
    workspace.write(&made_from);
    assert_clean(&workspace, &daemon, "undone again");
}

#[test]
fn an_edit_before_the_daemon_saw_the_container_is_found() {
    let workspace = Workspace::new("unseen", json!({}));
    workspace.up();
    workspace.configure(json!({"containerEnv": {"NAME": "two"}}));
    let daemon = daemon().start();
    assert_dirty(&workspace, &daemon, "unknown");
}

#[test]
fn an_edit_is_noticed_before_anybody_asks() {
    let workspace = Workspace::new("noticed", json!({}));
    workspace.up();
    let daemon = daemon().start();
    assert_clean(&workspace, &daemon, "made from it");
    workspace.configure(json!({"containerEnv": {"NAME": "two"}}));
    let noticed = daemon
        .log
        .wait_for(&format!("dev container {} no longer", workspace.name));
    assert!(
        noticed.contains(workspace.config().to_str().unwrap()),
        "{noticed}"
    );
}

/// Edits while a recreate waits for the file `go`, and returns what the daemon says after it.
fn edit_during(workspace: &Workspace, look_meanwhile: bool) -> (Daemon, Value) {
    let before = workspace.up();
    workspace.hold();
    let _ = fs::remove_file(workspace.folder().join("begun"));
    let daemon = daemon().start();
    assert_clean(workspace, &daemon, "made from it");
    assert_eq!(daemon.post(&workspace.recreate()).status, 202);
    crate::common::eventually("the hook waits", || {
        workspace.folder().join("begun").exists().then_some(())
    });
    if look_meanwhile {
        let one = workspace.devcontainer(&daemon);
        assert_eq!(one["status"], "starting", "{one:#}");
        assert_eq!(one["job"]["state"], "running", "{one:#}");
    }
    let edited = workspace.read().replace("\"one\"", "\"two\"");
    workspace.write(&edited);
    if look_meanwhile {
        workspace.devcontainer(&daemon);
    }
    workspace.release();
    let done = workspace.wait_for(&daemon, "the recreate ends", |one| {
        one["job"]["state"] != "running"
    });
    assert_eq!(done["job"]["state"], "succeeded", "{done:#}");
    assert_ne!(container_of(&done), before);
    (daemon, done)
}

#[test]
fn p6_an_edit_during_a_hook_leaves_it_dirty() {
    for look_meanwhile in [false, true] {
        let fields = json!({
            "containerEnv": {"NAME": "one"},
            "postCreateCommand": format!("echo >/workspace/begun; {WAITING_HOOK}"),
        });
        let workspace = Workspace::new("hook", fields);
        workspace.release();
        let (daemon, _) = edit_during(&workspace, look_meanwhile);
        assert_dirty(&workspace, &daemon, "modified");
        let undone = workspace.read().replace("\"two\"", "\"one\"");
        workspace.write(&undone);
        assert_clean(&workspace, &daemon, "undone");
    }
}

#[test]
fn p6_an_edit_after_the_cli_has_read_the_config_leaves_it_dirty() {
    // Runs on the host, in the folder, after the config was read and before there is a container.
    let wait = "echo >begun; while [ ! -e go ]; do sleep 0.02; done";
    let fields = json!({"containerEnv": {"NAME": "one"}, "initializeCommand": wait});
    let workspace = Workspace::new("build", fields);
    workspace.release();
    let (daemon, done) = edit_during(&workspace, false);
    let id = container_of(&done);
    let variables = crate::engine::inspect(&id, "json .Config.Env");
    assert!(
        variables.contains("NAME=one"),
        "it was made from the old one: {variables}"
    );
    assert_dirty(&workspace, &daemon, "modified");
    assert_eq!(
        daemon
            .post(&format!("{}?wait", workspace.recreate()))
            .status,
        204
    );
    assert_clean(&workspace, &daemon, "made anew from the new one");
}
