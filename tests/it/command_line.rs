//! The command line and the environment of the program, and its messages at the start.

use std::fs;
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::process::{Command, Output};

use crate::common::{BINARY, DaemonBuilder, Sandbox};
use serde_json::Value;

fn output(arguments: &[&str]) -> Output {
    let mut command = Command::new(BINARY);
    command.args(arguments).output().unwrap()
}

/// Asserts that a daemon exits with status 2 and one line on standard error that has these parts: the flag, the value
/// and how to fix it.
#[track_caller]
fn check_refused(daemon: DaemonBuilder, parts: &[&str]) {
    let (status, stderr) = daemon.run();
    assert_eq!(status.code(), Some(2), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "one line: {stderr:?}");
    assert!(stderr.starts_with("devcontainerd: "), "{stderr}");
    for part in parts {
        assert!(stderr.contains(part), "{part:?} is not in {stderr:?}");
    }
}

#[test]
fn help_and_version_are_printed() {
    for flag in ["--help", "-h"] {
        let help = output(&[flag]);
        assert!(help.status.success() && help.stderr.is_empty());
        let text = String::from_utf8(help.stdout).unwrap();
        for flag in [
            "--listen",
            "--docker",
            "--log-sink",
            "--job-timeout",
            "healthcheck",
        ] {
            assert!(text.contains(flag), "{flag}");
        }
    }
    for flag in ["--version", "-V"] {
        let version = output(&[flag]);
        let expected = format!("devcontainerd {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(String::from_utf8(version.stdout).unwrap(), expected);
        assert!(version.status.success() && version.stderr.is_empty());
    }
    assert!(output(&["serve", "--help"]).status.success());
}

#[test]
fn a_bad_flag_or_value_is_one_line_and_status_2() {
    for (arguments, parts) in [
        (&["--nope"][..], &["--nope", "--help"][..]),
        (&["nope"], &["nope", "--help"]),
        (&["serve", "serve"], &["serve", "--help"]),
        (&["-x"], &["-x", "--help"]),
        (&["--listen"], &["--listen"]),
        (&["--listen", ""], &["--listen"]),
        (&["--listen", "nowhere"], &["--listen nowhere"]),
        (
            &["--listen", "localhost:99999"],
            &["--listen localhost:99999"],
        ),
        (&["--listen", "unix:"], &["--listen unix:"]),
        (&["--listen", "unix:relative"], &["--listen unix:relative"]),
        (
            &["--listen", "0.0.0.0:0"],
            &["--listen 0.0.0.0:0", "loopback"],
        ),
        (&["--listen", "[::]:0"], &["--listen [::]:0", "loopback"]),
        (
            &["--metrics-listen", "9382"],
            &["--metrics-listen 9382", "HOST:PORT"],
        ),
        (
            &["--metrics-listen", "0.0.0.0:0"],
            &["--metrics-listen 0.0.0.0:0", "loopback", "--token-file"],
        ),
        (&["--docker", ""], &["--docker"]),
        (&["--docker=-v"], &["--docker -v"]),
        (
            &["--manifest", "/nonexistent"],
            &["--manifest", "/nonexistent", "No such file"],
        ),
        (
            &["--devcontainer-folder", ""],
            &["--devcontainer-folder", "directory"],
        ),
        (
            &["--workspace-root", ""],
            &["--workspace-root", "directory"],
        ),
        (
            &["--cache-duration", "x"],
            &["--cache-duration x", "seconds"],
        ),
        (
            &["--cache-duration", "-1"],
            &["--cache-duration -1", "seconds"],
        ),
        (
            &["--cache-duration", "NaN"],
            &["--cache-duration NaN", "seconds"],
        ),
        (
            &["--cache-duration", "inf"],
            &["--cache-duration inf", "seconds"],
        ),
        (
            &["--cache-duration", "1e300"],
            &["--cache-duration 1e300", "seconds"],
        ),
        (&["--list-timeout", "0"], &["--list-timeout 0", "seconds"]),
        (&["--job-timeout", "0"], &["--job-timeout 0", "seconds"]),
        (&["--job-timeout", "1h"], &["--job-timeout 1h", "seconds"]),
        (
            &["--max-operations", "0"],
            &["--max-operations 0", "from 1 to 1000"],
        ),
        (
            &["--max-operations", "all"],
            &["--max-operations all", "from 1 to 1000"],
        ),
        (
            &["--up-arg", "--idLabel=a=b"],
            &["--up-arg --idLabel=a=b", "decides itself on --id-label"],
        ),
        (
            &["--up-arg=--remove-existing-container"],
            &["--up-arg --remove-existing-container", "leave it out"],
        ),
        (&["--up-arg", "--"], &["--up-arg --", "options only"]),
        (&["--allow-host", "a:1"], &["--allow-host a:1", "host name"]),
        (&["--allow-host", "*"], &["--allow-host *", "host name"]),
        (&["--log-sink", " "], &["--log-sink", "program"]),
        (&["--log-level", "off"], &["--log-level off", "debug"]),
        (&["--log-level", "loud"], &["--log-level loud", "debug"]),
        (
            &["--log-format", "xml"],
            &["--log-format xml", "text or json"],
        ),
        (&["--no-events=yes"], &["--no-events"]),
        (&["--listen", "two\nlines"], &["--listen"]),
        (&["--no\npe"], &["pe"]),
        (&["no\u{1b}[2Jpe"], &["pe"]),
    ] {
        let daemon = DaemonBuilder::new();
        let daemon = arguments
            .iter()
            .fold(daemon, |daemon, word| daemon.arg(word));
        check_refused(daemon, parts);
    }
}

#[test]
fn a_bad_variable_is_one_line_and_status_2() {
    for (name, value) in [
        ("LISTEN", "127.0.0.1:0,nowhere"),
        ("CACHE_DURATION", "soon"),
        ("LIST_TIMEOUT", "-5"),
        ("JOB_TIMEOUT", "soon"),
        ("NO_EVENTS", "perhaps"),
        ("LOG_LEVEL", "loud"),
        ("LOG_FORMAT", "xml"),
        (
            "UP_ARG",
            "--mount=type=bind,source=/a,target=/b --config=/c",
        ),
        ("MANIFEST", "/nonexistent"),
    ] {
        let name = format!("DEVCONTAINERD_{name}");
        let daemon = DaemonBuilder::new().env(&name, value);
        let source = if value == "/nonexistent" {
            "manifest"
        } else {
            &name
        };
        check_refused(daemon, &[source]);
    }
}

#[test]
fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let daemon = DaemonBuilder::new().arg("--listen").arg(&address);
    check_refused(daemon, &["--listen", &address, "in use", "another address"]);

    let sandbox = Sandbox::new();
    let socket = sandbox.path("socket");
    let _taken = UnixListener::bind(&socket).unwrap();
    let socket = format!("unix:{}", socket.display());
    let daemon = DaemonBuilder::new().arg("--listen").arg(&socket);
    check_refused(daemon, &["--listen", &socket, "in use"]);
    let nowhere = "unix:/nonexistent/socket";
    let daemon = DaemonBuilder::new().arg("--listen").arg(nowhere);
    check_refused(daemon, &["--listen", nowhere, "No such file"]);
}

#[test]
fn a_bad_manifest_is_named() {
    let sandbox = Sandbox::new();
    for (content, why) in [
        ("", "it is not a JSON object"),
        ("[]", "it is not a JSON object"),
        ("{", "EOF"),
        (r#"{"devcontainers":[{}]}"#, "workspace_folder"),
        (
            r#"{"devcontainers":[{"workspace_folder":"w"}]}"#,
            "not an absolute path",
        ),
        (
            r#"{"devcontainers":[{"workspace_folder":"/w","id":"one"}]}"#,
            "UUID",
        ),
        (
            r#"{"devcontainers":[{"workspace_folder":"$NOT_SET_HERE/w"}]}"#,
            "$NOT_SET_HERE",
        ),
        (
            r#"{"devcontainers":[{"workspace_folder":"/w","config":"c"}]}"#,
            "unknown field `config`, expected one of `id`, `name`, `workspace_folder`, `config_path`, `up_args`",
        ),
        (
            r#"{"devcontainer":[]}"#,
            "expected `devcontainers` or `scripts`",
        ),
        (
            r#"{"devcontainers":[{"workspace_folder":"/w","up_args":["--docker-path=x"]}]}"#,
            "devcontainers[0]: up_args \"--docker-path=x\": the daemon decides itself on --docker-path",
        ),
    ] {
        let path = sandbox.write("manifest.json", content);
        let path = path.to_str().unwrap();
        let daemon = sandbox.daemon().arg("--manifest").arg(path);
        check_refused(daemon, &["--manifest", path, why]);
    }
    let directory = sandbox.path("bin");
    let daemon = sandbox
        .daemon()
        .arg("--manifest")
        .arg(directory.to_str().unwrap());
    check_refused(daemon, &["--manifest", "it is not a regular file"]);
}

#[test]
fn the_environment_configures_and_flags_beat_it() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    fs::rename(sandbox.path("bin/docker"), sandbox.path("bin/other")).unwrap();
    sandbox.container(1).save();
    let path = sandbox.bare_path();
    let daemon = sandbox
        .daemon()
        .env("PATH", &path)
        .env("DEVCONTAINERD_DOCKER", "other")
        .env("DEVCONTAINERD_LISTEN", "127.0.0.1:0, [::1]:0")
        .env(
            "DEVCONTAINERD_DEVCONTAINER_FOLDER",
            folder.to_str().unwrap(),
        )
        .env("DEVCONTAINERD_LOG_FORMAT", "json")
        .env("DEVCONTAINERD_CACHE_DURATION", "")
        .args("--listen 127.0.0.1:0 --log-format text")
        .start();
    assert_eq!(daemon.json("/")["containers"][0]["name"], "box1");
    assert_eq!(daemon.devcontainer()["name"], "app");
    let listening = daemon.log.lines();
    let listening = listening.iter().filter(|l| l.contains("listening on"));
    assert_eq!(listening.count(), 1, "the flag, not the variable");
}

#[test]
fn the_first_line_of_the_log_says_the_address() {
    let sandbox = Sandbox::new();
    // This makes it log an error at the start, too.
    let id = "11111111-1111-4111-8111-111111111111";
    let manifest = format!(
        r#"{{"devcontainers":[{{"workspace_folder":"/w"}}],"scripts":[{{"id":"{id}","log_source_id":"{id}"}}]}}"#
    );
    let manifest = sandbox.write("manifest.json", &manifest);
    let daemon = sandbox
        .daemon()
        .arg("--manifest")
        .arg(manifest.to_str().unwrap())
        .start();
    let first = daemon.log.lines()[0].clone();
    assert!(
        first.contains(" INFO  listening on http://127.0.0.1:"),
        "{first}"
    );
    assert!(!first.ends_with(":0"), "the port that was chosen: {first}");
    daemon.log.wait_for("ERROR manifest: script");
}

#[test]
fn it_listens_on_several_addresses() {
    let sandbox = Sandbox::new();
    let socket = sandbox.path("d.sock");
    let listen = format!("--listen 127.0.0.1:0 --listen unix:{}", socket.display());
    let mut daemon = sandbox.daemon().args(&listen).start();
    daemon
        .log
        .wait_for(&format!("listening on unix:{}", socket.display()));
    assert_eq!(daemon.get("/healthz").status, 200);
    let url = format!("unix:{}", socket.display());
    assert!(output(&["healthcheck", "--url", &url]).status.success());
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    assert!(!socket.exists(), "it is removed at the end");
}

#[test]
fn the_log_as_json_is_one_object_a_line() {
    let sandbox = Sandbox::new();
    sandbox.docker("echo 'two\nlines \\033' >&2");
    let daemon = sandbox
        .daemon()
        .args("--log-format json --log-level debug")
        .start();
    daemon.json("/");
    let lines = daemon.log.lines();
    let first: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(first["level"], "info");
    let message = first["message"].as_str().unwrap();
    assert!(
        message.starts_with("listening on http://127.0.0.1:"),
        "{message}"
    );
    assert!(first["time"].as_str().unwrap().ends_with('Z'));
    for line in lines {
        serde_json::from_str::<Value>(&line).unwrap();
    }
}
