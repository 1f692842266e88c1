//! Dev containers that are a service of a compose project.

use std::fs;

use serde_json::{Value, json};

use crate::common::{Daemon, Response, eventually, operation_processes};
use crate::engine::{Containers, IMAGE, daemon, docker, inspect, remove_labelled, try_docker};
use crate::workspace::{Workspace, container_of};

const FAILED: &str = "Could not recreate devcontainer";
/// Runs until it gets a TERM. Compose turns two dollars into one.
const SERVE: &str = "trap 'exit 0' 15; while sleep 1 & wait $$!; do :; done";

/// A workspace with the services `dev` and `db`; removed with its volume and its network when it is dropped.
struct Project {
    workspace: Workspace,
    /// The name of the compose project.
    name: String,
    /// The port on which `dev` is published.
    port: u16,
}

impl Project {
    /// A project that is up, and the id of the container of `dev`. Each test has a port of its own.
    fn up(test: &str, port: u16) -> (Self, String) {
        let workspace = Workspace::new(test, json!({}));
        let name = format!("{}_devcontainer", workspace.name);
        let project = Self {
            workspace,
            name,
            port,
        };
        let config = json!({
            "dockerComposeFile": "compose.yml",
            "service": "dev",
            "workspaceFolder": "/",
        });
        project.workspace.write(&config.to_string());
        project.compose("one", port);
        project.dockerfile("");
        let dev = project.workspace.up();
        docker(&["exec", &project.db(), "sh", "-c", "echo kept >/data/file"]);
        (project, dev)
    }

    /// Writes the compose file; the environment of `dev` has `greeting`.
    fn compose(&self, greeting: &str, port: u16) {
        let serve = json!(["sh", "-c", SERVE]);
        // JSON is a subset of YAML.
        let file = json!({
            "version": "3.7",
            "services": {
                "dev": {
                    "build": {"context": ".", "dockerfile": "Dockerfile"},
                    "command": serve,
                    "environment": {"GREETING": greeting},
                    "ports": [format!("127.0.0.1:{port}:80")],
                    "depends_on": ["db"],
                },
                "db": {"image": IMAGE, "command": serve, "volumes": ["data:/data"]},
            },
            "volumes": {"data": {}},
        });
        self.write("compose.yml", &serde_json::to_string_pretty(&file).unwrap());
    }

    fn dockerfile(&self, more: &str) {
        self.write("Dockerfile", &format!("FROM {IMAGE}\n{more}\n"));
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.workspace.folder().join(".devcontainer").join(name);
        fs::write(path, text).unwrap();
    }

    fn label(&self) -> String {
        format!("com.docker.compose.project={}", self.name)
    }

    /// The ids of the containers of a service.
    fn service(&self, service: &str) -> Vec<String> {
        let project = format!("label={}", self.label());
        let service = format!("label=com.docker.compose.service={service}");
        let all = ["ps", "--all", "--quiet", "--no-trunc"];
        let filters = ["--filter", &project, "--filter", &service];
        let found = docker(&[&all[..], &filters].concat());
        found.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    fn db(&self) -> String {
        let found = self.service("db");
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }

    fn volume(&self) -> String {
        format!("{}_data", self.name)
    }

    #[track_caller]
    fn assert_data_is_there(&self) {
        assert_eq!(docker(&["exec", &self.db(), "cat", "/data/file"]), "kept");
    }

    #[track_caller]
    fn post(&self, daemon: &Daemon, operation: &str) -> Response {
        daemon.post(&format!(
            "/devcontainers/{}/{operation}",
            self.workspace.name
        ))
    }

    /// Recreates it and asserts that the new container is as it should be. Returns the id of that.
    #[track_caller]
    fn recreate(&self, daemon: &Daemon, greeting: &str) -> String {
        let before = container_of(&self.workspace.devcontainer(daemon));
        let made = self.post(daemon, "recreate?wait=true");
        assert_eq!(made.status, 204, "{made:?}");
        let after = self.workspace.devcontainer(daemon);
        let id = container_of(&after);
        assert_ne!(id, before, "a new one");
        assert_eq!(self.service("dev"), [&*id], "and no other");
        assert_eq!(after["status"], "running", "{after:#}");
        assert_eq!(after["dirty"], false, "{after:#}");
        assert!(after.get("error").is_none(), "{after:#}");
        assert_eq!(after["container"]["ports"], self.ports(), "{after:#}");
        let environment = inspect(&id, "json .Config.Env");
        assert!(environment.contains(&format!("GREETING={greeting}")));
        assert_eq!(inspect(&self.db(), ".State.Running"), "true");
        self.assert_data_is_there();
        let left = operation_processes(daemon.pid());
        assert!(left.is_empty(), "{left:?}");
        id
    }

    fn ports(&self) -> Value {
        let host = ("127.0.0.1", self.port);
        json!([{"port": 80, "network": "tcp", "host_ip": host.0, "host_port": host.1}])
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        remove_labelled(&self.label());
        try_docker(&["volume", "rm", "--force", &self.volume()]);
        try_docker(&["network", "rm", &format!("{}_default", self.name)]);
        // Compose 1 and 2 name it differently.
        let images = ["_", "-"].map(|separator| format!("{}{separator}dev", self.name));
        try_docker(&["rmi", "--force", &images[0], &images[1]]);
    }
}

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
    let daemon = daemon().start();
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
fn an_edit_of_a_compose_file_or_its_dockerfile_is_dirty_until_it_is_made_from_that() {
    let (project, _) = Project::up("dirty", 47006);
    let daemon = daemon().start();
    let changes = || project.workspace.devcontainer(&daemon)["changes"].clone();
    assert_eq!(changes(), Value::Null);
    project.compose("two", project.port);
    let file = project.workspace.config().with_file_name("compose.yml");
    assert_eq!(changes(), json!([{"path": file, "change": "modified"}]));
    project.compose("one", project.port);
    assert_eq!(changes(), Value::Null, "undone");
    project.compose("two", project.port);
    let answer = project.post(&daemon, "recreate?wait");
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_eq!(changes(), Value::Null, "made from it");
    project.dockerfile("ENV BUILT=two");
    let file = file.with_file_name("Dockerfile");
    assert_eq!(changes(), json!([{"path": file, "change": "modified"}]));
    project.dockerfile("");
    assert_eq!(changes(), Value::Null, "undone, too");
    let id = container_of(&project.workspace.devcontainer(&daemon));
    assert!(inspect(&id, "json .Config.Env").contains("GREETING=two"));
}
