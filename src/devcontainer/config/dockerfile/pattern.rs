//! The patterns that change the value of a variable, as in `${NAME#pattern}`:
//! <https://docs.docker.com/reference/dockerfile/#environment-replacement>.

/// How many steps changing one value may take, of which there may be many in a Dockerfile.
const MAX_STEPS: usize = 1 << 14;

/// A pattern. It matches nothing where it would take long.
pub(super) struct Pattern(Vec<Piece>);

enum Piece {
    One(char),
    /// `?`: any character.
    Any,
    /// `*`: any characters.
    Star,
}

impl Pattern {
    pub(super) fn new(pattern: &str) -> Self {
        let mut characters = pattern.chars();
        let mut pieces = Vec::new();
        while let Some(character) = characters.next() {
            pieces.push(match character {
                '*' => Piece::Star,
                '?' => Piece::Any,
                '\\' => Piece::One(characters.next().unwrap_or('\\')),
                one => Piece::One(one),
            });
        }
        Self(pieces)
    }

    /// `value` without its shortest or longest beginning that matches. `None` where that would take long.
    pub(super) fn without_prefix(&self, value: &str, is_longest: bool) -> Option<String> {
        let value = self.characters(value)?;
        let ends = self.ends(&value);
        let end = if is_longest {
            ends.last()
        } else {
            ends.first()
        };
        Some(value.iter().skip(*end.unwrap_or(&0)).collect())
    }

    /// `value` without its shortest or longest end that matches. `None` where that would take long.
    pub(super) fn without_suffix(&self, value: &str, is_longest: bool) -> Option<String> {
        let value = self.characters(value)?;
        let is_suffix = |start: &usize| {
            let suffix = value.get(*start..).unwrap_or_default();
            self.ends(suffix).last() == Some(&suffix.len())
        };
        let mut starts = 0..=value.len();
        let start = if is_longest {
            starts.find(is_suffix)
        } else {
            starts.rfind(is_suffix)
        };
        Some(value.iter().take(start.unwrap_or(value.len())).collect())
    }

    /// `value` with `replacement` in place of the first or each part that matches, which is as long as can be. `None`
    /// where that would take long, or where nothing would be replaced by something.
    pub(super) fn replaced(
        &self,
        value: &str,
        replacement: &str,
        is_everywhere: bool,
    ) -> Option<String> {
        let value = self.characters(value)?;
        let mut done = String::new();
        let mut at = 0;
        while at < value.len() {
            let rest = value.get(at..).unwrap_or_default();
            match self.ends(rest).last() {
                Some(0) => return None,
                Some(length) => {
                    done.push_str(replacement);
                    at += length;
                    if !is_everywhere {
                        break;
                    }
                }
                None => {
                    done.extend(rest.first());
                    at += 1;
                }
            }
        }
        done.extend(value.get(at..).unwrap_or_default());
        Some(done)
    }

    /// The characters of a value, unless changing it would take long.
    fn characters(&self, value: &str) -> Option<Vec<char>> {
        let value: Vec<char> = value.chars().collect();
        let steps = (value.len() + 1).pow(2).saturating_mul(self.0.len() + 1);
        (steps <= MAX_STEPS).then_some(value)
    }

    /// The lengths of the beginnings of `text` that match, in order.
    fn ends(&self, text: &[char]) -> Vec<usize> {
        let mut ends = vec![0];
        for piece in &self.0 {
            ends = match piece {
                Piece::Star => match ends.first() {
                    Some(first) => (*first..=text.len()).collect(),
                    None => ends,
                },
                piece => {
                    let fits = |end: &usize| match (piece, text.get(*end)) {
                        (Piece::One(one), Some(character)) => one == character,
                        (_, character) => character.is_some(),
                    };
                    ends.into_iter().filter(fits).map(|end| end + 1).collect()
                }
            };
        }
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_changed_as_a_shell_does_it() {
        let changed = |value: &str, pattern: &str| {
            let pattern = Pattern::new(pattern);
            let all = [
                pattern.without_prefix(value, false),
                pattern.without_prefix(value, true),
                pattern.without_suffix(value, false),
                pattern.without_suffix(value, true),
                pattern.replaced(value, "-", false),
                pattern.replaced(value, "-", true),
            ];
            all.map(|text| text.unwrap_or("?".to_owned())).join(" ")
        };
        for (value, pattern, expected) in [
            ("abab", "ab", "ab ab ab ab -ab --"),
            ("abab", "a*", "bab  ab  - -"),
            ("abab", "*b", "ab  aba  - -"),
            ("abab", "?", "bab bab aba aba -bab ----"),
            ("abab", "x*", "abab abab abab abab abab abab"),
            ("a*b", "\\*", "a*b a*b a*b a*b a-b a-b"),
            ("ab", "", "ab ab ab ab ? ?"),
            ("", "a", "     "),
        ] {
            assert_eq!(changed(value, pattern), expected, "{value} {pattern}");
        }
    }

    #[test]
    fn long_values_are_not_changed() {
        let long = "a".repeat(1000);
        assert_eq!(Pattern::new("a*").without_prefix(&long, true), None);
    }
}
