//! `devcontainerd check`: what a daemon would find, and what is wrong with it.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use crate::common::{BINARY, Sandbox};

/// A command line for a check in a sandbox, on an address that is free.
fn command(sandbox: &Sandbox) -> Command {
    let mut command = Command::new(BINARY);
    let path = format!(
        "{}:{}",
        sandbox.path("bin").display(),
        std::env::var("PATH").unwrap()
    );
    command
        .env("PATH", path)
        .env("XDG_STATE_HOME", sandbox.path("state"))
        .env_remove("XDG_RUNTIME_DIR")
        .args(["check", "--listen", "127.0.0.1:0"]);
    command
}

/// Runs it. Returns the exit status and the lines that it printed.
#[track_caller]
fn run(mut command: Command) -> (i32, Vec<String>) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(said, "", "the findings are on standard output");
    let printed = String::from_utf8(output.stdout).unwrap();
    let lines = printed.lines().map(str::to_owned).collect();
    (output.status.code().unwrap(), lines)
}

#[track_caller]
fn assert_line(lines: &[String], begin: &str, part: &str) {
    let found = |line: &&String| line.starts_with(begin) && line.contains(part);
    let number = lines.iter().filter(found).count();
    assert_eq!(number, 1, "{begin}…{part} in\n{}", lines.join("\n"));
}

#[test]
fn what_is_there_is_said_and_nothing_changes() {
    let sandbox = Sandbox::with_app();
    let folder = sandbox.workspace("defined");
    let manifest = format!(r#"{{"devcontainers":[{{"workspace_folder":{folder:?}}}]}}"#);
    let manifest = sandbox.write("manifest.json", &manifest);
    sandbox.replace("token", "correct-horse-battery-staple-0123456789", 0o600);
    let mut check = command(&sandbox);
    check.arg("--manifest").arg(&manifest);
    check.arg("--token-file").arg(sandbox.path("token"));
    check.arg("--workspace-root").arg(sandbox.path("work"));
    check.env("DEVCONTAINERD_LISTNE", "127.0.0.1:1");
    let (status, lines) = run(check);
    assert_eq!(status, 0, "{}", lines.join("\n"));
    for (part, text) in [
        ("directory", "/work"),
        ("workspace", "/work/defined"),
        ("--token-file", "/token"),
        ("address", "http://127.0.0.1:0 is free"),
        ("state directory", "/state/devcontainerd"),
        ("devcontainer CLI", "/bin/devcontainer 0.89.0"),
        (
            "docker",
            "/bin/docker, an engine of version 28.2.2 with 1 containers",
        ),
    ] {
        assert_line(&lines, &format!("ok       {part}: "), text);
    }
    assert_line(
        &lines,
        "advice   flags: ",
        "no flag has the variable DEVCONTAINERD_LISTNE",
    );
    assert!(!sandbox.path("state").exists(), "nothing is created");
    let verbs = sandbox.read("calls/docker");
    let mut verbs: Vec<&str> = verbs
        .lines()
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    verbs.dedup();
    assert_eq!(verbs, ["version", "ps", "inspect"]);
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let sandbox = Sandbox::new();
    sandbox.docker("echo 'no engine here' >&2; exit 1");
    sandbox.devcontainer("echo 'env: node: No such file' >&2; exit 127");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    sandbox.write("token", "correct-horse-battery-staple-0123456789");
    fs::set_permissions(sandbox.path("token"), fs::Permissions::from_mode(0o644)).unwrap();
    sandbox.write("file", "");
    let mut check = command(&sandbox);
    check.args([
        "--listen",
        &taken,
        "--listen",
        "0.0.0.0:0",
        "--listen",
        "unix:/none/s",
    ]);
    check.args([
        "--list-timeout",
        "0",
        "--job-timeout",
        "1h",
        "--log-sink",
        "no-such-sink",
    ]);
    check.args(["--manifest", "/none/manifest.json"]);
    check.arg("--state-dir").arg(sandbox.path("file/state"));
    check.arg("--devcontainer-folder").arg(sandbox.path("none"));
    check.arg("--discover").arg(sandbox.path("file"));
    check.env("DEVCONTAINERD_LOG_LEVEL", "loud");
    let (status, lines) = run(check);
    assert_eq!(status, 1, "{}", lines.join("\n"));
    for (part, text) in [
        ("flags", "--list-timeout 0: "),
        ("flags", "--job-timeout 1h: "),
        ("flags", "DEVCONTAINERD_LOG_LEVEL loud: "),
        ("flags", "--listen 0.0.0.0:0: it is not a loopback address"),
        ("flags", &format!("--listen {taken}: ")),
        ("flags", "--listen unix:/none/s: "),
        ("manifest", "/none/manifest.json: No such file"),
        ("workspace", "/none is not an existing directory"),
        ("directory", "/file is no directory"),
        (
            "state directory",
            "/file/state cannot be written to; choose another one with --state-dir",
        ),
        ("--log-sink", "no-such-sink was not found"),
        (
            "devcontainer CLI",
            "node: No such file; it needs node 20 or newer on PATH",
        ),
        ("docker", "no engine here"),
    ] {
        assert_line(&lines, &format!("problem  {part}: "), text);
    }
    let mut check = command(&sandbox);
    check.arg("--token-file").arg(sandbox.path("token"));
    check.args(["--docker", "/none/docker"]);
    let (status, lines) = run(check);
    assert_eq!(status, 1);
    assert_line(&lines, "problem  flags: --token-file", "chmod 600");
    assert_line(
        &lines,
        "problem  programs: docker: /none/docker was not found",
        "--docker",
    );
}

#[test]
fn an_address_that_a_daemon_has_is_no_problem() {
    let sandbox = Sandbox::new();
    let socket = sandbox.path("d.sock");
    let unix = format!("unix:{}", socket.display());
    let listen = format!("--listen 127.0.0.1:0 --listen {unix}");
    let daemon = sandbox.daemon().args(&listen).start();
    daemon.log.wait_for("listening on unix:");
    let mut check = command(&sandbox);
    check.args(["--listen", &daemon.address, "--listen", &unix]);
    let (status, lines) = run(check);
    assert_eq!(status, 0, "{}", lines.join("\n"));
    let tcp = format!("a daemon answers at http://{}", daemon.address);
    assert_line(&lines, "ok       address: ", &tcp);
    assert_line(
        &lines,
        "ok       address: ",
        &format!("a daemon answers at {unix}"),
    );
    assert!(socket.exists(), "it is left alone");
}

#[test]
fn a_command_line_that_cannot_be_understood_is_no_finding() {
    for arguments in [
        &["check", "--nope"][..],
        &["check", "more"],
        &["check", "--json"],
    ] {
        let output = Command::new(BINARY).args(arguments).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}
