//! True names in place of what the daemon gives to the CLI in their stead.

use memchr::memchr_iter;

/// Pairs of what the CLI is given, such as the path of a stand-in, and what people know it by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrueNames(Vec<(String, String)>);

impl FromIterator<(String, String)> for TrueNames {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(pairs: I) -> Self {
        let is_usable = |(given, _): &(String, String)| !given.is_empty();
        Self(pairs.into_iter().filter(is_usable).collect())
    }
}

impl TrueNames {
    /// Returns `text` with true names; `None` where it has nothing to replace.
    pub fn in_text(&self, text: &str) -> Option<String> {
        if !self.0.iter().any(|(given, _)| contains(text, given)) {
            return None;
        }
        let mut text = text.to_owned();
        for (given, name) in &self.0 {
            text = text.replace(given, name);
        }
        Some(text)
    }

    /// Puts true names into `text`.
    pub fn put_into(&self, text: &mut String) {
        if let Some(named) = self.in_text(text) {
            *text = named;
        }
    }
}

/// Returns whether a text contains a path. `str::contains` prepares a search each time, which costs more than the search of
/// a line of a log.
fn contains(text: &str, path: &str) -> bool {
    let (text, path) = (text.as_bytes(), path.as_bytes());
    let Some(&first) = path.first() else {
        return true;
    };
    memchr_iter(first, text).any(|at| text.get(at..).is_some_and(|rest| rest.starts_with(path)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_replaced_everywhere() {
        let pairs = [
            ("/o/././d", "docker-compose"),
            ("/o/./d", "docker"),
            ("", "x"),
        ];
        let names: TrueNames = pairs
            .map(|(given, name)| (given.to_owned(), name.to_owned()))
            .into_iter()
            .collect();
        let mut text = "/o/./d run; /o/././d up; /o/./d".to_owned();
        names.put_into(&mut text);
        assert_eq!(text, "docker run; docker-compose up; docker");
        for other in ["docker run", "/o/./", "/o/d /o/./x"] {
            assert_eq!(names.in_text(other), None);
        }
    }
}
