//! A container as docker describes it.

use std::borrow::Cow;
use std::fmt;

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};

use super::setup::Setup;
use crate::base::time::Timestamp;

/// Text to text, sorted by key, in a third of the memory that a map would take.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(Box<[(Box<str>, Box<str>)]>);

impl Pairs {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.binary_search_by(|(k, _)| (**k).cmp(key)).ok()?;
        self.0.get(found).map(|(_, value)| &**value)
    }
}

impl<K: Into<Box<str>>, V: Into<Box<str>>> FromIterator<(K, V)> for Pairs {
    /// The first of equal keys stays.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut pairs: Vec<(Box<str>, Box<str>)> = pairs
            .into_iter()
            .map(|(k, v)| (k.into(), v.into()))
            .collect();
        pairs.sort_by(|(a, _), (b, _)| a.cmp(b));
        pairs.dedup_by(|later, earlier| later.0 == earlier.0);
        Self(pairs.into_boxed_slice())
    }
}

impl Serialize for Pairs {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(k, v)| (k, v)))
    }
}

/// A port of a container; without host fields where it is exposed but not published.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Port {
    /// The port inside the container.
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub network: &'static str,
    /// The host address it is bound to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_ip: Option<String>,
    /// The host port it is bound to, 1 to 65535.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host_port: Option<u16>,
}

/// A file system or a directory that is mounted into a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// `bind`, `volume`, `tmpfs`, or another word of the engine.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The name of a volume; never empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<Box<str>>,
    /// The directory or file on the host; never empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Box<str>>,
    /// The path in the container.
    pub destination: Box<str>,
    /// True if the container cannot write to it.
    pub read_only: bool,
}

/// The mounts of a container. Engines list them in any order: they are sorted by what is mounted and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mounts(Box<[Mount]>);

impl Mounts {
    /// Returns the path in the container at which a directory or file of the host is mounted.
    pub fn destination_of(&self, source: &str) -> Option<&str> {
        let mut found = self.0.iter().filter(|one| one.mounted() == Some(source));
        found.next().map(|one| &*one.destination)
    }

    /// Returns all of them.
    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.0.iter()
    }

    /// Returns what is mounted to the place where it is; the first of several places.
    fn volumes(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut last = None;
        let pairs = self
            .0
            .iter()
            .filter_map(|one| Some((one.mounted()?, &*one.destination)));
        pairs.filter(move |(mounted, _)| last.replace(*mounted) != Some(mounted))
    }
}

impl Mount {
    /// A directory of the host that the container can write to.
    #[cfg(test)]
    pub fn bind(source: &str, destination: &str) -> Self {
        Self {
            kind: "bind".into(),
            name: None,
            source: Some(source.into()),
            destination: destination.into(),
            read_only: false,
        }
    }

    /// Returns the source, or the name of a volume that has none.
    fn mounted(&self) -> Option<&str> {
        self.source.as_deref().or(self.name.as_deref())
    }
}

impl FromIterator<Mount> for Mounts {
    fn from_iter<I: IntoIterator<Item = Mount>>(mounts: I) -> Self {
        let mut mounts: Vec<Mount> = mounts.into_iter().collect();
        mounts.sort_by(|a, b| {
            let order = a.mounted().cmp(&b.mounted());
            order.then_with(|| a.destination.cmp(&b.destination))
        });
        Self(mounts.into())
    }
}

/// The result of a container's health check, while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerHealth {
    /// The check has not succeeded yet since the container was started.
    Starting,
    /// The last check succeeded.
    Healthy,
    /// Several checks in a row failed.
    Unhealthy,
}

/// The state of a container. Displays in words, such as `exited with code 3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunState {
    /// It has never run, or its start failed.
    Created,
    /// Its processes run.
    Running,
    /// Its processes are about to be ended. Only podman tells this from `Running`, and so it displays as `running`.
    Stopping,
    /// Its processes are paused.
    Paused,
    /// docker starts it again and again, because it ends.
    Restarting,
    /// It has ended with this exit code.
    Exited(i64),
    /// docker failed to remove it.
    Dead,
    /// Any other state, in docker's or podman's word.
    Other(Box<str>),
}

impl RunState {
    /// The words of [`RunState::word`].
    pub const WORDS: [&'static str; 7] = [
        "created",
        "running",
        "paused",
        "restarting",
        "exited",
        "dead",
        "other",
    ];

    /// Returns one of a fixed set of words for the state.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running | Self::Stopping => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited(_) => "exited",
            Self::Dead => "dead",
            Self::Other(_) => "other",
        }
    }

    /// Returns the exit code, if it has ended.
    pub fn exit_code(&self) -> Option<i64> {
        match self {
            Self::Exited(code) => Some(*code),
            _ => None,
        }
    }

    /// Returns whether it has processes, or gets them again.
    pub fn has_processes(&self) -> bool {
        matches!(
            self,
            Self::Running | Self::Stopping | Self::Paused | Self::Restarting
        )
    }
}

impl fmt::Display for RunState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Created => f.write_str("created"),
            Self::Running | Self::Stopping => f.write_str("running"),
            Self::Paused => f.write_str("paused"),
            Self::Restarting => f.write_str("restarting"),
            Self::Exited(0) => f.write_str("exited successfully"),
            Self::Exited(code) => write!(f, "exited with code {code}"),
            Self::Dead => f.write_str("dead"),
            Self::Other(word) => f.write_str(word),
        }
    }
}

/// A container, as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerInfo {
    /// When it was created, by the engine's clock.
    pub created_at: Timestamp,
    /// The whole id, 64 hexadecimal digits.
    pub id: String,
    /// Without the leading slash that docker shows.
    pub name: String,
    /// The image, as it was named when the container was made.
    pub image: String,
    /// All labels, those of the image included.
    pub labels: Pairs,
    /// The labels that mean something to the daemon, but that it has from its image alone (P23).
    pub foreign_labels: Box<[&'static str]>,
    /// True if it has processes, paused ones included.
    pub running: bool,
    /// Published and exposed ports, sorted.
    pub ports: Vec<Port>,
    /// Its state.
    pub run_state: RunState,
    /// Why docker could not start it or keep it running; never empty.
    pub error: Option<Box<str>>,
    /// The result of its health check; `None` if it has none.
    pub health: Option<ContainerHealth>,
    /// Everything that is mounted into it.
    pub mounts: Mounts,
    /// How the devcontainer CLI uses it.
    pub setup: Setup,
}

impl ContainerInfo {
    /// A container of this name that does not run.
    #[cfg(test)]
    pub fn named(name: &str) -> Self {
        Self {
            created_at: Timestamp::new(0, 0),
            id: name.to_owned(),
            name: name.to_owned(),
            image: String::new(),
            labels: Pairs::default(),
            foreign_labels: Box::default(),
            running: false,
            ports: Vec::new(),
            run_state: RunState::Created,
            error: None,
            health: None,
            mounts: Mounts::default(),
            setup: Setup::default(),
        }
    }

    /// The value of a label of its own. One that is empty, or that it has from its image alone, counts for nothing.
    pub fn own_label(&self, key: &str) -> Option<&str> {
        let value = self.labels.get(key).filter(|value| !value.is_empty());
        value.filter(|_| !self.foreign_labels.contains(&key))
    }

    /// The state in words: `running`, `paused`, `exited with code 3: no space left`, ….
    pub fn status(&self) -> String {
        match &self.error {
            Some(error) => format!("{}: {error}", self.run_state),
            None => self.run_state.to_string(),
        }
    }
}

/// The mounts as `volumes` shows them: source on the host to destination in the container.
struct Volumes<'a>(&'a Mounts);

impl Serialize for Volumes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.volumes())
    }
}

impl ContainerInfo {
    /// The number of fields at most.
    pub const FIELDS: usize = 12;

    /// Writes the fields as the answers show them, `status` in words, into an object that may have others.
    pub fn serialize_fields<S: SerializeStruct>(&self, fields: &mut S) -> Result<(), S::Error> {
        fields.serialize_field("created_at", &self.created_at)?;
        fields.serialize_field("id", &self.id)?;
        fields.serialize_field("name", &self.name)?;
        fields.serialize_field("image", &self.image)?;
        fields.serialize_field("labels", &self.labels)?;
        fields.serialize_field("running", &self.running)?;
        fields.serialize_field("ports", &self.ports)?;
        fields.serialize_field("status", &self.status())?;
        if let Some(code) = self.run_state.exit_code() {
            fields.serialize_field("exit_code", &code)?;
        }
        if let Some(health) = self.health {
            fields.serialize_field("health", &health)?;
        }
        fields.serialize_field("volumes", &Volumes(&self.mounts))?;
        fields.serialize_field("mounts", &self.mounts.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_sorted_and_the_first_of_equal_keys_stays() {
        let pairs: Pairs = [("b", "1"), ("a", "2"), ("b", "3")].into_iter().collect();
        assert_eq!(pairs.get("a"), Some("2"));
        assert_eq!(pairs.get("b"), Some("1"));
        assert_eq!(pairs.get("c"), None);
        assert_eq!(
            serde_json::to_string(&pairs).unwrap(),
            r#"{"a":"2","b":"1"}"#
        );
    }
}
