//! A daemon in a container whose engine is outside of it: what is wrong with its mounts, and with its user.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::common::eventually;
use crate::engine::{Containers, Directory, IMAGE, daemon, docker, try_docker};

/// The file of the engine's socket.
fn socket() -> PathBuf {
    let host = std::env::var("DOCKER_HOST").unwrap_or_default();
    let path = host
        .strip_prefix("unix://")
        .unwrap_or("/var/run/docker.sock");
    path.into()
}

/// Runs a daemon in a container, with docker's client and the socket of the engine mounted into it.
fn run(containers: &Containers, options: &[&str], flags: &[&str]) -> String {
    let binary = std::env::var("DEVCONTAINERD_STATIC_BIN");
    let binary =
        binary.expect("DEVCONTAINERD_STATIC_BIN names the binary that `make static` makes");
    let binary = fs::canonicalize(binary).unwrap();
    let binary = format!("{}:/devcontainerd:ro", binary.display());
    let socket = format!("{}:/run/engine.sock", socket().display());
    let always = [
        "--env=DOCKER_HOST=unix:///run/engine.sock",
        "--env=PATH=/usr/bin:/bin",
        "--volume=/usr:/usr:ro",
        "--volume=/lib:/lib:ro",
        "--volume=/lib64:/lib64:ro",
        "--volume",
        &binary,
        "--volume",
        &socket,
    ];
    // The client of the machine runs there. The CLI need only be there.
    let command = [
        "--entrypoint=/devcontainerd",
        IMAGE,
        "--log-format=json",
        "--devcontainer=/devcontainerd",
    ];
    containers.run(&[&always, options, &command, flags].concat())
}

/// The answer of `/readyz`, once it is 200.
#[track_caller]
fn ready(id: &str) -> Value {
    eventually("it is ready", || {
        let url = "http://127.0.0.1:3382/readyz";
        let got = try_docker(&["exec", id, "/bin/busybox", "wget", "-q", "-O", "-", url]);
        serde_json::from_slice(&got.stdout).ok()
    })
}

/// The reasons of all pieces of advice in the log of a container.
fn advice(id: &str) -> Vec<String> {
    let log = try_docker(&["logs", id]).stderr;
    let log = String::from_utf8(log).unwrap();
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    let advice = lines.filter(|line| line["event"] == "advice");
    advice
        .map(|line| line["reason"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_daemon_with_all_that_it_needs_gets_no_advice() {
    let containers = Containers::new("outside-right");
    let directory = Directory::new("outside-right");
    let folder = directory.path().join("app");
    fs::create_dir(&folder).unwrap();
    let mount = format!("{0}:{0}", directory.path().display());
    let root = directory.path().to_str().unwrap();
    let id = run(
        &containers,
        &["--volume", &mount, "--volume=/state"],
        &[
            "--state-dir=/state",
            "--workspace-root",
            root,
            "--devcontainer-folder",
            folder.to_str().unwrap(),
        ],
    );
    assert_eq!(ready(&id), json!({"status": "ready"}));
    assert_eq!(advice(&id), [""; 0]);
    // The machine of the engine needs none of it.
    let beside = daemon().start();
    assert_eq!(beside.json("/readyz"), json!({"status": "ready"}));
}

#[test]
fn folders_and_state_that_the_engine_does_not_have_are_named_with_their_mends() {
    let containers = Containers::new("outside-wrong");
    let directory = Directory::new("outside-wrong");
    let source = directory.path().display();
    fs::create_dir(directory.path().join("app")).unwrap();
    let mount = format!("{source}:/work");
    let flags = [
        "--state-dir=/inside/state",
        "--workspace-root=/inside",
        "--workspace-root=/work",
        "--devcontainer-folder=/work/app",
    ];
    let id = run(&containers, &["--volume", &mount], &flags);
    let expected = [
        format!(
            "workspace /work/app: the engine would mount it by this path, and has it at {source}/app; mount that at the same path in the daemon's container"
        ),
        "workspace /inside: the engine would mount it by this path, and has it nowhere: it is in the daemon's container only; mount a directory of the engine's machine at the same path".to_owned(),
        "state directory /inside/state: it is in the daemon's container, and lost with that, while the engine keeps the dev containers; mount a volume there, or choose another directory with --state-dir".to_owned(),
    ];
    assert_eq!(ready(&id), json!({"status": "ready", "warnings": expected}));
    // Nobody waits for the log.
    let logged = eventually("it is logged", || {
        let said = advice(&id);
        (said.len() >= expected.len()).then_some(said)
    });
    assert_eq!(logged, expected);
    let check = [
        &[
            "exec",
            &id,
            "/devcontainerd",
            "check",
            "--devcontainer=/devcontainerd",
        ],
        &flags[..],
    ];
    let checked = try_docker(&check.concat());
    let said = String::from_utf8(checked.stdout).unwrap();
    assert_eq!(checked.status.code(), Some(1), "{said}");
    assert!(
        said.contains("ok       docker: the engine is outside of the daemon's container"),
        "{said}"
    );
    for line in &expected {
        assert!(
            said.contains(&format!("problem  docker: {line}\n")),
            "{line}\n{said}"
        );
    }
}

#[test]
fn a_user_without_the_group_of_the_socket_is_told_the_group() {
    let socket = fs::metadata(socket()).unwrap();
    let (group, mode) = (socket.gid(), socket.mode() & 0o777);
    assert_eq!(
        mode & 0o022,
        0o020,
        "the group may use it, and others may not"
    );
    let containers = Containers::new("outside-group");
    let id = run(&containers, &["--user=12345:12345"], &[]);
    let why = format!(
        "docker: the engine's socket /run/engine.sock is of user {} and group {group} with mode {mode:o}, and the daemon is user 12345 in the groups 12345",
        socket.uid()
    );
    let mend = format!("docker run --group-add {group}");
    eventually("the log says so", || {
        let found = advice(&id).into_iter().find(|one| one.starts_with(&why));
        found.filter(|one| one.contains(&mend))
    });
    let get = "printf 'GET /readyz HTTP/1.0\\r\\n\\r\\n' | /bin/busybox nc 127.0.0.1 3382";
    let answer = docker(&["exec", &id, "/bin/sh", "-c", get]);
    assert!(
        answer.contains(" 503 ") && answer.contains(&mend),
        "{answer}"
    );

    let group = group.to_string();
    let id = run(
        &containers,
        &["--user=12345:12345", "--group-add", &group],
        &[],
    );
    assert_eq!(ready(&id)["status"], "ready");
}
