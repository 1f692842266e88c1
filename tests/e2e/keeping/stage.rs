//! A dev container whose container is worth keeping, and the ways to make its recreate fail.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::facts::processes_with;
use super::held::{Hold, SOCKET, hold_at};
use crate::common::{DaemonBuilder, eventually};
use crate::engine::{Containers, Directory, IMAGE, daemon, docker, try_docker, unique};
use crate::workspace::Workspace;

/// A dev container whose container is worth keeping.
pub(super) struct Stage {
    pub(super) workspace: Workspace,
    /// Other containers of the same test.
    pub(super) others: Containers,
    /// The name of the container.
    pub(super) name: String,
    pub(super) port: u16,
    pub(super) volume: Volume,
    pub(super) directory: Directory,
    pub(super) engine: Engine,
}

/// The engine that docker reaches.
pub(super) struct Engine {
    /// `None` stands for `DOCKER_HOST`.
    pub(super) host: Option<String>,
    pub(super) directory: PathBuf,
}

/// A named volume; removed when it is dropped.
pub(super) struct Volume(pub(super) String);

impl Drop for Volume {
    fn drop(&mut self) {
        try_docker(&["volume", "rm", "--force", &self.0]);
    }
}

pub(crate) fn free_port() -> u16 {
    // The ports are below those that engines allocate.
    static NEXT: AtomicU16 = AtomicU16::new(21_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

pub(crate) fn publish(port: u16) -> String {
    format!("127.0.0.1:{port}:80")
}

/// Builds an image whose command serves the files in `/data`, and ends at once at a TERM.
pub(super) fn build_image(host: &[&str]) {
    let directory = Directory::new("keeping-image");
    let command = r#"["/bin/sh", "-c", "trap 'exit 0' TERM; httpd -f -p 80 -h /data & wait"]"#;
    let dockerfile = format!("FROM {IMAGE}\nCMD {command}\n");
    fs::write(directory.path().join("Dockerfile"), dockerfile).unwrap();
    let folder = directory.path().to_str().unwrap();
    docker(&[host, &["build", "--quiet", "--tag", SERVING, folder]].concat());
}

pub(super) const SERVING: &str = "devcontainerd-keeping:latest";

/// Makes a program and returns its path.
pub(crate) fn program(directory: &Directory, name: &str, code: &str) -> String {
    let path = directory.path().join(name);
    fs::write(&path, format!("#!/bin/sh\n{code}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path.to_str().unwrap().to_owned()
}

/// The socket of the engine of `DOCKER_HOST`.
pub(crate) fn engine_socket() -> PathBuf {
    socket_of(&std::env::var("DOCKER_HOST").unwrap())
}

fn socket_of(host: &str) -> PathBuf {
    let socket = host.strip_prefix("unix://");
    socket.expect("a socket in the file system").into()
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::named(&unique("keep"))
    }

    /// A stage whose folder has this name.
    pub(super) fn named(folder: &str) -> Self {
        static BUILT: OnceLock<()> = OnceLock::new();
        BUILT.get_or_init(|| build_image(&[]));
        let directory = std::env::var_os("DEVCONTAINERD_ENGINE_DIR");
        let directory = directory
            .expect("an engine (use scripts/with-engine.sh)")
            .into();
        Self::on(
            folder,
            Engine {
                host: None,
                directory,
            },
        )
    }

    /// A stage on an engine that has the image.
    pub(super) fn on(folder: &str, engine: Engine) -> Self {
        let stage = Self {
            workspace: Workspace::named(folder, json!({})),
            others: Containers::new("keeping"),
            name: unique("kept"),
            port: free_port(),
            volume: Volume(unique("kept-data")),
            directory: Directory::new("keeping"),
            engine,
        };
        stage.configure(json!({}), &[]);
        stage
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a configuration with these fields and those that all have; null removes a field.
    pub(super) fn configure(&self, fields: Value, run_args: &[&str]) {
        let published = publish(self.port);
        let all = [
            "--name",
            &self.name,
            "--publish",
            &published,
            "--label",
            "kept=yes",
        ];
        let run_args = [&all[..], run_args].concat();
        let mut config = json!({
            "image": SERVING,
            "overrideCommand": false,
            "workspaceFolder": "/workspace",
            "workspaceMount": format!("source={},target=/workspace,type=bind", self.workspace.shown()),
            "mounts": [format!("source={},target=/data,type=volume", self.volume.0)],
            "runArgs": run_args,
        });
        let map = config.as_object_mut().unwrap();
        map.extend(fields.as_object().unwrap().clone());
        map.retain(|_, value| !value.is_null());
        self.workspace.write(&config.to_string());
    }

    /// Writes a Dockerfile with the image and this line.
    pub(super) fn dockerfile(&self, line: &str) {
        let path = self.workspace.config().with_file_name("Dockerfile");
        fs::write(path, format!("FROM {SERVING}\n{line}\n")).unwrap();
    }

    /// Writes a configuration that makes a recreate fail. Returns a daemon.
    pub(super) fn fails_with(&self, fields: Value, run_args: &[&str]) -> DaemonBuilder {
        self.configure(fields, run_args);
        self.daemon()
    }

    pub(super) fn daemon(&self) -> DaemonBuilder {
        match &self.engine.host {
            Some(host) => daemon().env("DOCKER_HOST", host),
            None => daemon(),
        }
    }

    /// Makes a program and returns its path.
    pub(super) fn program(&self, name: &str, code: &str) -> String {
        program(&self.directory, name, code)
    }

    /// A daemon that waits once, while there is the file `hold`, before the old container is renamed.
    pub(super) fn held_before_making(&self) -> DaemonBuilder {
        self.held(Hold::Before("rename"))
    }

    /// A daemon that waits once, while there is the file `hold`, after the old container is stopped.
    pub(super) fn held_before_starting(&self) -> DaemonBuilder {
        self.held(Hold::After("stop"))
    }

    fn held(&self, hold: Hold) -> DaemonBuilder {
        let host = hold_at(self.directory.path(), &self.engine_socket(), hold);
        self.daemon().env("DOCKER_HOST", &host)
    }

    pub(super) fn wait_until_held(&self) {
        eventually("the engine is held", || {
            self.path("held").exists().then_some(())
        });
    }

    /// Lets go on all that waits.
    pub(super) fn let_go(&self) {
        let _ = fs::remove_file(self.path("hold"));
        self.workspace.release();
    }

    pub(super) fn wait_for_hook(&self) {
        let begun = self.workspace.folder().join("begun");
        eventually("the hook waits", || begun.exists().then_some(()));
        fs::remove_file(begun).unwrap();
    }

    /// Waits until the CLI has ended.
    pub(super) fn wait_for_end(&self) {
        let up = format!("--workspace-folder {}", self.workspace.shown());
        eventually("the CLI ends", || {
            processes_with(&up).is_empty().then_some(())
        });
    }

    /// Makes a path to the engine that can be closed. Returns the value for `DOCKER_HOST`.
    pub(super) fn gate(&self) -> String {
        self.open_gate();
        format!("unix://{}", self.path("sock").display())
    }

    pub(super) fn open_gate(&self) {
        let socket = match self.path("hold").exists() {
            true => self.path(SOCKET),
            false => self.engine_socket(),
        };
        self.close_gate();
        symlink(socket, self.path("sock")).unwrap();
    }

    fn engine_socket(&self) -> PathBuf {
        self.engine
            .host
            .as_deref()
            .map_or_else(engine_socket, socket_of)
    }

    /// Makes docker unable to connect.
    pub(super) fn close_gate(&self) {
        let _ = fs::remove_file(self.path("sock"));
    }

    pub(super) fn docker(&self, arguments: &[&str]) -> String {
        docker(&[&self.host(), arguments].concat())
    }

    pub(super) fn host(&self) -> Vec<&str> {
        let host = self.engine.host.as_deref();
        host.map_or_else(Vec::new, |host| vec!["--host", host])
    }

    /// Makes the container, and writes the file that it serves into the volume.
    pub(super) fn make_old(&self) {
        let id = if self.workspace.shown().contains('=') {
            // The CLI hangs on such a path.
            let config = self.workspace.config();
            self.docker(&[
                "run",
                "--detach",
                "--label",
                &self.workspace.label(),
                "--label",
                &format!("devcontainer.config_file={}", config.display()),
                "--label",
                "kept=yes",
                "--name",
                &self.name,
                "--publish",
                &publish(self.port),
                "--volume",
                &format!("{}:/data", self.volume.0),
                SERVING,
            ])
        } else {
            let host = self.engine.host.as_deref();
            let host = host.map(|host| ("DOCKER_HOST", host));
            self.workspace.up_with(host.as_slice())
        };
        let data = format!("echo {} >/data/data", self.name);
        self.docker(&["exec", &id, "/bin/sh", "-c", &data]);
        self.wait_until_served();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The processes that a killed daemon left must not make a container after the test has removed its own.
        for pid in self.processes() {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let _ = kill_process(pid.unwrap(), Signal::KILL);
        }
    }
}
