//! Dev containers that are a service of a compose project.

use std::fs;

use serde_json::json;

use crate::common::{Daemon, eventually, operation_processes};
use crate::engine::{Containers, IMAGE, daemon, docker, inspect, try_docker};
use crate::project::Project;
use crate::workspace::container_of;

const FAILED: &str = "Could not recreate devcontainer";
#[test]
fn one_is_listed_and_recreated_with_its_ports_and_its_data() {
    let (project, dev) = Project::up("compose-life", 47001);
    let daemon = daemon().start();
    let one = project.workspace.devcontainer(&daemon);
    assert_eq!(container_of(&one), dev);
    assert_eq!(one["name"], *project.workspace.name);
    assert_eq!(one["status"], "running");
    assert_eq!(one["container"]["ports"], project.ports(), "{one:#}");
    let db = project.db();
    let listed = crate::engine::listed(&daemon, &db).expect("a service is a container");
    assert!(listed.get("devcontainer_status").is_none(), "{listed:#}");

    project.compose("two", project.port);
    project.recreate(&daemon, "two");
    // Compose alone would keep the container.
    project.recreate(&daemon, "two");
}

#[test]
fn all_services_are_stopped_started_and_deleted_and_the_volume_stays() {
    let (project, dev) = Project::up("compose-stop", 47002);
    let db = project.db();
    let daemon = daemon().start();
    project.workspace.devcontainer(&daemon);
    let running = || [&dev, &db].map(|id| inspect(id, ".State.Running"));
    let stopped = project.post(&daemon, "stop?wait");
    assert_eq!(stopped.status, 204, "{stopped:?}");
    assert_eq!(running(), ["false", "false"]);
    let one = project.workspace.devcontainer(&daemon);
    assert_eq!(one["status"], "stopped", "{one:#}");

    let started = project.post(&daemon, "start?wait");
    assert_eq!(started.status, 204, "{started:?}");
    assert_eq!(running(), ["true", "true"], "the same ones");
    let one = project.workspace.devcontainer(&daemon);
    assert_eq!(one["status"], "running", "{one:#}");
    assert_eq!(one["container"]["ports"], project.ports(), "{one:#}");
    project.assert_data_is_there();

    let deleted = daemon.delete(&format!("/devcontainers/{}", project.workspace.name));
    assert_eq!(deleted.status, 204, "{deleted:?}");
    assert_eq!(project.service("dev"), [""; 0]);
    assert_eq!(project.service("db"), [""; 0]);
    assert!(project.workspace.find(&daemon).is_none());
    docker(&["volume", "inspect", &project.volume()]);
}

/// Asserts that the old container is there, runs, and is listed.
#[track_caller]
fn assert_unharmed(project: &Project, daemon: &Daemon, dev: &str) {
    assert_eq!(project.service("dev"), [dev], "the old one is there");
    assert_eq!(inspect(dev, ".State.Running"), "true");
    assert_eq!(inspect(&project.db(), ".State.Running"), "true");
    let one = project.workspace.devcontainer(daemon);
    assert_eq!(one["status"], "running", "{one:#}");
    assert_eq!(container_of(&one), dev, "{one:#}");
}

#[test]
fn p12_a_failing_build_leaves_the_old_one_running() {
    let (project, dev) = Project::up("compose-build", 47003);
    let started = inspect(&dev, ".State.StartedAt");
    let daemon = daemon().start();
    project.workspace.devcontainer(&daemon);
    project.dockerfile("RUN echo it cannot be built && exit 3");
    let failed = project.post(&daemon, "recreate?wait=true");
    failed.assert_error(500, FAILED, "nothing was lost");
    assert_unharmed(&project, &daemon, &dev);
    assert_eq!(inspect(&dev, ".State.StartedAt"), started, "it ran on");
    let one = project.workspace.devcontainer(&daemon);
    assert!(one["error"].as_str().unwrap().contains("nothing was lost"));
    let log = daemon.get(&format!("{}?format=text", project.workspace.logs()));
    assert!(log.body.contains("it cannot be built"), "{}", log.body);
    project.dockerfile("RUN true");
    project.recreate(&daemon, "one");
}

#[test]
fn p16_a_cancelled_build_leaves_the_old_one_running_and_no_process() {
    let (project, dev) = Project::up("compose-cancel", 47004);
    let started = inspect(&dev, ".State.StartedAt");
    let daemon = project.workspace.alone(daemon()).start();
    project.workspace.devcontainer(&daemon);
    project.dockerfile("RUN echo it takes long && sleep 4747.5");
    assert_eq!(project.post(&daemon, "recreate").status, 202);
    let is_there = || {
        let lines = fs::read_dir("/proc").unwrap().flatten();
        let mut lines = lines.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
        lines.any(|line| line == b"sleep\x004747.5\0")
    };
    eventually("it builds", || is_there().then_some(()));
    let cancelled = project.post(&daemon, "cancel");
    assert_eq!(cancelled.status, 204, "{cancelled:?}");
    let left = operation_processes(daemon.pid());
    assert!(left.is_empty(), "{left:?}");
    let one = project.workspace.devcontainer(&daemon);
    assert_eq!(one["job"]["state"], "cancelled", "{one:#}");
    assert_unharmed(&project, &daemon, &dev);
    assert_eq!(inspect(&dev, ".State.StartedAt"), started, "it ran on");
    eventually("the engine gives up, too", || (!is_there()).then_some(()));
    project.dockerfile("RUN true");
    project.recreate(&daemon, "one");
}

#[test]
fn p12_where_a_port_is_taken_the_error_says_what_became_of_the_old_one() {
    let (mut project, dev) = Project::up("compose-port", 47005);
    let daemon = daemon().start();
    project.workspace.devcontainer(&daemon);
    let holders = Containers::new("compose-holder");
    let taken = 47006;
    let port = format!("127.0.0.1:{taken}:80");
    let holder = holders.run(&["--publish", &port, IMAGE, "sleep", "1000"]);
    project.compose("two", taken);
    let failed = project.post(&daemon, "recreate?wait=true");
    failed.assert_error(500, FAILED, "");
    let one = project.workspace.devcontainer(&daemon);
    let error = one["error"].as_str().unwrap_or_default();
    assert!(
        failed.json()["detail"].as_str() == Some(error),
        "{failed:?}"
    );
    let state = try_docker(&["inspect", "--format", "{{.State.Running}}", &dev]);
    let runs = state.stdout.starts_with(b"true");
    assert_eq!(error.contains("nothing was lost"), runs, "{error}");
    if !runs {
        assert!(error.contains("container"), "what became of it: {error}");
        assert_eq!(one["running"], false, "{one:#}");
        assert_eq!(one["status"], "error", "{one:#}");
    }
    let log = daemon.get(&format!("{}?format=text", project.workspace.logs()));
    let allocated = "port is already allocated";
    assert!(log.body.contains(allocated), "{}", log.body);
    assert!(error.contains(allocated), "docker's own words: {error}");
    project.assert_data_is_there();
    // Once the port is free, the next operation succeeds.
    docker(&["rm", "--force", &holder]);
    project.port = taken;
    let made = project.post(&daemon, "recreate?wait=true");
    assert_eq!(made.status, 204, "{made:?}");
    let one = project.workspace.devcontainer(&daemon);
    assert_eq!(one["status"], "running", "{one:#}");
    assert_eq!(one["container"]["ports"], project.ports(), "{one:#}");
    project.assert_data_is_there();
}

#[test]
fn an_edit_of_a_compose_file_or_what_it_names_is_dirty_until_it_is_made_from_that() {
    let (project, _) = Project::up("dirty", 47006);
    let daemon = daemon().start();
    let changes = || project.workspace.devcontainer(&daemon)["changes"].clone();
    assert_eq!(changes(), json!([]));
    project.compose("two", project.port);
    let file = project.workspace.config().with_file_name("compose.yml");
    assert_eq!(changes(), json!([{"path": file, "change": "modified"}]));
    project.compose("one", project.port);
    assert_eq!(changes(), json!([]), "undone");
    project.write("dev.env", "FROM_FILE=one\n");
    project.compose_with("two", project.port, |file| {
        file["services"]["dev"]["env_file"] = json!(["dev.env"]);
        file["services"]["dev"]["environment"]["SET"] = json!("${SET:-no}");
    });
    let answer = project.post(&daemon, "recreate?wait");
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(changes(), json!([]), "made from it");
    project.dockerfile("ENV BUILT=two");
    let file = file.with_file_name("Dockerfile");
    assert_eq!(changes(), json!([{"path": file, "change": "modified"}]));
    project.dockerfile("");
    assert_eq!(changes(), json!([]), "undone, too");
    let file = file.with_file_name("dev.env");
    project.write("dev.env", "FROM_FILE=two\n");
    assert_eq!(changes(), json!([{"path": file, "change": "modified"}]));
    project.write("dev.env", "# A comment.\nFROM_FILE=one\n");
    assert_eq!(changes(), json!([]), "undone, but for a comment");
    let file = file.with_file_name(".env");
    project.write(".env", "SET=yes\n");
    assert_eq!(changes(), json!([{"path": file, "change": "created"}]));
    fs::remove_file(file).unwrap();
    assert_eq!(changes(), json!([]), "removed again");
    let id = container_of(&project.workspace.devcontainer(&daemon));
    let environment = inspect(&id, "json .Config.Env");
    for variable in ["GREETING=two", "FROM_FILE=one", "SET=no"] {
        assert!(environment.contains(variable), "{environment}");
    }
}
