//! Starting, stopping, deleting and cancelling: the requests and their results.

use std::fs;
use std::time::Duration;

use crate::common::{
    Daemon, Response, Sandbox, Stopwatch, container_id, eventually, operation_processes,
};
use serde_json::{Value, json};

/// The limit for the answer to a cancel: the processes get a TERM, two seconds, and a KILL.
const CANCELLED_WITHIN: Duration = Duration::from_secs(5);

/// Makes a stand-in wait for `$R/go`.
const WAIT: &str = ">$R/waits; while [ ! -e $R/go ]; do sleep 0.02; done";

/// An operation: its kind, its method and the end of its path, the status while it runs, and the status afterwards
/// where it is listed then.
struct Operation {
    kind: &'static str,
    method: &'static str,
    path: &'static str,
    status: &'static str,
    after: Option<&'static str>,
}

const RECREATE: Operation = Operation {
    kind: "recreate",
    method: "POST",
    path: "/recreate",
    status: "starting",
    after: Some("running"),
};
const START: Operation = Operation {
    kind: "start",
    method: "POST",
    path: "/start",
    status: "starting",
    after: Some("running"),
};
const STOP: Operation = Operation {
    kind: "stop",
    method: "POST",
    path: "/stop",
    status: "stopping",
    after: Some("stopped"),
};
const DELETE: Operation = Operation {
    kind: "delete",
    method: "DELETE",
    path: "",
    status: "deleting",
    after: None,
};
const ALL: [Operation; 4] = [START, STOP, RECREATE, DELETE];

impl Operation {
    #[track_caller]
    fn request(&self, daemon: &Daemon, query: &str) -> Response {
        let path = format!("/devcontainers/app{}?{query}", self.path);
        daemon.request(self.method, &path, "")
    }

    /// Begins it, and waits until a stand-in waits.
    #[track_caller]
    fn begin(&self, sandbox: &Sandbox, daemon: &Daemon) -> Value {
        let _ = fs::remove_file(sandbox.path("waits"));
        let accepted = self.request(daemon, "wait=false");
        assert_eq!(accepted.status, 202, "{}: {accepted:?}", self.kind);
        eventually("it waits", || sandbox.path("waits").exists().then_some(()));
        accepted.json()
    }

    /// True if the container runs before it, and the status of the container.
    fn state_before(&self) -> (bool, &'static str) {
        match self.kind {
            "start" => (false, "exited"),
            _ => (true, "running"),
        }
    }

    fn message(&self) -> String {
        format!("Could not {} devcontainer", self.kind)
    }
}

/// A sandbox with one running, detected dev container, and its daemon. Each operation runs `before` first.
fn start(before: &str) -> (Sandbox, Daemon) {
    start_for(&STOP, before)
}

/// A sandbox like that of [`start`], whose container does not run if the operation is a start.
fn start_for(operation: &Operation, before: &str) -> (Sandbox, Daemon) {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    let config = sandbox.config("app");
    let (runs, status) = operation.state_before();
    sandbox
        .container(1)
        .label("devcontainer.local_folder", folder.to_str().unwrap())
        .label("devcontainer.config_file", config.to_str().unwrap())
        .set("State", json!({"Status": status, "Running": runs}))
        .save();
    change(&sandbox, before);
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    daemon.json("/");
    (sandbox, daemon)
}

/// Sets the code that each operation runs first: in the CLI, and in `docker stop` and `docker rm`.
fn change(sandbox: &Sandbox, before: &str) {
    sandbox.devcontainer(before);
    sandbox.docker(&format!("case \"$1\" in stop|rm) {before}\n;; esac"));
}

#[track_caller]
fn assert_cancelled_promptly(begun: Stopwatch) {
    let took = begun.elapsed();
    assert!(took < CANCELLED_WITHIN, "{took:?}");
}

fn runs(sandbox: &Sandbox, number: u32) -> bool {
    let container = sandbox.read(&format!("containers/{}", container_id(number)));
    container.contains(r#""Running":true"#)
}

fn exists(sandbox: &Sandbox, number: u32) -> bool {
    let file = format!("containers/{}", container_id(number));
    sandbox.path(&file).exists()
}

/// The dev container; `None` where it is not listed.
fn app(daemon: &Daemon) -> Option<Value> {
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
fn p14_while_one_runs_every_other_is_refused() {
    for running in ALL {
        let (sandbox, daemon) = start_for(&running, WAIT);
        running.begin(&sandbox, &daemon);
        for (second, query) in ALL
            .iter()
            .flat_map(|o| [(o, ""), (o, "wait"), (o, "follow")])
        {
            let answer = second.request(&daemon, query);
            let message = "Devcontainer operation in progress";
            answer.assert_error(409, message, "one operation at a time");
        }
        sandbox.write("go", "");
        eventually("it ends", || {
            let ended = app(&daemon).is_none_or(|one| one["job"]["state"] == "succeeded");
            ended.then_some(())
        });
    }
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

#[test]
fn other_methods_are_refused_with_those_that_are_allowed() {
    let (sandbox, daemon) = start("");
    for (method, path, allowed) in [
        ("GET", "/start", "POST"),
        ("DELETE", "/stop", "POST"),
        ("PUT", "/cancel", "POST"),
        ("HEAD", "/recreate", "POST"),
        ("POST", "", "GET, HEAD, DELETE"),
        ("DELETE", "/logs", "GET, HEAD"),
    ] {
        let answer = daemon.request(method, &format!("/devcontainers/app{path}"), "");
        assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
        assert_eq!(answer.headers["allow"], allowed, "{method} {path}");
    }
    for path in ["/start", "/stop", "/cancel"] {
        daemon
            .post(&format!("/devcontainers/nope{path}"))
            .assert_error(404, "Devcontainer not found", "nope");
        assert_eq!(daemon.post(path).status, 404);
    }
    assert_eq!(daemon.delete("/devcontainers").status, 405);
    let malformed = daemon.delete("/devcontainers/app?wait=maybe");
    assert_eq!(malformed.status, 400, "{malformed:?}");
    assert!(runs(&sandbox, 1), "nothing was done");
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}

#[test]
fn there_may_be_nothing_to_cancel() {
    let (_sandbox, daemon) = start("");
    let nothing = || {
        daemon.post("/devcontainers/app/cancel").assert_error(
            409,
            "No devcontainer operation in progress",
            "",
        );
    };
    nothing();
    assert_eq!(daemon.recreate("app").status, 204);
    nothing();
    assert_eq!(daemon.devcontainer()["job"]["state"], "succeeded");
}

/// Cancels each operation while a stand-in hangs in this code. Asserts that all clients that wait for it get an answer.
#[track_caller]
fn check_cancel(hang: &str) {
    for operation in ALL {
        let kind = operation.kind;
        let (sandbox, daemon) = start_for(&operation, &format!("echo to be cancelled >&2; {hang}"));
        let path = format!("/devcontainers/app{}?wait=true", operation.path);
        let mut waiting = daemon.client();
        waiting.send(daemon.head(operation.method, &path, ""));
        eventually("it hangs", || sandbox.path("waits").exists().then_some(()));
        let logs = "/devcontainers/app/logs?follow=true";
        let (_, mut follower) = daemon.stream("GET", logs, "");
        assert!(
            !operation_processes(daemon.pid()).is_empty(),
            "{kind}: they are marked"
        );

        let begun = Stopwatch::start();
        let answer = daemon.post("/devcontainers/app/cancel");
        assert_eq!(
            (answer.status, &*answer.body),
            (204, ""),
            "{kind}: {answer:?}"
        );
        assert_cancelled_promptly(begun);
        let left = operation_processes(daemon.pid());
        assert!(left.is_empty(), "{kind}: {left:?}");
        change(&sandbox, "");
        let after = daemon.devcontainer();
        assert_eq!(after["job"]["state"], "cancelled", "{after}");
        assert_eq!(after["job"]["kind"], kind, "{after}");
        assert!(after["job"]["finished_at"].is_string(), "{after}");
        let (runs, _) = operation.state_before();
        assert_eq!(after["running"], runs, "as before: {after}");
        assert_eq!(after["container"]["id"], container_id(1), "{after}");
        assert_eq!(after["container"]["name"], "box1", "{after}");

        waiting
            .answer()
            .assert_error(500, &operation.message(), "cancelled");
        let mut last = Value::Null;
        while let Some(line) = follower.json_line() {
            last = line;
        }
        assert_eq!(last["outcome"], "cancelled", "{kind}: {last}");
        let said = last["output"].as_str().unwrap();
        assert!(
            said.starts_with(&format!("{kind} cancelled after ")),
            "{said}"
        );
        assert_eq!(daemon.log_of("app").last(), Some(&last), "{kind}");
        daemon.post("/devcontainers/app/cancel").assert_error(
            409,
            "No devcontainer operation in progress",
            "",
        );
        // The next operation succeeds and takes its place.
        assert_eq!(
            operation.request(&daemon, "wait=true").status,
            204,
            "{kind}"
        );
        if let Some(after) = app(&daemon) {
            assert_eq!(after["job"]["state"], "succeeded", "{after}");
            assert!(after.get("error").is_none(), "{after}");
        }
    }
}

#[test]
fn p16_an_operation_that_hangs_is_cancelled() {
    check_cancel(">$R/waits; sleep 1000");
}

#[test]
fn p16_what_ignores_term_is_cancelled() {
    check_cancel("trap '' TERM; >$R/waits; while :; do sleep 1; done");
}

#[test]
fn p16_what_leaves_its_group_and_its_session_is_cancelled() {
    check_cancel(
        "trap '' TERM; setsid sh -c 'trap \"\" TERM; sleep 1000 & sleep 1000' & >$R/waits; sleep 1000",
    );
}

#[test]
fn of_many_who_cancel_each_gets_an_answer() {
    let (sandbox, daemon) = start("trap '' TERM; >$R/waits; while :; do sleep 1; done");
    RECREATE.begin(&sandbox, &daemon);
    let statuses = std::thread::scope(|scope| {
        let cancel = || daemon.post("/devcontainers/app/cancel").status;
        let clients: Vec<_> = (0..8).map(|_| scope.spawn(cancel)).collect();
        let mut all: Vec<u16> = clients.into_iter().map(|c| c.join().unwrap()).collect();
        all.sort();
        all
    });
    assert_eq!(statuses[0], 204, "{statuses:?}");
    assert!(
        statuses.iter().all(|status| [204, 409].contains(status)),
        "{statuses:?}"
    );
    assert_eq!(daemon.devcontainer()["job"]["state"], "cancelled");
}

#[test]
fn the_cancel_of_one_does_not_touch_another() {
    let sandbox = Sandbox::new();
    for (number, name) in [(1, "app"), (2, "other")] {
        let folder = sandbox.workspace(name);
        sandbox.devcontainer_of(number, &folder);
    }
    sandbox.devcontainer(">$R/waits-${folder##*/}; while [ ! -e $R/go ]; do sleep 0.02; done");
    let daemon = sandbox.daemon().start();
    daemon.json("/");
    for name in ["app", "other"] {
        daemon.begin_recreate(name);
        eventually("it waits", || {
            let waits = sandbox.path(&format!("waits-{name}"));
            waits.exists().then_some(())
        });
    }
    assert_eq!(daemon.post("/devcontainers/app/cancel").status, 204);
    let state = |name| daemon.json(&format!("/devcontainers/{name}"))["job"]["state"].clone();
    assert_eq!(
        (state("app"), state("other")),
        ("cancelled".into(), "running".into())
    );
    sandbox.write("go", "");
    eventually("the other one succeeds", || {
        (state("other") == "succeeded").then_some(())
    });
}

#[test]
fn a_client_that_leaves_a_cancel_changes_nothing() {
    let (sandbox, daemon) = start("trap '' TERM; >$R/waits; while :; do sleep 1; done");
    RECREATE.begin(&sandbox, &daemon);
    let mut client = daemon.client();
    client.send(daemon.head("POST", "/devcontainers/app/cancel", ""));
    drop(client);
    eventually("it is cancelled all the same", || {
        (daemon.devcontainer()["job"]["state"] == "cancelled").then_some(())
    });
    change(&sandbox, "");
    assert_eq!(daemon.recreate("app").status, 204);
}
