//! What the CLI is given beyond folder and configuration.

use serde_json::{Value, json};

use crate::engine::{Directory, daemon, docker, inspect, remove_labelled};
use crate::workspace::{Workspace, container_of};

/// The sources of the mounts of a container, by their targets.
fn mount(container: &str, target: &str) -> String {
    let mounts: Value = serde_json::from_str(&inspect(container, "json .Mounts")).unwrap();
    let mut mounts = mounts.as_array().unwrap().iter();
    let found = mounts.find(|mount| mount["Destination"] == target);
    let found = found.unwrap_or(&Value::Null);
    let source = found["Name"].as_str().or(found["Source"].as_str());
    source.unwrap_or_default().to_owned()
}

#[test]
fn a_mount_that_the_first_up_was_given_survives_a_recreate() {
    let workspace = Workspace::new("mounted", json!({}));
    let extra = Directory::new("extra");
    let source = extra.path().to_str().unwrap();
    let argument = format!("type=bind,source={source},target=/extra");
    let first = workspace.run_up(&["--mount", &argument], &[]);
    assert_eq!(mount(&first, "/extra"), source);
    let manifest = extra.path().join("manifest.json");
    let defined = json!({"devcontainers": [
        {"workspace_folder": workspace.shown(), "up_args": ["--remote-env", "A=B"]},
    ]});
    std::fs::write(&manifest, defined.to_string()).unwrap();
    let daemon = daemon()
        .arg("--manifest")
        .arg(manifest.to_str().unwrap())
        .arg("--up-arg")
        .arg(&format!("--mount={argument}"))
        .start();
    assert_eq!(container_of(&workspace.devcontainer(&daemon)), first);
    let made = daemon.post(&format!("{}?wait", workspace.recreate()));
    assert_eq!(made.status, 204, "{made:?}");
    let second = container_of(&workspace.devcontainer(&daemon));
    assert_ne!(second, first);
    assert_eq!(mount(&second, "/extra"), source);
    assert_eq!(workspace.containers(), [second]);
}

/// Removes the containers with a label when it is dropped.
struct Labelled(String);

impl Drop for Labelled {
    fn drop(&mut self) {
        remove_labelled(&self.0);
    }
}

#[test]
fn p12_a_container_that_windows_has_labelled_keeps_its_labels_and_volumes() {
    // Its name follows from the labels.
    let named = "source=wsl-${devcontainerId},target=/data,type=volume";
    let workspace = Workspace::new("windows", json!({"mounts": [named]}));
    let windows = format!(
        r"\\wsl.localhost\Test{}",
        workspace.shown().replace('/', r"\")
    );
    let folder = format!("devcontainer.local_folder={windows}");
    let config = format!("devcontainer.config_file={}", workspace.config().display());
    let labelled = Labelled(folder.clone());
    let first = workspace.run_up(&["--id-label", &folder, "--id-label", &config], &[]);
    let volume = mount(&first, "/data");
    assert!(volume.starts_with("wsl-"), "{volume}");
    let daemon = daemon().env("WSL_DISTRO_NAME", "Test").start();
    let one = workspace.devcontainer(&daemon);
    assert_eq!((&one["dirty"], one.get("unchecked")), (&json!(false), None));
    assert_eq!(one["workspace_folder"], workspace.shown());
    workspace.configure(json!({"mounts": [named], "name": "changed"}));
    assert_eq!(workspace.devcontainer(&daemon)["dirty"], true);
    let made = daemon.post(&format!("{}?wait", workspace.recreate()));
    assert_eq!(made.status, 204, "{made:?}");
    let second = container_of(&workspace.devcontainer(&daemon));
    docker(&["stop", "--time", "0", &second]);
    let path = workspace.recreate().replace("recreate", "start");
    let started = daemon.post(&format!("{path}?wait"));
    assert_eq!(started.status, 204, "{started:?}");
    let filter = format!("label={}", labelled.0);
    let all = ["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter];
    assert_eq!(docker(&all), second, "one container, found again");
    assert_eq!(inspect(&second, ".State.Running"), "true");
    assert_eq!(mount(&second, "/data"), volume);
    assert!(workspace.containers().is_empty());
    drop(labelled);
    docker(&["volume", "rm", &volume]);
}
