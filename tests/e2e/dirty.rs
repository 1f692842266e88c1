//! Dev containers whose configuration changes on disk.

use std::fs::{self, File};
use std::path::Path;
use std::time::SystemTime;

use serde_json::{Value, json};

use crate::common::Daemon;
use crate::engine::{Directory, IMAGE, daemon, docker, listed};
use crate::workspace::{WAITING_HOOK, Workspace, container_of};

#[track_caller]
fn assert_clean(workspace: &Workspace, daemon: &Daemon, when: &str) {
    let one = workspace.devcontainer(daemon);
    assert_eq!(one["dirty"], false, "{when}: {one:#}");
    assert_eq!(one["changes"], json!([]), "{when}: {one:#}");
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

    // An editor replaces a file like this; git removes a directory and brings it back.
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

/// Edits while a recreate waits for the file `go`. Returns the daemon and the dev container after that.
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
        // It can be used as soon as the commands up to `waitFor` have ended.
        let is_usable = one["job"]["phase"] == "postCreateCommand";
        let status = if is_usable { "running" } else { "starting" };
        assert_eq!(one["status"], status, "{one:#}");
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
    // This runs on the host, in the folder, after the config was read and before there is a container.
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
    assert_clean(&workspace, &daemon, "recreated from the new one");
}

/// Writes a file in the directory of the configuration.
fn put(workspace: &Workspace, name: &str, text: &str) {
    let path = workspace.config().with_file_name(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// The changes, as `[name, change]`, with names relative to the directory of the configuration.
#[track_caller]
fn named_changes(workspace: &Workspace, daemon: &Daemon) -> Vec<[String; 2]> {
    let one = workspace.devcontainer(daemon);
    let directory = workspace.config().parent().unwrap().to_path_buf();
    let changes = one["changes"].as_array().cloned().unwrap_or_default();
    let short = |change: &Value| {
        let path = Path::new(change["path"].as_str().unwrap());
        let name = path.strip_prefix(&directory).unwrap().display().to_string();
        [name, change["change"].as_str().unwrap().to_owned()]
    };
    changes.iter().map(short).collect()
}

fn change(name: &str, kind: &str) -> [String; 2] {
    [name.to_owned(), kind.to_owned()]
}

#[track_caller]
fn recreate(workspace: &Workspace, daemon: &Daemon) {
    let answer = daemon.post(&format!("{}?wait", workspace.recreate()));
    assert_eq!(answer.status, 204, "{answer:?}");
}

/// A workspace that is built from a Dockerfile and a local feature.
fn built(test: &str) -> Workspace {
    let workspace = Workspace::new(test, json!({}));
    let config: Value = serde_json::from_str(&workspace.read()).unwrap();
    let mut config = config.as_object().unwrap().clone();
    config.remove("image");
    config.insert("build".into(), json!({"dockerfile": "Dockerfile"}));
    config.insert("features".into(), json!({"./feature": {}}));
    workspace.write(&Value::from(config).to_string());
    put(
        &workspace,
        "Dockerfile",
        &format!("FROM {IMAGE}\nENV BUILT=one\n"),
    );
    let feature = json!({"id": "feature", "version": "1.0.0", "name": "A feature"});
    put(
        &workspace,
        "feature/devcontainer-feature.json",
        &feature.to_string(),
    );
    put(
        &workspace,
        "feature/install.sh",
        "#!/bin/sh\necho one >/feature\n",
    );
    workspace
}

#[test]
fn an_edit_of_a_dockerfile_or_of_a_local_feature_is_dirty_until_it_is_made_from_that() {
    let workspace = built("built");
    let id = workspace.up();
    assert_eq!(docker(&["exec", &id, "cat", "/feature"]), "one");
    let daemon = daemon().start();
    assert_clean(
        &workspace,
        &daemon,
        "made by hand while the daemon was down",
    );

    put(
        &workspace,
        "Dockerfile",
        &format!("FROM {IMAGE}\nENV BUILT=two\n"),
    );
    assert_eq!(
        named_changes(&workspace, &daemon),
        [change("Dockerfile", "modified")]
    );
    recreate(&workspace, &daemon);
    assert_clean(&workspace, &daemon, "made from the second Dockerfile");
    let id = container_of(&workspace.devcontainer(&daemon));
    assert!(crate::engine::inspect(&id, "json .Config.Env").contains("BUILT=two"));

    put(
        &workspace,
        "feature/install.sh",
        "#!/bin/sh\necho two >/feature\n",
    );
    put(&workspace, "feature/more", "");
    let changes = [
        change("feature/install.sh", "modified"),
        change("feature/more", "created"),
    ];
    assert_eq!(named_changes(&workspace, &daemon), changes);
    recreate(&workspace, &daemon);
    assert_clean(&workspace, &daemon, "made from the second feature");
    let id = container_of(&workspace.devcontainer(&daemon));
    assert_eq!(docker(&["exec", &id, "cat", "/feature"]), "two");
}

#[test]
fn the_lock_file_that_the_cli_writes_does_not_make_it_dirty() {
    let workspace = built("lock");
    let lock = workspace.config().with_file_name("devcontainer-lock.json");
    workspace.up();
    assert!(lock.exists(), "the CLI writes one for features");
    let by_hand = daemon().start();
    assert_clean(&workspace, &by_hand, "written by the CLI by hand");
    // A branch brings another lock file; the CLI writes it again.
    fs::write(&lock, r#"{"features": {"other": {}}}"#).unwrap();
    assert_eq!(
        named_changes(&workspace, &by_hand),
        [change("devcontainer-lock.json", "modified")]
    );
    recreate(&workspace, &by_hand);
    assert_ne!(
        fs::read_to_string(&lock).unwrap(),
        r#"{"features": {"other": {}}}"#
    );
    assert_clean(&workspace, &by_hand, "written by the CLI of an operation");
    fs::remove_file(&lock).unwrap();
    assert_eq!(
        named_changes(&workspace, &by_hand),
        [change("devcontainer-lock.json", "removed")]
    );
}

#[test]
fn a_container_made_by_hand_while_the_daemon_was_down_is_judged_by_what_it_was_made_from() {
    let state = Directory::new("state");
    let state = state.path().to_str().unwrap();
    let workspace = built("down");
    workspace.up();
    let mut first = daemon().args("--state-dir").arg(state).start();
    assert_clean(&workspace, &first, "at first");
    first.signal("TERM");
    first.wait();
    // While no daemon runs, there is an edit, a container made from it, and another edit.
    put(
        &workspace,
        "Dockerfile",
        &format!("FROM {IMAGE}\nENV BUILT=two\n"),
    );
    let made = docker(&[
        "ps",
        "--quiet",
        "--filter",
        &format!("label={}", workspace.label()),
    ]);
    docker(&["rm", "--force", &made]);
    workspace.up();
    put(
        &workspace,
        "feature/install.sh",
        "#!/bin/sh\necho two >/feature\n",
    );
    let second = daemon().args("--state-dir").arg(state).start();
    assert_eq!(
        named_changes(&workspace, &second),
        [change("feature/install.sh", "unknown")]
    );
    recreate(&workspace, &second);
    assert_clean(&workspace, &second, "made from all that is there");
}

#[test]
fn p6_p7_an_edit_during_the_build_is_known_after_the_daemon_was_killed() {
    let state = Directory::new("state");
    let state = state.path().to_str().unwrap();
    let fields = json!({
        "containerEnv": {"NAME": "one"},
        "postCreateCommand": format!("echo >/workspace/begun; {WAITING_HOOK}"),
    });
    let workspace = Workspace::new("killed", fields);
    workspace.release();
    workspace.up();
    workspace.hold();
    let _ = fs::remove_file(workspace.folder().join("begun"));
    let mut first = daemon().args("--state-dir").arg(state).start();
    assert_clean(&workspace, &first, "at first");
    assert_eq!(first.post(&workspace.recreate()).status, 202);
    crate::common::eventually("the hook waits", || {
        workspace.folder().join("begun").exists().then_some(())
    });
    workspace.write(&workspace.read().replace("\"one\"", "\"two\""));
    first.signal("KILL");
    first.wait();
    let second = daemon().args("--state-dir").arg(state).start();
    let one = workspace.wait_for(&second, "it is put right", |one| one["status"] == "running");
    assert_eq!(one["job"]["state"], "interrupted", "{one:#}");
    assert_dirty(&workspace, &second, "modified");
    workspace.write(&workspace.read().replace("\"two\"", "\"one\""));
    assert_clean(&workspace, &second, "undone");
}

#[test]
fn what_initialize_command_generates_does_not_make_it_dirty() {
    let generates = format!(
        "echo FROM {IMAGE} >.devcontainer/Dockerfile; date +'ENV AT=%N' >>.devcontainer/Dockerfile"
    );
    let workspace = Workspace::new("generated", json!({"initializeCommand": generates}));
    let config: Value = serde_json::from_str(&workspace.read()).unwrap();
    let mut config = config.as_object().unwrap().clone();
    config.remove("image");
    config.insert("dockerFile".into(), json!("Dockerfile"));
    workspace.write(&Value::from(config).to_string());
    workspace.up();
    let daemon = daemon().start();
    assert_clean(&workspace, &daemon, "generated by the CLI by hand");
    for _ in 0..2 {
        recreate(&workspace, &daemon);
        assert_clean(&workspace, &daemon, "generated by the CLI of an operation");
    }
    put(&workspace, "Dockerfile", &format!("FROM {IMAGE}\n"));
    assert_eq!(
        named_changes(&workspace, &daemon),
        [change("Dockerfile", "modified")]
    );
}
