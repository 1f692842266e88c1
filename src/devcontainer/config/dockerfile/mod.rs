//! The files that a Dockerfile takes from its context by name.

mod flags;
mod lines;
mod pattern;
mod stages;
mod words;

use std::collections::BTreeSet;

use self::stages::Stages;
pub(super) use self::stages::is_remote;
use crate::model::build::Build;

/// The files that the stages of a build take from its contexts.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Their paths.
    pub sources: BTreeSet<Source>,
    /// Why other ones are not known, for people.
    pub unknown: BTreeSet<String>,
}

/// A path in a context, as a Dockerfile names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// The name of the context, if it is not the main one.
    pub context: Option<String>,
    /// Relative to the context.
    pub path: String,
    /// True if it is a pattern for several.
    pub is_pattern: bool,
    /// The patterns of `--exclude`.
    pub excluded: Vec<String>,
}

/// Returns what a build of a Dockerfile with this text takes from its contexts.
pub fn copied(text: &str, build: &Build) -> Copied {
    let (instructions, escape) = lines::instructions(text);
    let stages = Stages::new(&instructions, escape, build);
    let mut copied = Copied::default();
    for stage in stages.needed(build.target.as_deref()) {
        copied.sources.extend(stage.sources.iter().cloned());
        copied.unknown.extend(stage.unknown.iter().cloned());
    }
    if stages.are_too_many() {
        let problem =
            "it has so many stages or `ONBUILD` instructions that not all are followed; split it";
        copied.unknown.insert(problem.to_owned());
    }
    copied
}

#[cfg(test)]
mod tests;
