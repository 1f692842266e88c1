//! The engine that docker reaches, and a second one for tests that harm theirs.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::common::{Daemon, DaemonBuilder, eventually};

/// Made of a static busybox by `scripts/engine.sh`.
pub(crate) const IMAGE: &str = "devcontainerd-base:latest";

/// Runs docker and returns what it prints, without the last line feed.
#[track_caller]
pub(crate) fn docker<S: AsRef<OsStr>>(arguments: &[S]) -> String {
    let output = try_docker(arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker: {said}");
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

/// Runs docker, which may fail.
pub(crate) fn try_docker<S: AsRef<OsStr>>(arguments: &[S]) -> Output {
    let mut command = Command::new("docker");
    // This selects the builder that needs no plugin.
    command.env("DOCKER_BUILDKIT", "0").args(arguments);
    command
        .output()
        .expect("docker runs (use scripts/with-engine.sh)")
}

/// One field of the output of `docker inspect`, for example `.State.Status`.
#[track_caller]
pub(crate) fn inspect(container: &str, field: &str) -> String {
    docker(&[
        "inspect",
        "--format",
        &format!("{{{{{field}}}}}"),
        container,
    ])
}

/// A name or path that no other test and no other run has.
pub(crate) fn unique(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{name}-{}-{number}", std::process::id())
}

/// A directory below the temporary one; removed when it is dropped.
pub(crate) struct Directory(PathBuf);

impl Directory {
    pub(crate) fn new(name: &str) -> Self {
        let path = std::env::temp_dir().canonicalize().unwrap();
        let path = path.join(unique(name));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Containers of one test; removed with their anonymous volumes when it is dropped.
pub(crate) struct Containers {
    label: String,
}

impl Containers {
    pub(crate) fn new(test: &str) -> Self {
        let label = format!("devcontainerd.test={}", unique(test));
        Self { label }
    }

    /// `docker run --detach` or `docker create` with these arguments. Returns the id.
    #[track_caller]
    pub(crate) fn make(&self, command: &[&str], arguments: &[&str]) -> String {
        let label = ["--label", &self.label];
        docker(&[command, &label, arguments].concat())
    }

    #[track_caller]
    pub(crate) fn run(&self, arguments: &[&str]) -> String {
        self.make(&["run", "--detach"], arguments)
    }

    #[track_caller]
    pub(crate) fn create(&self, arguments: &[&str]) -> String {
        self.make(&["create"], arguments)
    }

    pub(crate) fn label(&self) -> &str {
        &self.label
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        remove_labelled(&self.label);
    }
}

/// Removes all containers with a label. Those that a killed client is still about to make do not matter.
pub(crate) fn remove_labelled(label: &str) {
    let filter = format!("label={label}");
    let found = try_docker(&["ps", "--all", "--quiet", "--filter", &filter]).stdout;
    let found = String::from_utf8_lossy(&found).into_owned();
    if !found.is_empty() {
        let ids = found.split_whitespace();
        let arguments: Vec<&str> = ["rm", "--force", "--volumes"]
            .into_iter()
            .chain(ids)
            .collect();
        try_docker(&arguments);
    }
}

/// A daemon on the engine, which lists the containers at each request.
pub(crate) fn daemon() -> DaemonBuilder {
    DaemonBuilder::new().args("--cache-duration 0")
}

/// The container with this id in `GET /`.
#[track_caller]
pub(crate) fn listed(daemon: &Daemon, id: &str) -> Option<Value> {
    let all = daemon.json("/");
    let all = all["containers"].as_array().unwrap();
    all.iter().find(|one| one["id"] == id).cloned()
}

/// The warnings in `GET /` that contain `text`.
#[track_caller]
pub(crate) fn warnings_with(daemon: &Daemon, text: &str) -> Vec<String> {
    let all = daemon.json("/");
    let all = all["warnings"].as_array().cloned().unwrap_or_default();
    let all = all
        .iter()
        .map(|warning| warning.as_str().unwrap().to_owned());
    all.filter(|warning| warning.contains(text)).collect()
}

/// An engine for one test alone; ended when it is dropped.
pub(crate) struct PrivateEngine {
    directory: PathBuf,
    pub(crate) host: String,
}

impl PrivateEngine {
    pub(crate) fn start(test: &str) -> Self {
        let directory = std::env::temp_dir().join(unique(test));
        let mut engine = Self {
            directory,
            host: String::new(),
        };
        engine.script(&["start"]);
        engine.host = engine.read_host();
        engine
    }

    /// Starts it again once it has ended, with the containers and volumes that it had.
    #[track_caller]
    pub(crate) fn restart(&mut self) {
        let process = Path::new("/proc").join(self.pid());
        eventually("dockerd has ended", || (!process.exists()).then_some(()));
        self.script(&["start", "--keep"]);
        self.host = self.read_host();
    }

    /// The directory with its pid and its log.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    #[track_caller]
    fn read_host(&self) -> String {
        let environment = self.script(&["env"]);
        let host = environment.trim().strip_prefix("DOCKER_HOST=");
        host.expect("engine.sh env says DOCKER_HOST").to_owned()
    }

    #[track_caller]
    fn script(&self, command: &[&str]) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/engine.sh");
        let output = Command::new(script)
            .args(command)
            .arg(&self.directory)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "engine.sh {command:?}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Sends a signal to its dockerd.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args(["-s", signal, &self.pid()])
            .status();
        assert!(sent.unwrap().success());
    }

    /// The process id of its dockerd.
    fn pid(&self) -> String {
        let pid = fs::read_to_string(self.directory.join("pid")).unwrap();
        pid.trim().to_owned()
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/engine.sh");
        let _ = Command::new(script)
            .arg("stop")
            .arg(&self.directory)
            .status();
    }
}
