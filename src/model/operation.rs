//! Operations on dev containers: their kinds and ends, and the repair of what they leave.

use serde::{Deserialize, Serialize};

use super::ids::OperationId;
use super::original::Original;
use crate::base::time::Timestamp;

/// The kinds of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationKind {
    /// Makes a new container in place of the old one.
    Recreate,
    /// Starts the container, and makes it where there is none.
    Start,
    /// Stops the container, and the services of its compose project that go with it.
    Stop,
    /// Removes these containers. Volumes stay.
    Delete,
}

impl OperationKind {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Recreate, Self::Start, Self::Stop, Self::Delete];

    /// Returns the verb, as it stands in messages.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Recreate => "recreate",
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Delete => "delete",
        }
    }

    /// Returns whether the operation runs the devcontainer CLI, which may make a container.
    pub fn makes_containers(self) -> bool {
        matches!(self, Self::Recreate | Self::Start)
    }
}

/// The states of an operation, as words on the wire and in `state.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OperationState {
    /// It waits until fewer others run, and has not begun.
    Queued,
    /// It has not ended.
    Running,
    /// It did what was asked.
    Succeeded,
    /// It did not do what was asked.
    Failed,
    /// A client cancelled it.
    Cancelled,
    /// The daemon ended before it did.
    Interrupted,
}

impl OperationState {
    /// The states after the end of an operation.
    pub const ENDS: [Self; 4] = [
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Interrupted,
    ];

    /// Returns the word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Interrupted => "interrupted",
        }
    }
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It did what was asked.
    Succeeded,
    /// It did not, for this reason.
    Failed(String),
    /// A client cancelled it.
    Cancelled,
    /// The daemon ended before it did, in this way.
    Interrupted(String),
}

impl Ending {
    /// Returns the state that an operation is in after this end.
    pub fn state(&self) -> OperationState {
        match self {
            Self::Succeeded => OperationState::Succeeded,
            Self::Failed(_) => OperationState::Failed,
            Self::Cancelled => OperationState::Cancelled,
            Self::Interrupted(_) => OperationState::Interrupted,
        }
    }
}

/// A report on the containers of an operation, in words for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContainersReport {
    /// Every container is there as it was, or as it should be.
    Unharmed(String),
    /// A container is lost, or could not be put back.
    Harmed(String),
}

impl ContainersReport {
    /// Returns the words.
    pub fn text(&self) -> &str {
        match self {
            Self::Unharmed(text) | Self::Harmed(text) => text,
        }
    }
}

/// The end of an operation, with a report on its containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// How the operation ended.
    pub ending: Ending,
    /// The report on the containers; `None` where there is nothing to say.
    pub containers: Option<ContainersReport>,
    /// When it ended, by the wall clock.
    pub finished_at: Timestamp,
}

impl End {
    /// Returns the text of `error`: the reason why the operation did not succeed, or the container that was harmed.
    pub fn error(&self) -> Option<String> {
        match (&self.ending, &self.containers) {
            (Ending::Failed(why) | Ending::Interrupted(why), Some(report)) => {
                Some(format!("{why}; {}", report.text()))
            }
            (Ending::Failed(why) | Ending::Interrupted(why), None) => Some(why.clone()),
            (Ending::Succeeded | Ending::Cancelled, Some(ContainersReport::Harmed(text))) => {
                Some(text.clone())
            }
            (Ending::Succeeded | Ending::Cancelled, _) => None,
        }
    }

    /// Returns the explanation for a client that waited for an operation of this `kind`, if there is one.
    pub fn explanation(&self, kind: OperationKind) -> Option<String> {
        if self.ending != Ending::Cancelled {
            return self.error();
        }
        let cancelled = format!("the {} was cancelled", kind.verb());
        Some(match &self.containers {
            Some(report) => format!("{cancelled}; {}", report.text()),
            None => cancelled,
        })
    }

    /// Adds the summary of a later repair.
    pub fn add_repair(&mut self, summary: String) {
        let is_shown = self.error().is_some();
        let text = match self.containers.take() {
            Some(report) if is_shown => format!("{}; {summary}", report.text()),
            _ => summary,
        };
        self.containers = Some(ContainersReport::Harmed(text));
    }
}

/// The state of the containers of an operation that has ended: known for sure, or still to be repaired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is known, and nothing is left to do.
    Settled,
    /// Docker did not answer, or refused something: a repair is still to be done.
    Open {
        /// The container that the operation made, where it succeeded.
        made: Option<String>,
    },
}

/// Everything that an operation reports when it ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedOperation {
    /// How it ended.
    pub end: End,
    /// The container that it made, as the devcontainer CLI or docker names it.
    pub container: Option<String>,
    /// Open if a repair is still to be done.
    pub settlement: Settlement,
}

impl EndedOperation {
    /// Returns whether the containers may be others than before, or in another state. Where an operation has failed and
    /// made none, they are as they were.
    pub fn has_changed_containers(&self) -> bool {
        self.end.ending == Ending::Succeeded || self.container.is_some()
    }
}

/// The origin of what is to be repaired, which decides how far containers may be touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeftBy {
    /// An operation of this run of the daemon that could not be settled: what its containers do now is its doing.
    ThisRun,
    /// An operation of this daemon, before a restart or some time ago: much may have happened since.
    Earlier,
    /// An operation that only the name of a container tells of. It may be another daemon's, which may still run it.
    Unknown,
}

/// A repair that a dev container needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The operation that left it.
    pub operation: OperationId,
    /// The containers, as they were before the operation.
    pub originals: Vec<Original>,
    /// The origin of what is to be repaired.
    pub left_by: LeftBy,
    /// The container that the operation made, where it succeeded.
    pub made: Option<String>,
}

/// The result of a repair that docker answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// The report on the containers, in words for people.
    pub summary: Option<String>,
    /// True if nothing is left to repair.
    pub complete: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(ending: Ending, containers: Option<ContainersReport>) -> End {
        End {
            ending,
            containers,
            finished_at: Timestamp::new(0, 0),
        }
    }

    #[test]
    fn an_error_says_why_and_what_became_of_the_containers() {
        let unharmed = || Some(ContainersReport::Unharmed("nothing was lost".into()));
        let harmed = || Some(ContainersReport::Harmed("a is gone".into()));
        let failed = || Ending::Failed("no image".into());
        let cancelled = "the recreate was cancelled";
        for (ending, containers, error, explanation) in [
            (Ending::Succeeded, None, None, None),
            (
                Ending::Succeeded,
                harmed(),
                Some("a is gone"),
                Some("a is gone"),
            ),
            (failed(), None, Some("no image"), Some("no image")),
            (
                failed(),
                unharmed(),
                Some("no image; nothing was lost"),
                Some("no image; nothing was lost"),
            ),
            (Ending::Cancelled, None, None, Some(cancelled)),
            (
                Ending::Cancelled,
                unharmed(),
                None,
                Some("the recreate was cancelled; nothing was lost"),
            ),
            (
                Ending::Cancelled,
                harmed(),
                Some("a is gone"),
                Some("the recreate was cancelled; a is gone"),
            ),
        ] {
            let end = end(ending, containers);
            assert_eq!(end.error().as_deref(), error, "{end:?}");
            let said = end.explanation(OperationKind::Recreate);
            assert_eq!(said.as_deref(), explanation, "{end:?}");
        }
    }

    #[test]
    fn a_repair_is_added_to_what_was_said_before() {
        let mut failed = end(
            Ending::Failed("docker is gone".into()),
            Some(ContainersReport::Unharmed("the old one comes back".into())),
        );
        failed.add_repair("it runs".into());
        assert_eq!(
            failed.error().as_deref(),
            Some("docker is gone; the old one comes back; it runs")
        );
        let mut cancelled = end(
            Ending::Cancelled,
            Some(ContainersReport::Unharmed("nothing was lost".into())),
        );
        cancelled.add_repair("it runs".into());
        assert_eq!(cancelled.error().as_deref(), Some("it runs"));
    }
}
