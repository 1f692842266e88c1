//! The outcome of settling an operation, and the words for it.

/// The outcome of settling an operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Aftermath {
    /// The id of the new container, if it stays.
    pub made: Option<String>,
    /// The originals that are there as they were.
    pub kept: Vec<Kept>,
    /// The originals that are gone without a new container in their place.
    pub lost: Vec<Lost>,
    /// True if a parked container has its name again.
    pub put_back: bool,
    /// Everything that could not be done, and why.
    pub troubles: Vec<String>,
}

/// An original that is there as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its name.
    pub name: String,
    /// True if it runs.
    pub runs: bool,
}

/// An original that is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Its name.
    pub name: String,
    /// True if it was of a compose project.
    pub by_compose: bool,
}

impl Kept {
    fn describe(&self) -> String {
        let state = if self.runs {
            "runs as before"
        } else {
            "is as it was"
        };
        format!("container {} {state}", self.name)
    }
}

impl Lost {
    fn describe(&self) -> String {
        let name = &self.name;
        if self.by_compose {
            format!(
                "container {name} is gone (compose replaces containers in place); its volumes are kept, and the next recreate creates it again"
            )
        } else {
            format!(
                "container {name} is gone, and not by this operation; its named volumes are kept"
            )
        }
    }
}

impl Aftermath {
    /// The fate of the originals in words, for the users of an operation that failed; `None` if there were none.
    pub fn summary(&self) -> Option<String> {
        let kept = self.kept.iter().map(Kept::describe);
        let lost = self.lost.iter().map(Lost::describe);
        let troubles = self.troubles.iter().cloned();
        let parts: Vec<String> = kept.chain(lost).chain(troubles).collect();
        if parts.is_empty() {
            return None;
        }
        let parts = parts.join("; ");
        if self.lost.is_empty() && self.troubles.is_empty() {
            Some(format!("nothing was lost: {parts}"))
        } else {
            Some(parts)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(name: &str, runs: bool) -> Kept {
        let name = name.to_owned();
        Kept { name, runs }
    }

    #[test]
    fn p12_a_summary_says_what_is_kept_and_what_is_not() {
        let mut aftermath = Aftermath::default();
        assert_eq!(aftermath.summary(), None);
        aftermath.kept = vec![kept("a", true), kept("b", false)];
        let summary = aftermath.summary().unwrap();
        assert_eq!(
            summary,
            "nothing was lost: container a runs as before; container b is as it was"
        );
        aftermath.lost = vec![Lost {
            name: "c".into(),
            by_compose: false,
        }];
        let summary = aftermath.summary().unwrap();
        assert!(!summary.contains("nothing was lost"), "{summary}");
        assert!(summary.contains("container c is gone"), "{summary}");
    }
}
