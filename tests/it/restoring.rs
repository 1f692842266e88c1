//! Old containers that an operation left renamed or stopped, which are restored later (P12).

use std::fs;
use std::time::Duration;

use super::replacing::{Script, assert_old_alone, containers, set, start};
use crate::common::{Sandbox, container_id, eventually};
use serde_json::json;

#[test]
fn p12_a_new_one_that_ran_is_kept_whatever_the_old_one_is_called() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    let labelled = |number| sandbox.container(number).of(&folder);
    let stopped =
        |started: &str| json!({"Status": "exited", "Running": false, "StartedAt": started});
    labelled(1)
        .set(
            "Name",
            json!("/box1.devcontainerd-0000000000000005-running"),
        )
        .set("State", stopped("2026-01-01T00:00:00Z"))
        .save();
    labelled(2)
        .label("devcontainerd.operation", "0000000000000005")
        .set("State", stopped("2026-01-02T00:00:00Z"))
        .save();
    let daemon = sandbox.daemon().start();
    daemon
        .log
        .wait_for("both the old container and the new one are kept");
    daemon.json("/");
    assert_eq!(containers(&sandbox).len(), 2);
    assert_eq!(
        sandbox.calls("docker", "rm") + sandbox.calls("docker", "start"),
        0
    );
}

#[test]
fn p12_the_next_daemon_puts_back_what_a_killed_one_left() {
    for state_dir in [true, false] {
        let (sandbox, mut daemon) = start(&Script {
            start: r#"echo >"$R/starting"; sleep 1000"#,
            ..Script::default()
        });
        daemon.begin_recreate("app");
        eventually("it is set aside", || {
            sandbox.path("starting").exists().then_some(())
        });
        daemon.signal("KILL");
        daemon.wait();
        set(&sandbox, &Script::default());
        let next = match state_dir {
            true => sandbox.daemon(),
            false => sandbox.daemon().env("XDG_STATE_HOME", "/dev/null"),
        };
        let next = next.start();
        next.log
            .wait_for("nothing was lost: container box1 runs as before");
        assert_old_alone(&sandbox);
        eventually("it is said", || {
            let one = next.devcontainer();
            let said = one["error"]
                .as_str()
                .is_some_and(|e| e.contains("nothing was lost"));
            (said && one["job"]["state"] == "interrupted" && one["status"] == "running")
                .then_some(())
        });
        assert_eq!(next.recreate("app").status, 204, "and it can be recreated");
        assert_eq!(containers(&sandbox).len(), 1);
    }
}

#[test]
fn p12_what_is_to_be_put_back_is_as_soon_as_docker_answers() {
    let (sandbox, mut daemon) = start(&Script {
        start: r#"echo >"$R/starting"; sleep 1000"#,
        ..Script::default()
    });
    daemon.begin_recreate("app");
    eventually("it is set aside", || {
        sandbox.path("starting").exists().then_some(())
    });
    daemon.signal("KILL");
    daemon.wait();
    sandbox.docker("echo 'Cannot connect to the Docker daemon' >&2; exit 1");
    let next = sandbox.daemon().start();
    next.log.wait_for("containers cannot be listed");
    set(&sandbox, &Script::default());
    // There is no request.
    next.log
        .wait_for("nothing was lost: container box1 runs as before");
    assert_old_alone(&sandbox);
}

#[test]
fn p12_a_daemon_that_is_gone_makes_no_container_any_more() {
    let (sandbox, mut daemon) = start(&Script {
        before: r#"echo >"$R/waits"; while [ ! -e "$R/go" ]; do sleep 0.02; done"#,
        ..Script::default()
    });
    daemon.begin_recreate("app");
    eventually("the CLI waits", || {
        sandbox.path("waits").exists().then_some(())
    });
    daemon.signal("KILL");
    daemon.wait();
    sandbox.write("go", "");
    eventually("it has ended", || {
        sandbox.processes().is_empty().then_some(())
    });
    assert_old_alone(&sandbox);
    assert_eq!(
        sandbox.calls("docker", "create") + sandbox.calls("docker", "rename"),
        0
    );
}

#[test]
fn p18_containers_outside_of_the_roots_are_not_put_right() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox
        .container(1)
        .label("devcontainer.local_folder", folder.to_str().unwrap())
        .set(
            "Name",
            json!("/box1.devcontainerd-0000000000000005-running"),
        )
        .set("State", json!({"Status": "exited", "Running": false}))
        .save();
    let root = sandbox.path("bin");
    let daemon = sandbox
        .daemon()
        .args("--cache-duration 0 --workspace-root")
        .arg(root.to_str().unwrap());
    let daemon = daemon.start();
    for _ in 0..3 {
        daemon.json("/");
    }
    assert_eq!(
        sandbox.calls("docker", "start") + sandbox.calls("docker", "rename"),
        0
    );
}

#[test]
fn p12_what_docker_refused_for_a_while_is_put_back_afterwards() {
    let (sandbox, daemon) = start(&Script {
        start: "echo 'port is taken' >&2; exit 1",
        docker: r#"if [ "$1" = start ] && [ "$2" != -- ] && [ -e "$R/down" ]; then
            echo 'Cannot connect to the Docker daemon' >&2; exit 1; fi"#,
        ..Script::default()
    });
    sandbox.write("down", "");
    daemon.recreate("app").assert_error(
        500,
        "Could not recreate devcontainer",
        "could not be restored",
    );
    // The listing after the end makes it try once more.
    eventually("it is tried again", || {
        (sandbox.calls("docker", &format!("start {}", container_id(1))) >= 2).then_some(())
    });
    fs::remove_file(sandbox.path("down")).unwrap();
    eventually("it is put back", || {
        daemon.json("/");
        (containers(&sandbox)[0]["Name"] == "/box1").then_some(())
    });
    assert_old_alone(&sandbox);
}

#[test]
fn p12_a_new_one_that_ran_is_not_removed_because_the_engine_stopped_it() {
    let (sandbox, daemon) = start(&Script {
        after: r#"echo >"$R/down""#,
        docker: r#"if [ -e "$R/down" ]; then echo 'Cannot connect to the Docker daemon' >&2; exit 1; fi"#,
        ..Script::default()
    });
    daemon.recreate("app").assert_error(
        500,
        "Could not recreate devcontainer",
        "docker does not answer",
    );
    // The engine stopped all containers when it ended.
    let new = format!("containers/{}", container_id(1001));
    let stopped = sandbox
        .read(&new)
        .replace("\"Running\":true", "\"Running\":false")
        .replace("\"running\"", "\"exited\"");
    sandbox.write(&new, &stopped);
    fs::remove_file(sandbox.path("down")).unwrap();
    daemon
        .log
        .wait_for("containers that an operation left are repaired");
    assert!(sandbox.path(&new).exists(), "{:#?}", containers(&sandbox));
}

/// A sandbox whose daemon was killed when it had renamed the only container.
fn killed_when_it_had_set_aside() -> Sandbox {
    let (sandbox, mut daemon) = start(&Script {
        start: r#"echo >"$R/starting"; sleep 1000"#,
        ..Script::default()
    });
    daemon.begin_recreate("app");
    eventually("it is set aside", || {
        sandbox.path("starting").exists().then_some(())
    });
    daemon.signal("KILL");
    daemon.wait();
    sandbox
}

#[test]
fn p9_what_may_not_be_put_right_is_not_tried_for_ever() {
    let sandbox = killed_when_it_had_set_aside();
    set(&sandbox, &Script::default());
    fs::remove_file(sandbox.path("calls/docker")).unwrap();
    let root = sandbox.path("bin");
    let daemon = sandbox.daemon().arg("--workspace-root");
    let daemon = daemon.arg(root.to_str().unwrap()).start();
    let listings = || sandbox.calls("docker", "ps");
    eventually("it lists", || (listings() > 0).then_some(()));
    // Time itself is tested here: nothing may happen in it.
    std::thread::sleep(Duration::from_secs(8));
    // It lists again where it has ended what a daemon of another test left.
    let again = daemon.log_count("processes that an earlier daemon left");
    assert_eq!(listings(), 1 + again);
    drop(daemon);
}

#[test]
fn p16_a_daemon_that_ends_while_it_puts_right_leaves_no_process() {
    let sandbox = killed_when_it_had_set_aside();
    set(
        &sandbox,
        &Script {
            docker: r#"if [ "$1" = rm ]; then echo >"$R/removing"; sleep 1000; fi"#,
            ..Script::default()
        },
    );
    let mut daemon = sandbox.daemon().start();
    eventually("it is put right", || {
        sandbox.path("removing").exists().then_some(())
    });
    daemon.signal("TERM");
    daemon.wait();
    assert_eq!(sandbox.processes(), [0; 0]);
}

#[test]
fn p12_an_operation_that_begins_while_docker_is_away_does_not_end_the_putting_right() {
    let (sandbox, daemon) = start(&Script {
        start: r#"echo >"$R/down"; exit 1"#,
        docker: r#"if [ -e "$R/down" ]; then echo 'Cannot connect to the Docker daemon' >&2; exit 1; fi"#,
        ..Script::default()
    });
    daemon.recreate("app").assert_error(
        500,
        "Could not recreate devcontainer",
        "docker does not answer",
    );
    // docker is away now, and back before the next try.
    daemon.post("/devcontainers/app/stop?wait");
    fs::remove_file(sandbox.path("down")).unwrap();
    set(&sandbox, &Script::default());
    eventually("it is put back without a request", || {
        let all = containers(&sandbox);
        (all.first()?["Name"] == "/box1").then_some(())
    });
}
