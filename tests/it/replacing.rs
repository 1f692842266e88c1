//! The docker that the CLI is given, and the old and the new container of a recreate (P12, P18).
//!
//! The stand-in for the CLI calls its docker as the real one does, and the stand-in for docker also creates containers.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{Daemon, Sandbox, Stopwatch, container_id, eventually};
use serde_json::{Value, json};

/// The code that runs at each point of a recreate.
#[derive(Default)]
pub(super) struct Script {
    /// Runs when the CLI begins.
    pub(super) before: &'static str,
    /// Runs when the new container runs.
    pub(super) after: &'static str,
    /// `runArgs`.
    pub(super) run_args: &'static str,
    /// Runs when docker is called.
    pub(super) docker: &'static str,
    /// Runs when docker is to start the new container.
    pub(super) start: &'static str,
}

/// podman 4 does nothing to any container if one of them does not exist. Its `rm` says nothing of that, and succeeds.
pub(super) const LIKE_PODMAN: &str = r#"
    case "$1" in
    stop|rm)
        for one in "$@"; do
            case "$one" in
            stop|rm|-*) continue ;;
            esac
            [ -e "$R/containers/$one" ] && continue
            [ "$1" = stop ] || exit 0
            echo "Error: no container with name or ID \"$one\" found: no such container" >&2; exit 125
        done ;;
    esac"#;

pub(super) fn set(sandbox: &Sandbox, script: &Script) {
    for (hook, code) in [
        ("cli-begins", script.before),
        ("cli-made", script.after),
        ("run-args", script.run_args),
        ("docker-called", script.docker),
        ("docker-starts", script.start),
    ] {
        sandbox.hook(hook, code);
    }
    sandbox.stand_in("devcontainer", "devcontainer-calling-docker");
    sandbox.docker(include_str!("../stand-ins/docker-create-hook"));
}

/// A sandbox with one detected dev container that runs, and its daemon, which has listed it.
pub(super) fn start(script: &Script) -> (Sandbox, Daemon) {
    let sandbox = Sandbox::with_app();
    set(&sandbox, script);
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    daemon.json("/");
    (sandbox, daemon)
}

pub(super) fn containers(sandbox: &Sandbox) -> Vec<Value> {
    let files = fs::read_dir(sandbox.path("containers")).unwrap().flatten();
    let read = |file: fs::DirEntry| fs::read_to_string(file.path()).ok();
    let all = files.filter_map(read);
    all.filter_map(|text| serde_json::from_str(&text).ok())
        .collect()
}

/// Asserts that the old container is the only one, has its name, and runs.
#[track_caller]
pub(super) fn assert_old_alone(sandbox: &Sandbox) {
    let all = containers(sandbox);
    let [old] = &all[..] else {
        panic!("{all:#?}");
    };
    assert_eq!(old["Id"], container_id(1));
    assert_eq!(
        (&old["Name"], &old["State"]["Running"]),
        (&json!("/box1"), &json!(true))
    );
}

#[test]
fn p12_the_old_one_is_hidden_then_set_aside_then_removed() {
    let (sandbox, daemon) = start(&Script::default());
    assert_eq!(daemon.recreate("app").status, 204);
    assert_eq!(
        sandbox.read("found"),
        "found: \n",
        "the CLI does not see it"
    );
    let calls = sandbox.read("calls/docker");
    let acts = ["rename", "create", "stop", "start", "rm"];
    let verb = |call: &str| call.split(' ').next().unwrap_or_default().to_owned();
    let acted = calls
        .lines()
        .map(verb)
        .filter(|verb| acts.contains(&&**verb));
    let mut acted: Vec<String> = acted.collect();
    // The first two run at once.
    if acted[0] == "create" {
        acted.swap(0, 1);
    }
    assert_eq!(acted, acts, "{calls}");
    let [new] = &containers(&sandbox)[..] else {
        panic!()
    };
    assert_eq!(new["Id"], container_id(1001));
    assert_eq!(daemon.devcontainer()["container"]["id"], container_id(1001));
}

#[test]
fn p12_what_docker_does_not_create_never_stops_the_old_one() {
    let (sandbox, daemon) = start(&Script {
        run_args: "--bad",
        ..Script::default()
    });
    let failed = daemon.recreate("app");
    failed.assert_error(
        500,
        "Could not recreate devcontainer",
        "nothing was lost: container box1 runs as before",
    );
    assert_old_alone(&sandbox);
    assert_eq!(sandbox.calls("docker", "stop"), 0);
    let one = daemon.devcontainer();
    assert_eq!(
        (&one["status"], &one["container"]["name"]),
        (&json!("running"), &json!("box1"))
    );
}

#[test]
fn p12_flags_that_only_run_knows_are_left_out() {
    let (sandbox, daemon) = start(&Script {
        run_args: "--detach-keys ctrl-x",
        ..Script::default()
    });
    assert_eq!(daemon.recreate("app").status, 204);
    assert!(!sandbox.read("calls/docker").contains("--detach-keys"));
    assert_eq!(containers(&sandbox).len(), 1);
}

#[test]
fn p12_a_name_of_its_own_is_free_for_the_new_one() {
    let (sandbox, daemon) = start(&Script {
        run_args: "--name box1",
        ..Script::default()
    });
    assert_eq!(daemon.recreate("app").status, 204);
    assert_eq!(containers(&sandbox)[0]["Name"], "/box1");
    set(
        &sandbox,
        &Script {
            run_args: "--name box1",
            start: "echo 'Error response from daemon: port is taken' >&2; exit 1",
            ..Script::default()
        },
    );
    let failed = daemon.recreate("app");
    failed.assert_error(
        500,
        "Could not recreate devcontainer",
        "nothing was lost: container box1 runs",
    );
    assert_eq!(containers(&sandbox).len(), 1);
    assert_eq!(containers(&sandbox)[0]["Id"], container_id(1001));
}

/// Cancels a recreate with these `runArgs` while docker stops the old container. Asserts that the old container is the
/// only one afterwards, and returns the calls of docker.
#[track_caller]
fn cancel_while_the_old_one_is_stopped(run_args: &'static str) -> String {
    let (sandbox, daemon) = start(&Script {
        run_args,
        docker: r#"if [ "$1" = stop ] && [ ! -e "$R/cancelled" ]; then echo >"$R/stopping"; sleep 1000; fi"#,
        ..Script::default()
    });
    daemon.begin_recreate("app");
    eventually("it is stopped", || {
        sandbox.path("stopping").exists().then_some(())
    });
    sandbox.write("cancelled", "");
    assert_eq!(daemon.post("/devcontainers/app/cancel").status, 204);
    assert_old_alone(&sandbox);
    sandbox.read("calls/docker")
}

#[test]
fn p12_a_stop_that_docker_goes_on_with_does_not_stop_the_old_one_for_good() {
    // The client of docker is ended, but the engine stops the container nevertheless.
    let calls = cancel_while_the_old_one_is_stopped("");
    let last: Vec<&str> = calls
        .lines()
        .filter(|c| c.starts_with("st") || c.starts_with("rename"))
        .collect();
    let id = container_id(1);
    let end = [
        format!("stop {id}"),
        format!("start {id}"),
        format!("rename {id} box1"),
    ];
    assert_eq!(last[last.len() - 3..], end, "it was waited for: {calls}");
}

#[test]
fn warnings_of_docker_are_no_failures() {
    let (sandbox, daemon) = start(&Script {
        docker: "echo 'WARNING: Error loading config file: permission denied' >&2",
        ..Script::default()
    });
    assert_eq!(daemon.recreate("app").status, 204);
    assert_eq!(containers(&sandbox).len(), 1);
}

#[test]
fn an_old_one_that_is_gone_before_it_is_set_aside_is_no_failure() {
    // An `initializeCommand` may do this.
    for run_args in ["", "--name box1"] {
        let (sandbox, daemon) = start(&Script {
            before: r#"rm "$R/containers/"*0001"#,
            run_args,
            ..Script::default()
        });
        let recreated = daemon.recreate("app");
        assert_eq!(recreated.status, 204, "{run_args}: {recreated:?}");
        let [new] = &containers(&sandbox)[..] else {
            panic!("{:#?}", containers(&sandbox));
        };
        assert_ne!(new["Id"], container_id(1));
    }
}

#[test]
fn an_old_one_that_docker_removes_once_stopped_may_be_gone_as_well() {
    let (sandbox, daemon) = start(&Script {
        before: r#"rm "$R/containers/"*0001"#,
        ..Script::default()
    });
    sandbox
        .container(1)
        .of(&sandbox.path("work/app"))
        .set("HostConfig", json!({"AutoRemove": true}))
        .save();
    let recreated = daemon.recreate("app");
    assert_eq!(recreated.status, 204, "{recreated:?}");
    assert_eq!(containers(&sandbox).len(), 1);
}

#[test]
fn the_other_old_ones_are_stopped_where_one_is_gone() {
    let (sandbox, daemon) = start(&Script {
        before: r#"rm "$R/containers/"*0002"#,
        docker: LIKE_PODMAN,
        start: r#"grep -q '"Running":true' "$R/containers/"*0001 && echo >"$R/both""#,
        ..Script::default()
    });
    sandbox.devcontainer_of(2, &sandbox.path("work/app"));
    let recreated = daemon.recreate("app");
    assert_eq!(recreated.status, 204, "{recreated:?}");
    assert!(!sandbox.path("both").exists(), "old and new ran at once");
    assert_eq!(containers(&sandbox).len(), 1);
}

#[test]
fn what_cannot_be_stopped_is_a_failure_though_another_one_is_gone() {
    let (sandbox, daemon) = start(&Script {
        before: r#"rm "$R/containers/"*0002"#,
        docker: r#"if [ "$1" = stop ] && [ ! -e "$R/refused" ]; then
            if [ $# = 3 ]; then echo "Error response from daemon: No such container: $3" >&2; else echo >"$R/refused"; fi
            echo 'Error response from daemon: it does not want to' >&2; exit 1; fi"#,
        ..Script::default()
    });
    sandbox.devcontainer_of(2, &sandbox.path("work/app"));
    assert_eq!(daemon.recreate("app").status, 500);
    let said = sandbox.read("run.err");
    assert!(
        said.contains("the old container cannot be stopped") && said.contains("does not want to"),
        "{said}"
    );
    assert_old_alone(&sandbox);
}

#[test]
fn a_folder_that_another_one_has_locked_is_left_to_it() {
    let (sandbox, daemon) = start(&Script::default());
    let folder = fs::File::open(sandbox.path("work/app")).unwrap();
    rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockExclusive).unwrap();
    daemon
        .recreate("app")
        .assert_error(409, "Devcontainer operation in progress", "flock");
    drop(folder);
    assert_eq!(daemon.recreate("app").status, 204);
}

#[test]
fn p12_a_stop_before_a_plain_run_does_not_stop_the_old_one_for_good() {
    // Flags that only `run` has do not change the order.
    let calls = cancel_while_the_old_one_is_stopped("--detach-keys ctrl-x");
    let started = format!("start {}", container_id(1));
    assert!(calls.lines().any(|call| call == started), "{calls}");
}

#[test]
fn p12_success_without_a_container_does_not_cost_the_old_one() {
    let (sandbox, daemon) = start(&Script {
        after: r#"rm "$R/containers/$id""#,
        ..Script::default()
    });
    daemon.recreate("app");
    assert_old_alone(&sandbox);
}

#[test]
fn p12_a_stop_by_compose_that_docker_goes_on_with_does_not_stop_the_old_one_for_good() {
    // Compose makes the new one, stops the old one, removes it, and starts the new one.
    let (sandbox, daemon) = start(&Script {
        before: r#""$docker" compose --project-name p up -d; exit 1"#,
        docker: r#"if [ "$1" = compose ]; then
            sed 's/0000000001"/0000000002"/; s/box1/box2/; s/"running"/"created"/; s/"Running":true/"Running":false/' \
                "$R/containers/"*0001 >"$R/.two"
            mv "$R/.two" "$R/containers/0000000000000000000000000000000000000000000000000000000000000002"
            echo >"$R/stopping"; sleep 1000; fi"#,
        ..Script::default()
    });
    let folder = sandbox.path("work/app");
    fs::write(
        sandbox.config("app"),
        r#"{"dockerComposeFile": "c.yml", "service": "dev"}"#,
    )
    .unwrap();
    sandbox
        .container(1)
        .of(&folder)
        .label("com.docker.compose.project", "p")
        .label("com.docker.compose.service", "dev")
        .save();
    daemon.begin_recreate("app");
    eventually("it is stopped", || {
        sandbox.path("stopping").exists().then_some(())
    });
    assert_eq!(daemon.post("/devcontainers/app/cancel").status, 204);
    assert_old_alone(&sandbox);
    let calls = sandbox.read("calls/docker");
    let started = format!("start {}", container_id(1));
    assert!(calls.lines().any(|call| call == started), "{calls}");
}

#[test]
fn p10_operations_that_end_all_the_time_keep_nobody_waiting() {
    let (sandbox, daemon) = start(&Script {
        docker: r#"[ "$*" = "ps --all --quiet --no-trunc" ] && sleep 0.2"#,
        ..Script::default()
    });
    // Each of its operations ends at once.
    sandbox.devcontainer_of(2, &sandbox.workspace("a=b"));
    daemon.json("/");
    let over = AtomicBool::new(false);
    let ended = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                daemon.recreate("a=b");
                ended.fetch_add(1, Ordering::Relaxed);
                // The pace of the operations.
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        eventually("some have ended", || {
            (ended.load(Ordering::Relaxed) > 2).then_some(())
        });
        let begun = Stopwatch::start();
        let answer = daemon.get("/");
        over.store(true, Ordering::Relaxed);
        let waited = begun.elapsed();
        assert!(!answer.body.contains("warnings"), "{waited:?}: {answer:?}");
    });
}
