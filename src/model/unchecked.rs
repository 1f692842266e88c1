//! The reasons why not all that a dev container is made from is compared.

use crate::base::text::beginning;

/// How many reasons are kept. Further ones are counted.
const KEPT: usize = 3;
/// The length of the longest reason, in characters.
const LONGEST: usize = 1000;

/// The reasons why something that a dev container is made from is not compared: none where everything is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unchecked {
    reasons: Vec<Box<str>>,
    more: usize,
}

impl Unchecked {
    /// Adds a reason, which names the thing that is not compared, the cause, and the mend. One that is known already
    /// changes nothing.
    pub fn add(&mut self, reason: &str) {
        let begin = beginning(reason, LONGEST);
        let reason: Box<str> = match begin.len() < reason.len() {
            true => format!("{begin}…").into(),
            false => reason.into(),
        };
        if self.reasons.contains(&reason) {
            return;
        }
        if self.reasons.len() < KEPT {
            self.reasons.push(reason);
        } else {
            self.more += 1;
        }
    }

    /// Returns all reasons in one text for people; `None` where there are none.
    pub fn text(&self) -> Option<String> {
        if self.reasons.is_empty() {
            return None;
        }
        let reasons = self.reasons.join("; ");
        Some(match self.more {
            0 => reasons,
            more => format!("{reasons}; and {more} more"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_joined_and_bounded() {
        let mut unchecked = Unchecked::default();
        assert_eq!(unchecked.text(), None);
        for reason in ["a", "b", "a"] {
            unchecked.add(reason);
        }
        assert_eq!(unchecked.text().unwrap(), "a; b");
        for number in 0..1000 {
            unchecked.add(&format!("{}{number}", "é".repeat(LONGEST)));
        }
        let text = unchecked.text().unwrap();
        assert!(
            text.ends_with("é…; and 999 more") || text.ends_with("é…"),
            "{text}"
        );
        assert!(text.chars().count() < 1100);
    }
}
