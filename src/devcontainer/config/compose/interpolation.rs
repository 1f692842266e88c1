//! Variables in compose files: <https://docs.docker.com/reference/compose-file/interpolation/>.

use std::fmt;

/// How deeply variables may be nested in defaults.
const MAX_DEPTH: usize = 16;
/// The length of the longest result, in bytes.
const MAX_LENGTH: usize = 64 << 10;

/// Looks up a variable.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A text whose variables cannot be replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum InterpolationError {
    /// A `${` without a proper name, operator or end.
    Invalid(String),
    /// A variable that is needed has no value.
    Required {
        name: String,
        /// The message that the file has for this.
        message: String,
    },
    TooLong,
}

impl fmt::Display for InterpolationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(text) => write!(
                f,
                "{text:?} has a `${{…}}` that compose does not understand"
            ),
            Self::Required { name, message } if message.is_empty() => {
                write!(f, "the variable {name} has no value, which it needs")
            }
            Self::Required { name, message } => {
                write!(
                    f,
                    "the variable {name} has no value, which it needs: {message}"
                )
            }
            Self::TooLong => write!(
                f,
                "its variables make a text that is too long, or are nested more than {MAX_DEPTH} deep"
            ),
        }
    }
}

/// Replaces variables. One that is not set is empty.
pub(super) fn interpolate(text: &str, lookup: Lookup<'_>) -> Result<String, InterpolationError> {
    let mut done = String::new();
    append(&mut done, text, lookup, 0)?;
    Ok(done)
}

fn append(
    done: &mut String,
    text: &str,
    lookup: Lookup<'_>,
    depth: usize,
) -> Result<(), InterpolationError> {
    if depth > MAX_DEPTH {
        return Err(InterpolationError::TooLong);
    }
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        done.push_str(before);
        rest = if let Some(after) = after.strip_prefix('$') {
            done.push('$');
            after
        } else if let Some(after) = after.strip_prefix('{') {
            let invalid = || InterpolationError::Invalid(text.to_owned());
            let (inside, after) = split_at_brace(after).ok_or_else(invalid)?;
            let (name, operation) = split_name(inside);
            if name.is_empty() {
                return Err(invalid());
            }
            let operation = Operation::of(operation).ok_or_else(invalid)?;
            operation.append(done, name, lookup, depth)?;
            after
        } else {
            let (name, after) = split_name(after);
            match name {
                // A dollar sign before anything else stands for itself.
                "" => done.push('$'),
                name => done.push_str(&lookup(name).unwrap_or_default()),
            }
            after
        };
        if done.len() > MAX_LENGTH {
            return Err(InterpolationError::TooLong);
        }
    }
    done.push_str(rest);
    Ok(())
}

/// The part after the name in `${…}`.
struct Operation<'a> {
    kind: Kind<'a>,
    /// True if an empty value counts as none.
    empty_is_none: bool,
}

enum Kind<'a> {
    Value,
    /// The value, or else this text.
    Default(&'a str),
    /// The value, or else an error with this text.
    Required(&'a str),
    /// This text, if there is a value.
    Alternative(&'a str),
}

impl<'a> Operation<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (empty_is_none, operation) = match text.strip_prefix(':') {
            Some(operation) => (true, operation),
            None => (false, text),
        };
        let mut characters = operation.chars();
        let kind = match characters.next() {
            None if !empty_is_none => Kind::Value,
            Some('-') => Kind::Default(characters.as_str()),
            Some('?') => Kind::Required(characters.as_str()),
            Some('+') => Kind::Alternative(characters.as_str()),
            _ => return None,
        };
        Some(Self {
            kind,
            empty_is_none,
        })
    }

    fn append(
        self,
        done: &mut String,
        name: &str,
        lookup: Lookup<'_>,
        depth: usize,
    ) -> Result<(), InterpolationError> {
        let value = lookup(name).filter(|value| !self.empty_is_none || !value.is_empty());
        // A mistake in a text that is not used is an error, too.
        let mut replaced = String::new();
        if let Kind::Default(text) | Kind::Required(text) | Kind::Alternative(text) = self.kind {
            append(&mut replaced, text, lookup, depth + 1)?;
        }
        match (self.kind, value) {
            (Kind::Alternative(_), Some(_)) | (Kind::Default(_), None) => done.push_str(&replaced),
            (Kind::Required(_), None) => {
                return Err(InterpolationError::Required {
                    name: name.to_owned(),
                    message: replaced,
                });
            }
            (Kind::Alternative(_), None) => {}
            (_, value) => done.push_str(&value.unwrap_or_default()),
        }
        Ok(())
    }
}

/// Splits at the brace that closes the one before `text`.
fn split_at_brace(text: &str) -> Option<(&str, &str)> {
    let mut open = 1;
    for (at, character) in text.char_indices() {
        match character {
            '{' => open += 1,
            '}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some((text.get(..at)?, text.get(at + 1..)?));
        }
    }
    None
}

/// Splits off the name of a variable, which does not begin with a digit.
fn split_name(text: &str) -> (&str, &str) {
    let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let end = text.find(is_end).unwrap_or(text.len());
    let end = if text.starts_with(|c: char| c.is_ascii_digit()) {
        0
    } else {
        end
    };
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "X" => Some("x".to_owned()),
            "EMPTY" => Some(String::new()),
            "LONG" => Some("y".repeat(MAX_LENGTH / 2)),
            _ => None,
        }
    }

    #[test]
    fn every_form_of_a_variable() {
        for (text, expected) in [
            ("a", "a"),
            ("$X", "x"),
            ("$X-", "x-"),
            ("$XY", ""),
            ("${X}y", "xy"),
            ("$$X", "$X"),
            ("$$$X", "$x"),
            ("$", "$"),
            ("$ $1", "$ $1"),
            ("${NONE}", ""),
            ("${NONE-d}${NONE:-e}", "de"),
            ("${EMPTY-d}${EMPTY:-e}", "e"),
            ("${X-d}${X:-e}", "xx"),
            ("${NONE+d}${NONE:+e}", ""),
            ("${EMPTY+d}${EMPTY:+e}", "d"),
            ("${X+d}${X:+e}", "de"),
            ("${X?e}${EMPTY?e}", "x"),
            ("${NONE:-${EMPTY:-${X}}}y", "xy"),
            ("${NONE:-a:-b}", "a:-b"),
            ("${NONE:-a$$b}", "a$b"),
            ("${NONE:-{}}", "{}"),
        ] {
            assert_eq!(
                interpolate(text, &lookup).as_deref(),
                Ok(expected),
                "{text}"
            );
        }
    }

    #[test]
    fn what_has_no_meaning_is_an_error() {
        for text in [
            "${",
            "${X",
            "${}",
            "${1}",
            "${X!}",
            "${X:}",
            "${X y}",
            "${NONE:-${X}",
        ] {
            let error = interpolate(text, &lookup).unwrap_err();
            assert_eq!(error, InterpolationError::Invalid(text.to_owned()));
        }
        for (text, message) in [
            ("${NONE?}", ""),
            ("${EMPTY:?no $X}", "no x"),
            ("${X:-${NONE?no}}", "no"),
            ("${NONE+${NONE?no}}", "no"),
        ] {
            let error = interpolate(text, &lookup).unwrap_err();
            let InterpolationError::Required { message: found, .. } = &error else {
                panic!("{text}: {error}")
            };
            assert_eq!(found, message);
            assert!(error.to_string().contains("has no value"), "{error}");
        }
    }

    #[test]
    fn p19_results_and_nesting_are_bounded() {
        let deep = "${NONE:-".repeat(10_000) + &"}".repeat(10_000);
        for text in ["$LONG$LONG$LONG$LONG", &deep] {
            assert_eq!(interpolate(text, &lookup), Err(InterpolationError::TooLong));
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[X${}:?+\\-a1 ]{0,40}") {
            let _ = interpolate(&text, &lookup);
        }
    }
}
