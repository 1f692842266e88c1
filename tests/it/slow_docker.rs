//! A docker that is slow, as on a busy machine: its answers come late, and they are right (P20).

use serde_json::{Value, json};

use crate::common::{Daemon, Sandbox, container_id, eventually};

/// Every command takes 0.5 to 4 s.
const UNEVEN: &str = "case $(($(wc -l <$R/calls/docker) % 7)) in
    0) sleep 0.5 ;; 1) sleep 3 ;; 2) sleep 1.2 ;; 3) sleep 4 ;; 4) sleep 0.7 ;; 5) sleep 2.4 ;; *) sleep 1 ;;
    esac";

fn app(daemon: &Daemon) -> Value {
    daemon.json("/devcontainers/app")
}

#[test]
fn p20_the_first_list_of_a_slow_docker_is_whole() {
    let sandbox = Sandbox::with_app();
    sandbox.container(2).save();
    sandbox.docker("sleep 2.2");
    let daemon = sandbox.daemon().start();
    let listed = daemon.json("/devcontainers");
    assert_eq!(listed["devcontainers"][0]["container"]["name"], "box1");
    assert_eq!(listed["devcontainers"][0]["status"], "running");
    let all = daemon.json("/");
    assert_eq!(all["containers"].as_array().unwrap().len(), 2);
    assert_eq!(all.get("warnings"), None);
}

#[test]
fn p20_the_limit_is_for_each_command_of_a_list() {
    let sandbox = Sandbox::with_app();
    sandbox.docker("sleep 0.7");
    let daemon = sandbox.daemon().args("--list-timeout 1").start();
    let listed = daemon.json("/");
    assert_eq!(listed["containers"][0]["name"], "box1");
    assert_eq!(listed.get("warnings"), None);
}

#[test]
fn p20_a_slow_docker_shows_no_state_from_before_an_operation() {
    let sandbox = Sandbox::with_app();
    for number in 2..=3 {
        sandbox.container(number).save();
    }
    let daemon = sandbox.daemon().args("--cache-duration 5").start();
    assert_eq!(app(&daemon)["status"], "running");
    sandbox.docker(UNEVEN);
    let seen = |status: &str| {
        for _ in 0..2 {
            let shown = app(&daemon);
            assert_eq!(shown["status"], status, "{shown}");
            assert_eq!(shown["container"]["name"], "box1", "{shown}");
            let running = json!(status == "running");
            assert_eq!(shown["container"]["running"], running, "{shown}");
        }
    };
    for (verb, status) in [("stop", "stopped"), ("start", "running")] {
        let path = format!("/devcontainers/app/{verb}?wait=true");
        let answer = daemon.post(&path);
        assert_eq!(answer.status, 204, "{answer:?}");
        seen(status);
    }
    let answer = daemon.request("DELETE", "/devcontainers/app", "");
    assert_eq!(answer.status, 204, "{answer:?}");
    let gone = daemon.get("/devcontainers/app");
    assert_eq!(gone.status, 404, "{gone:?}");
}

#[test]
fn p20_a_slow_docker_shows_the_new_container_of_a_recreate() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.following_daemon().start();
    let before = app(&daemon);
    assert_eq!(before["container"]["id"], container_id(1));
    sandbox.docker("sleep 1.3");
    let answer = daemon.post("/devcontainers/app/recreate?wait=true");
    assert_eq!(answer.status, 204, "{answer:?}");
    for _ in 0..2 {
        let shown = app(&daemon);
        assert_eq!(shown["status"], "running", "{shown}");
        assert_eq!(shown["container"]["name"], "made", "{shown}");
    }
}

/// Makes the inspect of one container slow, while docker answers for all others at once.
fn slow_inspect(sandbox: &Sandbox, id: &str, seconds: f32) {
    sandbox.docker(&format!(
        "case \"$1 $*\" in inspect*{id}*) sleep {seconds} ;; esac"
    ));
}

#[test]
fn p20_the_container_of_an_operation_is_waited_for_though_docker_answers_for_others() {
    let sandbox = Sandbox::with_app();
    for number in 2..=6 {
        sandbox.container(number).save();
    }
    let daemon = sandbox.daemon().start();
    assert_eq!(app(&daemon)["status"], "running");
    slow_inspect(&sandbox, &container_id(1), 3.0);
    for (verb, status) in [("stop", "stopped"), ("start", "running")] {
        let path = format!("/devcontainers/app/{verb}?wait=true");
        assert_eq!(daemon.post(&path).status, 204);
        let shown = app(&daemon);
        assert_eq!(shown["status"], status, "{shown}");
        assert_eq!(shown["running"], status == "running", "{shown}");
    }
}

#[test]
fn p20_without_events_the_container_of_an_operation_is_waited_for_though_it_hung_before() {
    let sandbox = Sandbox::with_app();
    for number in 2..=6 {
        sandbox.container(number).save();
    }
    let daemon = sandbox.daemon().args("--no-events --cache-duration 0");
    let daemon = daemon.start();
    assert_eq!(app(&daemon)["status"], "running");
    let id = container_id(1);
    let tries = || {
        let calls = sandbox.read("calls/docker");
        let tries = calls.lines().filter(|call| call.contains(&id));
        tries.filter(|call| call.starts_with("inspect")).count()
    };
    slow_inspect(&sandbox, &id, 600.0);
    let before = tries();
    // The pauses are 2, 4, 8 and then 16 s.
    eventually("it is not tried again for long", || {
        daemon.get("/");
        (tries() >= before + 5).then_some(())
    });
    slow_inspect(&sandbox, &id, 1.5);
    assert_eq!(daemon.post("/devcontainers/app/stop?wait=true").status, 204);
    let shown = app(&daemon);
    assert_eq!(shown["status"], "stopped", "{shown}");
}

#[test]
fn p20_a_container_is_waited_for_when_it_is_first_seen() {
    let sandbox = Sandbox::with_app();
    for number in 2..=6 {
        sandbox.container(number).save();
    }
    slow_inspect(&sandbox, &container_id(1), 3.0);
    let daemon = sandbox.daemon().start();
    assert_eq!(app(&daemon)["container"]["name"], "box1");
}

#[test]
fn p20_what_docker_has_not_told_of_is_not_called_missing() {
    let sandbox = Sandbox::with_app();
    for number in 2..=6 {
        sandbox.container(number).save();
    }
    slow_inspect(&sandbox, &container_id(1), 600.0);
    let daemon = sandbox.daemon().start();
    let id = container_id(1);
    for (method, path) in [
        ("GET", "/devcontainers/app".to_owned()),
        ("POST", "/devcontainers/app/stop".to_owned()),
        ("POST", format!("/devcontainers/container/{id}/recreate")),
    ] {
        let answer = daemon.request(method, &path, "");
        assert_eq!(answer.status, 500, "{path}: {answer:?}");
        let detail = answer.json()["detail"].to_string();
        assert!(detail.contains(&id), "{path}: {detail}");
    }
    assert_eq!(
        daemon.get("/").json()["containers"]
            .as_array()
            .unwrap()
            .len(),
        5
    );
}

#[test]
fn p20_an_answer_to_a_new_operation_shows_what_the_last_one_did() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().start();
    assert_eq!(app(&daemon)["status"], "running");
    sandbox.devcontainer("sleep 60");
    sandbox.docker("sleep 0.7");
    assert_eq!(daemon.post("/devcontainers/app/stop?wait=true").status, 204);
    let begun = daemon.post("/devcontainers/app/start");
    assert_eq!(begun.status, 202, "{begun:?}");
    let shown = begun.json();
    assert_eq!(shown["status"], "starting", "{shown}");
    assert_eq!(shown["running"], false, "{shown}");
}

#[test]
fn p20_a_stream_shows_the_end_of_an_operation_with_what_it_did() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.following_daemon().start();
    assert_eq!(app(&daemon)["status"], "running");
    let (_, mut events) = daemon.stream("GET", "/events", "");
    sandbox.docker("case \"$1\" in events) ;; *) sleep 1 ;; esac");
    assert_eq!(daemon.post("/devcontainers/app/stop?wait=true").status, 204);
    loop {
        let change = events.json_line().unwrap();
        if change["type"] == "devcontainer" && change["job"]["state"] == "succeeded" {
            assert_eq!(change["running"], false, "{change}");
            assert_eq!(change["status"], "stopped", "{change}");
            return;
        }
    }
}

#[test]
fn p20_p3_a_container_hangs_only_if_docker_answers_for_others() {
    let sandbox = Sandbox::with_app();
    sandbox.container(2).save();
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    assert_eq!(app(&daemon)["status"], "running");
    let id = container_id(1);
    // The slowest of all, and not by much.
    sandbox.docker(&format!(
        "case \"$1 $*\" in inspect*{id}*) sleep 3.5 ;; *) sleep 1.5 ;; esac"
    ));
    sandbox
        .container(1)
        .of(&sandbox.path("work/app"))
        .set("Name", json!("/renamed"))
        .save();
    let answer = daemon.get("/");
    assert!(!answer.headers.contains_key("age"), "{answer:?}");
    assert_eq!(answer.json().get("warnings"), None, "{answer:?}");
    assert_eq!(answer.json()["containers"][0]["name"], "renamed");
}
