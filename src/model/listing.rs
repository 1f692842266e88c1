//! Lists of containers, and faults of the stream of events.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use super::container::ContainerInfo;

/// What of the containers is to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Which there are, and all about each.
    All,
    /// Which there are, and all about those that are new and about these.
    Changed(HashSet<String>),
    /// All about these, and nothing else.
    Named(HashSet<String>),
}

/// A listing.
pub struct Listed {
    /// Newest first.
    pub containers: Vec<Arc<ContainerInfo>>,
    /// Of all containers that there are, those included of which nothing else is known.
    pub ids: HashSet<String>,
    /// What was odd.
    pub warnings: Vec<String>,
    /// Containers that were said to be unchanged, and have come, gone, begun or ended to run.
    pub untold: Vec<String>,
    /// When to try again what docker said nothing about.
    pub retry_at: Option<Instant>,
}

/// What is wrong with an events child.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It has ended, and said this.
    Ended(String),
    /// It tells what cannot be, and is not to be believed.
    Odd(String),
    /// Something has changed that it has not told.
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
