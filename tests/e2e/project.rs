//! Compose projects, and dev containers that are a service of one.

use std::fs;

use serde_json::{Value, json};

use crate::common::{Daemon, Response, processes_of_operation};
use crate::engine::{IMAGE, docker, inspect, remove_labelled, try_docker};
use crate::workspace::{Workspace, container_of};

/// Runs until it gets a TERM. Compose turns two dollars into one.
pub(crate) const SERVE: &str = "trap 'exit 0' 15; while sleep 1 & wait $$!; do :; done";

/// The same, but while this file exists, a TERM has no effect yet.
const STOPPED_LATE: &str = "trap 'while [ -e /hold ]; do sleep 0.1; done; exit 0' 15; while sleep 1 & wait $$!; do :; done";

/// A workspace with the services `dev` and `db`; removed with its volume and its network when it is dropped.
pub(crate) struct Project {
    pub(crate) workspace: Workspace,
    /// The name of the compose project.
    pub(crate) name: String,
    /// The port on which `dev` is published.
    pub(crate) port: u16,
}

impl Project {
    /// A project that is up, and the id of the container of `dev`. Each test has a port of its own.
    pub(crate) fn up(test: &str, port: u16) -> (Self, String) {
        Self::up_with(test, port, |_| ())
    }

    /// A project that is up with changes of its compose file.
    pub(crate) fn up_with(
        test: &str,
        port: u16,
        change: impl FnOnce(&mut Value),
    ) -> (Self, String) {
        let workspace = Workspace::new(test, json!({}));
        let name = format!("{}_devcontainer", workspace.name);
        let project = Self {
            workspace,
            name,
            port,
        };
        project.configure(json!({}));
        project.compose_with("one", port, change);
        project.dockerfile("");
        let dev = project.workspace.up();
        docker(&["exec", &project.db(), "sh", "-c", "echo kept >/data/file"]);
        (project, dev)
    }

    /// Writes the configuration with these fields and those that all have; null removes a field.
    pub(crate) fn configure(&self, fields: Value) {
        let mut config = json!({
            "dockerComposeFile": "compose.yml",
            "service": "dev",
            "workspaceFolder": "/",
        });
        let map = config.as_object_mut().unwrap();
        map.extend(fields.as_object().unwrap().clone());
        map.retain(|_, value| !value.is_null());
        self.workspace.write(&config.to_string());
    }

    /// Writes the compose file; the environment of `dev` has `greeting`.
    pub(crate) fn compose(&self, greeting: &str, port: u16) {
        self.compose_with(greeting, port, |_| ());
    }

    /// Writes the compose file with changes.
    pub(crate) fn compose_with(&self, greeting: &str, port: u16, change: impl FnOnce(&mut Value)) {
        let serve = |program| json!(["sh", "-c", program]);
        // JSON is a subset of YAML.
        let mut file = json!({
            "version": "3.7",
            "services": {
                "dev": {
                    "build": {"context": ".", "dockerfile": "Dockerfile"},
                    "command": serve(SERVE),
                    "environment": {"GREETING": greeting},
                    "ports": [format!("127.0.0.1:{port}:80")],
                    "depends_on": ["db"],
                },
                "db": {
                    "image": IMAGE,
                    "command": serve(STOPPED_LATE),
                    "stop_grace_period": "600s",
                    "volumes": ["data:/data"],
                },
            },
            "volumes": {"data": {}},
        });
        change(&mut file);
        self.write("compose.yml", &serde_json::to_string_pretty(&file).unwrap());
    }

    pub(crate) fn dockerfile(&self, more: &str) {
        self.write("Dockerfile", &format!("FROM {IMAGE}\n{more}\n"));
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.workspace.folder().join(".devcontainer").join(name);
        fs::write(path, text).unwrap();
    }

    pub(crate) fn label(&self) -> String {
        format!("com.docker.compose.project={}", self.name)
    }

    /// The ids of the containers of a service.
    pub(crate) fn service(&self, service: &str) -> Vec<String> {
        let project = format!("label={}", self.label());
        let service = format!("label=com.docker.compose.service={service}");
        let all = ["ps", "--all", "--quiet", "--no-trunc"];
        let filters = ["--filter", &project, "--filter", &service];
        let found = docker(&[&all[..], &filters].concat());
        found.lines().map(str::to_owned).collect()
    }

    #[track_caller]
    pub(crate) fn db(&self) -> String {
        let found = self.service("db");
        assert_eq!(found.len(), 1, "{found:?}");
        found[0].clone()
    }

    /// Makes a stop of the container of `db` last until [`Project::release_db`].
    #[track_caller]
    pub(crate) fn hold_db(&self) {
        docker(&["exec", &self.db(), "touch", "/hold"]);
    }

    /// Lets a container of `db` end that is held and being stopped. Returns whether it was held.
    pub(crate) fn release_db(id: &str) -> bool {
        try_docker(&["exec", id, "rm", "/hold"]).status.success()
    }

    pub(crate) fn volume(&self) -> String {
        format!("{}_data", self.name)
    }

    #[track_caller]
    pub(crate) fn assert_data_is_there(&self) {
        assert_eq!(docker(&["exec", &self.db(), "cat", "/data/file"]), "kept");
    }

    #[track_caller]
    pub(crate) fn post(&self, daemon: &Daemon, operation: &str) -> Response {
        daemon.post(&format!(
            "/devcontainers/{}/{operation}",
            self.workspace.name
        ))
    }

    /// Recreates it and asserts that the new container is as it should be. Returns the id of that.
    #[track_caller]
    pub(crate) fn recreate(&self, daemon: &Daemon, greeting: &str) -> String {
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
        let operation = inspect(&id, r#"index .Config.Labels "devcontainerd.operation""#);
        let left = processes_of_operation(daemon.pid(), &operation);
        assert!(left.is_empty(), "{left:?}");
        id
    }

    pub(crate) fn ports(&self) -> Value {
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
