//! The patterns of Dockerfiles and `.dockerignore` files: <https://pkg.go.dev/path/filepath#Match>, and `**`.

/// A pattern for paths.
#[derive(Clone, Debug)]
pub struct Glob(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    One(char),
    /// `?`: any character but `/`.
    Any,
    /// `[a-z]`
    Class {
        is_negated: bool,
        ranges: Vec<(char, char)>,
    },
    /// `*`: any characters but `/`.
    Star,
    /// `**/`: nothing, or directories.
    Directories,
    /// `**` at the end, or before the end of a path: any characters.
    Rest,
}

impl Glob {
    /// Reads a pattern. `None` where it is malformed.
    pub fn new(pattern: &str) -> Option<Self> {
        // Docker takes such a pattern for the end of a path, also within a name.
        if let Some(end) = pattern.strip_prefix("**")
            && !end.starts_with('/')
            && !end.contains(['*', '?', '[', ']', '\\'])
        {
            let end = end.chars().map(Piece::One);
            return Some(Self([Piece::Rest].into_iter().chain(end).collect()));
        }
        let mut pieces = Vec::new();
        let mut characters = pattern.chars().peekable();
        while let Some(character) = characters.next() {
            let piece = match character {
                '*' if characters.next_if_eq(&'*').is_some() => {
                    while characters.next_if_eq(&'*').is_some() {}
                    let _ = characters.next_if_eq(&'/');
                    if characters.peek().is_none() {
                        Piece::Rest
                    } else {
                        Piece::Directories
                    }
                }
                '*' => Piece::Star,
                '?' => Piece::Any,
                '[' => class(&mut characters)?,
                '\\' => Piece::One(characters.next()?),
                other => Piece::One(other),
            };
            // Two of the first kinds in a row mean the same as one, and would take time.
            let is_repeated = matches!(piece, Piece::Star | Piece::Directories);
            if !(is_repeated && pieces.last() == Some(&piece)) {
                pieces.push(piece);
            }
        }
        Some(Self(pieces))
    }

    /// Returns whether the pattern matches all of `path`.
    pub fn matches(&self, path: &str) -> bool {
        let path: Vec<char> = path.chars().collect();
        // The numbers of characters that the pieces so far may have matched, in order.
        let mut ends: Vec<usize> = vec![0];
        for piece in &self.0 {
            if ends.is_empty() {
                return false;
            }
            ends = piece.ends(&path, &ends);
        }
        ends.last() == Some(&path.len())
    }
}

impl Piece {
    /// The ends of what this piece matches, if it begins at one of `starts`. Both are in order.
    fn ends(&self, path: &[char], starts: &[usize]) -> Vec<usize> {
        let Some(first) = starts.first().copied() else {
            return Vec::new();
        };
        let before = |end: usize| end.checked_sub(1).and_then(|at| path.get(at));
        match self {
            Self::Rest => (first..=path.len()).collect(),
            Self::Directories => {
                let is_end = |end: &usize| *end > first && before(*end) == Some(&'/');
                let directories = (first..=path.len()).filter(is_end);
                let mut ends: Vec<usize> = starts.iter().copied().chain(directories).collect();
                ends.sort_unstable();
                ends.dedup();
                ends
            }
            Self::Star => {
                let mut is_reached = false;
                let mut starts = starts.iter().peekable();
                (first..=path.len())
                    .filter(|end| {
                        let is_start = starts.next_if_eq(&end).is_some();
                        is_reached = is_start || (is_reached && before(*end) != Some(&'/'));
                        is_reached
                    })
                    .collect()
            }
            one => {
                let fits = |start: &&usize| path.get(**start).is_some_and(|c| one.fits(*c));
                starts.iter().filter(fits).map(|start| start + 1).collect()
            }
        }
    }

    /// Returns whether a piece for a single character matches this one.
    fn fits(&self, character: char) -> bool {
        match self {
            Self::One(one) => *one == character,
            Self::Any => character != '/',
            Self::Class { is_negated, ranges } => {
                let is_in = ranges.iter().any(|(a, z)| (*a..=*z).contains(&character));
                is_in != *is_negated
            }
            Self::Star | Self::Directories | Self::Rest => false,
        }
    }
}

/// Reads a class after its bracket.
fn class(characters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Piece> {
    let is_negated = characters.next_if_eq(&'^').is_some();
    let mut ranges = Vec::new();
    let next =
        |characters: &mut std::iter::Peekable<std::str::Chars<'_>>| match characters.next()? {
            '\\' => characters.next(),
            other => Some(other),
        };
    loop {
        if !ranges.is_empty() && characters.next_if_eq(&']').is_some() {
            return Some(Piece::Class { is_negated, ranges });
        }
        let from = next(characters)?;
        let to = match characters.next_if_eq(&'-') {
            Some(_) => next(characters)?,
            None => from,
        };
        ranges.push((from, to));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let glob = Glob::new(pattern).unwrap();
        for path in matching {
            assert!(glob.matches(path), "{pattern} and {path}");
        }
        for path in others {
            assert!(!glob.matches(path), "{pattern} and {path}");
        }
    }

    #[test]
    fn patterns_match_as_in_go() {
        check("a.txt", &["a.txt"], &["a.txt2", "aatxt", "", "x/a.txt"]);
        check("*.txt", &["a.txt", ".txt"], &["a/b.txt", "a.txt/b"]);
        check(
            "package*.json",
            &["package.json", "package-lock.json"],
            &["package.json5"],
        );
        check("a*b*c", &["abc", "axbxc", "abbcc"], &["ab", "a/b/c"]);
        check("?x", &["ax", "éx"], &["x", "/x", "aax"]);
        check("[a-cx]1", &["a1", "c1", "x1"], &["d1", "1"]);
        check("[^a-c]", &["d"], &["a", ""]);
        check(r"\*[\]]", &["*]"], &["a]", "*"]);
        check("**/x", &["x", "a/x", "a/b/x"], &["ax", "x/a"]);
        check("a/**", &["a/b", "a/b/c", "a/"], &["a", "ab"]);
        check("**", &["a", "a/b"], &[]);
        check("**.md", &["a.md", ".md", "a/b.md"], &["a.md/c", "a.md5"]);
        check("**a?", &["ab", "x/ab"], &["xab"]);
        check("a/**/b*", &["a/b", "a/x/y/bc"], &["a/x/c", "ab"]);
    }

    #[test]
    fn malformed_patterns_are_none() {
        for pattern in ["[", "[a", "[]", "a\\", "[a-", "[^"] {
            assert!(Glob::new(pattern).is_none(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_panics(pattern in "[a/*?^\\[\\]\\\\-]{0,12}", path in "[a/b]{0,12}") {
            let _ = Glob::new(&pattern).map(|glob| glob.matches(&path));
        }

        #[test]
        fn a_path_matches_itself(path in "[a-z/.]{0,20}") {
            prop_assert!(Glob::new(&path).unwrap().matches(&path));
        }
    }
}
