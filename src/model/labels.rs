//! Labels of containers that mean something to the daemon.

use serde::{Deserialize, Serialize};

/// The label that makes a container a dev container: its workspace folder on the host.
pub const LABEL_FOLDER: &str = "devcontainer.local_folder";

/// The label with the path of its configuration.
pub const LABEL_CONFIG: &str = "devcontainer.config_file";

/// The label with the configuration of a dev container that its image, its features and its configuration give.
pub const LABEL_METADATA: &str = "devcontainer.metadata";

/// The label with the project's name, on every container of a compose project.
pub const LABEL_COMPOSE_PROJECT: &str = "com.docker.compose.project";

/// The label with the service's name, on every container of a compose project.
pub const LABEL_COMPOSE_SERVICE: &str = "com.docker.compose.service";

/// The label with the directory of the project, on every container of a compose project.
pub const LABEL_COMPOSE_WORKING_DIR: &str = "com.docker.compose.project.working_dir";

/// The label with the services that a service needs. Compose 2 gives it, compose 1 does not.
pub const LABEL_COMPOSE_DEPENDS_ON: &str = "com.docker.compose.depends_on";

/// The label with a hash of the configuration of a service, by which compose finds out whether that has changed.
pub const LABEL_COMPOSE_HASH: &str = "com.docker.compose.config-hash";

/// The label with the number of a container among those of its service.
pub const LABEL_COMPOSE_NUMBER: &str = "com.docker.compose.container-number";

/// The label that is `True` on containers that `docker compose run` made.
pub const LABEL_COMPOSE_ONE_OFF: &str = "com.docker.compose.oneoff";

/// The label that is `true` on containers that the CLI's own tests leave behind. They are not dev containers.
pub const LABEL_TEST_RUN: &str = "devcontainer.is_test_run";

/// The label with the id of the operation that made a container.
pub const LABEL_OPERATION: &str = "devcontainerd.operation";

/// The labels by which the CLI finds a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdLabels {
    /// The value of [`LABEL_FOLDER`].
    pub folder: String,
    /// The value of [`LABEL_CONFIG`], if it has that.
    pub config: Option<String>,
}

impl IdLabels {
    /// Returns them as `KEY=VALUE`.
    pub fn pairs(&self) -> Vec<String> {
        let config = self.config.as_ref();
        let config = config.map(|config| format!("{LABEL_CONFIG}={config}"));
        let folder = format!("{LABEL_FOLDER}={}", self.folder);
        std::iter::once(folder).chain(config).collect()
    }
}

/// A service of a compose project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComposeService {
    /// The project's name.
    pub project: String,
    /// The service's name in it.
    pub service: String,
}

impl ComposeService {
    /// The labels (`KEY=VALUE`) by which compose finds its containers.
    pub fn labels(&self) -> [String; 2] {
        [
            self.project_label(),
            format!("{LABEL_COMPOSE_SERVICE}={}", self.service),
        ]
    }

    /// The label (`KEY=VALUE`) of all containers of the project.
    pub fn project_label(&self) -> String {
        format!("{LABEL_COMPOSE_PROJECT}={}", self.project)
    }
}
