//! An operation touches its target and what that needs, and nothing else (P24).

use serde_json::json;

use super::lifecycle::{exists, runs};
use super::replacing::{Script, containers, set};
use crate::common::{Daemon, Sandbox, container_id, eventually};

const DEPENDS_ON: &str = "com.docker.compose.depends_on";

/// A sandbox with three running containers of the dev container `app`, the third of which is the newest, and its daemon.
fn three() -> (Sandbox, Daemon) {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    for number in 1..=3 {
        sandbox.devcontainer_made(number, &folder, &format!("202{number}-01-01T00:00:00Z"));
    }
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    assert_eq!(shown(&daemon), container_id(3));
    (sandbox, daemon)
}

#[track_caller]
fn shown(daemon: &Daemon) -> String {
    let one = daemon.devcontainer();
    one["container"]["id"].as_str().unwrap().to_owned()
}

/// The verbs of docker with which something was done to these containers, in order, each with the last digit of ids.
fn acts(sandbox: &Sandbox) -> Vec<String> {
    let calls = sandbox.read("calls/docker");
    let acts = calls.lines().filter_map(|call| {
        let mut words = call.split(' ');
        let verb = words.next()?;
        let is_act = ["stop", "rm", "unpause", "rename", "kill"].contains(&verb);
        let ids = words.filter(|word| word.len() == 64);
        let digits: String = ids.map(|id| &id[63..]).collect();
        is_act.then(|| format!("{verb} {digits}"))
    });
    acts.collect()
}

#[test]
fn p24_stop_is_for_the_one_that_is_shown_and_with_all_for_each() {
    let (sandbox, daemon) = three();
    assert_eq!(daemon.post("/devcontainers/app/stop?wait").status, 204);
    assert_eq!([1, 2, 3].map(|n| runs(&sandbox, n)), [true, true, false]);
    assert_eq!(shown(&daemon), container_id(2), "one that runs");
    let all = daemon.post("/devcontainers/app/stop?wait&all=false");
    assert_eq!(all.status, 204, "{all:?}");
    assert_eq!([1, 2, 3].map(|n| runs(&sandbox, n)), [true, false, false]);
    assert_eq!(daemon.post("/devcontainers/app/stop?wait&all").status, 204);
    assert_eq!([1, 2, 3].map(|n| runs(&sandbox, n)), [false; 3]);
    let acts = acts(&sandbox);
    assert_eq!(acts[..2], ["stop 3", "stop 2"]);
    assert_eq!(acts.len(), 3, "{acts:?}");
}

#[test]
fn p24_delete_is_for_the_one_that_is_shown_and_with_all_for_each() {
    let (sandbox, daemon) = three();
    assert_eq!(daemon.delete("/devcontainers/app").status, 204);
    assert_eq!([1, 2, 3].map(|n| exists(&sandbox, n)), [true, true, false]);
    assert_eq!(acts(&sandbox), ["stop 3", "rm 3"]);
    let one = daemon.devcontainer();
    assert_eq!(one["container"]["id"], container_id(2), "{one}");
    assert_eq!(one["job"]["kind"], "delete", "it is still known: {one}");
    assert!(!daemon.log_of("app").is_empty());
    let all = daemon.delete("/devcontainers/app?all=true");
    assert_eq!(all.status, 204, "{all:?}");
    assert_eq!(containers(&sandbox).len(), 0);
    daemon
        .get("/devcontainers/app")
        .assert_error(404, "Devcontainer not found", "app");
}

#[test]
fn p24_the_container_that_is_named_is_recreated_and_no_other() {
    for (request, replaced) in [
        ("container/box1/recreate".to_owned(), 1),
        (format!("container/{}/recreate", container_id(2)), 2),
        ("app/recreate?wait=true".to_owned(), 3),
    ] {
        let (sandbox, daemon) = three();
        set(&sandbox, &Script::default());
        let before = containers(&sandbox);
        let made = daemon.post(&format!("/devcontainers/{request}"));
        assert_eq!(made.status, 204, "{request}: {made:?}");
        let after = containers(&sandbox);
        assert_eq!(after.len(), 3, "{request}: {after:#?}");
        for one in before {
            let is_replaced = one["Id"] == container_id(replaced);
            assert_eq!(after.contains(&one), !is_replaced, "{request}: {one}");
        }
        assert_eq!(shown(&daemon), container_id(1001), "{request}");
    }
}

#[test]
fn p24_a_failed_recreate_of_one_leaves_all_as_they_were() {
    let (sandbox, daemon) = three();
    set(
        &sandbox,
        &Script {
            start: "echo 'Error response from daemon: port is taken' >&2; exit 1",
            ..Script::default()
        },
    );
    let sorted = || {
        let mut all = containers(&sandbox);
        all.sort_by_key(|one| one["Id"].to_string());
        all
    };
    let before = sorted();
    let failed = daemon.post("/devcontainers/container/box2/recreate");
    failed.assert_error(500, "Could not recreate devcontainer", "container box2");
    assert_eq!(sorted(), before);
}

#[test]
fn p24_all_is_an_error_where_it_means_nothing() {
    let (sandbox, daemon) = three();
    for (method, path) in [
        ("POST", "/devcontainers/app/recreate"),
        ("POST", "/devcontainers/app/start"),
        ("POST", "/devcontainers/container/box1/recreate"),
        ("POST", "/devcontainers/app/cancel"),
        ("GET", "/devcontainers/app/logs"),
        ("GET", "/devcontainers"),
        ("GET", "/"),
    ] {
        for value in ["all", "all=true", "all=false"] {
            let answer = daemon.request(method, &format!("{path}?{value}"), "");
            answer.assert_error(
                400,
                "Bad request",
                "\"all\" means nothing here: the route takes ",
            );
        }
    }
    let answer = daemon.delete("/devcontainers/app?all=maybe");
    answer.assert_error(400, "Bad request", "all should be true or false");
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
    assert_eq!([1, 2, 3].map(|n| runs(&sandbox, n)), [true; 3]);
}

#[test]
fn p24_delete_stops_what_runs_before_it_removes_it() {
    for (status, before) in [
        ("running", &["stop 1"][..]),
        ("restarting", &["stop 1"]),
        ("paused", &["unpause 1", "stop 1"]),
        ("exited", &[]),
        ("created", &[]),
    ] {
        let sandbox = Sandbox::with_app();
        let folder = sandbox.path("work/app");
        let runs = !before.is_empty();
        sandbox
            .container(1)
            .of(&folder)
            .set("State", json!({"Status": status, "Running": runs}))
            .save();
        // podman does not stop a paused container; an engine may refuse the rest, too.
        sandbox.docker(r#"case "$1" in unpause|stop) echo "Error: refused" >&2; exit 1;; esac"#);
        let daemon = sandbox.daemon().args("--cache-duration 0").start();
        daemon.json("/");
        let deleted = daemon.delete("/devcontainers/app");
        assert_eq!(deleted.status, 204, "{status}: {deleted:?}");
        assert!(!exists(&sandbox, 1));
        let expected: Vec<&str> = before.iter().copied().chain(["rm 1"]).collect();
        assert_eq!(acts(&sandbox), expected, "{status}");
    }
}

#[test]
fn p24_delete_waits_for_what_docker_removes_by_itself() {
    let sandbox = Sandbox::with_app();
    // It is gone at the second look.
    sandbox.docker(
        r#"case "$1" in
        rm)
            echo "Error response from daemon: removal of container $3 is already in progress" >&2
            sed -i 's/"running"/"removing"/; s/"exited"/"removing"/' "$R/containers/$3"
            echo >"$R/going"; exit 1 ;;
        inspect)
            [ ! -e "$R/looked" ] || rm -f "$R"/containers/*
            [ ! -e "$R/going" ] || echo >"$R/looked" ;;
        esac"#,
    );
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    daemon.json("/");
    let deleted = daemon.delete("/devcontainers/app");
    assert_eq!(deleted.status, 204, "{deleted:?}");
    assert!(!exists(&sandbox, 1));
}

#[test]
fn p24_services_that_another_dev_container_needs_stay() {
    let sandbox = Sandbox::new();
    let make = || {
        let service = |number: u32, service: &str, needs: &str| {
            sandbox
                .container(number)
                .label("com.docker.compose.project", "p")
                .label("com.docker.compose.service", service)
                .label(DEPENDS_ON, needs)
        };
        let started = "service_started:false";
        let of_a = format!("db:{started},cache:{started}");
        service(1, "a", &of_a).of(&sandbox.workspace("a")).save();
        let of_b = format!("db:{started}");
        service(2, "b", &of_b).of(&sandbox.workspace("b")).save();
        service(3, "db", "").save();
        service(4, "cache", "").save();
    };
    make();
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    daemon.json("/");
    assert_eq!(daemon.post("/devcontainers/a/stop?wait").status, 204);
    let running = [1, 2, 3, 4].map(|number| runs(&sandbox, number));
    assert_eq!(running, [false, true, true, false]);
    assert_eq!(daemon.post("/devcontainers/b/stop?wait").status, 204);
    let running = [1, 2, 3, 4].map(|number| runs(&sandbox, number));
    assert_eq!(running, [false; 4], "the last one that ran needs nothing");
    make();
    assert_eq!(daemon.delete("/devcontainers/a").status, 204);
    let there = [1, 2, 3, 4].map(|number| exists(&sandbox, number));
    assert_eq!(there, [false, true, true, false]);
    assert_eq!([2, 3].map(|n| runs(&sandbox, n)), [true; 2]);
}

#[test]
fn p24_delete_clears_away_what_an_operation_left() {
    let sandbox = Sandbox::with_app();
    let folder = sandbox.path("work/app");
    let parked = "/box2.devcontainerd-0000000000000005-running";
    let stopped = json!({"Status": "exited", "Running": false});
    sandbox
        .container(2)
        .of(&folder)
        .set("Name", json!(parked))
        .set("State", stopped)
        .save();
    sandbox.devcontainer_of(3, &folder);
    // It cannot be put back.
    sandbox.docker(r#"case "$1" in start) echo "Error: refused" >&2; exit 1;; esac"#);
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    eventually("a repair was tried", || {
        daemon.json("/");
        (sandbox.calls("docker", "start") > 0).then_some(())
    });
    let target = shown(&daemon);
    assert_ne!(target, container_id(2));
    assert_eq!(daemon.delete("/devcontainers/app").status, 204);
    assert!(!exists(&sandbox, 2), "it would come back otherwise");
    let left = containers(&sandbox);
    assert_eq!(left.len(), 1, "{left:#?}");
    assert_ne!(left[0]["Id"], *target);
}
