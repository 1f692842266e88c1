//! Starting, stopping and deleting dev containers.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::common::{Daemon, Response};
use crate::engine::{IMAGE, PrivateEngine, daemon, docker, inspect, try_docker, unique};
use crate::workspace::{Live, Workspace, container_of};

/// A named volume; removed when it is dropped.
struct Volume(String);

impl Volume {
    fn new(test: &str) -> Self {
        Self(unique(test))
    }

    fn exists(&self) -> bool {
        try_docker(&["volume", "inspect", &self.0]).status.success()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        try_docker(&["volume", "rm", "--force", &self.0]);
    }
}

fn path(devcontainer: &str, operation: &str) -> String {
    format!("/devcontainers/{devcontainer}{operation}")
}

#[track_caller]
fn assert_done(response: &Response) {
    assert_eq!(
        (response.status, &*response.body),
        (204, ""),
        "{response:?}"
    );
}

#[track_caller]
fn assert_job(devcontainer: &Value, kind: &str, state: &str) {
    let job = &devcontainer["job"];
    assert_eq!(
        (&job["kind"], &job["state"]),
        (&json!(kind), &json!(state)),
        "{devcontainer:#}"
    );
}

#[test]
fn a_detected_one_is_stopped_started_and_deleted() {
    let volume = Volume::new("detected-data");
    let workspace = Workspace::new("detected-life", json!({}));
    workspace.configure(json!({
        "mounts": [format!("source={},target=/data,type=volume", volume.0)],
        "postStartCommand": "echo started >>/workspace/started",
    }));
    let id = workspace.up();
    docker(&["exec", &id, "sh", "-c", "echo kept >/data/file"]);
    let daemon = daemon().start();
    let uuid = workspace.devcontainer(&daemon)["id"].clone();
    let uuid = uuid.as_str().unwrap();
    for by in [workspace.name.as_str(), uuid] {
        assert_done(&daemon.post(&path(by, "/stop?wait=true")));
        assert_eq!(inspect(&id, ".State.Running"), "false");
        let stopped = workspace.devcontainer(&daemon);
        assert_eq!(
            (&stopped["status"], &stopped["running"]),
            (&json!("stopped"), &json!(false)),
            "{stopped:#}"
        );
        assert_job(&stopped, "stop", "succeeded");

        let before = fs::read_to_string(workspace.folder().join("started")).unwrap();
        assert_done(&daemon.post(&path(by, "/start?wait=true")));
        assert_eq!(inspect(&id, ".State.Running"), "true");
        let started = workspace.devcontainer(&daemon);
        assert_eq!(started["status"], "running", "{started:#}");
        assert_eq!(container_of(&started), id, "the same one");
        assert_eq!(started["dirty"], false, "{started:#}");
        assert_job(&started, "start", "succeeded");
        let after = fs::read_to_string(workspace.folder().join("started")).unwrap();
        assert_eq!(after, format!("{before}started\n"), "its hook ran");
    }
    // A start keeps the volume.
    assert_eq!(docker(&["exec", &id, "cat", "/data/file"]), "kept");
    // To start a running container succeeds.
    assert_done(&daemon.post(&path(uuid, "/start?wait=true")));
    assert_eq!(workspace.containers(), [&*id]);
    assert_done(&daemon.delete(&path(uuid, "")));
    assert_eq!(workspace.containers(), [""; 0]);
    assert!(workspace.find(&daemon).is_none(), "it goes");
    assert!(volume.exists(), "its volumes do not");
    daemon
        .get(&path(uuid, ""))
        .assert_error(404, "Devcontainer not found", uuid);
}

#[test]
fn a_predefined_one_stays_listed_when_it_is_deleted() {
    let workspace = Workspace::new("predefined-life", json!({}));
    let flag = format!("--devcontainer-folder {}", workspace.shown());
    let daemon = daemon().args(&flag).start();
    let before = workspace.devcontainer(&daemon);
    let name = &workspace.name;
    for operation in ["/stop?wait", ""] {
        let method = if operation.is_empty() {
            "DELETE"
        } else {
            "POST"
        };
        assert_done(&daemon.request(method, &path(name, operation), ""));
        let after = workspace.devcontainer(&daemon);
        assert_eq!(after["status"], "stopped", "there was nothing to do");
    }
    assert_done(&daemon.post(&path(name, "/start?wait")));
    let made = workspace.devcontainer(&daemon);
    assert_eq!(made["status"], "running", "{made:#}");
    assert_eq!(workspace.containers(), [container_of(&made)]);
    assert_done(&daemon.post(&path(name, "/stop?wait")));
    assert_done(&daemon.delete(&path(name, "")));
    assert_eq!(workspace.containers(), [""; 0]);
    let after = workspace.devcontainer(&daemon);
    assert_eq!(after["id"], before["id"]);
    assert_eq!(
        (&after["status"], &after["running"], after.get("container")),
        (&json!("stopped"), &json!(false), None),
        "{after:#}"
    );
    assert_job(&after, "delete", "succeeded");
    assert_done(&daemon.post(&path(name, "/recreate?wait")));
    assert_eq!(workspace.devcontainer(&daemon)["status"], "running");
}

/// A dev container that does not stop before it is killed, as it ignores the signal.
fn slow_to_stop(test: &str) -> Workspace {
    let arguments = ["--stop-signal", "WINCH", "--stop-timeout", "300"];
    Workspace::new(test, json!({"runArgs": arguments}))
}

#[test]
fn each_is_accepted_and_seen_while_it_runs() {
    let workspace = slow_to_stop("seen");
    let id = workspace.up();
    let daemon = daemon().start();
    let uuid = workspace.devcontainer(&daemon)["id"].clone();
    let location = path(uuid.as_str().unwrap(), "/logs");
    for (method, operation, kind, status) in [
        ("POST", "/stop", "stop", "stopping"),
        ("POST", "/start", "start", "starting"),
        ("DELETE", "?wait=false", "delete", "deleting"),
    ] {
        let accepted = daemon.request(method, &path(&workspace.name, operation), "");
        assert_eq!(accepted.status, 202, "{kind}: {accepted:?}");
        assert_eq!(accepted.headers["location"], location);
        let one = accepted.json();
        assert_eq!(one["status"], status, "{one:#}");
        assert_job(&one, kind, "running");
        if kind == "stop" {
            let seen = workspace.devcontainer(&daemon);
            assert_eq!(
                seen["status"], status,
                "it waits for the container: {seen:#}"
            );
            assert_eq!(seen["running"], true, "{seen:#}");
            let second = daemon.post(&path(&workspace.name, "/start?wait"));
            let message = "Devcontainer operation in progress";
            second.assert_error(
                409,
                message,
                "an operation is already running for this dev container",
            );
        }
        let log = format!("{location}?follow=true&format=text");
        let mut log = Live::send(&daemon, "GET", &log);
        log.wait_for(" 200 OK\r\n");
        if kind != "start" {
            docker(&["kill", &id]);
        }
        let log = log.finish();
        let summary = format!("{kind} succeeded after ");
        let is_there = log.body.lines().any(|line| line.starts_with(&summary));
        assert!(is_there, "{kind}: {}", log.body);
        assert!(log.body.ends_with("\noutcome: succeeded\n"), "{}", log.body);
    }
    assert!(
        !try_docker(&["inspect", &id]).status.success(),
        "it is gone"
    );
    assert!(workspace.find(&daemon).is_none());
}

#[test]
fn each_can_be_followed() {
    let workspace = Workspace::new("follow-life", json!({}));
    workspace.up();
    let daemon = daemon().start();
    workspace.devcontainer(&daemon);
    for (method, operation, kind) in [
        ("POST", "/stop?follow=true", "stop"),
        ("POST", "/start?follow=true", "start"),
        ("DELETE", "?follow=true", "delete"),
    ] {
        let path = path(&workspace.name, operation);
        let log = Live::send(&daemon, method, &path).finish();
        assert_eq!(log.status, 200, "{log:?}");
        let last: Value = serde_json::from_str(log.body.lines().last().unwrap()).unwrap();
        assert_eq!(last["outcome"], "succeeded", "{kind}: {last}");
    }
    assert_eq!(workspace.containers(), [""; 0]);
}

/// Runs docker on another engine.
fn docker_on(engine: &PrivateEngine, arguments: &[&str]) -> String {
    let mut command = Command::new("docker");
    let output = command.env("DOCKER_HOST", &engine.host).args(arguments);
    let output = output.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker: {said}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn with_docker_down_each_fails_in_dockers_words() {
    let engine = PrivateEngine::start("down");
    let workspace = Workspace::new("down", json!({}));
    let folder = format!("devcontainer.local_folder={}", workspace.shown());
    let config = format!("devcontainer.config_file={}", workspace.config().display());
    let labels = ["--label", &folder, "--label", &config];
    let run = [&["run", "--detach"], &labels[..], &[IMAGE, "sleep", "1000"]];
    docker_on(&engine, &run.concat());
    let daemon = daemon().env("DOCKER_HOST", &engine.host).start();
    assert_eq!(workspace.devcontainer(&daemon)["status"], "running");
    let words = format!("Cannot connect to the Docker daemon at {}", engine.host);
    drop(engine);
    check_down(&workspace, &daemon, &words);
}

#[track_caller]
fn check_down(workspace: &Workspace, daemon: &Daemon, words: &str) {
    for (method, operation, kind) in [
        ("POST", "/stop", "stop"),
        ("POST", "/start", "start"),
        ("POST", "/recreate", "recreate"),
        ("DELETE", "", "delete"),
    ] {
        let path = path(&workspace.name, &format!("{operation}?wait=true"));
        let failed = daemon.request(method, &path, "");
        let message = format!("Could not {kind} devcontainer");
        failed.assert_error(500, &message, words);
        let one = workspace.devcontainer(daemon);
        assert!(one["error"].as_str().unwrap().contains(words), "{one:#}");
        assert_job(&one, kind, "failed");
    }
}
