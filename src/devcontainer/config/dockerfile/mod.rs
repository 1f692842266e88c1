//! The files that a Dockerfile takes from its context by name.

mod lines;
mod stages;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use self::stages::Stages;

/// The files that the stages of a build take from the context.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// Their paths.
    pub sources: BTreeSet<Source>,
    /// Why other ones are not known, for people.
    pub unknown: BTreeSet<String>,
}

/// A path in the context, as a Dockerfile names it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Source {
    /// Relative to the context.
    pub path: String,
    /// True if it is a pattern for several.
    pub is_pattern: bool,
    /// The patterns of `--exclude`.
    pub excluded: Vec<String>,
}

/// Returns what the build of `target`, or of the last stage, takes from the context with these build arguments.
pub fn copied(text: &str, target: Option<&str>, args: &BTreeMap<String, String>) -> Copied {
    let (instructions, escape) = lines::instructions(text);
    let stages = Stages::new(&instructions, escape, args);
    let mut copied = Copied::default();
    for stage in stages.needed(target) {
        copied.sources.extend(stage.sources.iter().cloned());
        copied.unknown.extend(stage.unknown.iter().cloned());
    }
    if stages.are_too_many() {
        let problem = "it has so many stages that not all are followed; split it";
        copied.unknown.insert(problem.to_owned());
    }
    copied
}

#[cfg(test)]
mod tests;
