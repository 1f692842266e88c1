//! The containers of the docker stand-in, and its events.

use std::fs;
use std::io::Write;
use std::path::Path;

use serde_json::{Value, json};

use super::Sandbox;

/// The id of the image of all containers.
const IMAGE: &str = "sha256:0000000000000000000000000000000000000000000000000000000000000000";

pub fn container_id(number: u32) -> String {
    format!("{number:064x}")
}

impl Sandbox {
    /// Returns a sandbox with the dev container `app`, whose container runs.
    pub fn with_app() -> Self {
        Self::with_app_of(r#"{"image": "base"}"#)
    }

    /// Returns a sandbox with the dev container `app`, whose container runs and was made from this configuration.
    pub fn with_app_of(config: &str) -> Self {
        let sandbox = Self::new();
        let folder = sandbox.workspace_with("app", config);
        sandbox.devcontainer_of(1, &folder);
        sandbox
    }

    /// Sets the labels of the image of all containers.
    pub fn image(&self, labels: &Value) {
        let image = json!({"Id": IMAGE, "Config": {"Labels": labels}});
        self.write(&format!("images/{IMAGE}"), &image.to_string());
    }

    /// Adds a container, or replaces it, once it is saved; `number` makes its id.
    pub fn container(&self, number: u32) -> ContainerFile<'_> {
        ContainerFile {
            sandbox: self,
            id: container_id(number),
            json: json!({
                "Id": container_id(number),
                "Created": "2020-01-01T00:00:00Z",
                "Name": format!("/box{number}"),
                "Image": IMAGE,
                "Config": {"Image": "base", "Labels": {}},
                "State": {"Status": "running", "Running": true},
            }),
        }
    }

    /// Adds a running container of the dev container in `folder`, made from the configuration that is there.
    pub fn devcontainer_of(&self, number: u32, folder: &Path) {
        self.devcontainer_made(number, folder, "2020-01-01T00:00:00Z");
    }

    /// Adds a running container of the dev container in `folder`, created at this time.
    pub fn devcontainer_made(&self, number: u32, folder: &Path, time: &str) {
        self.container(number).of(folder).created(time).save();
    }

    pub fn remove_container(&self, number: u32) {
        fs::remove_file(self.path("containers").join(container_id(number))).unwrap();
    }

    /// Emits an event of a container, to those who follow events now or later.
    pub fn event(&self, number: u32, action: &str) {
        let id = container_id(number);
        let event = json!({"Type": "container", "Action": action, "Actor": {"ID": id}});
        let path = self.path("events");
        let mut events = fs::File::options().append(true).open(path).unwrap();
        events.write_all(format!("{event}\n").as_bytes()).unwrap();
    }
}

/// A container that is not saved yet.
pub struct ContainerFile<'a> {
    sandbox: &'a Sandbox,
    id: String,
    json: Value,
}

impl ContainerFile<'_> {
    /// Sets the labels by which the CLI finds the container of the dev container in `folder`.
    pub fn of(self, folder: &Path) -> Self {
        let config = folder.join(".devcontainer/devcontainer.json");
        self.label("devcontainer.local_folder", folder.to_str().unwrap())
            .label("devcontainer.config_file", config.to_str().unwrap())
    }

    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.json["Config"]["Labels"][name] = value.into();
        self
    }

    pub fn created(mut self, time: &str) -> Self {
        self.json["Created"] = time.into();
        self
    }

    pub fn id(mut self, id: &str) -> Self {
        self.id = id.into();
        self.json["Id"] = id.into();
        self
    }

    /// Sets a field of the output of `docker inspect`.
    pub fn set(mut self, key: &str, value: Value) -> Self {
        self.json[key] = value;
        self
    }

    pub fn save(self) {
        let new = self.sandbox.path(".container");
        fs::write(&new, self.json.to_string()).unwrap();
        fs::rename(new, self.sandbox.path("containers").join(self.id)).unwrap();
    }
}
