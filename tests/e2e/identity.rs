//! Names and ids of dev containers.

use std::fs;

use serde_json::json;

use crate::common::Daemon;
use crate::engine::{Directory, daemon};
use crate::workspace::{Workspace, container_of};

#[test]
fn p21_two_folders_with_the_same_last_part_have_two_names_and_keep_them() {
    let last_part = crate::engine::unique("same");
    let workspaces = [(); 2].map(|()| Workspace::named(&last_part, json!({})));
    let state = Directory::new("names");
    let state = format!("--state-dir {}", state.path().display());
    let names = |daemon: &Daemon| {
        let all = workspaces.each_ref().map(|one| one.devcontainer(daemon));
        for one in &all {
            let name = one["name"].as_str().unwrap();
            let mut alone = daemon.json(&format!("/devcontainers/{name}"));
            alone.as_object_mut().unwrap().remove("revision");
            assert_eq!(alone, *one);
        }
        assert_ne!(all[0]["id"], all[1]["id"]);
        all.map(|one| one["name"].as_str().unwrap().to_owned())
    };
    workspaces[1].up();
    let first = daemon().args(&state).start();
    let name = workspaces[1].devcontainer(&first)["name"].clone();
    assert_eq!(name, json!(last_part));
    workspaces[0].up();
    let parent = workspaces[0].folder().parent().unwrap().file_name();
    let parent = parent.unwrap().to_str().unwrap();
    let expected = [format!("{parent}-{last_part}"), last_part.clone()];
    assert_eq!(names(&first), expected);
    drop(first);
    // A daemon that sees both at once gives the names that it gave before.
    assert_eq!(names(&daemon().args(&state).start()), expected);
}

#[test]
fn two_configs_in_one_folder_are_two_dev_containers() {
    let workspace = Workspace::new("configs", json!({}));
    let other = workspace
        .folder()
        .join(".devcontainer/other/devcontainer.json");
    fs::create_dir_all(other.parent().unwrap()).unwrap();
    fs::copy(workspace.config(), &other).unwrap();
    let directory = Directory::new("manifest");
    let manifest = directory.path().join("manifest.json");
    let defined = json!({"devcontainers": [
        {"name": "first", "workspace_folder": workspace.shown()},
        {"name": "second", "workspace_folder": workspace.shown(),
         "config_path": ".devcontainer/other/devcontainer.json"},
    ]});
    fs::write(&manifest, defined.to_string()).unwrap();
    let manifest = format!("--manifest {}", manifest.display());
    let daemon = daemon().args(&manifest).start();
    for name in ["first", "second"] {
        let made = daemon.post(&format!("/devcontainers/{name}/recreate?wait"));
        assert_eq!(made.status, 204, "{made:?}");
    }
    let [first, second] = ["first", "second"].map(|n| daemon.json(&format!("/devcontainers/{n}")));
    assert_ne!(
        container_of(&first),
        container_of(&second),
        "neither took the other's"
    );
    assert_eq!(second["config_path"], other.to_str().unwrap());
    assert_eq!(workspace.containers().len(), 2);
}

#[test]
fn p4_a_predefined_one_keeps_its_id_when_it_gets_a_container_and_over_a_restart() {
    let workspace = Workspace::new("predefined", json!({}));
    let devcontainer = format!("--devcontainer-folder {}", workspace.shown());
    let first = daemon().args(&devcontainer).start();
    let before = workspace.devcontainer(&first);
    assert_eq!(
        (
            &before["status"],
            &before["running"],
            before.get("container")
        ),
        (&json!("stopped"), &json!(false), None),
        "{before:#}"
    );
    assert_eq!(before["config_path"], workspace.config().to_str().unwrap());
    let made = first.post(&format!("{}?wait", workspace.recreate()));
    assert_eq!(made.status, 204, "{made:?}");
    let after = workspace.devcontainer(&first);
    assert_eq!(
        (&after["id"], &after["status"]),
        (&before["id"], &json!("running"))
    );
    drop(first);
    let second = daemon().args(&devcontainer).start();
    let restarted = workspace.devcontainer(&second);
    assert_eq!(restarted["id"], before["id"]);
    assert_eq!(container_of(&restarted), container_of(&after));
    assert_eq!(restarted["dirty"], false);
}

#[test]
fn p4_a_detected_one_has_the_same_id_after_a_restart() {
    let workspace = Workspace::new("detected", json!({}));
    workspace.up();
    let ids = [(); 2].map(|()| {
        let daemon = daemon().start();
        workspace.devcontainer(&daemon)["id"].clone()
    });
    assert_eq!(ids[0], ids[1]);
}
