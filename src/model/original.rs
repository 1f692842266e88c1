//! Containers that an operation replaces, and the names under which it parks them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::container::RunState;
use super::ids::OperationId;
use super::labels::ComposeService;

/// Between the name of a parked container and the note after it.
const MARK: &str = ".devcontainerd-";

/// The run state of a container before an operation replaced it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PriorState {
    /// Its processes ran.
    Running,
    /// Its processes were paused.
    Paused,
    /// It had no processes.
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

impl From<&RunState> for PriorState {
    fn from(state: &RunState) -> Self {
        match state {
            RunState::Paused => Self::Paused,
            RunState::Running | RunState::Restarting => Self::Running,
            RunState::Created
            | RunState::Stopping
            | RunState::Exited(_)
            | RunState::Dead
            | RunState::Other(_) => Self::Stopped,
        }
    }
}

/// A container that an operation replaces, as it was when the operation began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Original {
    /// The whole id.
    pub id: String,
    /// Without the leading slash that docker shows.
    pub name: String,
    /// Its run state.
    pub was: PriorState,
    /// True if docker removes it as soon as it is stopped (`--rm`).
    #[serde(default)]
    pub removed_when_stopped: bool,
    /// The networks that it must leave to free the ports that it publishes, if it cannot be stopped.
    #[serde(default)]
    pub leaves_networks: Vec<String>,
    /// Its service, if it belongs to a compose project.
    #[serde(default)]
    pub compose: Option<ComposeService>,
}

impl Original {
    /// If an earlier operation left it parked: as it was before that.
    pub fn before_parking(mut self) -> Self {
        if let Some(parked) = ParkedName::parse(&self.name) {
            self.name = parked.name;
            self.was = parked.was;
        }
        self
    }

    /// Its name while `operation` has it parked.
    pub fn parked_by(&self, operation: &OperationId) -> ParkedName {
        ParkedName {
            name: self.name.clone(),
            operation: operation.clone(),
            was: self.was,
        }
    }
}

/// The name of a parked container, which says how to restore it: `NAME.devcontainerd-OPERATION-STATE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParkedName {
    /// Its own name.
    pub name: String,
    /// The operation that parked it.
    pub operation: OperationId,
    /// Its run state before it was parked.
    pub was: PriorState,
}

impl ParkedName {
    /// `None` for the name of a container that is not parked.
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

impl ParkedName {
    /// A regular expression for the names of all containers that an operation has parked, and perhaps of some others.
    pub fn pattern(operation: &OperationId) -> String {
        format!("{MARK}{operation}-")
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
    fn p12_a_name_says_all_that_is_needed_to_restore_a_container() {
        let operation =
            OperationId::new(UNIX_EPOCH + std::time::Duration::from_nanos(0x1234_5678_9abc));
        assert_eq!(operation.as_str(), "0000123456789abc");
        for was in [PriorState::Running, PriorState::Paused, PriorState::Stopped] {
            for name in ["vibrant_wing", "app.devcontainerd-x", "a-b.c"] {
                let parked = ParkedName {
                    name: name.into(),
                    operation: operation.clone(),
                    was,
                };
                assert_eq!(ParkedName::parse(&parked.to_string()), Some(parked));
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
