//! Labels of containers that mean something to the daemon.

/// The label that makes a container a dev container: its workspace folder on the host.
pub const LABEL_FOLDER: &str = "devcontainer.local_folder";

/// The label with the path of its configuration.
pub const LABEL_CONFIG: &str = "devcontainer.config_file";

/// On every container of a compose project: the project's name.
pub const LABEL_COMPOSE_PROJECT: &str = "com.docker.compose.project";

/// On every container of a compose project: which service it is.
pub const LABEL_COMPOSE_SERVICE: &str = "com.docker.compose.service";

/// `true` on containers that the CLI's own tests leave behind; they are no dev containers.
pub const LABEL_TEST_RUN: &str = "devcontainer.is_test_run";

/// The label of containers that an operation of ours made; its value is the operation's id.
pub const LABEL_OPERATION: &str = "devcontainerd.operation";
