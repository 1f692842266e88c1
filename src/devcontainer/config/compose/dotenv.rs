//! Files of environment variables, as compose reads them: <https://docs.docker.com/compose/how-tos/environment-variables/>.

use std::collections::BTreeMap;
use std::fmt;

use super::interpolation::{InterpolationError, Lookup, interpolate};

/// A line of such a file.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Assignment {
    name: String,
    value: Value,
}

#[derive(Debug, PartialEq, Eq)]
enum Value {
    /// That of the environment.
    Inherited,
    /// This text.
    Literal(String),
    /// This text with its variables replaced.
    Expanded(String),
}

/// A file that is not understood.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum DotenvError {
    /// This line has a name that no variable can have.
    Name(String),
    /// The quote before this text is not closed.
    Quote(String),
    Interpolation(InterpolationError),
}

impl fmt::Display for DotenvError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(line) => write!(
                f,
                "it has a line that begins with no name of a variable: {line:?}"
            ),
            Self::Quote(line) => write!(f, "it has a quote that is not closed: {line:?}"),
            Self::Interpolation(error) => error.fmt(f),
        }
    }
}

/// Reads a file. Values are as they are written.
pub(super) fn parse(text: &str) -> Result<Vec<Assignment>, DotenvError> {
    let mut assignments = Vec::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    loop {
        rest = rest.trim_start();
        if let Some(comment) = rest.strip_prefix('#') {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
            continue;
        }
        if rest.is_empty() {
            return Ok(assignments);
        }
        let (assignment, after) = assignment(rest)?;
        assignments.push(assignment);
        rest = after;
    }
}

/// The length of all values together, in bytes.
const MAX_VALUES: usize = 1 << 20;

/// Evaluates a file. `lookup` is the environment, which comes before earlier lines.
pub(super) fn evaluate(
    assignments: Vec<Assignment>,
    lookup: Lookup<'_>,
) -> Result<BTreeMap<String, String>, DotenvError> {
    let mut values: BTreeMap<String, String> = BTreeMap::new();
    let mut length = 0;
    for Assignment { name, value } in assignments {
        let value = match value {
            Value::Inherited => lookup(&name),
            Value::Literal(text) => Some(text),
            Value::Expanded(text) => {
                let known = |name: &str| lookup(name).or_else(|| values.get(name).cloned());
                let expanded = interpolate(&text, &known);
                Some(expanded.map_err(DotenvError::Interpolation)?)
            }
        };
        if let Some(value) = value {
            length += value.len();
            if length > MAX_VALUES {
                return Err(DotenvError::Interpolation(InterpolationError::TooLong));
            }
            values.insert(name, value);
        }
    }
    Ok(values)
}

/// A text that is the same for files that differ in comments and spacing alone. `None` where a file is not understood.
pub fn canonical(text: &str) -> Option<String> {
    let assignments = parse(text).ok()?;
    let lines = assignments
        .iter()
        .map(|Assignment { name, value }| match value {
            Value::Inherited => (name, "", ""),
            Value::Literal(text) => (name, "'", text.as_str()),
            Value::Expanded(text) => (name, "=", text.as_str()),
        });
    serde_json::to_string(&lines.collect::<Vec<_>>()).ok()
}

fn assignment(text: &str) -> Result<(Assignment, &str), DotenvError> {
    let exported = text
        .strip_prefix("export")
        .filter(|after| after.starts_with(char::is_whitespace));
    let text = exported.unwrap_or(text).trim_start();
    let odd_name = || DotenvError::Name(first_line(text));
    let is_of_name = |c: char| c.is_alphanumeric() || "_.-[] \t\r".contains(c);
    let end = text.find(|c| !is_of_name(c)).unwrap_or(text.len());
    let (name, after) = text.split_at(end);
    let name = name.trim_end();
    if name.contains(char::is_whitespace) {
        return Err(odd_name());
    }
    let (value, after) = match after.strip_prefix(['=', ':']) {
        Some(after) => value(after.trim_start_matches([' ', '\t', '\r']))?,
        None if after.is_empty() || after.starts_with('\n') => (Value::Inherited, after),
        None => return Err(odd_name()),
    };
    let name = name.to_owned();
    Ok((Assignment { name, value }, after))
}

/// Splits off a value.
fn value(text: &str) -> Result<(Value, &str), DotenvError> {
    let Some(quote) = text.chars().next().filter(|first| "'\"".contains(*first)) else {
        let (line, after) = text.split_once('\n').unwrap_or((text, ""));
        let value = line.split_once(" #").map_or(line, |(value, _)| value);
        return Ok((Value::Expanded(value.trim_end().to_owned()), after));
    };
    let mut value = String::new();
    let mut is_escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match (character, is_escaped) {
            (c, false) if c == quote => {
                let after = text.get(at + 1..).unwrap_or_default();
                let value = match quote {
                    '"' => Value::Expanded(unescaped(&value)),
                    _ => Value::Literal(value),
                };
                return Ok((value, after));
            }
            ('\\', false) => {
                is_escaped = true;
                continue;
            }
            (c, true) if c != quote => value.push('\\'),
            _ => {}
        }
        is_escaped = false;
        value.push(character);
    }
    Err(DotenvError::Quote(first_line(text)))
}

/// Replaces the escapes of a shell in the text of double quotes.
fn unescaped(text: &str) -> String {
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        done.push_str(before);
        let mut characters = after.chars();
        let replaced = match characters.next() {
            Some('a') => "\x07",
            Some('b') => "\x08",
            Some('f') => "\x0c",
            Some('n') => "\n",
            Some('r') => "\r",
            Some('t') => "\t",
            Some('v') => "\x0b",
            Some('$') => "$$",
            Some('"') => "\"",
            Some('\\') => "\\",
            _ => {
                done.push('\\');
                rest = after;
                continue;
            }
        };
        done.push_str(replaced);
        rest = characters.as_str();
    }
    done + rest
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().take(40).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup(name: &str) -> Option<String> {
        (name == "SET").then(|| "set".to_owned())
    }

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let values = evaluate(parse(text).unwrap(), &lookup).unwrap();
        let expected = expected
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        assert_eq!(values, expected.collect(), "{text:?}");
    }

    #[test]
    fn every_form_of_a_line() {
        check(
            "A=a\r\nB = b # c\n\n# D=d\nexport C: c",
            &[("A", "a"), ("B", "b"), ("C", "c")],
        );
        check("\u{feff}A=a#b", &[("A", "a#b")]);
        check("A=", &[("A", "")]);
        check(
            "A='a #$SET\\n' # c\nB=b",
            &[("A", "a #$SET\\n"), ("B", "b")],
        );
        check(
            "A=\"a\\n${SET}\\$B \\\"q\\\" \\q\"",
            &[("A", "a\nset$B \"q\" \\q")],
        );
        check("A='a\nb'\nB=b", &[("A", "a\nb"), ("B", "b")]);
        check("SET\nNONE\nA=a", &[("SET", "set"), ("A", "a")]);
        check(
            "A=a\nB=${A}b\nC=${SET}${D:-d}\nSET=x",
            &[("A", "a"), ("B", "ab"), ("C", "setd"), ("SET", "x")],
        );
        check("a.b-c[0]=x", &[("a.b-c[0]", "x")]);
    }

    #[test]
    fn what_compose_refuses_is_an_error() {
        for text in ["a b=c", "a/b=c", "A='a", "A=\"a\\\"", "=\"", "{}"] {
            assert!(parse(text).is_err(), "{text}");
        }
        let assignments = parse("A=${NONE:?no}").unwrap();
        assert!(evaluate(assignments, &lookup).is_err());
    }

    #[test]
    fn p5_comments_and_spacing_do_not_count() {
        let canonical = |text: &str| canonical(text).unwrap();
        assert_eq!(
            canonical("A=a\nB='b'"),
            canonical("# c\n\nA = a # c\nexport B='b'\n")
        );
        for other in [
            "A=b\nB='b'",
            "A=a\nB=b",
            "A=a",
            "B='b'\nA=a",
            "A=a\nB='b'\nC",
        ] {
            assert_ne!(canonical("A=a\nB='b'"), canonical(other), "{other}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(export |[A=:'\"\\\\#${} \nné]){0,40}") {
            if let Ok(assignments) = parse(&text) {
                let _ = evaluate(assignments, &lookup);
            }
        }
    }
}
