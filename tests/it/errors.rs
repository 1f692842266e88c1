//! Every row of the error table, with its exact status and message.

use crate::common::{Daemon, Sandbox, container_id, eventually};
use std::net::TcpStream;

/// Waits for the file `go`.
const WAIT: &str = "while [ ! -e \"$R/go\" ]; do sleep 0.05; done";

fn recreate(container: &str) -> String {
    format!("/devcontainers/container/{container}/recreate")
}

#[test]
fn listing_failed() {
    let sandbox = Sandbox::with_app();
    sandbox.docker("echo 'Cannot connect to the Docker daemon' >&2; exit 1");
    let daemon = sandbox.daemon().start();
    let detail = "Cannot connect to the Docker daemon";
    for path in ["/", "/api/v0/containers"] {
        daemon
            .get(path)
            .assert_error(500, "Could not get containers.", detail);
    }
    for path in [
        "/devcontainers",
        "/devcontainers/app",
        "/devcontainers/app/logs",
    ] {
        daemon
            .get(path)
            .assert_error(500, "Could not list containers", detail);
    }
    for path in [recreate("box1"), "/devcontainers/app/recreate".into()] {
        daemon
            .post(&path)
            .assert_error(500, "Could not list containers", detail);
    }
    assert_eq!(daemon.get("/healthz").status, 200);
    daemon.get("/readyz").assert_error(503, "Not ready", detail);
}

#[test]
fn a_listing_that_did_not_finish_in_time_names_the_limit() {
    let sandbox = Sandbox::with_app();
    sandbox.docker("sleep 1000");
    let daemon = sandbox.daemon().args("--list-timeout 0.5").start();
    let detail = "limit of 0.5 s";
    daemon
        .get("/")
        .assert_error(500, "Could not get containers.", detail);
    daemon
        .get("/devcontainers")
        .assert_error(500, "Could not list containers", detail);
}

#[test]
fn an_empty_container_id() {
    let sandbox = Sandbox::with_app();
    // This does not depend on docker.
    sandbox.docker("exit 1");
    let daemon = sandbox.daemon().start();
    for path in [
        "/devcontainers/container//recreate",
        "/devcontainers/container//recreate/",
        "/api/v0/containers/devcontainers/container//recreate",
    ] {
        daemon
            .post(path)
            .assert_error(400, "Missing container ID or name", "{id or name}");
    }
}

#[test]
fn no_such_container() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().start();
    let other = container_id(2);
    for name in ["none", "%20", "box", "app", &other, "%2e%2e"] {
        let response = daemon.post(&recreate(name));
        response.assert_error(
            404,
            "Container not found",
            "no container has the name or id",
        );
    }
}

#[test]
fn a_prefix_that_fits_several() {
    let sandbox = Sandbox::with_app();
    sandbox.container(2).save();
    let twelve = "0".repeat(12);
    let daemon = sandbox.daemon().start();
    for prefix in [twelve.as_str(), &"0".repeat(63)] {
        daemon.post(&recreate(prefix)).assert_error(
            409,
            "Ambiguous container ID",
            "give more digits",
        );
    }
    let too_short = &twelve[1..];
    daemon.post(&recreate(too_short)).assert_error(
        404,
        "Container not found",
        "at least 12 digits",
    );
    assert_eq!(daemon.post(&recreate(&container_id(1))).status, 204);
}

#[test]
fn a_container_without_the_folder_label() {
    let sandbox = Sandbox::with_app();
    sandbox.container(2).save();
    sandbox
        .container(3)
        .label("devcontainer.config_file", "/x/devcontainer.json")
        .save();
    let daemon = sandbox.daemon().start();
    for name in ["box2", "box3"] {
        daemon
            .post(&recreate(name))
            .assert_error(400, "Missing workspace folder label", name);
    }
}

#[test]
fn no_such_dev_container() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().start();
    for name in [
        "none",
        "box1",
        "%20",
        "00000000-0000-0000-0000-000000000000",
        "",
    ] {
        let path = format!("/devcontainers/{name}");
        let message = "Devcontainer not found";
        if !name.is_empty() {
            daemon
                .get(&path)
                .assert_error(404, message, "see /devcontainers");
        }
        let logs = daemon.get(&format!("{path}/logs"));
        logs.assert_error(404, message, "see /devcontainers");
        let recreated = daemon.post(&format!("{path}/recreate"));
        recreated.assert_error(404, message, "see /devcontainers");
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}

#[test]
fn p14_an_operation_is_already_running() {
    let sandbox = Sandbox::with_app();
    sandbox.devcontainer(WAIT);
    let daemon = sandbox.daemon().start();
    let first = daemon.post("/devcontainers/app/recreate");
    assert_eq!(first.status, 202);
    for query in ["", "?wait=true", "?follow=true"] {
        let second = daemon.post(&format!("/devcontainers/app/recreate{query}"));
        second.assert_error(409, "Devcontainer operation in progress", "wait for it");
    }
    daemon.post(&recreate("box1")).assert_error(
        409,
        "Devcontainer operation in progress",
        "wait for it",
    );
    sandbox.write("go", "");
    daemon.get("/devcontainers/app/logs?follow=true");
    assert_eq!(sandbox.calls("devcontainer", "up"), 1);
    assert_eq!(
        daemon.post("/devcontainers/app/recreate?wait=true").status,
        204
    );
}

#[test]
fn the_operation_failed() {
    let sandbox = Sandbox::with_app();
    sandbox.devcontainer(
        r#"echo '{"outcome":"error","message":"it broke","description":"the build went wrong"}'; exit 1"#,
    );
    let daemon = sandbox.daemon().start();
    for path in [
        recreate("box1"),
        "/devcontainers/app/recreate?wait=true".into(),
    ] {
        let response = daemon.post(&path);
        response.assert_error(500, "Could not recreate devcontainer", "it broke");
    }
    assert_eq!(daemon.devcontainer()["job"]["state"], "failed");
}

#[test]
fn the_folder_may_not_be_operated_on() {
    let sandbox = Sandbox::with_app();
    let root = sandbox.path("elsewhere").display().to_string();
    let daemon = sandbox.daemon().args("--workspace-root").arg(&root).start();
    for path in [
        recreate("box1"),
        "/devcontainers/app/recreate".into(),
        "/devcontainers/app/recreate?wait=true".into(),
        "/devcontainers/app/recreate?follow=true".into(),
    ] {
        daemon
            .post(&path)
            .assert_error(403, "Workspace folder not allowed", "--workspace-root");
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}

fn running(sandbox: &Sandbox, daemon: &Daemon) {
    assert_eq!(daemon.post("/devcontainers/app/recreate").status, 202);
    eventually("it runs", || {
        (sandbox.calls("devcontainer", "up") > 0).then_some(())
    });
}

#[test]
fn shutting_down() {
    let sandbox = Sandbox::with_app();
    sandbox.devcontainer(WAIT);
    let mut daemon = sandbox
        .daemon()
        .args("--cache-duration 0 --list-timeout 60")
        .start();
    running(&sandbox, &daemon);
    // Clients wait for a listing, for an operation, and with an open connection for their next request.
    let mut idle = daemon.client();
    idle.send(daemon.head("GET", "/healthz", ""));
    assert_eq!(idle.answer().status, 200);
    let other = sandbox.workspace("other");
    sandbox.devcontainer_of(2, &other);
    daemon.get("/");
    let mut waiting = daemon.client();
    waiting.send(daemon.head("POST", "/devcontainers/other/recreate?wait=true", ""));
    eventually("both run", || {
        (sandbox.calls("devcontainer", "up") == 2).then_some(())
    });
    let (_, mut following) = daemon.stream("GET", "/devcontainers/app/logs?follow=true", "");
    let listings = sandbox.calls("docker", "ps");
    sandbox.docker("sleep 1000");
    let mut listing = daemon.client();
    listing.send(daemon.head("GET", "/devcontainers", ""));
    eventually("it lists", || {
        (sandbox.calls("docker", "ps") > listings).then_some(())
    });

    daemon.signal("TERM");
    daemon.log.wait_for("stopping");
    for client in [&mut waiting, &mut listing] {
        let answer = client.answer();
        answer.assert_error(503, "API closed", "about to stop");
        assert_eq!(answer.headers["connection"], "close");
        assert_eq!(client.rest(), "");
    }
    idle.send(daemon.head("GET", "/healthz", ""));
    idle.answer()
        .assert_error(503, "API closed", "about to stop");
    assert_eq!(idle.rest(), "");
    while following.line().is_some() {}
    eventually("it accepts no more", || {
        TcpStream::connect(&daemon.address).is_err().then_some(())
    });
    sandbox.write("go", "");
    assert_eq!(daemon.wait().code(), Some(0));
}
