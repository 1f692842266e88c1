//! Containers and dev containers, as docker's answers lead to them.

mod common;

use common::{LONG, Sandbox, container_id, eventually};
use std::time::{Duration, Instant};

#[test]
fn containers_and_dev_containers_are_listed() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
    sandbox.container(2).save();
    let daemon = sandbox.daemon().start();
    let listed = daemon.json("/");
    let containers = listed["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 2);
    assert_eq!(containers[0]["name"], "box1");
    assert_eq!(containers[0]["devcontainer_status"], "running");
    assert_eq!(
        containers[1]["devcontainer_status"],
        serde_json::Value::Null
    );
    assert!(listed.get("warnings").is_none());
    let one = daemon.devcontainer();
    assert_eq!(one["name"], "app");
    assert_eq!(one["workspace_folder"], folder.to_str().unwrap());
    assert_eq!(one["container"]["id"], container_id(1));
    assert_eq!(one["dirty"], false);
    let by_id = daemon.json(&format!("/devcontainers/{}", one["id"].as_str().unwrap()));
    assert_eq!(by_id, one);
    assert_eq!(daemon.json("/devcontainers/app"), one);
}

#[test]
fn p1_a_hung_docker_delays_nobody_who_does_not_need_it() {
    let sandbox = Sandbox::new();
    sandbox.docker("sleep 1000");
    let daemon = sandbox.daemon().args("--list-timeout 3").start();
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| daemon.get("/"));
        eventually("docker runs", || {
            (sandbox.calls("docker", "ps") > 0).then_some(())
        });
        for path in ["/healthz", "/version", "/nope"] {
            daemon.get(path);
        }
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{:?}",
            begun.elapsed()
        );
        let detail = "did not finish within the limit of 3 s (--list-timeout)";
        waiting
            .join()
            .unwrap()
            .assert_error(500, "Could not get containers.", detail);
    });
    let detail = "limit of 3 s";
    daemon
        .get("/devcontainers")
        .assert_error(500, "Could not list containers", detail);
    assert!(begun.elapsed() < LONG);
    assert_eq!(daemon.children(), [0; 0], "the hung docker was ended");
}
