//! The manifest of the daemon, its signals, and its rest.

use std::fs;
use std::time::Duration;

use crate::common::{Daemon, DaemonBuilder, Sandbox, Stopwatch, eventually};
use serde_json::{Value, json};

/// Makes the devcontainer stand-in wait for the file `go`.
const WAITS: &str = "echo begun >$R/begun; while [ ! -e $R/go ]; do sleep 0.01; done";

fn begin_operation(sandbox: &Sandbox, builder: DaemonBuilder) -> Daemon {
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
    let daemon = builder.start();
    assert_eq!(daemon.post("/devcontainers/app/recreate").status, 202);
    eventually("the CLI runs", || {
        sandbox.path("begun").exists().then_some(())
    });
    daemon
}

#[test]
fn hup_reads_the_manifest_again_and_a_bad_one_changes_nothing() {
    let sandbox = Sandbox::new();
    let define = |names: &[&str]| {
        let define = |name: &&str| {
            let folder = sandbox.workspace(name);
            json!({"workspace_folder": folder})
        };
        let all: Vec<_> = names.iter().map(define).collect();
        sandbox.write("manifest.json", &json!({"devcontainers": all}).to_string())
    };
    let manifest = define(&["a"]);
    let daemon = sandbox
        .daemon()
        .args(&format!("--manifest {}", manifest.display()))
        .start();
    let names = || -> Vec<String> {
        let all = daemon.json("/devcontainers");
        let all = all["devcontainers"].as_array().unwrap().clone();
        all.iter()
            .map(|d| d["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(), ["a"]);
    let id = daemon.devcontainer()["id"].clone();
    define(&["a", "b"]);
    daemon.signal("HUP");
    daemon.log.wait_for("the manifest was read again");
    assert_eq!(names(), ["a", "b"]);
    assert_eq!(daemon.json("/devcontainers/a")["id"], id);
    sandbox.write("manifest.json", "{");
    daemon.signal("HUP");
    daemon.log.wait_for("the last good one stays in force");
    assert_eq!(names(), ["a", "b"]);
    sandbox.write("manifest.json", r#"{"devcontainers":[],"script":[]}"#);
    daemon.signal("HUP");
    let line = daemon.log.wait_for("unknown field `script`");
    assert!(line.contains(" ERROR manifest "), "{line}");
    assert!(
        line.contains("expected `devcontainers` or `scripts`"),
        "{line}"
    );
    assert!(line.ends_with("the last good one stays in force"), "{line}");
    assert_eq!(names(), ["a", "b"]);
}

#[test]
fn a_folder_of_the_manifest_that_does_not_exist_is_a_warning() {
    let sandbox = Sandbox::new();
    let gone = sandbox.path("work/gone");
    let manifest = json!({"devcontainers": [{"workspace_folder": gone}]});
    let manifest = sandbox.write("manifest.json", &manifest.to_string());
    let daemon = sandbox
        .daemon()
        .args(&format!("--manifest {}", manifest.display()))
        .start();
    let expected = format!(
        "dev container gone: the workspace folder {} is not an existing directory",
        gone.display()
    );
    let line = daemon.log.wait_for(&expected);
    assert!(line.contains(" WARN "), "{line}");
    let all = daemon.json("/");
    let warnings = all["warnings"].as_array().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].as_str().unwrap().starts_with(&expected));
    assert_eq!(daemon.devcontainer()["name"], "gone");
    sandbox.workspace("gone");
    daemon.json("/devcontainers");
    assert_eq!(daemon.json("/").get("warnings"), None);
    assert_eq!(
        daemon
            .log
            .lines()
            .iter()
            .filter(|l| l.contains(&expected))
            .count(),
        1
    );
}

#[test]
fn a_folder_alone_is_the_dev_container_of_its_container_whatever_the_search_finds() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    let other = sandbox.write("work/app/.devcontainer/other/devcontainer.json", "{}");
    let id = "11111111-1111-4111-8111-111111111111";
    let manifest = json!({"devcontainers": [{"id": id, "workspace_folder": folder}]});
    let manifest = sandbox.write("manifest.json", &manifest.to_string());
    let label = |name: &str| format!("devcontainer.{name}");
    sandbox
        .container(1)
        .label(&label("local_folder"), folder.to_str().unwrap())
        .label(&label("config_file"), other.to_str().unwrap())
        .save();
    for _ in 0..2 {
        let daemon = sandbox
            .daemon()
            .args(&format!("--manifest {}", manifest.display()))
            .start();
        let one = daemon.devcontainer();
        assert_eq!((&one["id"], &one["name"]), (&json!(id), &json!("app")));
        assert_eq!(one["config_path"], other.to_str().unwrap());
        assert_eq!(one["container"]["name"], "box1");
    }
    let daemon = sandbox
        .daemon()
        .args(&format!("--manifest {}", manifest.display()))
        .start();
    daemon.json("/");
    assert_eq!(daemon.recreate("app").status, 204);
    let config = format!("--config {}", other.display());
    assert!(sandbox.read("calls/devcontainer").contains(&config));
    assert_eq!(daemon.devcontainer()["id"], id);
}

#[test]
fn a_bad_log_source_is_an_error_in_the_log_and_the_fallback_serves() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    let id = "11111111-1111-4111-8111-111111111111";
    for source in ["00000000-0000-0000-0000-000000000000", "mine"] {
        let manifest = json!({
            "devcontainers": [{"id": id, "workspace_folder": folder}],
            "scripts": [{"id": id, "log_source_id": source}],
        });
        let manifest = sandbox.write("manifest.json", &manifest.to_string());
        let daemon = sandbox
            .daemon()
            .args(&format!("--manifest {}", manifest.display()))
            .start();
        let expected = format!("ERROR manifest: the log_source_id of script {id} is \"{source}\"");
        daemon.log.wait_for(&expected);
        assert_eq!(daemon.recreate("app").status, 204);
        let log = daemon.get("/devcontainers/app/logs");
        assert!(
            log.body.contains("3b579bf4-1ed8-4b99-87a8-e9a1e3410410"),
            "{log:?}"
        );
    }
}

#[test]
fn additional_arguments_of_up_come_last_those_of_the_manifest_after_those_of_the_flag() {
    let sandbox = Sandbox::with_app();
    let folder = sandbox.path("work/app");
    let manifest = json!({"devcontainers": [
        {"workspace_folder": folder, "up_args": ["--remote-env", "A=config b"]},
    ]});
    let manifest = sandbox.write("manifest.json", &manifest.to_string());
    sandbox.workspace("b");
    let folder = sandbox.path("work/b");
    let daemon = sandbox
        .daemon()
        .env(
            "DEVCONTAINERD_UP_ARG",
            "--mount type=bind,source=/a,target=/b\n--no-lockfile",
        )
        .args(&format!("--manifest {}", manifest.display()))
        .args("--devcontainer-folder")
        .arg(folder.to_str().unwrap())
        .start();
    let own = "--mount type=bind,source=/a,target=/b --no-lockfile";
    for (path, expected) in [
        (
            "app/recreate",
            format!(" --remove-existing-container {own} --remote-env A=config b"),
        ),
        ("b/recreate", format!(" --remove-existing-container {own}")),
        ("b/start", format!(" {own}")),
    ] {
        let answer = daemon.post(&format!("/devcontainers/{path}?wait"));
        assert_eq!(answer.status, 204, "{answer:?}");
        let calls = sandbox.read("calls/devcontainer");
        assert!(
            calls.lines().last().unwrap().ends_with(&expected),
            "{calls}"
        );
    }
}

#[test]
fn scripts_and_variables_of_a_manifest() {
    let sandbox = Sandbox::new();
    sandbox.workspace("app");
    let (id, other) = (
        "11111111-1111-4111-8111-111111111111",
        "22222222-2222-4222-8222-222222222222",
    );
    let manifest = json!({
        "devcontainers": [{"id": id, "name": "mine", "workspace_folder": "$W/app"},
                          {"workspace_folder": "${W}/none"}],
        "scripts": [{"id": id, "log_source_id": other}],
    });
    let manifest = sandbox.write("manifest.json", &manifest.to_string());
    let daemon = sandbox
        .daemon()
        .env("W", sandbox.path("work").to_str().unwrap())
        .args(&format!("--manifest {}", manifest.display()))
        .start();
    let mine = daemon.json(&format!("/devcontainers/{id}"));
    assert_eq!(
        (mine["name"].as_str(), mine["status"].as_str()),
        (Some("mine"), Some("stopped"))
    );
    assert_eq!(mine["config_path"], sandbox.config("app").to_str().unwrap());
    daemon.log.wait_for("ERROR manifest: no script");
}

#[test]
fn an_idle_daemon_stops_at_once() {
    for signal in ["TERM", "INT"] {
        let sandbox = Sandbox::new();
        let mut daemon = sandbox.daemon().start();
        let _idle = daemon.connect();
        let begun = Stopwatch::start();
        daemon.signal(signal);
        assert_eq!(daemon.wait().code(), Some(0));
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "{:?}",
            begun.elapsed()
        );
    }
}

#[test]
fn an_operation_that_ends_in_time_is_waited_for() {
    let sandbox = Sandbox::new();
    sandbox.devcontainer(WAITS);
    let mut daemon = begin_operation(&sandbox, sandbox.daemon());
    daemon.signal("TERM");
    daemon.log.wait_for("stopping");
    sandbox.write("go", "");
    assert_eq!(daemon.wait().code(), Some(0));
    daemon.log.wait_for("recreate succeeded");
}

#[test]
fn p16_an_operation_that_does_not_end_is_ended_within_15_seconds() {
    let sandbox = Sandbox::new();
    sandbox.devcontainer(&format!(
        "trap '' TERM; sleep 1000 & echo $! >$R/left; {WAITS}"
    ));
    let mut daemon = begin_operation(&sandbox, sandbox.daemon());
    let begun = Stopwatch::start();
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
    let (least, took) = (begun.by_the_clock(), begun.elapsed());
    assert!(least.as_secs() >= 10, "{least:?}");
    assert!(took.as_secs() < 15, "{took:?}");
    daemon.log.wait_for("recreate interrupted");
    let left = sandbox.read("left");
    let stat = fs::read_to_string(format!("/proc/{}/stat", left.trim())).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
}

#[test]
fn a_second_signal_ends_operations_at_once() {
    let sandbox = Sandbox::new();
    sandbox.devcontainer(WAITS);
    let mut daemon = begin_operation(&sandbox, sandbox.daemon());
    let begun = Stopwatch::start();
    daemon.signal("TERM");
    daemon.log.wait_for("stopping");
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    daemon.log.wait_for("recreate interrupted");
}

#[test]
fn who_waits_when_the_daemon_stops_is_told() {
    let sandbox = Sandbox::new();
    sandbox.devcontainer(WAITS);
    let mut daemon = begin_operation(&sandbox, sandbox.daemon());
    std::thread::scope(|scope| {
        let threads = daemon.threads();
        let waiting = scope.spawn(|| daemon.post("/devcontainers/container/box1/recreate"));
        let following = scope.spawn(|| daemon.get("/devcontainers/app/logs?follow=true"));
        assert_eq!(waiting.join().unwrap().status, 409);
        eventually("one follows", || (daemon.threads() > threads).then_some(()));
        daemon.signal("TERM");
        assert_eq!(following.join().unwrap().status, 200);
    });
    sandbox.write("go", "");
    assert_eq!(daemon.wait().code(), Some(0));
}

#[test]
fn who_waits_for_an_operation_when_the_daemon_stops_is_told() {
    let sandbox = Sandbox::new();
    sandbox.devcontainer(WAITS);
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
    let mut daemon = sandbox.daemon().start();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| daemon.recreate("app"));
        eventually("the CLI runs", || {
            sandbox.path("begun").exists().then_some(())
        });
        daemon.signal("TERM");
        let answer = waiting.join().unwrap();
        answer.assert_error(503, "API closed", "about to stop");
        sandbox.write("go", "");
    });
    assert_eq!(daemon.wait().code(), Some(0));
    daemon.log.wait_for("recreate succeeded");
}

#[test]
fn p16_a_hung_docker_ends_with_the_daemon() {
    let sandbox = Sandbox::new();
    sandbox.docker("sleep 1000");
    let mut daemon = sandbox.daemon().args("--list-timeout 100").start();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| daemon.get("/"));
        eventually("docker runs", || {
            (sandbox.calls("docker", "ps") > 0).then_some(())
        });
        let begun = Stopwatch::start();
        eventually("a request waits for it", || {
            (daemon.threads() >= 5).then_some(())
        });
        daemon.signal("TERM");
        let answer = waiting.join().unwrap();
        answer.assert_error(503, "API closed", "about to stop");
        assert!(begun.elapsed() < Duration::from_secs(3));
    });
    assert_eq!(daemon.wait().code(), Some(0));
    assert_eq!(sandbox.processes(), [0; 0]);
    let said = daemon.log.lines().join("\n");
    assert!(!said.contains("WARN"), "{said}");
}

#[test]
fn p16_neither_an_operation_nor_its_sink_outlives_the_daemon() {
    let sandbox = Sandbox::new();
    sandbox.devcontainer(&format!("trap '' TERM; (sleep 1000 &); {WAITS}"));
    let sink = sandbox.program(
        "sink",
        "trap '' TERM; cat >$R/got; while :; do sleep 1; done",
    );
    let sink = format!("--log-sink {}", sink.display());
    let mut daemon = begin_operation(&sandbox, sandbox.daemon().args(&sink));
    let begun = Stopwatch::start();
    daemon.signal("TERM");
    daemon.signal("INT");
    assert_eq!(daemon.wait().code(), Some(0));
    assert!(
        begun.elapsed() < Duration::from_secs(7),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(sandbox.processes(), [0; 0]);
    let got = sandbox.read("got");
    assert!(got.contains("\"outcome\":\"interrupted\""), "{got}");
}

#[test]
fn p4_ids_and_names_are_the_same_after_a_restart() {
    let sandbox = Sandbox::new();
    let id = "11111111-1111-4111-8111-111111111111";
    for (number, name) in [(1, "x/app"), (2, "y/app"), (3, "solo")] {
        let folder = sandbox.workspace(name);
        sandbox.devcontainer_of(number, &folder);
    }
    for name in ["z/app", "named"] {
        sandbox.workspace(name);
    }
    let manifest = json!({"devcontainers": [
        {"workspace_folder": sandbox.path("work/z/app")},
        {"id": id, "name": "solo", "workspace_folder": sandbox.path("work/named")},
    ]});
    let manifest = sandbox.write("manifest.json", &manifest.to_string());
    let arguments = format!("--manifest {}", manifest.display());
    let list = || -> Vec<(Value, Value, Value)> {
        let daemon = sandbox.daemon().args(&arguments).start();
        let all = daemon.json("/devcontainers")["devcontainers"].clone();
        let all = all.as_array().unwrap().clone();
        let part = |d: &Value| {
            (
                d["workspace_folder"].clone(),
                d["name"].clone(),
                d["id"].clone(),
            )
        };
        all.iter().map(part).collect()
    };
    let first = list();
    let names: Vec<&str> = first.iter().map(|d| d.1.as_str().unwrap()).collect();
    assert_eq!(names, ["solo", "work-solo", "x-app", "y-app", "app"]);
    assert_eq!(first[0].2, id);
    let again = list();
    assert_eq!(again, first);
    // An id does not depend on the others.
    sandbox.remove_container(1);
    sandbox.write("manifest.json", "{}");
    let alone = list();
    assert_eq!(alone.len(), 2, "{alone:?}");
    assert_eq!(alone[1].2, first[3].2);
}

/// The number of voluntary context switches of each thread. A thread that sleeps again has been woken.
fn switches(daemon: &Daemon) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let status = tasks.map(|task| fs::read_to_string(task.unwrap().path().join("status")));
    let line = |status: std::io::Result<String>| {
        let status = status.unwrap();
        let found = status.lines().find(|line| line.starts_with("voluntary"));
        found.unwrap().to_owned()
    };
    status.map(line).collect()
}

#[test]
fn p9_while_nobody_asks_nothing_runs() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.following_daemon().start();
    assert_eq!(daemon.get("/").status, 200);
    // These are main, accept, refresher and watcher.
    eventually("the connection has ended", || {
        (daemon.threads() == 4).then_some(())
    });
    // Time itself is tested here: nothing may happen in it.
    let quiet = Duration::from_secs(2);
    eventually("it comes to rest", || {
        let before = switches(&daemon);
        std::thread::sleep(quiet);
        (switches(&daemon) == before).then_some(())
    });
    assert_eq!(daemon.children(), [0; 0]);
}
