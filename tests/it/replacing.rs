//! The docker that the CLI is given, and the old and the new container of a recreate (P12, P18).
//!
//! The stand-in for the CLI calls its docker as the real one does, and the stand-in for docker also creates containers.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::common::{Daemon, Sandbox, Stopwatch, container_id, eventually};
use serde_json::{Value, json};

/// The code that runs at each point of a recreate.
#[derive(Default)]
struct Script {
    /// Runs when the CLI begins.
    before: &'static str,
    /// Runs when the new container runs.
    after: &'static str,
    /// `runArgs`.
    run_args: &'static str,
    /// Runs when docker is called.
    docker: &'static str,
    /// Runs when docker is to start the new container.
    start: &'static str,
}

fn set(sandbox: &Sandbox, script: &Script) {
    for (hook, code) in [
        ("cli-begins", script.before),
        ("cli-made", script.after),
        ("run-args", script.run_args),
        ("docker-called", script.docker),
        ("docker-starts", script.start),
    ] {
        sandbox.hook(hook, code);
    }
    sandbox.stand_in("devcontainer", "devcontainer-calling-docker");
    sandbox.docker(include_str!("../stand-ins/docker-create-hook"));
}

/// A sandbox with one detected dev container that runs, and its daemon, which has listed it.
fn start(script: &Script) -> (Sandbox, Daemon) {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
    set(&sandbox, script);
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    daemon.json("/");
    (sandbox, daemon)
}

fn containers(sandbox: &Sandbox) -> Vec<Value> {
    let files = fs::read_dir(sandbox.path("containers")).unwrap().flatten();
    let read = |file: fs::DirEntry| fs::read_to_string(file.path()).ok();
    let all = files.filter_map(read);
    all.filter_map(|text| serde_json::from_str(&text).ok())
        .collect()
}

/// Asserts that the old container is the only one, has its name, and runs.
#[track_caller]
fn assert_old_alone(sandbox: &Sandbox) {
    let all = containers(sandbox);
    let [old] = &all[..] else {
        panic!("{all:#?}");
    };
    assert_eq!(old["Id"], container_id(1));
    assert_eq!(
        (&old["Name"], &old["State"]["Running"]),
        (&json!("/box1"), &json!(true))
    );
}

#[test]
fn p12_the_old_one_is_hidden_then_set_aside_then_removed() {
    let (sandbox, daemon) = start(&Script::default());
    assert_eq!(daemon.recreate("app").status, 204);
    assert_eq!(
        sandbox.read("found"),
        "found: \n",
        "the CLI does not see it"
    );
    let calls = sandbox.read("calls/docker");
    let acts = ["rename", "create", "stop", "start", "rm"];
    let verb = |call: &str| call.split(' ').next().unwrap_or_default().to_owned();
    let acted = calls
        .lines()
        .map(verb)
        .filter(|verb| acts.contains(&&**verb));
    let mut acted: Vec<String> = acted.collect();
    // The first two run at once.
    if acted[0] == "create" {
        acted.swap(0, 1);
    }
    assert_eq!(acted, acts, "{calls}");
    let [new] = &containers(&sandbox)[..] else {
        panic!()
    };
    assert_eq!(new["Id"], container_id(1001));
    assert_eq!(daemon.devcontainer()["container"]["id"], container_id(1001));
}

#[test]
fn p12_what_docker_does_not_create_never_stops_the_old_one() {
    let (sandbox, daemon) = start(&Script {
        run_args: "--bad",
        ..Script::default()
    });
    let failed = daemon.recreate("app");
    failed.assert_error(
        500,
        "Could not recreate devcontainer",
        "nothing was lost: container box1 runs as before",
    );
    assert_old_alone(&sandbox);
    assert_eq!(sandbox.calls("docker", "stop"), 0);
    let one = daemon.devcontainer();
    assert_eq!(
        (&one["status"], &one["container"]["name"]),
        (&json!("running"), &json!("box1"))
    );
}

#[test]
fn p12_flags_that_only_run_knows_are_left_out() {
    let (sandbox, daemon) = start(&Script {
        run_args: "--detach-keys ctrl-x",
        ..Script::default()
    });
    assert_eq!(daemon.recreate("app").status, 204);
    assert!(!sandbox.read("calls/docker").contains("--detach-keys"));
    assert_eq!(containers(&sandbox).len(), 1);
}

#[test]
fn p12_a_name_of_its_own_is_free_for_the_new_one() {
    let (sandbox, daemon) = start(&Script {
        run_args: "--name box1",
        ..Script::default()
    });
    assert_eq!(daemon.recreate("app").status, 204);
    assert_eq!(containers(&sandbox)[0]["Name"], "/box1");
    set(
        &sandbox,
        &Script {
            run_args: "--name box1",
            start: "echo 'Error response from daemon: port is taken' >&2; exit 1",
            ..Script::default()
        },
    );
    let failed = daemon.recreate("app");
    failed.assert_error(
        500,
        "Could not recreate devcontainer",
        "nothing was lost: container box1 runs",
    );
    assert_eq!(containers(&sandbox).len(), 1);
    assert_eq!(containers(&sandbox)[0]["Id"], container_id(1001));
}

/// Cancels a recreate with these `runArgs` while docker stops the old container. Asserts that the old container is the
/// only one afterwards, and returns the calls of docker.
#[track_caller]
fn cancel_while_the_old_one_is_stopped(run_args: &'static str) -> String {
    let (sandbox, daemon) = start(&Script {
        run_args,
        docker: r#"if [ "$1" = stop ] && [ ! -e "$R/cancelled" ]; then echo >"$R/stopping"; sleep 1000; fi"#,
        ..Script::default()
    });
    daemon.begin_recreate("app");
    eventually("it is stopped", || {
        sandbox.path("stopping").exists().then_some(())
    });
    sandbox.write("cancelled", "");
    assert_eq!(daemon.post("/devcontainers/app/cancel").status, 204);
    assert_old_alone(&sandbox);
    sandbox.read("calls/docker")
}

#[test]
fn p12_a_stop_that_docker_goes_on_with_does_not_stop_the_old_one_for_good() {
    // The client of docker is ended, but the engine stops the container nevertheless.
    let calls = cancel_while_the_old_one_is_stopped("");
    let last: Vec<&str> = calls
        .lines()
        .filter(|c| c.starts_with("st") || c.starts_with("rename"))
        .collect();
    let id = container_id(1);
    let end = [
        format!("stop {id}"),
        format!("start {id}"),
        format!("rename {id} box1"),
    ];
    assert_eq!(last[last.len() - 3..], end, "it was waited for: {calls}");
}

#[test]
fn p12_a_new_one_that_ran_is_kept_whatever_the_old_one_is_called() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    let config = sandbox.config("app");
    let labelled = |number| {
        sandbox
            .container(number)
            .label("devcontainer.local_folder", folder.to_str().unwrap())
            .label("devcontainer.config_file", config.to_str().unwrap())
    };
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
fn p18_compose_labels_of_an_image_reach_nobody_else() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    let compose = [
        ("com.docker.compose.project", "prod"),
        ("com.docker.compose.service", "db"),
    ];
    let labels = compose
        .into_iter()
        .fold(json!({}), |mut all, (key, value)| {
            all[key] = value.into();
            all
        });
    sandbox.image(&labels);
    let with = |number| {
        let container = sandbox.container(number);
        compose
            .into_iter()
            .fold(container, |c, (key, value)| c.label(key, value))
    };
    with(1)
        .label("devcontainer.local_folder", folder.to_str().unwrap())
        .label(
            "devcontainer.config_file",
            sandbox.config("app").to_str().unwrap(),
        )
        .save();
    with(2).set("Image", json!("sha256:other")).save();
    let daemon = sandbox.daemon().start();
    daemon.json("/");
    assert_eq!(daemon.delete("/devcontainers/app").status, 204);
    let left: Vec<Value> = containers(&sandbox)
        .iter()
        .map(|c| c["Id"].clone())
        .collect();
    assert_eq!(left, [json!(container_id(2))]);
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
fn p18_a_folder_that_is_a_pipe_holds_nobody_up() {
    let sandbox = Sandbox::new();
    let fifo = sandbox.path("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    sandbox
        .container(1)
        .label("devcontainer.local_folder", fifo.to_str().unwrap())
        .save();
    let daemon = sandbox.daemon().start();
    daemon.json("/");
    let begun = Stopwatch::start();
    assert_eq!(daemon.post("/devcontainers/fifo/stop?wait").status, 204);
    assert_eq!(daemon.delete("/devcontainers/fifo").status, 204);
    assert!(begun.elapsed() < Duration::from_secs(10));
}

#[test]
fn what_is_deleted_is_what_docker_has_now() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
    let daemon = sandbox.daemon().args("--cache-duration 3600").start();
    daemon.json("/");
    // Another program recreates it.
    sandbox.remove_container(1);
    sandbox.devcontainer_of(2, &folder);
    assert_eq!(daemon.delete("/devcontainers/app").status, 204);
    assert_eq!(containers(&sandbox), [Value::Null; 0]);
}

#[test]
fn warnings_of_docker_are_no_failures() {
    let (sandbox, daemon) = start(&Script {
        docker: "echo 'WARNING: Error loading config file: permission denied' >&2",
        ..Script::default()
    });
    assert_eq!(daemon.recreate("app").status, 204);
    assert_eq!(containers(&sandbox).len(), 1);
}

#[test]
fn a_folder_that_another_one_has_locked_is_left_to_it() {
    let (sandbox, daemon) = start(&Script::default());
    let folder = fs::File::open(sandbox.path("work/app")).unwrap();
    rustix::fs::flock(&folder, rustix::fs::FlockOperation::LockExclusive).unwrap();
    daemon
        .recreate("app")
        .assert_error(409, "Devcontainer operation in progress", "flock");
    drop(folder);
    assert_eq!(daemon.recreate("app").status, 204);
}

#[test]
fn p12_a_stop_before_a_plain_run_does_not_stop_the_old_one_for_good() {
    // Flags that only `run` has do not change the order.
    let calls = cancel_while_the_old_one_is_stopped("--detach-keys ctrl-x");
    let started = format!("start {}", container_id(1));
    assert!(calls.lines().any(|call| call == started), "{calls}");
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
        "cannot be put back",
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
    daemon.log.wait_for("what an operation left is put right");
    assert!(sandbox.path(&new).exists(), "{:#?}", containers(&sandbox));
}

#[test]
fn p12_success_without_a_container_does_not_cost_the_old_one() {
    let (sandbox, daemon) = start(&Script {
        after: r#"rm "$R/containers/$id""#,
        ..Script::default()
    });
    daemon.recreate("app");
    assert_old_alone(&sandbox);
}

#[test]
fn a_service_whose_image_compose_built_belongs_to_its_project() {
    // Compose sets the labels of project and service on an image that it builds, too.
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.image(&json!({"com.docker.compose.project": "p", "com.docker.compose.service": "dev"}));
    let service = |number, name| {
        sandbox
            .container(number)
            .label("com.docker.compose.project", "p")
            .label("com.docker.compose.service", name)
            .label("com.docker.compose.container-number", "1")
            .label("com.docker.compose.config-hash", "0123")
    };
    service(1, "dev")
        .label("devcontainer.local_folder", folder.to_str().unwrap())
        .label(
            "devcontainer.config_file",
            sandbox.config("app").to_str().unwrap(),
        )
        .save();
    service(2, "db").set("Image", json!("sha256:other")).save();
    let daemon = sandbox.daemon().start();
    daemon.json("/");
    assert_eq!(daemon.delete("/devcontainers/app").status, 204);
    assert_eq!(containers(&sandbox), [Value::Null; 0]);
}

#[test]
fn an_image_that_is_gone_stops_no_operation() {
    let (sandbox, daemon) = start(&Script {
        docker: r#"if [ "$1 $2 $3" = "inspect --type image" ]; then
            echo '[]'; echo "Error response from daemon: No such image: $4" >&2; exit 1; fi"#,
        ..Script::default()
    });
    let folder = sandbox.path("work/app");
    sandbox
        .container(1)
        .label("devcontainer.local_folder", folder.to_str().unwrap())
        .label(
            "devcontainer.config_file",
            sandbox.config("app").to_str().unwrap(),
        )
        .label("com.docker.compose.project", "p")
        .label("com.docker.compose.service", "dev")
        .save();
    assert_eq!(daemon.delete("/devcontainers/app").status, 204);
}

#[test]
fn what_is_deleted_is_nothing_of_another_dev_container() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("work/app");
    let add = |number: u32, config: Option<&str>| {
        let folder = folder.to_str().unwrap();
        let one = sandbox
            .container(number)
            .label("devcontainer.local_folder", folder);
        match config {
            Some(config) => {
                let config = sandbox.write(
                    &format!("work/app/.devcontainer/{config}/devcontainer.json"),
                    "{}",
                );
                one.label("devcontainer.config_file", config.to_str().unwrap())
                    .save();
            }
            None => one.save(),
        }
    };
    add(1, Some("a"));
    add(2, Some("b"));
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    daemon.json("/");
    add(3, None);
    let all = daemon.json("/devcontainers");
    let third = all["devcontainers"].as_array().unwrap().iter();
    let third = third
        .clone()
        .find(|d| d["container"]["id"] == container_id(3))
        .unwrap();
    let path = format!("/devcontainers/{}", third["id"].as_str().unwrap());
    assert_eq!(daemon.delete(&path).status, 204);
    let mut left: Vec<Value> = containers(&sandbox)
        .iter()
        .map(|c| c["Id"].clone())
        .collect();
    left.sort_by_key(|id| id.to_string());
    assert_eq!(left, [json!(container_id(1)), json!(container_id(2))]);
}

#[test]
fn a_test_run_is_no_container_of_a_dev_container() {
    let (sandbox, daemon) = start(&Script::default());
    let folder = sandbox.path("work/app");
    sandbox
        .container(2)
        .label("devcontainer.local_folder", folder.to_str().unwrap())
        .label(
            "devcontainer.config_file",
            sandbox.config("app").to_str().unwrap(),
        )
        .label("devcontainer.is_test_run", "true")
        .save();
    assert_eq!(daemon.delete("/devcontainers/app").status, 204);
    assert_eq!(containers(&sandbox).len(), 1);
}

#[test]
fn p12_a_stop_by_compose_that_docker_goes_on_with_does_not_stop_the_old_one_for_good() {
    // Compose makes the new one, stops the old one, removes it, and starts the new one.
    let (sandbox, daemon) = start(&Script {
        before: r#""$docker" compose --project-name p up -d; exit 1"#,
        docker: r#"if [ "$1" = compose ]; then
            sed 's/0000000001"/0000000002"/; s/box1/box2/; s/"running"/"created"/; s/"Running":true/"Running":false/' \
                "$R/containers/"*0001 >"$R/.two"
            mv "$R/.two" "$R/containers/0000000000000000000000000000000000000000000000000000000000000002"
            echo >"$R/stopping"; sleep 1000; fi"#,
        ..Script::default()
    });
    let folder = sandbox.path("work/app");
    fs::write(
        sandbox.config("app"),
        r#"{"dockerComposeFile": "c.yml", "service": "dev"}"#,
    )
    .unwrap();
    sandbox
        .container(1)
        .label("devcontainer.local_folder", folder.to_str().unwrap())
        .label(
            "devcontainer.config_file",
            sandbox.config("app").to_str().unwrap(),
        )
        .label("com.docker.compose.project", "p")
        .label("com.docker.compose.service", "dev")
        .save();
    daemon.begin_recreate("app");
    eventually("it is stopped", || {
        sandbox.path("stopping").exists().then_some(())
    });
    assert_eq!(daemon.post("/devcontainers/app/cancel").status, 204);
    assert_old_alone(&sandbox);
    let calls = sandbox.read("calls/docker");
    let started = format!("start {}", container_id(1));
    assert!(calls.lines().any(|call| call == started), "{calls}");
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
    assert_eq!(listings(), 1);
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

#[test]
fn p10_operations_that_end_all_the_time_keep_nobody_waiting() {
    let (sandbox, daemon) = start(&Script {
        docker: r#"[ "$*" = "ps --all --quiet --no-trunc" ] && sleep 0.2"#,
        ..Script::default()
    });
    // Each of its operations ends at once.
    sandbox.devcontainer_of(2, &sandbox.workspace("a=b"));
    daemon.json("/");
    let over = AtomicBool::new(false);
    let ended = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                daemon.recreate("a=b");
                ended.fetch_add(1, Ordering::Relaxed);
                // The pace of the operations.
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        eventually("some have ended", || {
            (ended.load(Ordering::Relaxed) > 2).then_some(())
        });
        let begun = Stopwatch::start();
        let answer = daemon.get("/");
        over.store(true, Ordering::Relaxed);
        let waited = begun.elapsed();
        assert!(!answer.body.contains("warnings"), "{waited:?}: {answer:?}");
    });
}
