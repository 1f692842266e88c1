//! Cancelling operations.

use std::time::Duration;

use super::lifecycle::{ALL, RECREATE, app, change, start, start_for};
use crate::common::{Sandbox, Stopwatch, container_id, eventually, operation_processes};
use serde_json::Value;

/// The limit for the answer to a cancel: the processes get a TERM, two seconds, and a KILL.
const CANCELLED_WITHIN: Duration = Duration::from_secs(5);

#[track_caller]
fn assert_cancelled_promptly(begun: Stopwatch) {
    let took = begun.elapsed();
    assert!(took < CANCELLED_WITHIN, "{took:?}");
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
    // The kernel does not tell whose a connection was that is closed before the daemon has looked.
    client.send(daemon.head("GET", "/healthz", ""));
    assert_eq!(client.answer().status, 200);
    client.send(daemon.head("POST", "/devcontainers/app/cancel", ""));
    drop(client);
    eventually("it is cancelled all the same", || {
        (daemon.devcontainer()["job"]["state"] == "cancelled").then_some(())
    });
    change(&sandbox, "");
    assert_eq!(daemon.recreate("app").status, 204);
}
