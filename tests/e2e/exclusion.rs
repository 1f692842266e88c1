//! One operation at a time in a compose project (P14), with the real CLI and compose.

use std::fs;
use std::path::PathBuf;
use std::thread;

use serde_json::{Value, json};

use crate::common::{Daemon, eventually};
use crate::engine::{IMAGE, daemon, docker, inspect, remove_labelled, try_docker};
use crate::workspace::{Workspace, container_of};

/// Waits in the workspace folder, on the host.
const WAIT: &str = "while [ ! -e go ]; do sleep 0.05; done";

/// A folder with the configurations `a` and `b`, whose dev containers are services of one compose project; removed with
/// its containers and its network when it is dropped.
struct Project {
    workspace: Workspace,
    name: String,
}

impl Project {
    fn new(test: &str) -> Self {
        let workspace = Workspace::new(test, json!({}));
        fs::remove_file(workspace.config()).unwrap();
        let name = format!("{}_devcontainer", workspace.name);
        let project = Self { workspace, name };
        let service = json!({"image": IMAGE, "command": ["sleep", "1000"]});
        // JSON is a subset of YAML.
        let file = json!({"version": "3.7", "services": {"a": service, "b": service}});
        let directory = project.workspace.config();
        let directory = directory.parent().unwrap();
        fs::write(directory.join("compose.yml"), file.to_string()).unwrap();
        for service in ["a", "b"] {
            let config = json!({
                "dockerComposeFile": "../compose.yml",
                "service": service,
                "runServices": [service],
                "workspaceFolder": "/",
                "initializeCommand": WAIT,
            });
            let path = project.config(service);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, config.to_string()).unwrap();
        }
        project
    }

    fn config(&self, service: &str) -> PathBuf {
        let file = self.workspace.config();
        file.with_file_name(service).join("devcontainer.json")
    }

    /// The dev container of a service.
    #[track_caller]
    fn devcontainer(&self, daemon: &Daemon, service: &str) -> Value {
        let config = self.config(service);
        let all = daemon.json("/devcontainers");
        let mut all = all["devcontainers"].as_array().unwrap().iter();
        let found = all.find(|one| one["config_path"] == config.to_str().unwrap());
        found.expect("it is listed").clone()
    }

    fn label(&self) -> String {
        format!("com.docker.compose.project={}", self.name)
    }
}

/// Lets what waits go on when it is dropped, also where the test fails before.
struct Held<'a>(&'a Workspace);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.release();
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        remove_labelled(&self.label());
        try_docker(&["network", "rm", &format!("{}_default", self.name)]);
    }
}

#[test]
fn p14_two_dev_containers_of_a_compose_project_are_recreated_one_after_the_other() {
    let project = Project::new("exclusion");
    project.workspace.release();
    let before = ["a", "b"].map(|service| project.workspace.up_from(&project.config(service)));
    project.workspace.hold();
    let daemon = daemon().start();
    let ids = ["a", "b"].map(|service| {
        let one = project.devcontainer(&daemon, service);
        (
            one["id"].as_str().unwrap().to_owned(),
            one["name"].as_str().unwrap().to_owned(),
        )
    });
    let answers = thread::scope(|scope| {
        let held = Held(&project.workspace);
        let requests = ids.each_ref().map(|(id, _)| {
            let path = format!("/devcontainers/{id}/recreate?wait");
            let daemon = &daemon;
            scope.spawn(move || daemon.post(&path))
        });
        eventually("one is refused", || {
            requests
                .iter()
                .any(|request| request.is_finished())
                .then_some(())
        });
        drop(held);
        requests.map(|request| request.join().unwrap())
    });
    let first = usize::from(answers[0].status != 204);
    assert_eq!(answers[first].status, 204, "{answers:?}");
    let name = &ids[first].1;
    let detail = format!("a recreate of `{name}` is at work in the same compose project");
    answers[1 - first].assert_error(409, "Devcontainer operation in progress", &detail);

    let after = ["a", "b"].map(|service| container_of(&project.devcontainer(&daemon, service)));
    assert_ne!(after[first], before[first], "a new one");
    assert_eq!(after[1 - first], before[1 - first], "untouched");
    for id in &after {
        assert_eq!(inspect(id, ".State.Running"), "true");
    }
    let filter = format!("label={}", project.label());
    let all = docker(&["ps", "--all", "--quiet", "--filter", &filter]);
    assert_eq!(all.lines().count(), 2, "{all}");
}
