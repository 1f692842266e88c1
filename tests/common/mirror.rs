//! A client that applies the stream of changes to its own copy.

use std::collections::BTreeMap;

use serde_json::Value;

use super::client::Client;
use super::{Daemon, Stopwatch, eventually};

/// The containers and dev containers, as of the last line of the stream.
pub struct Mirror {
    client: Client,
    pub containers: BTreeMap<String, Value>,
    pub devcontainers: BTreeMap<String, Value>,
    pub warnings: Vec<String>,
    pub revision: u64,
    /// The number of snapshots that came.
    pub snapshots: usize,
}

impl Mirror {
    /// Opens a stream and reads the snapshot.
    #[track_caller]
    pub fn of(daemon: &Daemon) -> Self {
        Self::resumed(daemon, "")
    }

    /// Opens a stream with these headers; it reads the snapshot only where there are none.
    #[track_caller]
    pub fn resumed(daemon: &Daemon, headers: &str) -> Self {
        let (head, client) = daemon.stream("GET", "/events", headers);
        assert_eq!(head.headers["content-type"], "application/x-ndjson");
        let mut mirror = Self {
            client,
            containers: BTreeMap::new(),
            devcontainers: BTreeMap::new(),
            warnings: Vec::new(),
            revision: 0,
            snapshots: 0,
        };
        if headers.is_empty() {
            let first = mirror.next();
            assert_eq!(first["type"], "snapshot", "{first}");
        }
        mirror
    }

    /// Reads the next change and applies it.
    #[track_caller]
    pub fn next(&mut self) -> Value {
        let line = self.client.json_line().expect("the stream goes on");
        self.apply(&line);
        line
    }

    /// Reads the next change and applies it, or reads a heartbeat.
    #[track_caller]
    pub fn next_or_heartbeat(&mut self) {
        let line = self.client.line().expect("the stream goes on");
        let line: Value = serde_json::from_str(&line).unwrap();
        if line["type"] != "heartbeat" {
            self.apply(&line);
        }
    }

    /// Reads until the copy fits. Returns what `fits` does.
    #[track_caller]
    pub fn until<T>(&mut self, what: &str, mut fits: impl FnMut(&Self) -> Option<T>) -> T {
        let waiting = Stopwatch::start();
        loop {
            if let Some(value) = fits(self) {
                return value;
            }
            assert!(!waiting.is_too_long(), "never: {what}");
            self.next();
        }
    }

    /// Reads until there is a container with this name and status, or, without a status, no container with this name.
    #[track_caller]
    pub fn until_container(&mut self, name: &str, status: Option<&str>) {
        let what = format!("container {name} is {status:?}");
        self.until(&what, |mirror| {
            let one = mirror.container(name);
            let is = one.map(|one| one["status"].as_str().unwrap());
            (is == status).then_some(())
        });
    }

    /// Reads until a dev container fits, and returns it.
    #[track_caller]
    pub fn until_devcontainer(&mut self, what: &str, fits: impl Fn(&Value) -> bool) -> Value {
        self.until(what, |mirror| {
            mirror.devcontainers.values().find(|one| fits(one)).cloned()
        })
    }

    pub fn container(&self, name: &str) -> Option<&Value> {
        self.containers.values().find(|one| one["name"] == name)
    }

    #[track_caller]
    fn apply(&mut self, line: &Value) {
        let revision = line["revision"].as_u64().expect("a revision");
        assert!(revision > self.revision, "{} then {line}", self.revision);
        // Of changes that were not read in time, only the last one of each object comes. It may undo those before.
        let is_next = revision == self.revision + 1;
        self.revision = revision;
        let id = || line["id"].as_str().unwrap().to_owned();
        let object = || {
            let mut object = line.clone();
            let fields = object.as_object_mut().unwrap();
            fields.retain(|name, _| name != "type" && name != "revision");
            object
        };
        let texts = |value: &Value| -> Vec<String> {
            let texts = value.as_array().unwrap().iter();
            texts
                .map(|text| text.as_str().unwrap().to_owned())
                .collect()
        };
        match line["type"].as_str().unwrap() {
            "snapshot" => {
                self.snapshots += 1;
                self.containers = by_id(&line["containers"]);
                self.devcontainers = by_id(&line["devcontainers"]);
                self.warnings = texts(&line["warnings"]);
            }
            "container" => {
                let old = self.containers.insert(id(), object());
                assert!(!is_next || old != Some(object()), "no change: {line}");
            }
            "devcontainer" => {
                let old = self.devcontainers.insert(id(), object());
                assert!(!is_next || old != Some(object()), "no change: {line}");
            }
            "container_removed" => {
                let old = self.containers.remove(&id());
                assert!(!is_next || old.is_some(), "no change: {line}");
            }
            "devcontainer_removed" => {
                let old = self.devcontainers.remove(&id());
                assert!(!is_next || old.is_some(), "no change: {line}");
            }
            "warnings" => self.warnings = texts(&line["warnings"]),
            other => panic!("{other}"),
        }
    }

    /// Reads until the copy equals the answers of the daemon.
    #[track_caller]
    pub fn catch_up(&mut self, daemon: &Daemon) {
        eventually("the copy equals the answers", || {
            let now = Self::of(daemon).revision;
            while self.revision < now {
                self.next();
            }
            self.equals_answers_of(daemon).then_some(())
        });
    }

    fn equals_answers_of(&self, daemon: &Daemon) -> bool {
        let all = daemon.json("/");
        let devcontainers = daemon.json("/devcontainers");
        self.containers == by_id(&all["containers"])
            && self.devcontainers == by_id(&devcontainers["devcontainers"])
    }
}

/// The objects in an array, by id.
pub fn by_id(array: &Value) -> BTreeMap<String, Value> {
    let objects = array.as_array().unwrap().iter();
    objects
        .map(|one| (one["id"].as_str().unwrap().to_owned(), one.clone()))
        .collect()
}
