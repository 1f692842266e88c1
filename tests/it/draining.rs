//! A daemon that is about to stop while operations run, and the one that takes its place.

use std::fs;
use std::time::Duration;

use super::lifecycle::WAIT;
use crate::common::client::Client;
use crate::common::{Daemon, DaemonBuilder, Sandbox, Stopwatch, eventually};
use serde_json::json;

const CLOSED: &str = "API closed";
/// Longer than the tests need.
const PATIENT: &str = "--cache-duration 0 --drain-timeout 200";

/// A sandbox with the dev containers `app` and `other`, whose operations wait for `$R/go`.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::with_app();
    sandbox.devcontainer_of(2, &sandbox.workspace("other"));
    // They run at once, so that a counter gives both the same id.
    let id = "case $folder in */other) id=$(printf '%064x' 5000) ;; esac";
    sandbox.devcontainer(&format!("{id}; echo $folder >>$R/ups; {WAIT}"));
    sandbox
}

/// Starts a daemon, begins a recreate of `app`, and waits for the CLI.
fn begin(sandbox: &Sandbox, builder: DaemonBuilder) -> Daemon {
    let daemon = builder.start();
    daemon.json("/");
    daemon.begin_recreate("app");
    eventually("the CLI runs", || {
        sandbox.path("waits").exists().then_some(())
    });
    daemon
}

/// Signals the daemon to end, and waits until its address is free.
fn drain(daemon: &Daemon) {
    daemon.signal("TERM");
    daemon.log.wait_for("they get up to ");
    eventually("no connection is accepted", || {
        std::net::TcpStream::connect(&daemon.address)
            .is_err()
            .then_some(())
    });
}

fn ask(daemon: &Daemon, client: &mut Client, method: &str, path: &str) -> crate::common::Response {
    client.send(daemon.head(method, path, ""));
    client.answer()
}

#[test]
fn a_daemon_that_waits_for_an_operation_answers_and_begins_nothing() {
    let sandbox = sandbox();
    let mut daemon = begin(&sandbox, sandbox.daemon().args(PATIENT));
    let mut clients: Vec<Client> = (0..6).map(|_| daemon.client()).collect();
    for client in &mut clients {
        assert_eq!(ask(&daemon, client, "GET", "/healthz").status, 200);
    }
    let (_, mut log) = daemon.stream("GET", "/devcontainers/app/logs?follow=true", "");
    let (_, mut events) = daemon.stream("GET", "/events?name=app&until=idle", "");
    let mut waiting = daemon.client();
    waiting.send(daemon.head("GET", "/devcontainers/app/logs?follow=true&format=text", ""));
    drain(&daemon);

    let shown = ask(&daemon, &mut clients[0], "GET", "/devcontainers/app");
    assert_eq!(
        (shown.status, &*shown.headers["connection"]),
        (200, "close")
    );
    assert_eq!(shown.json()["job"]["state"], "running");
    for (client, (method, path)) in clients[1..].iter_mut().zip([
        ("POST", "/devcontainers/other/recreate"),
        ("POST", "/devcontainers/other/stop?wait=true"),
        ("DELETE", "/devcontainers/other?forget=true"),
        ("GET", "/readyz"),
    ]) {
        ask(&daemon, client, method, path).assert_error(503, CLOSED, "");
    }
    assert_eq!(ask(&daemon, &mut clients[5], "GET", "/").status, 200);
    sandbox.write("go", "");
    let text = waiting.answer().body;
    assert!(text.ends_with("outcome: succeeded\n"), "{text}");
    let log = log.rest();
    assert!(log.contains(r#""outcome":"succeeded""#), "{log}");
    let events = events.rest();
    assert!(events.contains(r#""state":"succeeded""#), "{events}");
    assert_eq!(daemon.wait().code(), Some(0));
    assert_eq!(sandbox.read("ups").lines().count(), 1);
}

#[test]
fn a_client_that_waits_for_an_operation_gets_its_end() {
    let sandbox = sandbox();
    let mut daemon = sandbox.daemon().args(PATIENT).start();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| daemon.recreate("app"));
        eventually("the CLI runs", || {
            sandbox.path("waits").exists().then_some(())
        });
        drain(&daemon);
        sandbox.write("go", "");
        assert_eq!(waiting.join().unwrap().status, 204);
    });
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn a_queued_operation_does_not_begin_any_more() {
    let sandbox = sandbox();
    let daemon = sandbox.daemon().args(PATIENT).args("--max-operations 1");
    let mut daemon = begin(&sandbox, daemon);
    daemon.begin_recreate("other");
    drain(&daemon);
    daemon
        .log
        .wait_for("the daemon stopped before the recreate began");
    sandbox.write("go", "");
    assert_eq!(daemon.wait().code(), Some(0));
    assert_eq!(sandbox.read("ups").lines().count(), 1);
}

#[test]
fn an_operation_gets_as_long_as_the_flag_says() {
    let sandbox = sandbox();
    let mut daemon = begin(&sandbox, sandbox.daemon().args("--drain-timeout 0"));
    let begun = Stopwatch::start();
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
    // The default is longer.
    let took = begun.by_the_clock();
    assert!(took < Duration::from_secs(10), "{took:?}");
    daemon.log.wait_for("recreate interrupted");
}

#[test]
fn p7_the_next_daemon_takes_over_while_an_operation_runs() {
    let sandbox = sandbox();
    let folder = sandbox.path("work/app");
    let mut first = begin(&sandbox, sandbox.daemon().args(PATIENT));
    // An edit during the build leaves it dirty (P6), which only the first daemon can know.
    fs::write(sandbox.config("app"), r#"{"image": "other"}"#).unwrap();
    drain(&first);
    let address = format!("--listen {}", first.address);
    let second = sandbox.daemon().args(PATIENT).args(&address).start();
    second
        .log
        .wait_for("another devcontainerd uses the state directory");
    assert_eq!(second.get("/healthz").status, 200);
    let shown = second.json("/devcontainers/app");
    assert_eq!(shown["workspace_folder"], folder.to_str().unwrap());
    assert_eq!(shown.get("job"), None, "it is not interrupted: {shown}");
    let refused = second.post("/devcontainers/app/recreate");
    refused.assert_error(409, "Devcontainer operation in progress", "flock");
    // Its own operations are not lost either.
    second.begin_recreate("other");

    sandbox.write("go", "");
    assert_eq!(first.wait().code(), Some(0));
    first.log.wait_for("recreate succeeded");
    second.log.wait_for("the other devcontainerd has ended");
    let done = |name: &str| {
        let shown = second.json(&format!("/devcontainers/{name}"));
        (shown["job"]["state"] == "succeeded").then_some(shown)
    };
    let app = eventually("the end is known", || done("app"));
    assert_eq!(app["dirty"], true, "{app}");
    assert_eq!(app["container"]["name"], "made");
    eventually("its own ends", || done("other"));
    assert_eq!(sandbox.read("ups").lines().count(), 2, "no more recreates");
    let saved = sandbox.state_home().join("devcontainerd/state.json");
    eventually("both are saved", || {
        let text = fs::read_to_string(&saved).ok()?;
        (text.matches(r#""state":"succeeded""#).count() == 2).then_some(())
    });
    drop(second);
    let third = sandbox.daemon().start();
    assert_eq!(third.json("/devcontainers/app")["dirty"], true);
    assert_eq!(
        third.json("/devcontainers/other")["job"]["state"],
        json!("succeeded")
    );
}

#[test]
fn p7_the_next_daemon_repairs_what_a_daemon_that_was_killed_meanwhile_has_left() {
    let sandbox = sandbox();
    let mut first = begin(&sandbox, sandbox.daemon().args(PATIENT));
    drain(&first);
    let second = sandbox.daemon().args(PATIENT).start();
    second
        .log
        .wait_for("another devcontainerd uses the state directory");
    assert_eq!(second.json("/devcontainers/app").get("job"), None);
    first.signal("KILL");
    first.wait();
    second.log.wait_for("the other devcontainerd has ended");
    let state = || second.json("/devcontainers/app")["job"]["state"].clone();
    eventually("it is interrupted", || {
        (state() == "interrupted").then_some(())
    });
    let again = sandbox.path("go");
    fs::write(again, "").unwrap();
    assert_eq!(second.recreate("app").status, 204);
}
