//! Changes by any tool, as the stream and the list show them, and failures of the engine and of the events child.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::common::mirror::{Mirror, by_id};
use crate::common::usage::AT_REST;
use crate::common::{Daemon, DaemonBuilder, Stopwatch, eventually, kill};
use crate::engine::{Containers, Directory, IMAGE, PrivateEngine, docker, try_docker, unique};
use crate::workspace::Workspace;

/// The limit until a change shows while all tests run at once. `make bench` measures the time on a quiet machine.
const SOON: Duration = Duration::from_secs(2);
const SLEEP: &[&str] = &[IMAGE, "sleep", "1000"];
/// The number of daemons whose events children are killed, and how often that is done for each.
const KILLERS: usize = 4;
const KILLS: usize = 50;
/// A child that has lived for so long is started again at once.
const OF_USE: Duration = Duration::from_millis(1100);

fn start() -> Daemon {
    DaemonBuilder::new().start()
}

/// Waits until the list and the stream show a container with this name and status, and asserts that it is soon.
#[track_caller]
fn assert_soon(daemon: &Daemon, mirror: &mut Mirror, name: &str, status: Option<&str>) {
    let done = Stopwatch::start();
    let is_shown = |shown: &BTreeMap<String, Value>| {
        let one = shown.values().find(|one| one["name"] == name);
        let shown = one.map(|one| one["status"].as_str().unwrap());
        match (shown, status) {
            (Some(shown), Some(status)) => shown.starts_with(status),
            (shown, status) => shown == status,
        }
    };
    let what = format!("{name} is {status:?}");
    eventually(&what, || {
        let all = daemon.json("/");
        is_shown(&by_id(&all["containers"])).then_some(())
    });
    mirror.until(&what, |mirror| is_shown(&mirror.containers).then_some(()));
    assert!(done.elapsed() < SOON, "{what}: {:?}", done.elapsed());
}

#[test]
fn p11_whatever_is_done_by_hand_shows() {
    let containers = Containers::new("by-hand");
    let daemon = start();
    let mut mirror = Mirror::of(&daemon);
    daemon.follows();
    let (name, other) = (&*unique("by-hand"), &*unique("renamed"));
    let named = ["--name", name];
    let mut soon = |name: &str, status| assert_soon(&daemon, &mut mirror, name, status);
    containers.create(&[&named, SLEEP].concat());
    soon(name, Some("created"));
    for (arguments, status) in [
        (&["start", name][..], "running"),
        (&["pause", name], "paused"),
        (&["unpause", name], "running"),
        (&["restart", "--time", "0", name], "running"),
        (&["kill", name], "exited with code 137"),
        (&["start", name], "running"),
        (&["stop", "--time", "0", name], "exited with code 137"),
    ] {
        docker(arguments);
        soon(name, Some(status));
    }
    docker(&["rename", name, other]);
    soon(other, Some("exited"));
    soon(name, None);
    docker(&["rm", other]);
    soon(other, None);
    // One container ends by itself, and one is removed when it ends.
    let ends = &*unique("ends");
    containers.run(&["--name", ends, IMAGE, "sh", "-c", "exit 3"]);
    docker(&["wait", ends]);
    soon(ends, Some("exited with code 3"));
    let goes = &*unique("goes");
    containers.make(&["run", "--rm"], &["--name", goes, IMAGE, "true"]);
    soon(goes, None);
    // docker emits no event of a container that cannot be started.
    let fails = &*unique("fails");
    containers.create(&["--name", fails, IMAGE, "/nothing"]);
    assert!(!try_docker(&["start", fails]).status.success());
    soon(fails, Some("created: failed to create"));
}

#[test]
fn p11_ports_and_networks_show() {
    let containers = Containers::new("networks");
    let daemon = start();
    let mut mirror = Mirror::of(&daemon);
    daemon.follows();
    let name = &*unique("networks");
    let published = ["--name", name, "--publish", "127.0.0.1::80"];
    containers.run(&[&published, SLEEP].concat());
    let mut ports = |number: usize| {
        let has = |shown: &BTreeMap<String, Value>| {
            let one = shown.values().find(|one| one["name"] == name)?;
            (one["ports"].as_array()?.len() == number).then_some(())
        };
        eventually("the ports show", || {
            has(&by_id(&daemon.json("/")["containers"]))
        });
        mirror.until("the same in the stream", |mirror| has(&mirror.containers));
    };
    ports(1);
    docker(&["network", "disconnect", "bridge", name]);
    ports(0);
    docker(&["network", "connect", "bridge", name]);
    ports(1);
}

#[test]
fn p11_what_the_cli_and_compose_do_shows() {
    let daemon = start();
    let mut mirror = Mirror::of(&daemon);
    daemon.follows();
    let workspace = Workspace::new("by-cli", json!({}));
    let made = workspace.up();
    mirror.until_devcontainer("it is there", |one| {
        one["name"] == workspace.name && one["container"]["id"] == *made
    });
    let directory = Directory::new("compose");
    let project = unique("events-compose");
    let services = json!({"one": {"image": IMAGE, "command": "sleep 1000"},
                          "two": {"image": IMAGE, "command": "sleep 1000"}});
    let file = json!({"version": "3", "services": services}).to_string();
    fs::write(directory.path().join("compose.yml"), file).unwrap();
    let compose = |arguments: &[&str]| compose(directory.path(), &project, arguments);
    let mut both = |running: usize| {
        let label = "com.docker.compose.project";
        mirror.until(&format!("{running} of the project run"), |mirror| {
            let ours = mirror.containers.values();
            let ours = ours.filter(|one| one["labels"][label] == *project);
            (ours.filter(|one| one["running"] == true).count() == running).then_some(())
        });
    };
    compose(&["up", "--detach"]);
    both(2);
    compose(&["down", "--timeout", "0"]);
    both(0);
}

#[track_caller]
fn compose(directory: &Path, project: &str, arguments: &[&str]) {
    let output = Command::new("docker-compose")
        .args(["--file", "compose.yml", "--project-name", project])
        .args(arguments)
        .current_dir(directory)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The names and states of a test's containers by id, as docker has them.
fn as_docker_says(containers: &Containers) -> BTreeMap<String, (String, String)> {
    let filter = format!("label={}", containers.label());
    let listed = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]);
    let ids: Vec<&str> = listed.split_whitespace().collect();
    if ids.is_empty() {
        return BTreeMap::new();
    }
    let format = "{{.Id}} {{.Name}} {{.State.Status}}";
    let inspected = try_docker(&[&["inspect", "--format", format], &ids[..]].concat());
    let lines = String::from_utf8(inspected.stdout).unwrap();
    let lines = lines.lines().map(|line| {
        let mut words = line.split(' ').map(str::to_owned);
        let mut word = || words.next().unwrap();
        let (id, name, status) = (word(), word(), word());
        (id, (name.trim_start_matches('/').to_owned(), status))
    });
    lines.collect()
}

/// The names and states of a test's containers by id, as the daemon has them.
fn as_is_shown(shown: &BTreeMap<String, Value>, label: &str) -> BTreeMap<String, (String, String)> {
    let (key, value) = label.split_once('=').unwrap();
    let ours = shown.values().filter(|one| one["labels"][key] == *value);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let shown = ours.map(|one| {
        let status = text(&one["status"]);
        let status = status.split(' ').next().unwrap().to_owned();
        (text(&one["id"]), (text(&one["name"]), status))
    });
    shown.collect()
}

#[test]
fn p11_the_events_child_killed_two_hundred_times() {
    let killer = || {
        let containers = Containers::new("killed");
        // However busy the machine is, docker answers in time.
        let daemon = DaemonBuilder::new().args("--list-timeout 60").start();
        let mut mirror = Mirror::of(&daemon);
        let mut live = Vec::new();
        for round in 0..KILLS {
            let child = daemon.follows();
            let begun = Instant::now();
            let mut churn = |number: usize| match (round + number) % 3 {
                0 => live.push(containers.create(SLEEP)),
                1 => drop(live.pop().map(|id| docker(&["rm", "--force", &id]))),
                _ => drop(
                    live.last()
                        .map(|id| docker(&["rename", id, &unique("again")])),
                ),
            };
            churn(0);
            eventually("it has been of use", || {
                (begun.elapsed() > OF_USE).then_some(())
            });
            kill(child);
            (1..4).for_each(&mut churn);
            let known = Stopwatch::start();
            let truth = as_docker_says(&containers);
            mirror.until("what docker says", |mirror| {
                let shown = as_is_shown(&mirror.containers, containers.label());
                (shown == truth).then_some(())
            });
            eventually("the same in an answer", || {
                let all = daemon.json("/");
                let shown = as_is_shown(&by_id(&all["containers"]), containers.label());
                (shown == truth).then_some(())
            });
            assert!(
                known.elapsed() < SOON + SOON,
                "round {round}: {:?}",
                known.elapsed()
            );
        }
        assert!(daemon.log_count("docker events ended") <= 1, "said once");
        assert_eq!(daemon.log_count("cannot be listed"), 0);
    };
    std::thread::scope(|scope| {
        for _ in 0..KILLERS {
            scope.spawn(killer);
        }
    });
}

/// The number of context switches of each thread, and its time on a core.
fn has_run(daemon: &Daemon) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap();
    let task = |task: std::io::Result<fs::DirEntry>| {
        let task = task.unwrap().path();
        let status = fs::read_to_string(task.join("status")).unwrap();
        let switches = status.lines().filter(|line| line.contains("ctxt_switches"));
        let switches: Vec<&str> = switches.collect();
        let schedstat = fs::read_to_string(task.join("schedstat")).unwrap_or_default();
        format!("{switches:?} {schedstat}")
    };
    tasks.map(task).collect()
}

#[test]
fn p9_a_minute_after_the_last_question_nothing_runs_and_nothing_wakes() {
    // On the engine of all tests it would watch the folders of other tests, which edit their files.
    let engine = PrivateEngine::start("idle");
    for _ in 0..10 {
        on(&engine, &["create", IMAGE, "true"]);
    }
    let daemon = DaemonBuilder::new()
        .env("DOCKER_HOST", &engine.host)
        .start();
    for _ in 0..2 {
        assert_eq!(daemon.get("/").status, 200);
    }
    let idle = Stopwatch::start();
    daemon.follows();
    let patience = Duration::from_secs(75);
    while daemon.events_child().is_some() {
        assert!(idle.elapsed() < patience, "the child is still there");
        // The other tests need the cores.
        std::thread::sleep(Duration::from_millis(200));
    }
    assert!(idle.by_the_clock() > Duration::from_secs(59), "too early");
    // The child has ended, but it may not have been reaped.
    eventually("it comes to rest", || {
        let before = has_run(&daemon);
        std::thread::sleep(Duration::from_millis(500));
        let has_ended = daemon.children().is_empty() && daemon.threads() == AT_REST;
        (has_ended && has_run(&daemon) == before).then_some(())
    });
    // Time itself is tested here: nothing may happen in it.
    let before = has_run(&daemon);
    std::thread::sleep(Duration::from_secs(60));
    assert_eq!(has_run(&daemon), before);
    assert_eq!(daemon.children(), [0; 0]);
}

/// Docker on an engine of its own.
fn on(engine: &PrivateEngine, arguments: &[&str]) {
    let host = ["--host", &engine.host];
    docker(&[&host, arguments].concat());
}

#[test]
fn p2_p11_an_engine_that_stops_is_killed_and_hangs() {
    let mut engine = PrivateEngine::start("faults");
    on(&engine, &["create", "--name", "first", IMAGE, "true"]);
    let daemon = DaemonBuilder::new()
        .env("DOCKER_HOST", &engine.host)
        .args("--list-timeout 2")
        .start();
    let mut mirror = Mirror::of(&daemon);
    daemon.follows();
    for (round, signal) in ["TERM", "KILL"].into_iter().enumerate() {
        engine.signal(signal);
        mirror.until("it is said that docker is down", |mirror| {
            let down = |warning: &String| warning.contains("cannot be listed");
            mirror.warnings.iter().any(down).then_some(())
        });
        let begun = Stopwatch::start();
        assert_eq!(daemon.get("/healthz").status, 200);
        let last = daemon.get("/");
        assert_eq!(last.status, 200, "the last list serves");
        assert!(last.headers.contains_key("age"));
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
        engine.restart();
        let name = format!("after-{signal}");
        on(&engine, &["create", "--name", &name, IMAGE, "true"]);
        let known = Stopwatch::start();
        mirror.until_container(&name, Some("created"));
        assert!(known.elapsed() < SOON + SOON, "{:?}", known.elapsed());
        mirror.until("all is well", |mirror| {
            mirror.warnings.is_empty().then_some(())
        });
        // An engine that starts may give one reason after the other.
        assert!(daemon.log_count("containers cannot be listed") > round);
        assert_eq!(
            daemon.log_count("containers can be listed again"),
            round + 1
        );
        daemon.follows();
    }
    engine.signal("STOP");
    let begun = Stopwatch::start();
    for path in ["/healthz", "/", "/devcontainers"] {
        assert_eq!(daemon.get(path).status, 200);
    }
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    let mut waiting = Command::new("docker")
        .args([
            "--host",
            &engine.host,
            "create",
            "--name",
            "later",
            IMAGE,
            "true",
        ])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    engine.signal("CONT");
    assert!(waiting.wait().unwrap().success());
    let known = Stopwatch::start();
    mirror.until_container("later", Some("created"));
    assert!(known.elapsed() < SOON, "{:?}", known.elapsed());
    assert!(
        daemon.log_count("docker events") <= 2,
        "{:#?}",
        daemon.log.lines()
    );
}
