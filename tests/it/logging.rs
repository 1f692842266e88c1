//! The daemon's own log as JSON with fields: who did what, with what it works, and which requests it refuses.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use crate::common::client::Client;
use crate::common::{Daemon, DaemonBuilder, Sandbox, eventually};

fn start(builder: DaemonBuilder) -> Daemon {
    builder.args("--log-format json").start()
}

/// The events of this name in the log so far.
fn events(daemon: &Daemon, name: &str) -> Vec<Value> {
    let lines = daemon.log.lines();
    let parsed = lines.iter().map(|line| serde_json::from_str::<Value>(line));
    let parsed = parsed.map(Result::unwrap);
    parsed.filter(|line| line["event"] == name).collect()
}

/// Waits for the first event of this name.
#[track_caller]
fn await_event(daemon: &Daemon, name: &str) -> Value {
    await_nth(daemon, name, 1)
}

/// Waits for an event by its name and its number. The line may come after the answer to the client.
#[track_caller]
fn await_nth(daemon: &Daemon, name: &str, number: usize) -> Value {
    eventually(name, || events(daemon, name).into_iter().nth(number - 1))
}

/// Asserts that an event tells of an operation on the dev container `app` for a client over TCP.
#[track_caller]
fn assert_audit(event: &Value, sandbox: &Sandbox, operation: &str) {
    let folder = sandbox.path("work/app");
    let uid = fs::metadata(sandbox.path("bin")).unwrap().uid();
    for (field, expected) in [
        ("operation", json!(operation)),
        ("devcontainer", json!("app")),
        ("folder", json!(folder)),
        ("config", json!(sandbox.config("app"))),
        ("uid", json!(uid)),
    ] {
        assert_eq!(event[field], expected, "{field} of {event}");
    }
    let address = event["address"].as_str().unwrap();
    assert!(address.starts_with("127.0.0.1:"), "{event}");
    let message = event["message"].as_str().unwrap();
    let begin = format!(
        "{operation} of \"app\" in {folder:?} (config {:?}) for {address} (uid {uid}): ",
        sandbox.config("app")
    );
    assert!(message.starts_with(&begin), "{message}");
}

#[test]
fn an_operation_has_fields_for_who_what_where_and_how_it_went() {
    let sandbox = Sandbox::with_app();
    let daemon = start(sandbox.daemon());
    daemon.json("/devcontainers");
    assert_eq!(daemon.recreate("app").status, 204);
    let begun = await_event(&daemon, "operation_begun");
    assert_audit(&begun, &sandbox, "recreate");
    let ended = await_event(&daemon, "operation_ended");
    assert_audit(&ended, &sandbox, "recreate");
    assert_eq!(ended["outcome"], "succeeded");
    assert!(ended["seconds"].as_f64().is_some(), "{ended}");
    assert_eq!(ended["reason"], Value::Null);

    sandbox.devcontainer("echo '{\"outcome\":\"error\",\"message\":\"no luck\"}'; exit 1");
    assert_eq!(daemon.recreate("app").status, 500);
    let failed = await_nth(&daemon, "operation_ended", 2);
    assert_eq!(failed["outcome"], "failed");
    let reason = failed["reason"].as_str().unwrap();
    assert!(reason.contains("no luck"), "{failed}");

    let refused = daemon.post("/devcontainers/app/cancel");
    assert_eq!(refused.status, 409);
    assert_audit(&await_event(&daemon, "cancel_refused"), &sandbox, "cancel");

    fs::remove_dir_all(sandbox.path("work/app")).unwrap();
    assert_eq!(daemon.recreate("app").status, 403);
    let refused = await_event(&daemon, "operation_refused");
    assert_audit(&refused, &sandbox, "recreate");
    assert_eq!(refused["level"], "warn");
    let reason = refused["reason"].as_str().unwrap();
    assert!(reason.contains("is not an existing directory"), "{refused}");
}

#[test]
fn the_log_says_who_cancelled_registered_and_forgot() {
    let sandbox = Sandbox::with_app();
    let socket = sandbox.path("d.sock");
    let listen = format!("--listen 127.0.0.1:0 --listen unix:{}", socket.display());
    let daemon = start(sandbox.daemon().args(&listen));
    daemon.json("/devcontainers");
    sandbox.devcontainer("sleep 1000");
    daemon.begin_recreate("app");
    let stream = eventually("the socket", || UnixStream::connect(&socket).ok());
    let mut client = Client::new(stream);
    client.send("POST /devcontainers/app/cancel HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert_eq!(client.answer().status, 204);
    let cancelled = await_event(&daemon, "cancel_requested");
    assert_eq!(cancelled["address"], "a unix socket");
    assert_eq!(cancelled["pid"], std::process::id());
    assert_eq!(cancelled["devcontainer"], "app");
    let ended = await_event(&daemon, "operation_ended");
    assert_eq!(ended["outcome"], "cancelled");

    let folder = sandbox.workspace("other");
    let add = |folder: &Path| {
        let body = json!({"workspace_folder": folder}).to_string();
        daemon.post_json("/devcontainers", &body).status
    };
    assert_eq!(add(&folder), 201);
    let registered = await_event(&daemon, "registered");
    assert_eq!(registered["folder"], json!(folder));
    assert_eq!(registered["config"], json!(sandbox.config("other")));
    assert_eq!(registered["outcome"], "listed");
    assert!(registered["uid"].is_u64(), "{registered}");
    assert_eq!(add(&folder), 200);
    assert_eq!(
        await_nth(&daemon, "registered", 2)["outcome"],
        "listed already"
    );
    assert_eq!(add(&sandbox.path("work/none")), 404);
    let refused = await_event(&daemon, "register_refused");
    assert_eq!(refused["folder"], json!(sandbox.path("work/none")));
    assert!(refused["uid"].is_u64(), "{refused}");

    let forget = |name: &str| {
        let path = format!("/devcontainers/{name}?forget=true");
        daemon.delete(&path).status
    };
    assert_eq!(forget("other"), 204);
    let forgotten = await_event(&daemon, "forgotten");
    assert_eq!(forgotten["folder"], json!(folder));
    assert!(forgotten["uid"].is_u64(), "{forgotten}");
    assert_eq!(forget("app"), 409);
    let refused = await_event(&daemon, "forget_refused");
    assert_eq!(refused["devcontainer"], "app");
    assert!(
        refused["reason"].is_string() && refused["uid"].is_u64(),
        "{refused}"
    );
}

#[test]
fn one_line_at_the_start_says_with_what_the_daemon_works() {
    let sandbox = Sandbox::new();
    let state = sandbox.path("state");
    let root = sandbox.path("work");
    let flags = format!(
        "--state-dir {} --workspace-root {}",
        state.display(),
        root.display()
    );
    let daemon = start(sandbox.daemon().args(&flags));
    let started = await_event(&daemon, "started");
    assert_eq!(started["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(
        started["addresses"],
        json!([format!("http://{}", daemon.address)])
    );
    assert_eq!(started["docker"], json!(sandbox.path("bin/docker")));
    assert_eq!(
        started["devcontainer_cli"],
        json!(sandbox.path("bin/devcontainer"))
    );
    assert_eq!(started["state_dir"], json!(state));
    assert_eq!(started["roots"], json!([root]));
    assert_eq!(events(&daemon, "started").len(), 1);
    let lines = daemon.log.lines();
    assert!(lines[0].contains("\"event\":\"listening\""), "{}", lines[0]);
    let engine = await_event(&daemon, "engine_found");
    assert_eq!(engine["engine_version"], "28.2.2");
    assert_eq!(engine["docker"], json!(sandbox.path("bin/docker")));
}

#[test]
fn docker_is_asked_for_its_version_once_it_lists_containers() {
    let sandbox = Sandbox::new();
    sandbox.docker("echo 'no engine' >&2; exit 1");
    let daemon = start(sandbox.daemon().args("--cache-duration 0"));
    let failed = await_event(&daemon, "listing_failed");
    assert!(failed["reason"].as_str().unwrap().contains("no engine"));
    assert_eq!(sandbox.calls("docker", "version"), 0);
    sandbox.docker("");
    eventually("it lists", || (daemon.get("/").status == 200).then_some(()));
    await_event(&daemon, "listing_recovered");
    await_event(&daemon, "engine_found");
    for _ in 0..5 {
        daemon.json("/");
    }
    assert_eq!(sandbox.calls("docker", "version"), 1);
}

#[test]
fn a_missing_program_is_advice_at_the_start() {
    let sandbox = Sandbox::new();
    fs::remove_file(sandbox.path("bin/devcontainer")).unwrap();
    let path = sandbox.bare_path();
    let daemon = start(sandbox.daemon().env("PATH", &path));
    let advice = await_event(&daemon, "advice");
    let reason = advice["reason"].as_str().unwrap();
    assert!(
        reason.contains("devcontainer CLI: devcontainer was not found"),
        "{advice}"
    );
}

#[test]
fn refused_requests_are_logged_once_a_minute_for_each_reason() {
    let sandbox = Sandbox::with_app();
    sandbox.replace("token", "correct-horse-battery-staple-0123456789", 0o600);
    let token = format!("--token-file {}", sandbox.path("token").display());
    let daemon = start(sandbox.daemon().args(&token));
    let path = format!("/{}%0a?secret=1", "x".repeat(300));
    let foreign = format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    for _ in 0..3 {
        assert!(daemon.raw(foreign.as_bytes()).starts_with("HTTP/1.1 403 "));
        assert_eq!(daemon.get("/devcontainers").status, 401);
        assert!(
            daemon
                .raw(b"no request\r\n\r\n")
                .starts_with("HTTP/1.1 400 ")
        );
    }
    let refused = |reason: &str| -> Vec<Value> {
        let all = events(&daemon, "request_refused").into_iter();
        all.filter(|one| one["reason"] == reason).collect()
    };
    eventually("three reasons", || {
        let all = ["guard", "token", "request"].map(|reason| refused(reason).len());
        (all == [1, 1, 1]).then_some(())
    });
    let guard = &refused("guard")[0];
    assert_eq!(guard["level"], "info");
    assert_eq!(guard["method"], "GET");
    assert_eq!(
        guard["path"].as_str().unwrap(),
        &path[..200],
        "without the query"
    );
    assert!(
        guard["detail"].as_str().unwrap().contains("evil.example"),
        "{guard}"
    );
    assert!(
        guard["uid"].is_u64() && guard["address"].is_string(),
        "{guard}"
    );
    assert_eq!(refused("token")[0]["path"], "/devcontainers");
    assert_eq!(refused("request")[0]["path"], Value::Null);
    let lines = daemon.log.lines().join("\n");
    assert!(
        !lines.contains("secret") && !lines.contains("battery"),
        "{lines}"
    );
}
