//! A client that keeps up with what the stream of changes tells.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Daemon;
use super::client::Client;

/// What somebody knows who has read everything so far.
pub struct Mirror {
    client: Client,
    pub containers: BTreeMap<String, Value>,
    pub devcontainers: BTreeMap<String, Value>,
    pub warnings: Vec<String>,
    pub revision: u64,
    /// How often it was told everything anew.
    pub snapshots: usize,
}

impl Mirror {
    /// Opens a stream and reads what there is.
    #[track_caller]
    pub fn of(daemon: &Daemon) -> Self {
        Self::resumed(daemon, "")
    }

    /// The same with headers.
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

    /// The next change, which is taken in.
    #[track_caller]
    pub fn next(&mut self) -> Value {
        let line = self.client.json_line().expect("the stream goes on");
        self.apply(&line);
        line
    }

    /// The same, or a heartbeat.
    #[track_caller]
    pub fn next_or_heartbeat(&mut self) {
        let line = self.client.line().expect("the stream goes on");
        let line: Value = serde_json::from_str(&line).unwrap();
        if line["type"] != "heartbeat" {
            self.apply(&line);
        }
    }

    /// Reads until what is known fits.
    #[track_caller]
    pub fn until<T>(&mut self, what: &str, mut fits: impl FnMut(&Self) -> Option<T>) -> T {
        let deadline = std::time::Instant::now() + super::LONG;
        loop {
            if let Some(value) = fits(self) {
                return value;
            }
            assert!(std::time::Instant::now() < deadline, "never: {what}");
            self.next();
        }
    }

    /// Reads until it knows a container by this name that is in this state; `None`: until it is gone.
    #[track_caller]
    pub fn until_container(&mut self, name: &str, status: Option<&str>) {
        let what = format!("container {name} is {status:?}");
        self.until(&what, |mirror| {
            let one = mirror.container(name);
            let is = one.map(|one| one["status"].as_str().unwrap());
            (is == status).then_some(())
        });
    }

    /// Reads until a dev container fits.
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
                assert_ne!(old, Some(object()), "nothing has changed");
            }
            "devcontainer" => {
                let old = self.devcontainers.insert(id(), object());
                assert_ne!(old, Some(object()), "nothing has changed");
            }
            "container_removed" => assert!(self.containers.remove(&id()).is_some(), "{line}"),
            "devcontainer_removed" => assert!(self.devcontainers.remove(&id()).is_some(), "{line}"),
            "warnings" => self.warnings = texts(&line["warnings"]),
            other => panic!("{other}"),
        }
    }

    /// Reads what there is, until it knows what the daemon answers.
    #[track_caller]
    pub fn catch_up(&mut self, daemon: &Daemon) {
        super::eventually("it knows what the answers tell", || {
            let now = Self::of(daemon).revision;
            while self.revision < now {
                self.next();
            }
            self.is_like(daemon).then_some(())
        });
    }

    fn is_like(&self, daemon: &Daemon) -> bool {
        let all = daemon.json("/");
        let devcontainers = daemon.json("/devcontainers");
        self.containers == by_id(&all["containers"])
            && self.devcontainers == by_id(&devcontainers["devcontainers"])
    }
}

/// Objects in an array, by their id.
pub fn by_id(array: &Value) -> BTreeMap<String, Value> {
    let objects = array.as_array().unwrap().iter();
    objects
        .map(|one| (one["id"].as_str().unwrap().to_owned(), one.clone()))
        .collect()
}
