//! Containers that are set aside, and the operations that did it.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::docker::{LABEL_COMPOSE_PROJECT, LABEL_COMPOSE_SERVICE};
use crate::time::Timestamp;

/// The label of containers that an operation of ours made; its value is the operation's id.
pub const LABEL_OPERATION: &str = "devcontainerd.operation";

/// Between the name of a container that was set aside and what is noted after it.
const MARK: &str = ".devcontainerd-";

/// The id of an operation: the nanosecond at which it began, as 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct OperationId(String);

impl OperationId {
    /// That of an operation that begins at `now`.
    pub fn new(now: SystemTime) -> Self {
        let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        Self(format!("{nanos:016x}"))
    }

    /// `None` where the text is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let is_digit = |b: u8| b.is_ascii_digit() || matches!(b, b'a'..=b'f');
        (text.len() == 16 && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }

    /// The 16 digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When the operation began, to the millisecond.
    pub fn began_at(&self) -> Timestamp {
        let nanos = u64::from_str_radix(&self.0, 16).unwrap_or_default();
        Timestamp::from_millis(i64::try_from(nanos / 1_000_000).unwrap_or_default())
    }
}

impl fmt::Display for OperationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for OperationId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("an operation's id has 16 hexadecimal digits")
    }
}

impl From<OperationId> for String {
    fn from(id: OperationId) -> Self {
        id.0
    }
}

/// What a container was doing before it was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Was {
    /// Its processes ran.
    Running,
    /// They were paused.
    Paused,
    /// It had none.
    Stopped,
}

impl Was {
    fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopped => "stopped",
        }
    }
}

/// A container that an operation is to replace, as it was when that began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Old {
    /// The whole id.
    pub id: String,
    /// Without the leading slash that docker shows.
    pub name: String,
    /// What it was doing.
    pub was: Was,
    /// Whether docker removes it as soon as it is stopped (`--rm`).
    #[serde(default)]
    pub removed_when_stopped: bool,
    /// The networks that it must leave so that the ports it publishes are free; only for one that cannot be stopped.
    #[serde(default)]
    pub leaves_networks: Vec<String>,
    /// Where it belongs to a compose project.
    #[serde(default)]
    pub compose: Option<ComposeService>,
}

impl Old {
    /// As it was before it was set aside, where an earlier operation left it so.
    pub fn as_before(mut self) -> Self {
        if let Some(aside) = Aside::parse(&self.name) {
            self.name = aside.name;
            self.was = aside.was;
        }
        self
    }

    /// Its name while it is set aside.
    pub fn set_aside_by(&self, operation: &OperationId) -> Aside {
        Aside {
            name: self.name.clone(),
            operation: operation.clone(),
            was: self.was,
        }
    }
}

/// A service of a compose project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComposeService {
    /// The project's name.
    pub project: String,
    /// The service's name in it.
    pub service: String,
}

impl ComposeService {
    /// The labels by which compose finds its containers.
    pub fn labels(&self) -> [String; 2] {
        [
            self.project_label(),
            format!("{LABEL_COMPOSE_SERVICE}={}", self.service),
        ]
    }

    /// That of all containers of the project.
    pub fn project_label(&self) -> String {
        format!("{LABEL_COMPOSE_PROJECT}={}", self.project)
    }
}

/// The name of a container that is set aside, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aside {
    /// Its own name.
    pub name: String,
    /// Who set it aside.
    pub operation: OperationId,
    /// What it was doing.
    pub was: Was,
}

impl Aside {
    /// `None` for the name of a container that is not set aside.
    pub fn parse(name: &str) -> Option<Self> {
        let (name, note) = name.rsplit_once(MARK)?;
        let (operation, was) = note.split_once('-')?;
        let all = [Was::Running, Was::Paused, Was::Stopped];
        Some(Self {
            name: name.to_owned(),
            operation: OperationId::parse(operation)?,
            was: all.into_iter().find(|one| one.as_str() == was)?,
        })
    }
}

impl fmt::Display for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, operation, was) = (&self.name, &self.operation, self.was.as_str());
        write!(f, "{name}{MARK}{operation}-{was}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p12_a_name_says_all_that_is_needed_to_put_a_container_back() {
        let operation =
            OperationId::new(UNIX_EPOCH + std::time::Duration::from_nanos(0x1234_5678_9abc));
        assert_eq!(operation.as_str(), "0000123456789abc");
        for was in [Was::Running, Was::Paused, Was::Stopped] {
            for name in ["vibrant_wing", "app.devcontainerd-x", "a-b.c"] {
                let aside = Aside {
                    name: name.into(),
                    operation: operation.clone(),
                    was,
                };
                assert_eq!(Aside::parse(&aside.to_string()), Some(aside));
            }
        }
    }

    #[test]
    fn other_names_are_left_alone() {
        for name in [
            "",
            "vibrant_wing",
            "x.devcontainerd-",
            "x.devcontainerd-0000123456789abc",
            "x.devcontainerd-0000123456789abc-",
            "x.devcontainerd-0000123456789abc-asleep",
            "x.devcontainerd-0000123456789ABC-running",
            "x.devcontainerd-123-running",
        ] {
            assert_eq!(Aside::parse(name), None, "{name}");
        }
    }

    #[test]
    fn an_operation_knows_when_it_began() {
        let now = SystemTime::now();
        let since = now.duration_since(UNIX_EPOCH).unwrap();
        let began = OperationId::new(now).began_at();
        assert_eq!(began.as_millis(), since.as_millis() as i64);
    }
}
