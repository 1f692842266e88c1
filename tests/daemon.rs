//! The program as such: its command line, its log, its signals.

mod common;

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::Command;
use std::time::{Duration, Instant};

use common::{BINARY, DaemonBuilder, LONG, Sandbox, eventually};

/// A devcontainer stand-in that makes nothing until the file `go` is there.
const WAITS: &str = "echo begun >$R/begun; while [ ! -e $R/go ]; do sleep 0.01; done";

fn begin_operation(sandbox: &Sandbox, builder: DaemonBuilder) -> common::Daemon {
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
fn a_bad_command_line_is_one_line_that_names_the_mend_and_status_2() {
    let sandbox = Sandbox::new();
    let manifest = sandbox.write("bad.json", "[]");
    let manifest = format!("--manifest {}", manifest.display());
    for (arguments, expected) in [
        ("--bogus", "--bogus"),
        ("--listen nowhere", "HOST:PORT"),
        ("--listen 0.0.0.0:1", "not a loopback address"),
        ("--list-timeout never", "number of seconds"),
        ("--manifest /nonexistent.json", "/nonexistent.json"),
        (&manifest, "it should be {\"devcontainers\""),
    ] {
        let (status, said) = sandbox.daemon().args(arguments).run();
        assert_eq!(status.code(), Some(2), "{arguments}: {said}");
        assert!(said.starts_with("devcontainerd: "), "{said}");
        assert!(
            said.contains(expected) && said.lines().count() == 1,
            "{said}"
        );
    }
    let first = sandbox.daemon().start();
    let taken = format!("--listen {}", first.address);
    let (status, said) = sandbox.daemon().args(&taken).run();
    assert_eq!(status.code(), Some(2));
    assert!(
        said.contains(&taken) && said.contains("Choose another"),
        "{said}"
    );
}

#[test]
fn help_and_version_are_printed() {
    let run = |argument| Command::new(BINARY).arg(argument).output().unwrap();
    let help = run("--help");
    assert!(help.status.success() && help.stderr.is_empty());
    assert!(
        String::from_utf8(help.stdout)
            .unwrap()
            .contains("--job-timeout SECS")
    );
    let version = String::from_utf8(run("--version").stdout).unwrap();
    assert_eq!(
        version,
        format!("devcontainerd {}\n", env!("CARGO_PKG_VERSION"))
    );
}

#[test]
fn the_first_line_of_the_log_says_where_it_listens_also_as_json() {
    let sandbox = Sandbox::new();
    let daemon = sandbox
        .daemon()
        .env("DEVCONTAINERD_LISTEN", "127.0.0.1:0")
        .args("--listen 127.0.0.1:0 --log-format json")
        .start();
    let first: serde_json::Value = serde_json::from_str(&daemon.log.lines()[0]).unwrap();
    let url = first["message"]
        .as_str()
        .unwrap()
        .strip_prefix("listening on http://");
    let address = url.unwrap().trim_end_matches(['"', '}']);
    assert_eq!(first["level"], "info");
    let check = Command::new(BINARY)
        .args(["healthcheck", "--url", &format!("http://{address}")])
        .status();
    assert!(check.unwrap().success());
}

#[test]
fn healthcheck_fails_where_nobody_answers() {
    let sandbox = Sandbox::new();
    let url = format!("unix:{}", sandbox.path("none").display());
    let output = Command::new(BINARY)
        .args(["healthcheck", "--url", &url])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains(&url));
}

#[test]
fn a_service_manager_is_told_when_it_answers() {
    let sandbox = Sandbox::new();
    let path = sandbox.path("notify");
    let by_path = UnixDatagram::bind(&path).unwrap();
    let name = format!("devcontainerd-test-{}", std::process::id());
    let abstract_name = SocketAddr::from_abstract_name(&name).unwrap();
    let by_name = UnixDatagram::bind_addr(&abstract_name).unwrap();
    for (socket, name) in [
        (by_path, path.display().to_string()),
        (by_name, format!("@{name}")),
    ] {
        let _daemon = sandbox.daemon().env("NOTIFY_SOCKET", &name).start();
        socket.set_read_timeout(Some(LONG)).unwrap();
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"READY=1");
    }
}

#[test]
fn hup_reads_the_manifest_again_and_a_bad_one_changes_nothing() {
    let sandbox = Sandbox::new();
    let define = |names: &[&str]| {
        let define = |name: &&str| {
            let folder = sandbox.workspace(name);
            serde_json::json!({"workspace_folder": folder})
        };
        let all: Vec<_> = names.iter().map(define).collect();
        sandbox.write(
            "manifest.json",
            &serde_json::json!({"devcontainers": all}).to_string(),
        )
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
}

#[test]
fn scripts_and_variables_of_a_manifest() {
    let sandbox = Sandbox::new();
    sandbox.workspace("app");
    let (id, other) = (
        "11111111-1111-4111-8111-111111111111",
        "22222222-2222-4222-8222-222222222222",
    );
    let manifest = serde_json::json!({
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
    assert!(
        daemon
            .log
            .lines()
            .iter()
            .any(|line| line.contains("ERROR") && line.contains("no script"))
    );
}

#[test]
fn an_idle_daemon_stops_at_once() {
    for signal in ["TERM", "INT"] {
        let sandbox = Sandbox::new();
        let mut daemon = sandbox.daemon().start();
        let _idle = daemon.connect();
        let begun = Instant::now();
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
    let begun = Instant::now();
    daemon.signal("TERM");
    assert_eq!(daemon.wait().code(), Some(0));
    let took = begun.elapsed();
    assert!((10..15).contains(&took.as_secs()), "{took:?}");
    daemon.log.wait_for("recreate interrupted");
    let left = sandbox.read("left");
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", left.trim())).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
}

#[test]
fn a_second_signal_ends_operations_at_once() {
    let sandbox = Sandbox::new();
    sandbox.devcontainer(WAITS);
    let mut daemon = begin_operation(&sandbox, sandbox.daemon());
    let begun = Instant::now();
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
