//! Workspace folders, and the dev containers that the real CLI makes from them.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::{Value, json};

use crate::common::{Daemon, DaemonBuilder, LONGEST, Response, eventually, parse};
use crate::engine::{Directory, IMAGE, docker, remove_labelled, unique};

/// A hook that prints `begun`, and goes on at [`Workspace::release`]. The log of the CLI has the command, too, but no
/// line that equals one of those that the hook prints.
pub(crate) const WAITING_HOOK: &str =
    "echo begun; while [ ! -e /workspace/go ]; do sleep 0.02; done; echo 'went' 'on'";

const DOCKER_OF_CLI: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/docker-of-cli.sh");

/// A workspace folder; removed with its containers when it is dropped.
pub(crate) struct Workspace {
    folder: PathBuf,
    /// Its last part, which is also the name of the dev container.
    pub(crate) name: String,
    _directory: Directory,
}

impl Workspace {
    /// A workspace whose configuration has these fields and those that all have.
    pub(crate) fn new(test: &str, fields: Value) -> Self {
        Self::named(&unique(test), fields)
    }

    /// A workspace whose folder is called `name`.
    pub(crate) fn named(name: &str, fields: Value) -> Self {
        let directory = Directory::new("workspace");
        let folder = directory.path().join(name);
        let workspace = Self {
            folder,
            name: name.to_owned(),
            _directory: directory,
        };
        fs::create_dir_all(workspace.config().parent().unwrap()).unwrap();
        workspace.configure(fields);
        workspace
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn shown(&self) -> &str {
        self.folder.to_str().unwrap()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.join(".devcontainer/devcontainer.json")
    }

    /// Writes a configuration with these fields and those that all have.
    pub(crate) fn configure(&self, fields: Value) {
        let mut config = json!({
            "image": IMAGE,
            // Without these two, the CLI mounts the git repository around the folder.
            "workspaceFolder": "/workspace",
            "workspaceMount": format!("source={},target=/workspace,type=bind", self.shown()),
        });
        let fields = fields.as_object().unwrap().clone();
        config.as_object_mut().unwrap().extend(fields);
        self.write(&serde_json::to_string_pretty(&config).unwrap());
    }

    /// Replaces the configuration's text.
    pub(crate) fn write(&self, text: &str) {
        fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn read(&self) -> String {
        fs::read_to_string(self.config()).unwrap()
    }

    /// Lets [`WAITING_HOOK`] go on.
    pub(crate) fn release(&self) {
        fs::write(self.folder.join("go"), "").unwrap();
    }

    /// Makes the next hook wait again.
    pub(crate) fn hold(&self) {
        fs::remove_file(self.folder.join("go")).unwrap();
    }

    /// Makes the dev container with the real CLI, without the daemon. Returns the id of the container.
    #[track_caller]
    pub(crate) fn up(&self) -> String {
        self.up_with(&[])
    }

    /// Makes the dev container with these environment variables, too.
    #[track_caller]
    pub(crate) fn up_with(&self, environment: &[(&str, &str)]) -> String {
        self.run_up(&[], environment)
    }

    /// Makes the dev container of another configuration.
    #[track_caller]
    pub(crate) fn up_from(&self, config: &Path) -> String {
        self.run_up(&["--config", config.to_str().unwrap()], &[])
    }

    /// Makes the dev container with this program in place of docker.
    #[track_caller]
    pub(crate) fn up_by(&self, docker: &str) -> String {
        self.run_up(&["--docker-path", docker], &[])
    }

    /// Makes the dev container with these arguments and environment variables, too.
    #[track_caller]
    pub(crate) fn run_up(&self, arguments: &[&str], environment: &[(&str, &str)]) -> String {
        let result = self.result_of_up(arguments, environment);
        result["containerId"].as_str().unwrap().to_owned()
    }

    /// Lets a daemon act in this folder only: it repairs no dev container of another test then, so that the processes of its
    /// operations can be counted.
    pub(crate) fn alone(&self, daemon: DaemonBuilder) -> DaemonBuilder {
        // The folder itself would be in the command line, by which the processes of the dev container are found.
        let root = self.folder.parent().unwrap();
        daemon.arg("--workspace-root").arg(root.to_str().unwrap())
    }

    /// Makes the dev container with the real CLI, without the daemon. Returns the result of the CLI.
    #[track_caller]
    pub(crate) fn result_of_up(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Value {
        let [out, err] = ["out", "err"].map(|name| self.folder.with_file_name(name));
        let mut command = Command::new("devcontainer");
        command.args(["up", "--workspace-folder", self.shown()]);
        if !arguments.contains(&"--docker-path") {
            command.args(["--docker-path", DOCKER_OF_CLI]);
        }
        // The `docker run` that the CLI leaves behind would hold pipes open.
        let mut child = command
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&err).unwrap())
            .process_group(0)
            .spawn()
            .expect("devcontainer runs (use scripts/with-engine.sh)");
        let status = child.wait().unwrap();
        let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
        let _ = kill_process_group(group.unwrap(), Signal::KILL);
        let said = fs::read_to_string(&err).unwrap();
        assert!(status.success(), "devcontainer up: {said}");
        serde_json::from_str(&fs::read_to_string(&out).unwrap()).unwrap()
    }

    /// The ids of all its containers.
    pub(crate) fn containers(&self) -> Vec<String> {
        let filter = format!("label={}", self.label());
        let found = docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]);
        found.lines().map(str::to_owned).collect()
    }

    pub(crate) fn label(&self) -> String {
        format!("devcontainer.local_folder={}", self.shown())
    }

    /// Its dev container; `None` where the daemon does not list it.
    #[track_caller]
    pub(crate) fn find(&self, daemon: &Daemon) -> Option<Value> {
        let all = daemon.json("/devcontainers");
        let all = all["devcontainers"].as_array().unwrap();
        let mut own = all
            .iter()
            .filter(|one| one["workspace_folder"] == self.shown());
        let found = own.next().cloned();
        assert!(own.next().is_none(), "{all:#?}");
        found
    }

    /// Its dev container.
    #[track_caller]
    pub(crate) fn devcontainer(&self, daemon: &Daemon) -> Value {
        self.find(daemon).expect("it is listed")
    }

    #[track_caller]
    pub(crate) fn wait_for(
        &self,
        daemon: &Daemon,
        what: &str,
        is: impl Fn(&Value) -> bool,
    ) -> Value {
        eventually(what, || Some(self.devcontainer(daemon)).filter(&is))
    }

    /// The path of its recreate.
    pub(crate) fn recreate(&self) -> String {
        format!("/devcontainers/{}/recreate", self.name)
    }

    /// The path of its log.
    pub(crate) fn logs(&self) -> String {
        format!("/devcontainers/{}/logs", self.name)
    }

    /// Waits until the log of its operation has the line `text`.
    #[track_caller]
    pub(crate) fn wait_for_log(&self, daemon: &Daemon, text: &str) {
        eventually(text, || {
            let log = daemon.get(&format!("{}?format=text", self.logs()));
            log.body.lines().any(|line| line == text).then_some(())
        });
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        remove_labelled(&self.label());
    }
}

/// The id of the container of a dev container.
#[track_caller]
pub(crate) fn container_of(devcontainer: &Value) -> String {
    let id = devcontainer["container"]["id"].as_str();
    id.unwrap_or_else(|| panic!("no container: {devcontainer:#}"))
        .to_owned()
}

/// A request whose response is read as it comes.
pub(crate) struct Live {
    stream: TcpStream,
    answer: Vec<u8>,
}

impl Live {
    pub(crate) fn send(daemon: &Daemon, method: &str, path: &str) -> Self {
        let mut stream = daemon.connect();
        let host = &daemon.address;
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).unwrap();
        stream.set_read_timeout(Some(LONGEST)).unwrap();
        let answer = Vec::new();
        Self { stream, answer }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.answer).into_owned()
    }

    fn read(&mut self) -> bool {
        let mut buffer = [0; 4096];
        let mut read = || self.stream.read(&mut buffer);
        // A read with a timeout is interrupted when the process is stopped and continued (signal(7)).
        let length = loop {
            match read() {
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                length => break length,
            }
        };
        let length = length.unwrap_or_else(|e| panic!("{e}: {}", self.text()));
        self.answer.extend_from_slice(&buffer[..length]);
        length > 0
    }

    /// Reads until `text` has come.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        while !self.text().contains(text) {
            assert!(self.read(), "ended without {text:?}: {}", self.text());
        }
    }

    /// True if `text` has come so far.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.text().contains(text)
    }

    /// Reads to the end.
    #[track_caller]
    pub(crate) fn finish(mut self) -> Response {
        while self.read() {}
        parse(&self.text())
    }
}
