//! Containers that are set aside, and the operations that did it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::labels::{LABEL_COMPOSE_PROJECT, LABEL_COMPOSE_SERVICE};
use crate::model::ids::OperationId;

/// Between the name of a container that was set aside and what is noted after it.
const MARK: &str = ".devcontainerd-";

/// What a container was doing before it was set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PriorState {
    /// Its processes ran.
    Running,
    /// They were paused.
    Paused,
    /// It had none.
    Stopped,
}

impl PriorState {
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
pub struct Original {
    /// The whole id.
    pub id: String,
    /// Without the leading slash that docker shows.
    pub name: String,
    /// What it was doing.
    pub was: PriorState,
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

impl Original {
    /// As it was before it was set aside, where an earlier operation left it so.
    pub fn before_parking(mut self) -> Self {
        if let Some(aside) = ParkedName::parse(&self.name) {
            self.name = aside.name;
            self.was = aside.was;
        }
        self
    }

    /// Its name while it is set aside.
    pub fn parked_by(&self, operation: &OperationId) -> ParkedName {
        ParkedName {
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
pub struct ParkedName {
    /// Its own name.
    pub name: String,
    /// Who set it aside.
    pub operation: OperationId,
    /// What it was doing.
    pub was: PriorState,
}

impl ParkedName {
    /// `None` for the name of a container that is not set aside.
    pub fn parse(name: &str) -> Option<Self> {
        let (name, note) = name.rsplit_once(MARK)?;
        let (operation, was) = note.split_once('-')?;
        let all = [PriorState::Running, PriorState::Paused, PriorState::Stopped];
        Some(Self {
            name: name.to_owned(),
            operation: OperationId::parse(operation)?,
            was: all.into_iter().find(|one| one.as_str() == was)?,
        })
    }
}

impl fmt::Display for ParkedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, operation, was) = (&self.name, &self.operation, self.was.as_str());
        write!(f, "{name}{MARK}{operation}-{was}")
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    #[test]
    fn p12_a_name_says_all_that_is_needed_to_put_a_container_back() {
        let operation =
            OperationId::new(UNIX_EPOCH + std::time::Duration::from_nanos(0x1234_5678_9abc));
        assert_eq!(operation.as_str(), "0000123456789abc");
        for was in [PriorState::Running, PriorState::Paused, PriorState::Stopped] {
            for name in ["vibrant_wing", "app.devcontainerd-x", "a-b.c"] {
                let aside = ParkedName {
                    name: name.into(),
                    operation: operation.clone(),
                    was,
                };
                assert_eq!(ParkedName::parse(&aside.to_string()), Some(aside));
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
            assert_eq!(ParkedName::parse(name), None, "{name}");
        }
    }
}
