//! Recreating dev containers: the requests and their results.

use std::fs;
use std::time::Duration;

use crate::common::{BINARY, Daemon, LONG, Sandbox, Stopwatch, container_id, eventually};

/// A sandbox with one dev container, and its daemon.
pub(super) fn start(devcontainer: &str) -> (Sandbox, Daemon) {
    let sandbox = Sandbox::with_app();
    sandbox.devcontainer(devcontainer);
    let daemon = sandbox.daemon().start();
    daemon.json("/");
    (sandbox, daemon)
}

#[track_caller]
pub(super) fn job_state(daemon: &Daemon) -> String {
    let job = &daemon.devcontainer()["job"];
    job["state"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_container_is_recreated_by_id_name_or_prefix() {
    let (sandbox, daemon) = start("");
    for selector in [container_id(1), "made".into(), "%6Dade".into()] {
        let before = daemon.devcontainer()["container"]["id"].clone();
        let path = format!("/devcontainers/container/{selector}/recreate");
        let response = daemon.post(&path);
        assert_eq!((response.status, &*response.body), (204, ""), "{selector}");
        let after = daemon.devcontainer();
        assert_ne!(after["container"]["id"], before, "{selector}");
        assert_eq!(after["status"], "running");
        assert_eq!(after["job"]["state"], "succeeded");
        assert_eq!(after["dirty"], false);
        assert!(after.get("error").is_none());
    }
    let folder = sandbox.workspace("second");
    sandbox
        .container(2)
        .id(&"abcdef012345".repeat(6)[..64])
        .of(&folder)
        .save();
    let daemon = sandbox.daemon().start();
    let path = "/devcontainers/container/abcdef012345/recreate";
    assert_eq!(daemon.post(path).status, 204);
    let second = daemon.json("/devcontainers/second");
    assert_eq!(second["container"]["name"], "made");
}

#[test]
fn the_cli_gets_exactly_these_arguments() {
    let (sandbox, daemon) = start("");
    assert_eq!(daemon.recreate("app").status, 204);
    let (folder, config) = (sandbox.path("work/app"), sandbox.config("app"));
    let (directory, name) = BINARY.rsplit_once('/').unwrap();
    let expected = format!(
        "up --log-format json --workspace-folder {} --config {} --docker-path {directory}/./{name} \
         --docker-compose-path {directory}/././{name} --remove-existing-container\n",
        folder.display(),
        config.display()
    );
    assert_eq!(sandbox.read("calls/devcontainer"), expected);
}

#[test]
fn strange_paths_reach_the_cli_as_they_are() {
    let sandbox = Sandbox::new();
    let name = "-rf $(touch pwned) `x`; \"é' \u{1F600} *";
    let folder = sandbox.workspace(name);
    sandbox.devcontainer_of(1, &folder);
    sandbox.program("devcontainer", "printf '%s\\n' \"$@\" >$R/words; exit 3");
    let daemon = sandbox.daemon().start();
    let id = daemon.devcontainer()["id"].as_str().unwrap().to_owned();
    assert_eq!(daemon.recreate(&id).status, 500);
    let words = sandbox.read("words");
    let words: Vec<&str> = words.lines().collect();
    assert_eq!(words[4], folder.to_str().unwrap());
    assert_eq!(words.len(), 12, "{words:?}");
}

#[test]
fn a_dev_container_is_recreated_in_the_background_or_while_one_waits() {
    let (sandbox, daemon) = start("while [ ! -e $R/go ]; do sleep 0.02; done");
    let id = daemon.devcontainer()["id"].as_str().unwrap().to_owned();
    for prefix in ["", "/api/v0/containers"] {
        let _ = fs::remove_file(sandbox.path("go"));
        let response = daemon.post(&format!("{prefix}/devcontainers/app/recreate"));
        assert_eq!(response.status, 202);
        let location = format!("{prefix}/devcontainers/{id}/logs");
        assert_eq!(response.headers["location"], location);
        assert_eq!(response.json()["id"], *id);
        assert_eq!(response.json()["status"], "starting");
        assert_eq!(response.json()["job"]["state"], "running");
        assert_eq!(response.json()["job"]["kind"], "recreate");
        assert_eq!(daemon.devcontainer()["status"], "starting");
        assert_eq!(
            daemon.json("/")["containers"][0]["devcontainer_status"],
            "starting"
        );
        sandbox.write("go", "");
        let log = daemon.get(&format!("{location}?follow=true&format=text"));
        assert!(
            log.body.starts_with("made it\nrecreate succeeded after "),
            "{log:?}"
        );
        assert_eq!(job_state(&daemon), "succeeded");
    }
    let response = daemon.recreate("app");
    assert_eq!((response.status, &*response.body), (204, ""));
}

#[test]
fn a_container_is_recreated_in_the_background_or_followed_if_the_query_says_so() {
    let (sandbox, daemon) = start("while [ ! -e $R/go ]; do sleep 0.02; done");
    let id = daemon.devcontainer()["id"].as_str().unwrap().to_owned();
    for prefix in ["", "/api/v0/containers"] {
        let path = || {
            let container = daemon.devcontainer()["container"]["id"].clone();
            let container = container.as_str().unwrap().to_owned();
            format!("{prefix}/devcontainers/container/{container}/recreate")
        };
        let _ = fs::remove_file(sandbox.path("go"));
        let response = daemon.post(&format!("{}?wait=false", path()));
        assert_eq!(response.status, 202);
        let location = format!("{prefix}/devcontainers/{id}/logs");
        assert_eq!(response.headers["location"], location);
        assert_eq!(response.json()["job"]["state"], "running");
        sandbox.write("go", "");
        daemon.get(&format!("{location}?follow=true"));
        let response = daemon.post(&format!("{}?follow=true&format=text", path()));
        assert_eq!(response.status, 200);
        let log = "made it\nrecreate succeeded after ";
        assert!(response.body.starts_with(log), "{response:?}");
    }
}

/// Recreates with a CLI that runs this code, and asserts the error.
#[track_caller]
fn check_failure(devcontainer: &str, detail: &str) {
    let (sandbox, daemon) = start(devcontainer);
    daemon
        .recreate("app")
        .assert_error(500, "Could not recreate devcontainer", detail);
    let after = daemon.devcontainer();
    assert_eq!(after["job"]["state"], "failed", "{after}");
    assert!(after["error"].as_str().unwrap().contains(detail), "{after}");
    eventually("no child is left", || {
        daemon.children().is_empty().then_some(())
    });
    let log = daemon.log_of("app");
    let last = log.last().unwrap();
    assert_eq!(last["outcome"], "failed");
    assert_eq!(last["level"], "error");
    assert!(last["output"].as_str().unwrap().contains(detail), "{last}");
    // The next operation succeeds.
    sandbox.devcontainer("");
    assert_eq!(daemon.recreate("app").status, 204);
    let after = daemon.devcontainer();
    assert_eq!(after.get("error"), None);
    assert_eq!(after["job"]["state"], "succeeded");
}

#[test]
fn each_form_of_a_failed_result_is_an_error() {
    for (result, detail) in [
        (
            r#"{"outcome":"error","message":"no such image"}"#,
            "no such image",
        ),
        (
            r#"{"outcome":"error","message":"m","description":"The build failed."}"#,
            "The build failed: m",
        ),
        (
            r#"{"outcome":"error","description":"d","new":[{"a":1}]}"#,
            "d",
        ),
        (
            r#"{"outcome":"error"}"#,
            "outcome \"error\" without a message",
        ),
    ] {
        check_failure(&format!("echo '{result}'; exit 1"), detail);
        check_failure(&format!("echo '{result}'; exit 0"), detail);
        check_failure(&format!("printf '%s' '{result}'; exit 1"), detail);
    }
}

#[test]
fn an_end_without_a_result_is_an_error() {
    for (cli, detail) in [
        (
            r#"echo '{"outcome":"success","containerId":"x"}'; exit 1"#,
            "devcontainer reported success, but ended with exit status: 1",
        ),
        (
            "exit 0",
            "devcontainer ended with exit status: 0 and without a result: it said nothing",
        ),
        (
            "echo 'env: node: No such file or directory' >&2; exit 127",
            "exit status: 127 and without a result: env: node: No such file or directory",
        ),
        (
            "echo 'Unknown argument: x'; exit 1",
            "without a result: Unknown argument: x",
        ),
        ("kill -9 $$", "devcontainer ended with signal: 9 (SIGKILL)"),
        (
            "kill -SEGV $$",
            "devcontainer ended with signal: 11 (SIGSEGV)",
        ),
        (r#"echo '{"outcome":"success"'; exit 0"#, "without a result"),
        (
            r#"echo '[]'; echo 'null'; echo '{}'; echo '{"outcome":5}'; exit 0"#,
            "without a result",
        ),
        (
            r#"echo '{"outcome":"success"}' >&2; exit 0"#,
            "without a result",
        ),
    ] {
        check_failure(cli, detail);
    }
}

#[test]
fn the_last_result_counts() {
    let (_sandbox, daemon) = start(
        r#"echo '{"outcome":"success"}'; echo '{"outcome":"error","message":"after all"}'; exit 1"#,
    );
    daemon
        .recreate("app")
        .assert_error(500, "Could not recreate devcontainer", "after all");
}

#[test]
fn a_missing_or_broken_cli_is_named() {
    let (sandbox, daemon) = start("");
    let failed = "Could not recreate devcontainer";
    let path = sandbox.path("bin/devcontainer");
    fs::write(&path, "#!/nonexistent/node\n").unwrap();
    daemon
        .recreate("app")
        .assert_error(500, failed, "devcontainer");
    fs::remove_file(&path).unwrap();
    let missing = "devcontainer was not found";
    daemon.recreate("app").assert_error(500, failed, missing);
    let not_ready = daemon.get("/readyz");
    let detail =
        "devcontainer CLI: devcontainer was not found; install it, or name it with --devcontainer";
    not_ready.assert_error(503, "Not ready", detail);
}

#[test]
fn a_failed_hook_leaves_a_running_container_and_an_error() {
    let sandbox = Sandbox::with_app();
    // The CLI makes the container and fails afterwards, as the real one does.
    sandbox.hook(
        "devcontainer-made",
        r#"echo "{\"outcome\":\"error\",\"message\":\"Command failed: false\",\"description\":\"The postCreateCommand failed.\",\"containerId\":\"$id\"}"; exit 1"#,
    );
    let daemon = sandbox.daemon().start();
    daemon.json("/");
    let detail = "The postCreateCommand failed: Command failed: false";
    daemon
        .recreate("app")
        .assert_error(500, "Could not recreate devcontainer", detail);
    let after = daemon.devcontainer();
    assert_eq!(after["status"], "running");
    assert_eq!(
        after["error"],
        format!("{detail}; the new container runs, and the old one is gone")
    );
    assert_eq!(after["container"]["name"], "made");
    assert_eq!(after["dirty"], false, "it was made from what is on disk");
    fs::write(sandbox.config("app"), "{\"image\":\"new\"}").unwrap();
    assert_eq!(daemon.devcontainer()["changes"][0]["change"], "modified");
}

#[test]
fn an_operation_that_takes_too_long_is_ended_with_all_its_processes() {
    let sandbox = Sandbox::with_app();
    sandbox.devcontainer("sleep 1000 & sleep 1000");
    let daemon = sandbox.daemon().args("--job-timeout 0.5").start();
    daemon.json("/");
    let begun = Stopwatch::start();
    let detail = "it did not end within the limit of 0.5 s (--job-timeout)";
    daemon
        .recreate("app")
        .assert_error(500, "Could not recreate devcontainer", detail);
    assert!(begun.by_the_clock() >= Duration::from_millis(500));
    assert!(begun.elapsed() < LONG / 3, "{:?}", begun.elapsed());
    // Containers are listed again at once, which takes a moment.
    eventually("no process is left", || {
        (sandbox.processes().is_empty() && daemon.children().is_empty()).then_some(())
    });
    assert_eq!(job_state(&daemon), "failed");
    drop(daemon);
    sandbox.devcontainer("");
    // Without that limit, which is too short for a busy machine.
    let daemon = sandbox.daemon().start();
    daemon.json("/");
    assert_eq!(daemon.recreate("app").status, 204);
}

#[test]
fn a_killed_recreate_is_a_failure_even_where_a_result_came() {
    let sandbox = Sandbox::with_app();
    sandbox.devcontainer(r#"echo '{"outcome":"success","containerId":"x"}'; sleep 1000"#);
    let daemon = sandbox.daemon().args("--job-timeout 0.3").start();
    daemon.json("/");
    assert_eq!(daemon.recreate("app").status, 500);
    assert_eq!(job_state(&daemon), "failed");
}

#[test]
fn p8_a_new_container_is_known_before_anybody_asks() {
    let (sandbox, daemon) = start("");
    daemon.begin_recreate("app");
    daemon.log.wait_for("recreate succeeded");
    eventually("it is listed", || {
        let calls = sandbox.read("calls/docker");
        let listings = calls
            .lines()
            .filter(|call| *call == "ps --all --quiet --no-trunc");
        (listings.count() >= 2).then_some(())
    });
    let made = format!("inspect {}", container_id(1001));
    eventually("and inspected", || {
        (sandbox.calls("docker", &made) >= 1).then_some(())
    });
}
