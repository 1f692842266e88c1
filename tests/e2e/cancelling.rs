//! Cancelling a recreate at each of its stages: its processes and containers are gone, and the old container is there
//! again.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::common::{Daemon, DaemonBuilder, Stopwatch, eventually, operation_processes, zombies};
use crate::engine::{Containers, Directory, IMAGE, daemon, docker, inspect};
use crate::workspace::{Live, Workspace, container_of};

/// The limit after the answer until no process of the operation lives.
const GONE_WITHIN: Duration = Duration::from_secs(2);

/// The container that is there after a cancel.
#[derive(Clone, Copy, PartialEq)]
enum Left {
    /// The old one, as it was.
    Old,
    /// The new one, which had begun to run.
    New,
}

/// The processes outside of containers that work in the folder, or have it or `mark` on their command line.
fn processes_of(workspace: &Workspace, mark: &str) -> Vec<String> {
    let processes = fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|process| {
        let line = fs::read(process.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let inside = fs::read_link(process.path().join("cwd"));
        let inside = inside.is_ok_and(|at| at.starts_with(workspace.folder()));
        let named = line.contains(workspace.shown()) || line.contains(mark);
        (inside || named).then_some(line)
    });
    lines.collect()
}

/// A number of seconds to sleep that no other test uses, so that the process can be found.
fn mark() -> String {
    let unique = crate::engine::unique("");
    let digits: String = unique.chars().filter(char::is_ascii_digit).collect();
    format!("77{digits}.5")
}

/// The name and the status of a container.
fn state_of(container: &str) -> [String; 2] {
    [".Name", ".State.Status"].map(|field| inspect(container, field))
}

/// Makes the dev container, recreates it with the fields `hanging`, which make the operation hang, and cancels that.
#[track_caller]
fn check(
    workspace: &Workspace,
    daemon: DaemonBuilder,
    hanging: Value,
    hangs: impl Fn(&Daemon) -> bool,
    mark: &str,
    left: Left,
) {
    let old = workspace.up();
    let before = state_of(&old);
    let daemon = workspace.alone(daemon).args("--no-events").start();
    workspace.devcontainer(&daemon);
    let (threads, descriptors) = (daemon.threads(), daemon.descriptors());
    workspace.configure(hanging);

    let waiting = format!("{}?wait=true", workspace.recreate());
    let waiting = Live::send(&daemon, "POST", &waiting);
    eventually("it hangs", || hangs(&daemon).then_some(()));
    let running = workspace.devcontainer(&daemon);
    // A new container can be used as soon as the commands up to `waitFor` have ended.
    let status = match left {
        Left::Old => "starting",
        Left::New => "running",
    };
    assert_eq!(running["status"], status, "{running:#}");
    assert_eq!(running["job"]["state"], "running", "{running:#}");
    assert!(!operation_processes(daemon.pid()).is_empty());
    let follower = format!("{}?follow=true", workspace.logs());
    let follower = Live::send(&daemon, "GET", &follower);

    let cancel = format!("/devcontainers/{}/cancel", workspace.name);
    let answer = daemon.post(&cancel);
    assert_eq!((answer.status, &*answer.body), (204, ""), "{answer:?}");
    let cancelled = workspace.devcontainer(&daemon);
    assert_eq!(cancelled["job"]["state"], "cancelled", "{cancelled:#}");
    let answered = Stopwatch::start();
    loop {
        let marked = operation_processes(daemon.pid());
        let named = processes_of(workspace, mark);
        if marked.is_empty() && named.is_empty() {
            break;
        }
        let long = answered.elapsed() > GONE_WITHIN;
        assert!(!long, "of the operation, there lives: {marked:?} {named:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    eventually("no zombie is left, no thread, no descriptor", || {
        let given_back = daemon.threads() <= threads && daemon.descriptors() <= descriptors;
        (given_back && zombies(daemon.pid()).is_empty()).then_some(())
    });

    let refused = waiting.finish();
    refused.assert_error(500, "Could not recreate devcontainer", "cancelled");
    let log = follower.finish();
    let last: Value = serde_json::from_str(log.body.lines().last().unwrap()).unwrap();
    assert_eq!(last["outcome"], "cancelled", "{last}");
    daemon
        .post(&cancel)
        .assert_error(409, "No devcontainer operation in progress", "");

    let containers = workspace.containers();
    match left {
        Left::Old => {
            assert_eq!(containers, [&*old], "nothing half-made is left");
            let after = state_of(&old);
            assert_eq!(after, before, "it runs under its name");
        }
        Left::New => {
            assert_eq!(containers.len(), 1, "{containers:?}");
            assert_ne!(containers[0], old);
            assert_eq!(inspect(&containers[0], ".State.Status"), "running");
        }
    }
    let one = workspace.devcontainer(&daemon);
    assert_eq!(one["status"], "running", "{one:#}");
    assert_eq!(container_of(&one), containers[0], "{one:#}");

    workspace.configure(json!({"containerEnv": {"AGAIN": "yes"}}));
    // docker hangs no longer.
    let _ = fs::write(workspace.folder().join("free"), "");
    let again = daemon.post(&format!("{}?wait", workspace.recreate()));
    assert_eq!(again.status, 204, "{again:?}");
    let one = workspace.devcontainer(&daemon);
    assert_eq!(one["status"], "running", "{one:#}");
    assert!(one.get("error").is_none(), "{one:#}");
    assert_ne!(container_of(&one), containers[0]);
    assert_eq!(workspace.containers(), [container_of(&one)]);
    let environment = inspect(&container_of(&one), "json .Config.Env");
    assert!(environment.contains("AGAIN=yes"), "{environment}");
}

/// True if the file `begun` is in the folder.
fn has_begun(workspace: &Workspace) -> bool {
    workspace.folder().join("begun").exists()
}

#[track_caller]
fn check_initialize_command(test: &str, command: &str) {
    let workspace = Workspace::new(test, json!({}));
    let mark = mark();
    let command = command.replace("MARK", &mark);
    let fields = json!({"initializeCommand": command});
    let hangs = |_: &Daemon| has_begun(&workspace);
    check(&workspace, daemon(), fields, hangs, &mark, Left::Old);
}

#[test]
fn p16_an_initialize_command_that_ignores_term() {
    let command = "trap '' TERM; echo >begun; while :; do sleep MARK; done";
    check_initialize_command("cancel-initialize", command);
}

#[test]
fn p16_an_initialize_command_whose_grandchild_has_its_own_session() {
    let command = "setsid sh -c 'trap \"\" TERM; sleep MARK & echo >begun; wait' & sleep MARK";
    check_initialize_command("cancel-setsid", command);
}

#[test]
fn p16_a_build() {
    let workspace = Workspace::new("cancel-build", json!({}));
    let mark = mark();
    let dockerfile = format!("FROM {IMAGE}\nRUN echo {mark} && sleep {mark}\n");
    fs::write(
        workspace.folder().join(".devcontainer/Dockerfile"),
        dockerfile,
    )
    .unwrap();
    let command_line = format!("sleep {mark}");
    let runs = |_: &Daemon| {
        let found = processes_of(&workspace, &mark);
        found.iter().any(|line| line.trim_end() == command_line)
    };
    let fields = json!({"image": null, "build": {"dockerfile": "Dockerfile"}});
    check(&workspace, daemon(), fields, runs, &mark, Left::Old);
}

#[test]
fn p16_a_registry_that_hangs() {
    // It is on the engine's own network, accepts a connection, and never answers.
    let registries = Containers::new("registry");
    let listen = ["nc", "-ll", "-p", "5000", "-e", "sleep", "1000"];
    let registry = registries.run(&[&[IMAGE], &listen[..]].concat());
    let address = inspect(&registry, ".NetworkSettings.IPAddress");
    let workspace = Workspace::new("cancel-registry", json!({}));
    let mark = mark();
    let pulls = |_: &Daemon| {
        let found = processes_of(&workspace, &mark);
        found.iter().any(|line| line.contains(" pull "))
    };
    let fields = json!({"image": format!("{address}:5000/hangs:{mark}")});
    check(&workspace, daemon(), fields, pulls, &mark, Left::Old);
}

/// A docker that runs `before` first, unless the file `free` is in the folder. `$real` is the real one.
fn docker_that(workspace: &Workspace, directory: &Directory, before: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let mut all = std::env::split_paths(&path).map(|directory| directory.join("docker"));
    let real = all.find(|docker| docker.exists()).unwrap();
    let code = format!(
        "#!/bin/sh\nreal='{}' F='{}'\nif [ ! -e \"$F/free\" ]; then :\n{before}\nfi\nexec \"$real\" \"$@\"\n",
        real.display(),
        workspace.shown()
    );
    let docker = directory.path().join("docker");
    fs::write(&docker, code).unwrap();
    fs::set_permissions(&docker, fs::Permissions::from_mode(0o755)).unwrap();
    docker
}

/// Cancels a recreate with a docker that runs `before` first, until the recreate has been cancelled.
#[track_caller]
fn check_docker(test: &str, before: &str, fields: Value) {
    let workspace = Workspace::new(test, json!({}));
    let directory = Directory::new("docker-that");
    let mark = mark();
    let docker = docker_that(&workspace, &directory, &before.replace("MARK", &mark));
    let builder = daemon().args(&format!("--docker {}", docker.display()));
    let hangs = |_: &Daemon| has_begun(&workspace);
    check(&workspace, builder, fields, hangs, &mark, Left::Old);
}

#[test]
fn p16_a_pull() {
    check_docker(
        "cancel-pull",
        "if [ \"$1\" = pull ]; then echo >\"$F/begun\"; trap '' TERM; sleep MARK; exit 1; fi",
        json!({"image": "devcontainerd.invalid/not-here:latest"}),
    );
}

#[test]
fn p16_a_container_that_is_not_made_yet() {
    check_docker(
        "cancel-run",
        "case \"$1\" in run|create) echo >\"$F/begun\"; trap '' TERM; sleep MARK; exit 1 ;; esac",
        json!({"containerEnv": {"A": "b"}}),
    );
}

#[test]
fn p16_a_container_that_is_made_and_does_not_run_yet() {
    // `create` takes the arguments of `run` but one.
    check_docker(
        "cancel-create",
        r#"if [ "$1" = run ] || [ "$1" = create ]; then
            shift
            for argument; do
                shift
                case "$argument" in --sig-proxy=*) ;; *) set -- "$@" "$argument" ;; esac
            done
            "$real" create "$@" && echo >"$F/begun"
            sleep MARK; exit 1
        fi"#,
        json!({"containerEnv": {"A": "b"}}),
    );
}

#[test]
fn p16_a_hook_in_the_new_container() {
    // Inside the container, a hook runs on when its client is ended; this one ends with its container.
    let workspace = Workspace::new("cancel-hook", json!({}));
    let fields = json!({"postCreateCommand": "echo begun >/workspace/begun; sleep 1000"});
    let hangs = |_: &Daemon| has_begun(&workspace);
    check(&workspace, daemon(), fields, hangs, &mark(), Left::New);
}

#[test]
fn a_stop_that_takes_long_is_cancelled() {
    let arguments = ["--stop-signal", "WINCH", "--stop-timeout", "60"];
    let workspace = Workspace::new("cancel-stop", json!({"runArgs": arguments}));
    let id = workspace.up();
    let daemon = workspace.alone(daemon()).start();
    let stop = format!("/devcontainers/{}/stop", workspace.name);
    assert_eq!(daemon.post(&stop).status, 202);
    eventually("docker stop runs", || {
        let processes = operation_processes(daemon.pid());
        let mut lines = processes.values();
        lines.any(|line| line.contains(" stop ")).then_some(())
    });
    let cancel = format!("/devcontainers/{}/cancel", workspace.name);
    assert_eq!(daemon.post(&cancel).status, 204);
    let left = operation_processes(daemon.pid());
    assert!(left.is_empty(), "{left:?}");
    let one = workspace.devcontainer(&daemon);
    assert_eq!(one["job"]["state"], "cancelled", "{one:#}");
    assert_eq!(one["job"]["kind"], "stop", "{one:#}");
    assert_eq!(container_of(&one), id);
    docker(&["kill", &id]);
}
