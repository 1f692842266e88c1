//! Lists of containers, and faults of the events child.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::container::ContainerInfo;
use super::shared_list::SharedList;

/// The part of the containers that is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Which containers there are, and everything about each. These are known to have changed.
    All(HashSet<String>),
    /// Which containers there are, and everything about new ones and about these.
    Changed(HashSet<String>),
    /// Everything about these, and nothing else.
    Named(HashSet<String>),
}

/// Containers, newest first.
pub type Containers = SharedList<Arc<ContainerInfo>>;

/// The result of a listing.
pub struct Listed {
    /// Those that could be read.
    pub containers: Containers,
    /// The ids of all containers, those included of which nothing else is known.
    pub ids: Arc<HashSet<String>>,
    /// All that docker left unclear, in text for people.
    pub warnings: Vec<String>,
    /// Containers that no event has named, though they were made, removed, started or stopped.
    pub unreported: Vec<String>,
    /// The time at which to try containers again about which docker gave no answer.
    pub retry_at: Option<Instant>,
}

/// The reason why an events child is of no more use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It ended, and gave this reason.
    Ended(String),
    /// It printed something impossible, as this says.
    Odd(String),
    /// It did not report a change that a listing has found.
    Silent,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ended(said) => f.write_str(said),
            Self::Odd(what) => write!(f, "docker events {what}"),
            Self::Silent => f.write_str("docker events does not tell what happens"),
        }
    }
}
