//! One operation at a time for a dev container, which does not end with its client (P13, P14).

use std::fs;
use std::io::Write;

use super::lifecycle::{ALL, WAIT, app, start_for};
use super::operations::{job_state, start};
use crate::common::usage::AT_REST;
use crate::common::{Daemon, Sandbox, eventually};
use serde_json::Value;

/// The message of every refusal here.
const IN_PROGRESS: &str = "Devcontainer operation in progress";

#[test]
fn p13_a_client_that_goes_away_ends_no_operation() {
    let (sandbox, daemon) = start("while [ ! -e $R/go ]; do sleep 0.02; done");
    for path in [
        "/devcontainers/app/recreate?wait=true",
        "/devcontainers/container/made/recreate",
        "/devcontainers/app/recreate?follow=true",
    ] {
        let path = path.replace(
            "made",
            daemon.devcontainer()["container"]["name"].as_str().unwrap(),
        );
        let _ = fs::remove_file(sandbox.path("go"));
        let before = sandbox.calls("devcontainer", "up");
        let mut client = daemon.connect();
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        client.write_all(head.as_bytes()).unwrap();
        eventually("the CLI runs", || {
            (sandbox.calls("devcontainer", "up") > before).then_some(())
        });
        drop(client);
        sandbox.write("go", "");
        eventually("it has succeeded", || {
            (job_state(&daemon) == "succeeded").then_some(())
        });
        assert_eq!(daemon.devcontainer()["container"]["name"], "made");
    }
    let threads = eventually("its threads end", || {
        let threads = daemon.threads();
        (threads <= AT_REST + 1).then_some(threads)
    });
    assert!(threads >= AT_REST);
}

#[test]
fn p14_a_second_operation_on_the_same_is_refused_and_on_another_it_runs() {
    let sandbox = Sandbox::new();
    for (number, name) in [(1, "a"), (2, "b")] {
        let folder = sandbox.workspace(name);
        sandbox.devcontainer_of(number, &folder);
    }
    sandbox.devcontainer(
        ">$R/running-${folder##*/}; while [ ! -e $R/go-${folder##*/} ]; do sleep 0.02; done",
    );
    let daemon = sandbox.daemon().start();
    daemon.json("/");
    daemon.begin_recreate("a");
    for path in [
        "/devcontainers/a/recreate",
        "/devcontainers/a/recreate?wait=true",
        "/devcontainers/a/recreate?follow=true",
        "/devcontainers/container/box1/recreate",
    ] {
        let message = "Devcontainer operation in progress";
        daemon.post(path).assert_error(
            409,
            message,
            "an operation is already running for this dev container",
        );
    }
    daemon.begin_recreate("b");
    eventually("both run at once", || {
        let runs = |name| sandbox.path(&format!("running-{name}")).exists();
        (runs("a") && runs("b")).then_some(())
    });
    sandbox.write("go-b", "");
    let state = |name| daemon.json(&format!("/devcontainers/{name}"))["job"]["state"].clone();
    eventually("the later one ends first", || {
        (state("b") == "succeeded").then_some(())
    });
    assert_eq!(state("a"), "running");
    sandbox.write("go-a", "");
    eventually("the other one ends", || {
        (state("a") == "succeeded").then_some(())
    });
    assert_eq!(daemon.recreate("a").status, 204, "it is free again");
}

#[test]
fn p14_of_many_who_ask_at_once_one_is_let_in() {
    let (sandbox, daemon) = start("while [ ! -e $R/go ]; do sleep 0.02; done");
    let statuses = std::thread::scope(|scope| {
        let request = || daemon.post("/devcontainers/app/recreate").status;
        let clients: Vec<_> = (0..20).map(|_| scope.spawn(request)).collect();
        let mut all: Vec<u16> = clients.into_iter().map(|c| c.join().unwrap()).collect();
        all.sort();
        all
    });
    sandbox.write("go", "");
    assert_eq!((statuses[0], statuses[1], statuses[19]), (202, 409, 409));
    eventually("it ends", || {
        (job_state(&daemon) == "succeeded").then_some(())
    });
    assert_eq!(sandbox.calls("devcontainer", "up"), 1);
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
            answer.assert_error(
                409,
                message,
                "an operation is already running for this dev container",
            );
        }
        sandbox.write("go", "");
        eventually("it ends", || {
            let ended = app(&daemon).is_none_or(|one| one["job"]["state"] == "succeeded");
            ended.then_some(())
        });
    }
}

/// A sandbox with the services `a` and `b` of a compose project, each a dev container, and `c`, which is configured in the
/// directory of the project and has no container. An operation that runs the CLI waits for `$R/go`.
fn project() -> Sandbox {
    let sandbox = Sandbox::new();
    let directory = sandbox.path("work/compose");
    fs::create_dir(&directory).unwrap();
    for (number, name) in [(1, "a"), (2, "b")] {
        sandbox
            .container(number)
            .of(&sandbox.workspace(name))
            .label("com.docker.compose.project", "shared")
            .label("com.docker.compose.service", name)
            .label(
                "com.docker.compose.project.working_dir",
                directory.to_str().unwrap(),
            )
            .save();
    }
    sandbox.workspace("c");
    let file = r#"{"dockerComposeFile": "../../compose/c.yml", "service": "c"}"#;
    fs::write(sandbox.config("c"), file).unwrap();
    sandbox.devcontainer(WAIT);
    sandbox
}

fn start_in(sandbox: &Sandbox) -> Daemon {
    let c = sandbox.path("work/c");
    let flags = format!("--cache-duration 0 --devcontainer-folder {}", c.display());
    let daemon = sandbox.daemon().args(&flags).start();
    daemon.json("/");
    daemon
}

fn job_of(daemon: &Daemon, name: &str) -> Value {
    daemon.json(&format!("/devcontainers/{name}"))["job"]["state"].clone()
}

/// Lets the CLI go on, and waits until the operation of a dev container has succeeded.
fn release(sandbox: &Sandbox, daemon: &Daemon, name: &str) {
    sandbox.write("go", "");
    eventually("it ends", || {
        (job_of(daemon, name) == "succeeded").then_some(())
    });
}

#[test]
fn p14_a_second_operation_in_a_compose_project_is_refused_and_names_the_first() {
    let sandbox = project();
    sandbox.devcontainer_of(4, &sandbox.workspace("d"));
    let daemon = start_in(&sandbox);
    daemon.begin_recreate("a");
    let by_name = "a recreate of `a` is at work in the same compose project (shared)";
    for (method, path) in [
        ("POST", "/devcontainers/b/recreate"),
        ("POST", "/devcontainers/b/start?wait"),
        ("POST", "/devcontainers/b/stop?follow"),
        ("DELETE", "/devcontainers/b"),
        ("POST", "/devcontainers/container/box2/recreate"),
    ] {
        let refused = daemon.request(method, path, "");
        refused.assert_error(409, IN_PROGRESS, by_name);
    }
    let directory = sandbox.path("work/compose");
    let by_directory = format!(
        "a recreate of `a` is at work in the same compose project ({})",
        directory.display()
    );
    let refused = daemon.post("/devcontainers/c/start");
    refused.assert_error(409, IN_PROGRESS, &by_directory);
    let twice = daemon.post("/devcontainers/a/stop");
    twice.assert_error(409, IN_PROGRESS, "a recreate of `a`; wait for it");
    daemon.begin_recreate("d");
    release(&sandbox, &daemon, "a");
    assert_eq!(daemon.recreate("b").status, 204, "it is free again");
    assert_eq!(daemon.post("/devcontainers/c/start?wait").status, 204);
}

#[test]
fn p14_the_directory_of_a_compose_project_is_locked_against_other_daemons() {
    let sandbox = project();
    let first = start_in(&sandbox);
    // Its state is not that of the first one.
    let second = sandbox.daemon().args("--cache-duration 0");
    let second = second.env("XDG_STATE_HOME", "/dev/null").start();
    second.json("/");
    first.begin_recreate("a");
    eventually("it waits", || sandbox.path("waits").exists().then_some(()));
    let refused = second.post("/devcontainers/b/stop?wait");
    refused.assert_error(409, IN_PROGRESS, "directory of its compose project (flock)");
    release(&sandbox, &first, "a");
    let stopped = second.post("/devcontainers/b/stop?wait");
    assert_eq!(stopped.status, 204, "{stopped:?}");
}
