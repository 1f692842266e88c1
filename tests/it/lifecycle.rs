//! Starting, stopping and deleting: the requests and their results.

use std::fs;

use crate::common::{Daemon, Response, Sandbox, container_id, eventually};
use serde_json::{Value, json};

/// Makes a stand-in wait for `$R/go`.
pub(super) const WAIT: &str = ">$R/waits; while [ ! -e $R/go ]; do sleep 0.02; done";

/// An operation: its kind, its method and the end of its path, the status while it runs, and the status afterwards
/// where it is listed then.
pub(super) struct Operation {
    pub(super) kind: &'static str,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) status: &'static str,
    pub(super) after: Option<&'static str>,
}

pub(super) const RECREATE: Operation = Operation {
    kind: "recreate",
    method: "POST",
    path: "/recreate",
    status: "starting",
    after: Some("running"),
};
pub(super) const START: Operation = Operation {
    kind: "start",
    method: "POST",
    path: "/start",
    status: "starting",
    after: Some("running"),
};
pub(super) const STOP: Operation = Operation {
    kind: "stop",
    method: "POST",
    path: "/stop",
    status: "stopping",
    after: Some("stopped"),
};
pub(super) const DELETE: Operation = Operation {
    kind: "delete",
    method: "DELETE",
    path: "",
    status: "deleting",
    after: None,
};
pub(super) const ALL: [Operation; 4] = [START, STOP, RECREATE, DELETE];

impl Operation {
    #[track_caller]
    pub(super) fn request(&self, daemon: &Daemon, query: &str) -> Response {
        let path = format!("/devcontainers/app{}?{query}", self.path);
        daemon.request(self.method, &path, "")
    }

    /// Begins it, and waits until a stand-in waits.
    #[track_caller]
    pub(super) fn begin(&self, sandbox: &Sandbox, daemon: &Daemon) -> Value {
        let _ = fs::remove_file(sandbox.path("waits"));
        let accepted = self.request(daemon, "wait=false");
        assert_eq!(accepted.status, 202, "{}: {accepted:?}", self.kind);
        eventually("it waits", || sandbox.path("waits").exists().then_some(()));
        accepted.json()
    }

    /// True if the container runs before it, and the status of the container.
    pub(super) fn state_before(&self) -> (bool, &'static str) {
        match self.kind {
            "start" => (false, "exited"),
            _ => (true, "running"),
        }
    }

    pub(super) fn message(&self) -> String {
        format!("Could not {} devcontainer", self.kind)
    }
}

/// A sandbox with one running, detected dev container, and its daemon. Each operation runs `before` first.
pub(super) fn start(before: &str) -> (Sandbox, Daemon) {
    start_for(&STOP, before)
}

/// A sandbox like that of [`start`], whose container does not run if the operation is a start.
pub(super) fn start_for(operation: &Operation, before: &str) -> (Sandbox, Daemon) {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    let (runs, status) = operation.state_before();
    sandbox
        .container(1)
        .of(&folder)
        .set("State", json!({"Status": status, "Running": runs}))
        .save();
    change(&sandbox, before);
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    daemon.json("/");
    (sandbox, daemon)
}

/// Sets the code that each operation runs first: in the CLI, and in `docker stop` and `docker rm`.
pub(super) fn change(sandbox: &Sandbox, before: &str) {
    sandbox.devcontainer(before);
    sandbox.docker(&format!("case \"$1\" in stop|rm) {before}\n;; esac"));
}

pub(super) fn runs(sandbox: &Sandbox, number: u32) -> bool {
    let container = sandbox.read(&format!("containers/{}", container_id(number)));
    container.contains(r#""Running":true"#)
}

pub(super) fn exists(sandbox: &Sandbox, number: u32) -> bool {
    let file = format!("containers/{}", container_id(number));
    sandbox.path(&file).exists()
}

/// The dev container; `None` where it is not listed.
pub(super) fn app(daemon: &Daemon) -> Option<Value> {
    let found = daemon.get("/devcontainers/app");
    (found.status == 200).then(|| found.json())
}

#[test]
fn each_is_accepted_and_is_seen_while_it_runs() {
    for operation in ALL {
        let kind = operation.kind;
        let (sandbox, daemon) = start_for(&operation, WAIT);
        let id = daemon.devcontainer()["id"].as_str().unwrap().to_owned();
        let accepted = operation.request(&daemon, "wait=false");
        assert_eq!(accepted.status, 202, "{kind}: {accepted:?}");
        let location = format!("/devcontainers/{id}/logs");
        assert_eq!(accepted.headers["location"], location, "{kind}");
        for seen in [accepted.json(), daemon.devcontainer()] {
            assert_eq!(seen["id"], *id, "{kind}");
            assert_eq!(seen["status"], operation.status, "{seen}");
            assert_eq!(seen["job"]["kind"], kind, "{seen}");
            assert_eq!(seen["job"]["state"], "running", "{seen}");
            assert!(seen["job"].get("finished_at").is_none(), "{seen}");
        }
        let listed = daemon.json("/");
        let container = &listed["containers"][0];
        assert_eq!(container["devcontainer_status"], operation.status, "{kind}");

        let (_, mut follower) = daemon.stream("GET", &format!("{location}?follow=true"), "");
        sandbox.write("go", "");
        let mut last = Value::Null;
        while let Some(line) = follower.json_line() {
            last = line;
        }
        assert_eq!(last["outcome"], "succeeded", "{kind}: {last}");
        let said = last["output"].as_str().unwrap();
        assert!(
            said.starts_with(&format!("{kind} succeeded after ")),
            "{said}"
        );
        let after = app(&daemon);
        assert_eq!(after.is_some(), operation.after.is_some(), "{after:?}");
        if let (Some(after), Some(status)) = (after, operation.after) {
            assert_eq!(after["status"], status, "{after}");
            assert_eq!(after["running"], status == "running", "{after}");
            assert_eq!(after["job"]["state"], "succeeded", "{after}");
            assert!(after.get("error").is_none(), "{after}");
        }
    }
}

#[test]
fn each_can_be_waited_for_and_followed() {
    for prefix in ["", "/api/v0/containers"] {
        for (operation, query) in ALL
            .iter()
            .flat_map(|o| [(o, "wait=true"), (o, "follow=true")])
        {
            let kind = operation.kind;
            let (_sandbox, daemon) = start_for(operation, "");
            let path = format!("{prefix}/devcontainers/%61pp{}/?{query}", operation.path);
            let answer = daemon.request(operation.method, &path, "");
            if query == "wait=true" {
                assert_eq!(
                    (answer.status, &*answer.body),
                    (204, ""),
                    "{kind}: {answer:?}"
                );
                continue;
            }
            assert_eq!(answer.status, 200, "{kind}: {answer:?}");
            assert_eq!(answer.headers["content-type"], "application/x-ndjson");
            let last: Value = serde_json::from_str(answer.body.lines().last().unwrap()).unwrap();
            assert_eq!(last["outcome"], "succeeded", "{kind}: {last}");
        }
    }
    let (sandbox, daemon) = start("");
    let gone = daemon.delete("/devcontainers/app");
    assert_eq!((gone.status, &*gone.body), (204, ""), "it waits: {gone:?}");
    assert!(!exists(&sandbox, 1));
}

#[test]
fn a_container_is_stopped_started_and_removed_as_docker_does_it() {
    let (sandbox, daemon) = start("");
    let id = daemon.devcontainer()["container"]["id"].clone();
    assert_eq!(STOP.request(&daemon, "wait").status, 204);
    assert!(!runs(&sandbox, 1) && exists(&sandbox, 1));
    let stopped = daemon.devcontainer();
    assert_eq!(stopped["status"], "stopped", "{stopped}");
    assert_eq!(stopped["container"]["running"], false, "{stopped}");
    assert_eq!(sandbox.calls("docker", "stop "), 1);
    assert_eq!(sandbox.calls("devcontainer", ""), 0);

    assert_eq!(START.request(&daemon, "wait").status, 204);
    let started = daemon.devcontainer();
    assert_eq!(started["status"], "running", "{started}");
    assert_eq!(started["container"]["id"], id, "the same: {started}");
    let (folder, config) = (sandbox.path("work/app"), sandbox.config("app"));
    let expected = format!(
        "up --log-format json --workspace-folder {} --config {}",
        folder.display(),
        config.display()
    );
    let called = sandbox.read("calls/devcontainer");
    assert!(called.starts_with(&expected), "{called}");
    assert!(!called.contains("--remove-existing-container"), "{called}");

    assert_eq!(daemon.delete("/devcontainers/app").status, 204);
    assert!(!exists(&sandbox, 1));
    let calls = sandbox.read("calls/docker");
    let removals: Vec<&str> = calls
        .lines()
        .filter(|call| call.starts_with("rm "))
        .collect();
    let removal = format!("rm --force {}", container_id(1));
    assert_eq!(removals, [removal], "the volumes are kept");
}

#[test]
fn what_is_so_already_succeeds() {
    let (sandbox, daemon) = start("");
    let id = daemon.devcontainer()["container"]["id"].clone();
    assert_eq!(START.request(&daemon, "wait").status, 204);
    assert_eq!(daemon.devcontainer()["container"]["id"], id);
    for _ in 0..2 {
        assert_eq!(STOP.request(&daemon, "wait").status, 204);
        assert_eq!(daemon.devcontainer()["status"], "stopped");
    }
    // A predefined dev container without a container.
    let sandbox = (sandbox, Sandbox::new()).1;
    let folder = sandbox.workspace("app");
    let flag = format!(
        "--cache-duration 0 --devcontainer-folder {}",
        folder.display()
    );
    let daemon = sandbox.daemon().args(&flag).start();
    for operation in [STOP, DELETE] {
        let answer = operation.request(&daemon, "wait");
        assert_eq!(answer.status, 204, "{}: {answer:?}", operation.kind);
        let after = daemon.devcontainer();
        assert_eq!(after["status"], "stopped", "{after}");
        assert_eq!(after["job"]["state"], "succeeded", "{after}");
        assert_eq!(after["job"]["kind"], operation.kind, "{after}");
        assert!(after.get("container").is_none(), "{after}");
    }
    assert_eq!(START.request(&daemon, "wait").status, 204);
    assert_eq!(daemon.devcontainer()["container"]["name"], "made");
}

#[test]
fn a_predefined_one_stays_when_its_container_is_deleted_and_a_detected_one_goes() {
    let (sandbox, daemon) = start("");
    let other = sandbox.workspace("other");
    sandbox.devcontainer_of(2, &other);
    assert_eq!(daemon.delete("/devcontainers/app").status, 204);
    let left = daemon.devcontainer();
    assert_eq!(left["name"], "other", "{left}");
    daemon
        .get("/devcontainers/app")
        .assert_error(404, "Devcontainer not found", "app");
    daemon
        .delete("/devcontainers/app")
        .assert_error(404, "Devcontainer not found", "app");
    drop(daemon);

    let flag = format!(
        "--cache-duration 0 --devcontainer-folder {}",
        other.display()
    );
    let daemon = sandbox.daemon().args(&flag).start();
    let before = daemon.devcontainer();
    let id = before["id"].as_str().unwrap();
    assert_eq!(daemon.delete(&format!("/devcontainers/{id}")).status, 204);
    assert!(!exists(&sandbox, 2));
    let after = daemon.devcontainer();
    assert_eq!(after["id"], before["id"]);
    assert_eq!(after["status"], "stopped", "{after}");
    assert_eq!(after["running"], false, "{after}");
    assert!(after.get("container").is_none(), "{after}");
    assert!(after.get("error").is_none(), "{after}");
    assert_eq!(daemon.recreate("other").status, 204, "it can be made again");
}

#[test]
fn the_services_of_a_compose_project_go_together() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    let (folder, config) = (folder.to_str().unwrap(), sandbox.config("app"));
    let make = || {
        let project = "com.docker.compose.project";
        let (of_app, service) = (
            |n| sandbox.container(n).label(project, "app"),
            "com.docker.compose.service",
        );
        of_app(1)
            .label("devcontainer.local_folder", folder)
            .label("devcontainer.config_file", config.to_str().unwrap())
            .label(service, "dev")
            .save();
        of_app(2).label(service, "db").save();
        sandbox
            .container(3)
            .label(project, "app2")
            .label(service, "db")
            .save();
        sandbox.container(4).save();
    };
    make();
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    assert_eq!(daemon.devcontainer()["status"], "running");
    assert_eq!(STOP.request(&daemon, "wait").status, 204);
    let running = [1, 2, 3, 4].map(|number| runs(&sandbox, number));
    assert_eq!(running, [false, false, true, true], "stopped");
    assert_eq!(daemon.devcontainer()["status"], "stopped");
    make();
    assert_eq!(DELETE.request(&daemon, "").status, 204);
    let there = [1, 2, 3, 4].map(|number| exists(&sandbox, number));
    assert_eq!(there, [false, false, true, true], "deleted");
}

#[test]
fn what_docker_says_is_the_error() {
    let said = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?";
    for operation in [STOP, DELETE] {
        let (sandbox, daemon) = start(&format!("echo '{said}' >&2; exit 1"));
        let failed = operation.request(&daemon, "wait=true");
        failed.assert_error(500, &operation.message(), said);
        let after = daemon.devcontainer();
        assert_eq!(after["job"]["state"], "failed", "{after}");
        assert!(after["error"].as_str().unwrap().contains(said), "{after}");
        assert!(runs(&sandbox, 1));
        let log = daemon.log_of("app");
        let last = log.last().unwrap();
        assert_eq!(last["outcome"], "failed", "{last}");
        assert!(last["output"].as_str().unwrap().contains(said), "{last}");
        // The next operation succeeds and clears the error.
        change(&sandbox, "");
        assert_eq!(STOP.request(&daemon, "wait").status, 204);
        let after = daemon.devcontainer();
        assert!(after.get("error").is_none(), "{after}");
    }
    let (_sandbox, daemon) = start_for(
        &START,
        r#"echo '{"outcome":"error","message":"it broke"}'; exit 1"#,
    );
    START
        .request(&daemon, "wait")
        .assert_error(500, &START.message(), "it broke");
    assert_eq!(daemon.devcontainer()["job"]["kind"], "start");
}

#[test]
fn only_folders_that_may_be_operated_on_are() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
    let elsewhere = sandbox.path("elsewhere");
    fs::create_dir_all(&elsewhere).unwrap();
    let flag = format!("--workspace-root {}", elsewhere.display());
    let daemon = sandbox.daemon().args(&flag).start();
    for operation in ALL {
        let refused = operation.request(&daemon, "wait=true");
        refused.assert_error(403, "Workspace folder not allowed", "");
    }
    assert!(runs(&sandbox, 1));
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}
