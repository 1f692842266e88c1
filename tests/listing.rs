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

#[test]
fn a_docker_that_is_missing_is_named_with_the_mend() {
    let sandbox = Sandbox::new();
    let daemon = sandbox
        .daemon()
        .args("--docker /nonexistent/docker")
        .start();
    let detail = "/nonexistent/docker was not found";
    daemon
        .get("/")
        .assert_error(500, "Could not get containers.", detail);
    let mend = "install it, or name it with --docker";
    daemon.get("/readyz").assert_error(503, "Not ready", mend);
}

#[test]
fn what_docker_says_when_it_fails_is_the_detail() {
    for (before, detail) in [
        (
            "echo 'Cannot connect: down' >&2; exit 1",
            "Cannot connect: down",
        ),
        ("[ $1 = ps ] || { echo 'broken' >&2; exit 1; }", "broken"),
        ("exit 3", "failed (exit status: 3) and said nothing"),
        ("echo garbage", "what is not a container id: \"garbage\""),
        (
            "[ $1 = ps ] || { echo garbage; exit 0; }",
            "docker inspect printed what cannot be read",
        ),
        ("kill -9 $$", "signal: 9"),
    ] {
        let sandbox = Sandbox::new();
        sandbox.container(1).save();
        sandbox.docker(before);
        let daemon = sandbox.daemon().start();
        daemon
            .get("/")
            .assert_error(500, "Could not get containers.", detail);
    }
}

#[test]
fn what_docker_says_beside_a_good_answer_is_a_warning() {
    let sandbox = Sandbox::new();
    sandbox.container(1).save();
    sandbox.docker("echo 'WARNING: old' >&2");
    let daemon = sandbox.daemon().start();
    let listed = daemon.json("/");
    assert_eq!(listed["containers"].as_array().unwrap().len(), 1);
    assert_eq!(listed["warnings"], serde_json::json!(["WARNING: old"]));
}

#[test]
fn a_container_that_is_removed_in_between_is_left_out_without_a_warning() {
    let podman = r#"
if [ $1 = inspect ]; then
    printf '['; cat "$R/containers/"*; echo ']'
    echo 'Error: no such object: "0000"' >&2; exit 125
fi"#;
    for before in ["", podman] {
        let sandbox = Sandbox::new();
        sandbox.container(1).save();
        let gone = container_id(2);
        sandbox.docker(&format!("[ $1 = ps ] && echo {gone}\n{before}"));
        let daemon = sandbox.daemon().start();
        let listed = daemon.json("/");
        assert_eq!(listed["containers"].as_array().unwrap().len(), 1);
        assert!(listed.get("warnings").is_none(), "{listed}");
    }
    let sandbox = Sandbox::new();
    let gone = container_id(2);
    sandbox.docker(&format!("[ $1 = ps ] && echo {gone}"));
    let none = sandbox.daemon().start().json("/");
    assert_eq!(none, serde_json::json!({"containers": []}));
}

#[test]
fn p3_a_container_whose_inspect_hangs_costs_only_its_own_entry() {
    let sandbox = Sandbox::new();
    for number in 1..=150 {
        sandbox.container(number).save();
    }
    let daemon = sandbox
        .daemon()
        .args("--cache-duration 0 --list-timeout 4")
        .start();
    assert_eq!(
        daemon.json("/")["containers"].as_array().unwrap().len(),
        150
    );
    let id = container_id(7);
    sandbox.docker(&format!("case \"$*\" in inspect*{id}*) sleep 1000 ;; esac"));
    sandbox.container(8).set("Name", "/renamed".into()).save();
    let warning = "docker inspect does not answer for box7; what was last known is shown";
    for attempt in 0..2 {
        let begun = Instant::now();
        let listed = daemon.json("/");
        let containers = listed["containers"].as_array().unwrap();
        assert_eq!(containers.len(), 150, "box7 as it was last known");
        assert!(containers.iter().any(|c| c["name"] == "box7"));
        assert!(containers.iter().any(|c| c["name"] == "renamed"));
        assert_eq!(listed["warnings"], serde_json::json!([warning]));
        let fast = begun.elapsed() < Duration::from_secs(2);
        assert!(
            attempt == 0 || fast,
            "it is left alone for a while: {:?}",
            begun.elapsed()
        );
    }
    assert_eq!(daemon.children(), [0; 0]);
}

#[test]
fn p2_the_last_good_list_serves_while_docker_fails() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    assert!(!daemon.get("/").headers.contains_key("age"));
    sandbox.docker("echo 'down' >&2; exit 1");
    let before = sandbox.calls("docker", "ps");
    let begun = Instant::now();
    let mut answers = 0;
    while begun.elapsed() < Duration::from_millis(2500) {
        let stale = daemon.get("/");
        assert_eq!(
            (stale.status, stale.headers["age"].len()),
            (200, 1),
            "{stale:?}"
        );
        let warning = stale.json()["warnings"][0].as_str().unwrap().to_owned();
        assert!(
            warning.starts_with("this list is ") && warning.contains("down"),
            "{warning}"
        );
        assert_eq!(daemon.devcontainer()["name"], "app");
        answers += 1;
    }
    let tries = sandbox.calls("docker", "ps") - before;
    assert!(
        (2..=4).contains(&tries) && answers > tries,
        "{tries} for {answers} answers"
    );
    let complaints = daemon.log.lines();
    let complaints = complaints
        .iter()
        .filter(|line| line.contains("cannot be listed"));
    assert_eq!(
        complaints.count(),
        1,
        "one line for a condition, not one for each try"
    );
    sandbox.docker("");
    eventually("it recovers", || {
        (!daemon.get("/").headers.contains_key("age")).then_some(())
    });
    daemon.log.wait_for("containers can be listed again");
}

#[test]
fn p10_one_listing_is_shared_by_all_who_wait() {
    let sandbox = Sandbox::new();
    sandbox.container(1).save();
    let daemon = sandbox.daemon().start();
    // The one at the start.
    assert_eq!(daemon.get("/").status, 200);
    sandbox.docker("if [ $1 = ps ]; then while [ ! -e $R/go ]; do sleep 0.01; done; fi");
    let daemon = sandbox.daemon().args("--list-timeout 20").start();
    let before = sandbox.calls("docker", "ps");
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..40).map(|_| scope.spawn(|| daemon.get("/"))).collect();
        eventually("all are connected", || {
            (daemon.threads() >= 40).then_some(())
        });
        // One that goes away ends nothing.
        drop(daemon.connect());
        sandbox.write("go", "");
        for client in clients {
            assert_eq!(client.join().unwrap().status, 200);
        }
    });
    assert!(sandbox.calls("docker", "ps") - before <= 1);
    daemon.get("/");
    assert!(
        sandbox.calls("docker", "ps") - before <= 1,
        "--cache-duration"
    );
}

#[test]
fn podman_serves_where_there_is_no_docker_and_the_cli_is_told() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
    std::fs::rename(sandbox.path("bin/docker"), sandbox.path("bin/podman")).unwrap();
    for name in ["sh", "cat", "sleep", "mv", "rm", "grep", "date"] {
        let found = ["/bin", "/usr/bin"].map(|directory| format!("{directory}/{name}"));
        let found = found
            .iter()
            .find(|path| std::path::Path::new(path).exists());
        std::os::unix::fs::symlink(found.unwrap(), sandbox.path(&format!("bin/{name}"))).unwrap();
    }
    let path = sandbox.path("bin").display().to_string();
    let daemon = sandbox.daemon().env("PATH", &path).start();
    assert_eq!(daemon.devcontainer()["name"], "app");
    assert_eq!(daemon.post("/devcontainers/app/recreate?wait").status, 204);
    let calls = sandbox.read("calls/devcontainer");
    assert!(calls.contains(" --docker-path podman "), "{calls}");
}

#[test]
fn p9_while_nobody_asks_nothing_runs() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
    let daemon = sandbox.daemon().start();
    assert_eq!(daemon.get("/").status, 200);
    let switches = || -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
        let status = tasks.map(|t| std::fs::read_to_string(t.unwrap().path().join("status")));
        let lines = status.map(|status| {
            let status = status.unwrap();
            let line = status.lines().find(|line| line.starts_with("voluntary"));
            line.unwrap().to_owned()
        });
        lines.collect()
    };
    eventually("the connection has ended", || {
        (daemon.threads() == 4).then_some(())
    });
    let before = switches();
    // Time itself is what is tested here: nothing may happen in it.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(switches(), before, "no thread has woken");
    assert_eq!(daemon.children(), [0; 0]);
}
