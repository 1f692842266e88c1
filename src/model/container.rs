//! A container as docker describes it.

use serde::{Serialize, Serializer};

use crate::base::sort::by_text;
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
    /// Of two equal keys the first one stays.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let pairs: Vec<(Box<str>, Box<str>)> = pairs
            .into_iter()
            .map(|(k, v)| (k.into(), v.into()))
            .collect();
        let mut pairs = by_text(pairs, |(key, _)| key.as_bytes().to_vec());
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

/// What docker says about a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ContainerInfo {
    /// When it was created, by the engine's clock.
    pub created_at: Timestamp,
    /// The whole id, 64 hexadecimal digits.
    pub id: String,
    /// Without the leading slash that docker shows.
    pub name: String,
    /// As it was named when the container was made.
    pub image: String,
    /// All of them, those of the image included.
    pub labels: Pairs,
    /// Whether it has processes, paused ones included.
    pub running: bool,
    /// Published and exposed ports, sorted.
    pub ports: Vec<Port>,
    /// `running`, `paused`, `exited with code 3: no space left`, ….
    pub status: String,
    /// Source on the host to destination in the container.
    pub volumes: Pairs,
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
