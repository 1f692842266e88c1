//! A directory of its own for each test, with stand-ins for docker and the devcontainer CLI.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::json;

use super::process::kill;
use super::{BINARY, DaemonBuilder};

/// Turns the events child off, as most tests change what the stand-in lists without an event.
pub const NO_EVENTS: &str = "DEVCONTAINERD_NO_EVENTS";

const STAND_INS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/stand-ins");

/// Runs shell code in a directory, with no configuration of git but that of its repository.
#[track_caller]
pub fn sh(directory: &Path, code: &str) {
    let output = Command::new("sh")
        .args(["-ec", code])
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{code}: {output:?}");
}

/// A temporary directory with stand-ins for docker and devcontainer.
pub struct Sandbox {
    root: PathBuf,
}

impl Sandbox {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("devcontainerd-test-{}-{number}", std::process::id());
        let root = std::env::temp_dir().canonicalize().unwrap().join(name);
        // Process ids are reused, and a killed run leaves its directories.
        let _ = fs::remove_dir_all(&root);
        for below in ["bin", "containers", "hooks", "images", "work", "calls"] {
            fs::create_dir_all(root.join(below)).unwrap();
        }
        let sandbox = Self { root };
        sandbox.write("events", "");
        sandbox.docker("");
        sandbox.devcontainer("");
        sandbox.image(&json!({}));
        sandbox
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    pub fn write(&self, relative: &str, content: &str) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap_or_default()
    }

    /// A workspace folder with a configuration that is older than every container.
    pub fn workspace(&self, name: &str) -> PathBuf {
        self.workspace_with(name, r#"{"image": "base"}"#)
    }

    /// A workspace folder with this configuration, which is older than every container.
    pub fn workspace_with(&self, name: &str, config: &str) -> PathBuf {
        let file = format!("work/{name}/.devcontainer/devcontainer.json");
        let file = fs::File::options()
            .append(true)
            .open(self.write(&file, config));
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        file.unwrap().set_modified(old).unwrap();
        self.path(&format!("work/{name}"))
    }

    /// The configuration of a workspace folder.
    pub fn config(&self, name: &str) -> PathBuf {
        self.path(&format!("work/{name}/.devcontainer/devcontainer.json"))
    }

    /// Writes a file in one step, so that a program that reads it meanwhile sees the old one or the new one.
    pub fn replace(&self, relative: &str, content: &str, mode: u32) {
        let path = self.path(relative);
        let new = path.with_file_name(".new");
        fs::write(&new, content).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(mode)).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// Sets the code that a stand-in runs where it reads `$R/hooks/NAME`; `$R` is the sandbox.
    pub fn hook(&self, name: &str, code: &str) {
        self.replace(&format!("hooks/{name}"), code, 0o644);
    }

    /// Puts a file of `tests/stand-ins` on the `PATH`, under this name.
    pub fn stand_in(&self, name: &str, file: &str) {
        let code = fs::read_to_string(Path::new(STAND_INS).join(file)).unwrap();
        self.replace(&format!("bin/{name}"), &code, 0o755);
    }

    /// Puts the docker stand-in on the `PATH`, with the code that it runs first.
    pub fn docker(&self, before: &str) {
        self.hook("docker", before);
        self.stand_in("docker", "docker");
    }

    /// Puts the devcontainer stand-in on the `PATH`, with the code that it runs first.
    pub fn devcontainer(&self, before: &str) {
        self.hook("devcontainer", before);
        self.stand_in("devcontainer", "devcontainer");
    }

    /// Puts a program with this code on the `PATH`; `$R` is the sandbox. Returns its path.
    pub fn program(&self, name: &str, code: &str) -> PathBuf {
        let assignment = format!("R='{}'", self.root.display());
        self.replace(
            &format!("bin/{name}"),
            &format!("#!/bin/sh\n{assignment}\n{code}"),
            0o755,
        );
        self.path("bin").join(name)
    }

    /// A `PATH` with nothing but the stand-ins and the tools that they need.
    pub fn bare_path(&self) -> String {
        let tools = self.path("tools");
        fs::create_dir_all(&tools).unwrap();
        for tool in ["cat", "date", "grep", "mv", "rm", "sed", "sleep"] {
            let _ = std::os::unix::fs::symlink(format!("/usr/bin/{tool}"), tools.join(tool));
        }
        format!("{}:{}", self.path("bin").display(), tools.display())
    }

    /// Processes that were started in the sandbox, whatever their parent is now, except daemons and zombies.
    pub fn processes(&self) -> Vec<u32> {
        // With the slash, as the name of one sandbox may be a prefix of another's.
        let root = format!("{}/", self.root.display());
        let root = root.as_bytes();
        let is_ours = |process: &Path| {
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            let ours = environment.windows(root.len()).any(|part| part == root);
            ours && fs::read_link(process.join("exe")).is_ok_and(|exe| exe != Path::new(BINARY))
        };
        let all = fs::read_dir("/proc").unwrap().flatten();
        let ours = all.filter(|process| is_ours(&process.path()));
        ours.filter_map(|process| process.file_name().to_str()?.parse().ok())
            .collect()
    }

    /// The number of calls of a stand-in whose arguments begin like this.
    pub fn calls(&self, program: &str, beginning: &str) -> usize {
        let calls = self.read(&format!("calls/{program}"));
        calls
            .lines()
            .filter(|call| call.starts_with(beginning))
            .count()
    }

    /// A daemon with the stand-ins, which is not started yet.
    pub fn daemon(&self) -> DaemonBuilder {
        self.daemon_of(DaemonBuilder::new())
    }

    /// A daemon that follows events: a test that changes something has to emit an event, too ([`Sandbox::event`]).
    pub fn following_daemon(&self) -> DaemonBuilder {
        self.daemon().without_env(NO_EVENTS)
    }

    /// A daemon in its own user and mount namespaces, in which it is root, with its own limits below `/proc/sys/user`.
    /// `code` runs there first.
    pub fn daemon_in_namespaces(&self, code: &str) -> DaemonBuilder {
        let builder = DaemonBuilder::of("unshare").args("--user --map-root-user --mount sh -c");
        let code = format!("set -e; {code}; exec \"$0\" \"$@\"");
        self.daemon_of(builder.arg(&code).arg(BINARY))
    }

    /// A daemon that is started by this builder, with the stand-ins.
    pub fn daemon_of(&self, builder: DaemonBuilder) -> DaemonBuilder {
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        builder
            .env("PATH", &path)
            .env(NO_EVENTS, "true")
            .env("XDG_STATE_HOME", self.state_home().to_str().unwrap())
    }

    /// The directory that holds the daemon's state directory.
    pub fn state_home(&self) -> PathBuf {
        self.path("state")
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for pid in self.processes() {
            kill(pid);
        }
        let _ = fs::remove_dir_all(&self.root);
    }
}
