//! One operation at a time for a dev container, which does not end with its client (P13, P14).

use std::fs;
use std::io::Write;

use super::lifecycle::{ALL, WAIT, app, start_for};
use super::operations::{job_state, start};
use crate::common::{Sandbox, eventually};

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
        (threads <= 5).then_some(threads)
    });
    assert!(threads >= 4);
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
