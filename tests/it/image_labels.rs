//! Labels that a container has from its image alone, and labels that name nothing (P23).

use serde_json::{Value, json};

use crate::common::{Daemon, Sandbox, container_id};

/// The id of an image that `docker commit` has made of the dev container `app`.
const COMMITTED: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

/// Adds a running container, younger than any other, that was made from that image.
fn add_copy(sandbox: &Sandbox, number: u32) {
    let folder = sandbox.path("work/app");
    let config = sandbox.config("app");
    let labels = json!({
        "devcontainer.local_folder": folder.to_str(),
        "devcontainer.config_file": config.to_str(),
    });
    let image = json!({"Id": COMMITTED, "Config": {"Labels": labels}});
    sandbox.write(&format!("images/{COMMITTED}"), &image.to_string());
    let copy = sandbox.container(number).of(&folder);
    let copy = copy.set("Image", json!(COMMITTED));
    copy.created("2021-01-01T00:00:00Z").save();
}

fn devcontainers(daemon: &Daemon) -> Vec<Value> {
    let listed = daemon.json("/devcontainers");
    listed["devcontainers"].as_array().unwrap().clone()
}

fn recreate(container: &str) -> String {
    format!("/devcontainers/container/{container}/recreate")
}

#[test]
fn p23_a_copy_of_a_dev_container_is_none() {
    let sandbox = Sandbox::with_app();
    add_copy(&sandbox, 2);
    let daemon = sandbox.daemon().start();
    let listed = devcontainers(&daemon);
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0]["container"]["id"], container_id(1));
    assert_eq!(daemon.json("/").get("warnings"), None, "no duplicates");
    let answer = daemon.post(&recreate("box2"));
    answer.assert_error(400, "Missing workspace folder label", "box2");
    let stopped = daemon.post("/devcontainers/app/stop?wait=true&all=true");
    assert_eq!(stopped.status, 204, "{stopped:?}");
    let is_running = |number: u32| {
        let file = sandbox.read(&format!("containers/{}", container_id(number)));
        file.contains("\"Running\":true")
    };
    assert!(!is_running(1) && is_running(2));
    let deleted = daemon.request("DELETE", "/devcontainers/app?all=true", "");
    assert_eq!(deleted.status, 204, "{deleted:?}");
    assert!(is_running(2));
    assert!(!sandbox.path("containers").join(container_id(1)).exists());
}

#[test]
fn p23_an_image_is_inspected_once() {
    let sandbox = Sandbox::with_app();
    sandbox.image(&json!({}));
    add_copy(&sandbox, 2);
    add_copy(&sandbox, 3);
    sandbox.container(4).save();
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    for _ in 0..3 {
        assert_eq!(devcontainers(&daemon).len(), 1);
    }
    assert_eq!(sandbox.calls("docker", "inspect --type image"), 1);
}

#[test]
fn p23_where_an_image_cannot_be_inspected_a_warning_says_so() {
    let sandbox = Sandbox::with_app();
    sandbox.image(&json!({}));
    sandbox.docker(r#"[ "$1 $2 $3" = "inspect --type image" ] && { echo broken >&2; exit 1; }"#);
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    assert_eq!(devcontainers(&daemon)[0]["status"], "running");
    let warning = daemon.json("/")["warnings"][0].to_string();
    assert!(
        warning.contains("image of container box1") && warning.contains("broken"),
        "{warning}"
    );
    sandbox.docker("");
    daemon.json("/");
    assert_eq!(daemon.json("/").get("warnings"), None);
}

/// A daemon that has taken the copy `box2` for the container of `app`, since docker could not inspect images.
fn mistaken(sandbox: &Sandbox) -> Daemon {
    sandbox.image(&json!({}));
    add_copy(sandbox, 2);
    sandbox.docker(r#"[ "$1 $2 $3" = "inspect --type image" ] && { echo broken >&2; exit 1; }"#);
    let daemon = sandbox.daemon().start();
    let shown = devcontainers(&daemon)[0]["container"]["id"].clone();
    assert_eq!(shown, container_id(2), "nothing tells it from the other");
    daemon
}

fn exists(sandbox: &Sandbox, number: u32) -> bool {
    let file = sandbox.path("containers").join(container_id(number));
    file.exists()
}

#[test]
fn p23_an_operation_refuses_a_copy_that_was_listed_as_a_dev_container() {
    for (method, verb) in [("DELETE", ""), ("POST", "/stop"), ("POST", "/recreate")] {
        let sandbox = Sandbox::with_app();
        let daemon = mistaken(&sandbox);
        sandbox.docker("");
        let path = format!("/devcontainers/app{verb}?wait=true");
        let answer = daemon.request(method, &path, "");
        assert_eq!(answer.status, 500, "{answer:?}");
        assert!(answer.body.contains("labels from its image"), "{answer:?}");
        assert!(exists(&sandbox, 1) && exists(&sandbox, 2), "{path}");
        let shown = devcontainers(&daemon)[0]["container"]["id"].clone();
        assert_eq!(shown, container_id(1));
        let answer = daemon.request(method, &path, "");
        assert_eq!(answer.status, 204, "{answer:?}");
        // The stand-in for the CLI asks docker itself, and not the proxy that hides the copy.
        assert!(verb == "/recreate" || exists(&sandbox, 2), "{path}");
    }
}

#[test]
fn p23_where_an_image_cannot_be_inspected_no_operation_begins() {
    let sandbox = Sandbox::with_app();
    let daemon = mistaken(&sandbox);
    for (method, verb) in [("DELETE", ""), ("POST", "/stop"), ("POST", "/recreate")] {
        let path = format!("/devcontainers/app{verb}?wait=true");
        let answer = daemon.request(method, &path, "");
        assert_eq!(answer.status, 500, "{answer:?}");
        assert!(answer.body.contains("broken"), "{answer:?}");
        assert!(exists(&sandbox, 1) && exists(&sandbox, 2), "{path}");
    }
}

#[test]
fn p23_an_empty_folder_label_makes_no_dev_container() {
    let sandbox = Sandbox::new();
    let container = sandbox.container(1);
    container.label("devcontainer.local_folder", "").save();
    let daemon = sandbox.daemon().start();
    assert_eq!(devcontainers(&daemon), [Value::Null; 0]);
    let answer = daemon.post(&recreate("box1"));
    answer.assert_error(400, "Missing workspace folder label", "box1");
    assert_eq!(
        daemon.request("DELETE", "/devcontainers/root", "").status,
        404
    );
    assert!(sandbox.path("containers").join(container_id(1)).exists());
}

#[test]
fn p23_another_spelling_of_a_folder_does_not_block_it() {
    let sandbox = Sandbox::with_app();
    sandbox.workspace("other");
    let odd = sandbox.path("work/other/../app");
    let by_hand = sandbox.container(2).created("2021-01-01T00:00:00Z");
    by_hand
        .label("devcontainer.local_folder", odd.to_str().unwrap())
        .save();
    let daemon = sandbox.daemon().start();
    let app = devcontainers(&daemon)
        .into_iter()
        .find(|one| one["workspace_folder"] == sandbox.path("work/app").to_str().unwrap());
    let id = app.expect("app is listed")["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let answer = daemon.post(&format!("/devcontainers/{id}/recreate?wait=true"));
    assert_eq!(answer.status, 204, "{answer:?}");
}
