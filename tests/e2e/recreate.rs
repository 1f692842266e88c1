//! Recreating dev containers, and the log of it.

use serde_json::{Value, json};

use crate::common::Daemon;
use crate::engine::{Directory, daemon, inspect, unique};
use crate::keeping::stage::program;
use crate::workspace::{Live, WAITING_HOOK, Workspace, container_of};

/// The value of an environment variable of the container, which is on the command line of `docker run`.
const SECRET: &str = "hunter2";

fn fields(greeting: &str) -> Value {
    json!({
        "containerEnv": {"TOKEN": SECRET, "GREETING": greeting},
        "postCreateCommand": "echo \"$GREETING, world\"",
    })
}

/// Edits the configuration, recreates, and asserts the result. Returns the id of the new container.
#[track_caller]
fn check(workspace: &Workspace, daemon: &Daemon, greeting: &str, path: &str) -> String {
    let before = workspace.devcontainer(daemon);
    workspace.configure(fields(greeting));
    assert_eq!(workspace.devcontainer(daemon)["dirty"], true);
    let response = daemon.post(path);
    assert_eq!(
        (response.status, &*response.body),
        (204, ""),
        "{path}: {response:?}"
    );
    assert_eq!(
        response.headers.get("content-length"),
        None,
        "none for a 204"
    );

    let after = workspace.devcontainer(daemon);
    let id = container_of(&after);
    assert_ne!(id, container_of(&before));
    assert_eq!(workspace.containers(), [&*id], "the old one is gone");
    assert_eq!(after["id"], before["id"]);
    assert_eq!(
        (&after["dirty"], &after["status"]),
        (&json!(false), &json!("running"))
    );
    assert!(
        after.get("error").is_none() && after["changes"] == serde_json::json!([]),
        "{after:#}"
    );
    assert_eq!(after["job"]["kind"], "recreate");
    assert_eq!(after["job"]["state"], "succeeded");
    assert!(inspect(&id, "json .Config.Env").contains(&format!("GREETING={greeting}")));

    let log = daemon.get(&format!("{}?format=text", workspace.logs()));
    assert_eq!(log.status, 200);
    let greeted = format!("{greeting}, world");
    assert!(log.body.lines().any(|line| line == greeted), "{}", log.body);
    assert!(!log.body.contains('\x1b'), "{:?}", log.body);
    assert!(
        log.body.contains("recreate succeeded after "),
        "{}",
        log.body
    );
    for answer in [log.body, daemon.get(&workspace.logs()).body] {
        assert!(!answer.contains(SECRET), "{answer}");
    }
    id
}

#[test]
fn a_dev_container_is_recreated_by_whatever_names_it() {
    let workspace = Workspace::new("recreate", fields("hello"));
    let first = workspace.up();
    let daemon = daemon().start();
    let one = workspace.devcontainer(&daemon);
    assert_eq!(container_of(&one), first);
    assert_eq!(one["name"], *workspace.name);
    assert_eq!(one["config_path"], workspace.config().to_str().unwrap());
    assert_eq!(one["container"]["devcontainer_status"], "running");
    assert!(one.get("job").is_none(), "{one:#}");
    let id = one["id"].as_str().unwrap();

    let container = |name: &str| format!("/devcontainers/container/{name}/recreate");
    let second = check(&workspace, &daemon, "by-id", &container(&first));
    let name = inspect(&second, ".Name").replace('/', "");
    let third = check(&workspace, &daemon, "by-name", &container(&name));
    let fourth = check(&workspace, &daemon, "by-prefix", &container(&third[..12]));
    let below = format!("/api/v0/containers{}/", container(&fourth[..20]));
    check(&workspace, &daemon, "by-longer-path", &below);
    let path = format!("/devcontainers/{id}/recreate?wait=true");
    check(&workspace, &daemon, "by-uuid", &path);
    check(
        &workspace,
        &daemon,
        "by-its-name",
        &format!("{}?wait", workspace.recreate()),
    );
    daemon
        .post(&container(&first))
        .assert_error(404, "Container not found", &first);
    let log = daemon.log.lines().join("\n");
    assert!(!log.contains(SECRET), "{log}");
}

/// Makes a dev container with these `runArgs`, and recreates it with a command that removes the old one.
#[track_caller]
fn check_removed_by_initialize_command(run_args: Value, command: &str, workspace: &Workspace) {
    workspace.configure(json!({"runArgs": run_args}));
    let first = workspace.up();
    let daemon = daemon().start();
    assert_eq!(container_of(&workspace.devcontainer(&daemon)), first);
    workspace.configure(json!({"runArgs": run_args, "initializeCommand": command}));
    let recreated = daemon.post(&format!("{}?wait", workspace.recreate()));
    assert_eq!(recreated.status, 204, "{run_args}: {recreated:?}");
    let after = workspace.devcontainer(&daemon);
    let second = container_of(&after);
    assert_ne!(second, first);
    assert_eq!(workspace.containers(), [second]);
    assert_eq!(after["status"], "running", "{after:#}");
    assert!(after.get("error").is_none(), "{after:#}");
}

#[test]
fn an_initialize_command_may_remove_the_old_container() {
    let name = unique("removed");
    let workspace = Workspace::new("removed", json!({}));
    let command = format!("docker rm -f {name}");
    check_removed_by_initialize_command(json!(["--name", name]), &command, &workspace);
}

#[test]
fn an_initialize_command_may_remove_an_old_container_that_docker_would_remove() {
    let name = unique("removed");
    let workspace = Workspace::new("removed", json!({}));
    let command = format!("docker rm -f {name}");
    let run_args = json!(["--rm", "--name", name, "--publish", "127.0.0.1::80"]);
    check_removed_by_initialize_command(run_args, &command, &workspace);
}

#[test]
fn without_wait_it_is_accepted_and_its_log_can_be_followed() {
    let mut waiting = fields("hi");
    waiting["postCreateCommand"] = WAITING_HOOK.into();
    let workspace = Workspace::new("follow", waiting);
    let devcontainer = format!("--devcontainer-folder {}", workspace.shown());
    let daemon = daemon().args(&devcontainer).start();
    let none = daemon.get(&workspace.logs());
    assert_eq!(
        (none.status, &*none.body),
        (200, ""),
        "no operation yet: {none:?}"
    );

    let accepted = daemon.post(&workspace.recreate());
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let one = accepted.json();
    assert_eq!(
        (&one["status"], &one["job"]["state"]),
        (&json!("starting"), &json!("running"))
    );
    let location = &accepted.headers["location"];
    assert_eq!(
        *location,
        format!("/devcontainers/{}/logs", one["id"].as_str().unwrap())
    );

    let follow = |more: &str| Live::send(&daemon, "GET", &format!("{location}?follow=true{more}"));
    let (mut lines, mut text) = (follow(""), follow("&format=text"));
    lines.wait_for("begun\"");
    text.wait_for("begun\n");
    assert!(
        !lines.has("went on\"") && !text.has("went on\n"),
        "it happens, and is not over"
    );
    workspace.release();
    let (lines, text) = (lines.finish(), text.finish());
    assert_eq!(lines.headers["content-type"], "application/x-ndjson");
    let last: Value = serde_json::from_str(lines.body.lines().last().unwrap()).unwrap();
    assert_eq!(last["outcome"], "succeeded", "{last}");
    for line in lines.body.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(
            line["output"].is_string() && line["created_at"].is_string(),
            "{line}"
        );
    }
    assert!(
        text.body.lines().any(|line| line == "went on"),
        "{}",
        text.body
    );
    for body in [lines.body, text.body] {
        assert!(!body.contains(SECRET), "{body}");
    }
    assert_eq!(workspace.devcontainer(&daemon)["status"], "running");
}

#[test]
fn follow_answers_a_recreate_with_its_log() {
    let mut waiting = fields("hi");
    waiting["postCreateCommand"] = WAITING_HOOK.into();
    let workspace = Workspace::new("followed", waiting);
    let devcontainer = format!("--devcontainer-folder {}", workspace.shown());
    let daemon = daemon().args(&devcontainer).start();
    let path = format!("{}?follow=true&format=text", workspace.recreate());
    let mut live = Live::send(&daemon, "POST", &path);
    live.wait_for("begun\n");
    assert!(!live.has("went on\n"));
    workspace.release();
    let response = live.finish();
    assert_eq!(response.status, 200);
    let lines: Vec<&str> = response.body.lines().collect();
    let [.., summary, outcome] = lines[..] else {
        panic!("{lines:?}");
    };
    assert!(
        summary.starts_with("recreate succeeded after "),
        "{lines:?}"
    );
    assert_eq!(outcome, "outcome: succeeded");
    assert!(!response.body.contains(SECRET), "{}", response.body);
    let one = workspace.devcontainer(&daemon);
    assert_eq!(
        (&one["status"], &one["dirty"]),
        (&json!("running"), &json!(false))
    );
}

#[test]
fn log_lines_go_to_the_sink_and_carry_the_scripts_source() {
    let workspace = Workspace::new("sink", fields("to-the-sink"));
    let directory = crate::engine::Directory::new("sink-files");
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (id, source) = (
        "5d1b2f0c-6f1c-4d2a-9a55-0d6f4a7b1c01",
        "5d1b2f0c-6f1c-4d2a-9a55-0d6f4a7b1c02",
    );
    let manifest = json!({
        "devcontainers": [{"id": id, "workspace_folder": workspace.shown()}],
        "scripts": [{"id": id, "log_source_id": source}],
    });
    let manifest = write("manifest.json", &manifest.to_string());
    let collected = directory.path().join("collected");
    let program = write(
        "sink",
        &format!("#!/bin/sh\ncat >'{}'\n", collected.display()),
    );
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, executable).unwrap();
    let daemon = daemon()
        .args(&format!(
            "--manifest {} --log-sink {}",
            manifest.display(),
            program.display()
        ))
        .start();
    assert_eq!(
        daemon
            .post(&format!("/devcontainers/{id}/recreate?wait"))
            .status,
        204
    );
    let lines = crate::common::eventually("the sink has it all", || {
        let text = std::fs::read_to_string(&collected).unwrap_or_default();
        text.contains("recreate succeeded").then_some(text)
    });
    for line in lines.lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["log_source_id"], source);
    }
    assert!(
        lines.contains("to-the-sink, world") && !lines.contains(SECRET),
        "{lines}"
    );
}

/// The CLI waits for the start of its container, but not until docker reports events.
#[test]
fn p20_a_docker_that_reports_events_late_does_not_hang_a_recreate() {
    let workspace = Workspace::new("late-events", json!({}));
    workspace.up();
    let directory = Directory::new("late-events");
    let code = r#"
case "$*" in
"events "*"{{json .}} --filter event=start")
    started() { docker ps --quiet --filter label=devcontainerd.operation --filter 'label=OWN'; }
    while [ -z "$(started)" ]; do sleep 0.05; done
    ;;
esac
exec docker "$@""#;
    let late = program(
        &directory,
        "docker",
        &code.replace("OWN", &workspace.label()),
    );
    let daemon = daemon().args(&format!("--docker {late}")).start();
    workspace.devcontainer(&daemon);
    let answer = daemon.post(&format!("/devcontainers/{}/recreate?wait", workspace.name));
    assert_eq!(answer.status, 204, "{answer:?}");
}
