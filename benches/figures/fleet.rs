//! Containers of the docker stand-in, of any number, and the folders of dev containers.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::engine;
use crate::stand_in::own_path;

/// The kinds of containers of a fleet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Plain,
    /// Each with a folder of its own.
    Dev,
}

impl Kind {
    pub(crate) const ALL: [Self; 2] = [Self::Plain, Self::Dev];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Dev => "dev",
        }
    }

    /// Returns what `docker inspect` prints of one, as an engine has printed it.
    fn recorded(self) -> Value {
        let text = match self {
            Self::Plain => include_str!("../../tests/fixtures/inspect/plain.json"),
            Self::Dev => include_str!("../../tests/fixtures/inspect/devcontainer.json"),
        };
        let mut all: Value = serde_json::from_str(text).unwrap();
        all[0].take()
    }
}

/// A directory with a docker stand-in, its containers, and the folders of dev containers.
pub(crate) struct Fleet {
    root: PathBuf,
    ids: Vec<String>,
    /// The events of the stand-in.
    events: File,
}

impl Fleet {
    pub(crate) fn new(kind: Kind, count: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("devcontainerd-fleet-{}-{number}", std::process::id());
        let root = std::env::temp_dir().canonicalize().unwrap().join(name);
        for directory in ["bin", "containers", "state"] {
            fs::create_dir_all(root.join(directory)).unwrap();
        }
        for program in ["docker", "devcontainer"] {
            symlink(own_path(), root.join("bin").join(program)).unwrap();
        }
        let made = Command::new("mkfifo").arg(root.join("events")).status();
        assert!(made.unwrap().success());
        // A descriptor for both directions neither blocks nor lets a reader see an end.
        let both = File::options()
            .read(true)
            .write(true)
            .open(root.join("events"));
        let mut recorded = kind.recorded();
        recorded["Created"] = json!("2040-01-01T00:00:00Z");
        let ids: Vec<String> = (0..count)
            .map(|number| format!("{:064x}", number + 1))
            .collect();
        for (number, id) in ids.iter().enumerate() {
            recorded["Id"] = json!(id);
            recorded["Name"] = json!(format!("/box{number}"));
            if kind == Kind::Dev {
                let folder = root.join(format!("w/project{number}"));
                let config = write_config(&folder);
                let labels = &mut recorded["Config"]["Labels"];
                labels["devcontainer.local_folder"] = json!(folder);
                labels["devcontainer.config_file"] = json!(config);
            }
            fs::write(root.join("containers").join(id), recorded.to_string()).unwrap();
        }
        fs::write(root.join("ids"), ids.join("\n") + "\n").unwrap();
        Self {
            root,
            ids,
            events: both.unwrap(),
        }
    }

    /// Serves the engine of these containers. Returns the value for `DOCKER_HOST`.
    pub(crate) fn serve_engine(&self) -> String {
        engine::serve(&self.root);
        format!("unix://{}", self.root.join(engine::SOCKET).display())
    }

    /// Returns the path of its docker.
    pub(crate) fn docker(&self) -> PathBuf {
        self.root.join("bin/docker")
    }

    /// Returns the path of its devcontainer CLI.
    pub(crate) fn cli(&self) -> PathBuf {
        self.root.join("bin/devcontainer")
    }

    /// Returns a directory that a daemon may keep its state in.
    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("state")
    }

    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.root.join(name);
        fs::write(&path, content).unwrap();
        path
    }

    /// Pauses or resumes a container, with its event. Returns what its line of a stream then contains.
    pub(crate) fn change(&mut self, number: usize, paused: bool) -> [String; 2] {
        let (status, action) = if paused {
            ("paused", "pause")
        } else {
            ("running", "unpause")
        };
        let id = &self.ids[number];
        let path = self.root.join("containers").join(id);
        let mut container: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        container["State"]["Status"] = json!(status);
        container["State"]["Paused"] = json!(paused);
        replace(&path, container.to_string().as_bytes());
        let event = json!({
            "Type": "container", "Action": action, "status": action, "id": id,
            "Actor": {"ID": id, "Attributes": {}}, "scope": "local",
        });
        writeln!(self.events, "{event}").unwrap();
        [
            format!("\"id\":\"{id}\""),
            format!("\"status\":\"{status}\""),
        ]
    }
}

impl Drop for Fleet {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Writes the configuration of a folder, long ago. Returns its path.
fn write_config(folder: &Path) -> PathBuf {
    let directory = folder.join(".devcontainer");
    fs::create_dir_all(&directory).unwrap();
    let config = directory.join("devcontainer.json");
    let mut file = File::create(&config).unwrap();
    file.write_all(br#"{"build": {"dockerfile": "Dockerfile"}}"#)
        .unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000))
        .unwrap();
    fs::write(directory.join("Dockerfile"), "FROM debian:12\n").unwrap();
    config
}

/// Puts content in the place of a file at once.
pub(crate) fn replace(path: &Path, content: &[u8]) {
    let new = path.with_extension(format!("new{}", std::process::id()));
    fs::write(&new, content).unwrap();
    fs::rename(new, path).unwrap();
}
