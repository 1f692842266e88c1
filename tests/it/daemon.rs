//! The signals of the daemon, and its rest.

use std::fs;
use std::time::Duration;

use crate::common::usage::AT_REST;
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
pub(super) fn switches(daemon: &Daemon) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    // A thread may end while it is looked at.
    let status = tasks.flat_map(|task| fs::read_to_string(task.ok()?.path().join("status")).ok());
    let line = |status: String| {
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
    eventually("the connection has ended", || {
        (daemon.threads() == AT_REST).then_some(())
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
