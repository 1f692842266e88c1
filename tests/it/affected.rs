//! The containers that an operation affects, and those that it must leave alone.

use std::fs;
use std::time::Duration;

use super::replacing::{LIKE_PODMAN, Script, containers, start};
use crate::common::{Sandbox, Stopwatch, container_id};
use serde_json::{Value, json};

#[test]
fn p18_compose_labels_of_an_image_reach_nobody_else() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    let compose = [
        ("com.docker.compose.project", "prod"),
        ("com.docker.compose.service", "db"),
    ];
    let labels = compose
        .into_iter()
        .fold(json!({}), |mut all, (key, value)| {
            all[key] = value.into();
            all
        });
    sandbox.image(&labels);
    let with = |number| {
        let container = sandbox.container(number);
        compose
            .into_iter()
            .fold(container, |c, (key, value)| c.label(key, value))
    };
    with(1).of(&folder).save();
    with(2).set("Image", json!("sha256:other")).save();
    let daemon = sandbox.daemon().start();
    daemon.json("/");
    assert_eq!(daemon.delete("/devcontainers/app").status, 204);
    let left: Vec<Value> = containers(&sandbox)
        .iter()
        .map(|c| c["Id"].clone())
        .collect();
    assert_eq!(left, [json!(container_id(2))]);
}

#[test]
fn p18_a_folder_that_is_a_pipe_holds_nobody_up() {
    let sandbox = Sandbox::new();
    let fifo = sandbox.path("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    sandbox
        .container(1)
        .label("devcontainer.local_folder", fifo.to_str().unwrap())
        .save();
    let daemon = sandbox.daemon().start();
    daemon.json("/");
    let begun = Stopwatch::start();
    assert_eq!(daemon.post("/devcontainers/fifo/stop?wait").status, 204);
    assert_eq!(daemon.delete("/devcontainers/fifo").status, 204);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn what_is_deleted_is_what_docker_has_now() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
    let daemon = sandbox.daemon().args("--cache-duration 3600").start();
    daemon.json("/");
    // Another program recreates it.
    sandbox.remove_container(1);
    sandbox.devcontainer_of(2, &folder);
    assert_eq!(daemon.delete("/devcontainers/app").status, 204);
    assert_eq!(containers(&sandbox), [Value::Null; 0]);
}

#[test]
fn where_one_is_gone_the_others_are_stopped_and_removed() {
    let (sandbox, daemon) = start(&Script::default());
    let folder = sandbox.path("work/app");
    let removed =
        format!(r#"case "$1" in stop|rm) rm -f "$R/containers/"*0002 ;; esac; {LIKE_PODMAN}"#);
    sandbox.hook("docker-called", &removed);
    sandbox.devcontainer_of(2, &folder);
    assert_eq!(daemon.post("/devcontainers/app/stop?wait").status, 204);
    let [one] = &containers(&sandbox)[..] else {
        panic!("{:#?}", containers(&sandbox));
    };
    assert_eq!(one["State"]["Running"], false);
    sandbox.devcontainer_of(2, &folder);
    assert_eq!(daemon.delete("/devcontainers/app").status, 204);
    assert_eq!(containers(&sandbox), [Value::Null; 0]);
}

#[test]
fn a_service_whose_image_compose_built_belongs_to_its_project() {
    // Compose sets the labels of project and service on an image that it builds, too.
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.image(&json!({"com.docker.compose.project": "p", "com.docker.compose.service": "dev"}));
    sandbox.write("images/sha256:other", r#"{"Id":"sha256:other"}"#);
    let service = |number, name| {
        sandbox
            .container(number)
            .label("com.docker.compose.project", "p")
            .label("com.docker.compose.service", name)
            .label("com.docker.compose.container-number", "1")
            .label("com.docker.compose.config-hash", "0123")
    };
    service(1, "dev").of(&folder).save();
    service(2, "db").set("Image", json!("sha256:other")).save();
    let daemon = sandbox.daemon().start();
    daemon.json("/");
    assert_eq!(daemon.delete("/devcontainers/app").status, 204);
    assert_eq!(containers(&sandbox), [Value::Null; 0]);
}

#[test]
fn an_image_that_is_gone_stops_no_operation() {
    for (words, image_is_listed, status) in [
        ("Error response from daemon: No such image: $4", false, 204),
        ("Error: inspecting object: $4: image not known", false, 204),
        ("Error response from daemon: $4 cannot be read", true, 500),
    ] {
        let (sandbox, daemon) = start(&Script::default());
        sandbox.hook(
            "docker-called",
            &format!(
                r#"if [ "$1 $2 $3" = "inspect --type image" ]; then echo '[]'; echo "{words}" >&2; exit 1; fi"#
            ),
        );
        fs::remove_dir_all(sandbox.path("images")).unwrap();
        fs::create_dir(sandbox.path("images")).unwrap();
        if image_is_listed {
            sandbox.image(&json!({}));
        }
        let folder = sandbox.path("work/app");
        sandbox
            .container(1)
            .of(&folder)
            .label("com.docker.compose.project", "p")
            .label("com.docker.compose.service", "dev")
            .save();
        let deleted = daemon.delete("/devcontainers/app");
        assert_eq!(deleted.status, status, "{words}: {deleted:?}");
    }
}

#[test]
fn what_is_deleted_is_nothing_of_another_dev_container() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("work/app");
    let add = |number: u32, config: Option<&str>| {
        let folder = folder.to_str().unwrap();
        let one = sandbox
            .container(number)
            .label("devcontainer.local_folder", folder);
        match config {
            Some(config) => {
                let config = sandbox.write(
                    &format!("work/app/.devcontainer/{config}/devcontainer.json"),
                    "{}",
                );
                one.label("devcontainer.config_file", config.to_str().unwrap())
                    .save();
            }
            None => one.save(),
        }
    };
    add(1, Some("a"));
    add(2, Some("b"));
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    daemon.json("/");
    add(3, None);
    let all = daemon.json("/devcontainers");
    let third = all["devcontainers"].as_array().unwrap().iter();
    let third = third
        .clone()
        .find(|d| d["container"]["id"] == container_id(3))
        .unwrap();
    let path = format!("/devcontainers/{}", third["id"].as_str().unwrap());
    assert_eq!(daemon.delete(&path).status, 204);
    let mut left: Vec<Value> = containers(&sandbox)
        .iter()
        .map(|c| c["Id"].clone())
        .collect();
    left.sort_by_key(|id| id.to_string());
    assert_eq!(left, [json!(container_id(1)), json!(container_id(2))]);
}

#[test]
fn a_test_run_is_no_container_of_a_dev_container() {
    let (sandbox, daemon) = start(&Script::default());
    let folder = sandbox.path("work/app");
    sandbox
        .container(2)
        .of(&folder)
        .label("devcontainer.is_test_run", "true")
        .save();
    assert_eq!(daemon.delete("/devcontainers/app").status, 204);
    assert_eq!(containers(&sandbox).len(), 1);
}
