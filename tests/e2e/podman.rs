//! Dev containers on podman, which `scripts/podman.sh` provides. `scripts/test.sh` leaves these tests out where podman is
//! missing or runs no container.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::common::{Daemon, eventually, operation_processes};
use crate::engine::{IMAGE, unique};
use crate::workspace::{Workspace, container_of};

const FAILED: &str = "Could not recreate devcontainer";

/// The program. Its containers are in the namespaces of the engine, which ends after all tests.
fn program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let directory = std::env::temp_dir().join(unique("podman"));
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("scripts/podman.sh");
        let made = Command::new(script).arg(&directory).output().unwrap();
        let said = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success(), "podman.sh: {said}");
        directory.join("podman").to_str().unwrap().to_owned()
    })
}

/// Runs podman and returns what it prints, without the last line feed.
#[track_caller]
fn podman<S: AsRef<OsStr>>(arguments: &[S]) -> String {
    let output = Command::new(program()).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "podman: {said}");
    let said = String::from_utf8(output.stdout).unwrap();
    said.trim_end().to_owned()
}

#[track_caller]
fn inspect(container: &str, field: &str) -> String {
    podman(&[
        "inspect",
        "--format",
        &format!("{{{{{field}}}}}"),
        container,
    ])
}

/// A dev container on podman; removed when it is dropped.
struct Stage {
    workspace: Workspace,
    name: String,
    /// The port on which it is published.
    port: u16,
}

impl Stage {
    /// A dev container that is up, and the id of its container. Each test has a port of its own.
    fn up(test: &str, port: u16) -> (Self, String) {
        let workspace = Workspace::new(test, json!({}));
        let name = unique(test);
        let stage = Self {
            workspace,
            name,
            port,
        };
        stage.configure("one", port);
        stage.dockerfile("");
        let id = stage.workspace.up_by(program());
        (stage, id)
    }

    fn configure(&self, greeting: &str, port: u16) {
        let publish = format!("127.0.0.1:{port}:80");
        self.workspace.configure(json!({
            "image": null,
            "build": {"dockerfile": "Dockerfile"},
            "containerEnv": {"GREETING": greeting},
            "runArgs": ["--name", self.name, "--publish", publish],
        }));
    }

    fn dockerfile(&self, more: &str) {
        let file = self.workspace.config().with_file_name("Dockerfile");
        fs::write(file, format!("FROM {IMAGE}\n{more}\n")).unwrap();
    }

    fn daemon(&self) -> Daemon {
        let daemon = crate::engine::daemon().args("--docker").arg(program());
        self.workspace.alone(daemon).start()
    }

    fn containers(&self) -> Vec<String> {
        let filter = format!("label={}", self.workspace.label());
        let found = podman(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]);
        found.lines().map(str::to_owned).collect()
    }

    /// The dev container in the list, whose container is the only one, runs, and has its name, label and port.
    #[track_caller]
    fn assert_runs(&self, daemon: &Daemon) -> (Value, String) {
        let one = self.workspace.devcontainer(daemon);
        assert_eq!(one["status"], "running", "{one:#}");
        let id = container_of(&one);
        assert_eq!(self.containers(), [&*id], "{one:#}");
        assert_eq!(inspect(&id, ".State.Running"), "true");
        assert_eq!(inspect(&id, ".Name"), self.name);
        let port = json!([
            {"port": 80, "network": "tcp", "host_ip": "127.0.0.1", "host_port": self.port},
        ]);
        assert_eq!(one["container"]["ports"], port, "{one:#}");
        let left = operation_processes(daemon.pid());
        assert!(left.is_empty(), "{left:?}");
        (one, id)
    }

    /// Recreates it, and asserts that the new container is as it should be.
    #[track_caller]
    fn recreate(&self, daemon: &Daemon, greeting: &str) {
        let before = container_of(&self.workspace.devcontainer(daemon));
        let made = daemon.post(&format!("{}?wait=true", self.workspace.recreate()));
        assert_eq!(made.status, 204, "{made:?}");
        let (one, id) = self.assert_runs(daemon);
        assert_ne!(id, before, "a new one");
        assert_eq!(one["dirty"], false, "{one:#}");
        assert!(one.get("error").is_none(), "{one:#}");
        let environment = inspect(&id, "json .Config.Env");
        assert!(environment.contains(&format!("GREETING={greeting}")));
    }

    /// Recreates it, which fails, and asserts that the old container is there as before, and that the log has `text`.
    #[track_caller]
    fn fail(&self, daemon: &Daemon, old: &str, text: &str) {
        let failed = daemon.post(&format!("{}?wait=true", self.workspace.recreate()));
        failed.assert_error(500, FAILED, "nothing was lost");
        let (one, id) = self.assert_runs(daemon);
        assert_eq!(id, old, "the old one");
        let error = one["error"].as_str().unwrap_or_default();
        assert!(error.contains("nothing was lost"), "{one:#}");
        let log = daemon.get(&format!("{}?format=text", self.workspace.logs()));
        assert!(log.body.contains(text), "{}", log.body);
        // The CLI was given the daemon's own path in place of docker's.
        for said in [&log.body, error] {
            assert!(!said.contains("/./"), "{said}");
        }
        assert_eq!(podman(&["exec", &id, "cat", "/file"]), "kept");
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let filter = format!("label={}", self.workspace.label());
        let rm = ["rm", "--all", "--force", "--time", "0", "--filter", &filter];
        let _ = Command::new(program()).args(rm).output();
    }
}

#[test]
fn one_on_podman_is_listed_stopped_started_and_deleted() {
    let (stage, id) = Stage::up("podman-life", 48001);
    let daemon = stage.daemon();
    let (one, listed) = stage.assert_runs(&daemon);
    assert_eq!(listed, id);
    assert_eq!(one["name"], *stage.workspace.name);
    let path = format!("/devcontainers/{}", stage.workspace.name);
    let stopped = daemon.post(&format!("{path}/stop?wait"));
    assert_eq!(stopped.status, 204, "{stopped:?}");
    assert_eq!(inspect(&id, ".State.Running"), "false");
    let one = stage.workspace.devcontainer(&daemon);
    assert_eq!(one["status"], "stopped", "{one:#}");
    let started = daemon.post(&format!("{path}/start?wait"));
    assert_eq!(started.status, 204, "{started:?}");
    assert_eq!(stage.assert_runs(&daemon).1, id, "the same one");
    let deleted = daemon.delete(&path);
    assert_eq!(deleted.status, 204, "{deleted:?}");
    assert_eq!(stage.containers(), [""; 0]);
    assert!(stage.workspace.find(&daemon).is_none());
}

#[test]
fn p11_what_podman_does_shows() {
    let (stage, id) = Stage::up("podman-events", 48002);
    let daemon = crate::common::DaemonBuilder::new().args("--docker");
    let daemon = daemon.arg(program()).start();
    assert_eq!(stage.assert_runs(&daemon).1, id);
    let is = |status: &str| {
        eventually(status, || {
            let one = stage.workspace.devcontainer(&daemon);
            (one["status"] == status).then_some(())
        });
    };
    podman(&["stop", "--time", "0", &id]);
    is("stopped");
    podman(&["start", &id]);
    is("running");
}

#[test]
fn one_on_podman_is_recreated() {
    let (stage, _) = Stage::up("podman-recreate", 48003);
    let daemon = stage.daemon();
    stage.assert_runs(&daemon);
    stage.configure("two", stage.port);
    assert_eq!(stage.workspace.devcontainer(&daemon)["dirty"], true);
    stage.recreate(&daemon, "two");
    stage.dockerfile("RUN echo built >/built");
    stage.recreate(&daemon, "two");
}

#[test]
fn p12_a_build_that_fails_on_podman_leaves_the_old_one_running() {
    let (stage, old) = Stage::up("podman-build", 48004);
    podman(&["exec", &old, "sh", "-c", "echo kept >/file"]);
    let started = inspect(&old, ".State.StartedAt");
    let daemon = stage.daemon();
    stage.assert_runs(&daemon);
    stage.dockerfile("RUN echo it cannot be built && exit 3");
    stage.fail(&daemon, &old, "it cannot be built");
    assert_eq!(inspect(&old, ".State.StartedAt"), started, "it ran on");
    stage.dockerfile("RUN true");
    stage.recreate(&daemon, "one");
}

#[test]
fn p12_where_a_port_is_taken_on_podman_the_old_one_is_back() {
    let (mut stage, old) = Stage::up("podman-port", 48005);
    podman(&["exec", &old, "sh", "-c", "echo kept >/file"]);
    let (holder, holder_of_port) = Stage::up("podman-holder", 48006);
    let daemon = stage.daemon();
    stage.assert_runs(&daemon);
    stage.configure("two", holder.port);
    stage.fail(&daemon, &old, "address already in use");
    podman(&["rm", "--force", "--time", "0", &holder_of_port]);
    stage.port = holder.port;
    stage.recreate(&daemon, "two");
}
