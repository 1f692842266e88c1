//! The words of an instruction, and the variables in them:
//! <https://docs.docker.com/reference/dockerfile/#environment-replacement>.

use std::iter::Peekable;
use std::rc::Rc;
use std::str::Chars;

use super::pattern::Pattern;
use crate::model::location::MAX_PATH;

/// The value of a variable at one place of a Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Set(Rc<str>),
    Unset,
    Unknown,
}

pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Value;

/// The parameters of a shell with names of one character, which a builder has no values for.
const SPECIAL: &str = "@*#?-$!0";
/// How deeply variables may be nested.
const MAX_DEPTH: usize = 8;

/// Splits the words of `ENV` and `ARG`. A space in quotes or after `escape` is part of a word, which keeps both.
pub(super) fn split(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character == escape && quote != Some('\'') {
            word.push(character);
            word.extend(characters.next());
            continue;
        }
        match quote {
            None if character.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if matches!(character, '"' | '\'') => quote = Some(character),
            Some(open) if open == character => quote = None,
            _ => {}
        }
        word.push(character);
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    words
}

/// A word without its quotes.
pub(super) fn unquoted(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '"' | '\'')).collect()
}

/// Replaces variables and removes quotes. `None` where a value is not known, or where the result is longer than a path
/// can be.
pub(super) fn expand(word: &str, escape: char, lookup: Lookup<'_>) -> Option<String> {
    let mut expansion = Expansion {
        characters: word.chars().peekable(),
        escape,
        lookup,
        depth: 0,
    };
    expansion.until(None).ok().flatten()
}

/// A text that a builder does not understand, or that is nested too deeply.
struct Malformed;

struct Expansion<'a> {
    characters: Peekable<Chars<'a>>,
    escape: char,
    lookup: Lookup<'a>,
    depth: usize,
}

impl Expansion<'_> {
    /// The expanded text up to `end`, or else all of it; `None` where it is not known.
    fn until(&mut self, end: Option<char>) -> Result<Option<String>, Malformed> {
        let mut text = String::new();
        let mut is_known = true;
        let mut is_quoted = false;
        loop {
            let character = match self.characters.next() {
                Some(character) => character,
                None if end.is_none() => break,
                None => return Err(Malformed),
            };
            match character {
                _ if Some(character) == end && !is_quoted => break,
                '"' => is_quoted = !is_quoted,
                '\'' if !is_quoted => {
                    let rest = self.characters.by_ref();
                    text.extend(rest.take_while(|c| *c != '\''));
                }
                '$' => match self.variable()? {
                    Some(value) => text.push_str(&value),
                    None => is_known = false,
                },
                _ if character == self.escape => {
                    let next = self.characters.next();
                    let is_special = |c: char| matches!(c, '"' | '$') || c == self.escape;
                    if is_quoted && !next.is_some_and(is_special) {
                        text.push(character);
                    }
                    text.extend(next);
                }
                _ => text.push(character),
            }
            if text.len() >= MAX_PATH {
                is_known = false;
                text.clear();
            }
        }
        Ok(is_known.then_some(text))
    }

    /// The value of the variable after a dollar.
    fn variable(&mut self) -> Result<Option<Rc<str>>, Malformed> {
        if self.characters.next_if_eq(&'{').is_some() {
            self.depth += 1;
            if self.depth > MAX_DEPTH {
                return Err(Malformed);
            }
            let value = self.braced();
            self.depth -= 1;
            return value;
        }
        let name = self.name();
        if name.is_empty() {
            return Ok(Some("$".into()));
        }
        Ok(self.value(&name).or_empty())
    }

    /// The value of `{NAME}`, `{NAME:-word}` and the like, after the brace.
    fn braced(&mut self) -> Result<Option<Rc<str>>, Malformed> {
        let name = self.name();
        let empty_is_unset = self.characters.next_if_eq(&':').is_some();
        let operator = self.characters.next().ok_or(Malformed)?;
        let value = match self.value(&name) {
            Value::Set(value) if empty_is_unset && value.is_empty() => Value::Unset,
            value => value,
        };
        match operator {
            '}' if !empty_is_unset => Ok(value.or_empty()),
            '?' => {
                self.until(Some('}'))?;
                Ok(value.or_empty())
            }
            '-' | '+' => {
                let word = self.until(Some('}'))?;
                Ok(match (operator, value) {
                    ('-', Value::Unset) | ('+', Value::Set(_)) => word.map(Rc::from),
                    (_, value) => value.or_empty(),
                })
            }
            '#' | '%' => {
                let is_longest = self.characters.next_if_eq(&operator).is_some();
                let pattern = self.until(Some('}'))?;
                Ok(changed(value, pattern, |value, pattern| match operator {
                    '#' => pattern.without_prefix(value, is_longest),
                    _ => pattern.without_suffix(value, is_longest),
                }))
            }
            '/' => {
                let is_everywhere = self.characters.next_if_eq(&'/').is_some();
                let pattern = self.until(Some('/'))?;
                let replacement = self.until(Some('}'))?;
                let Some(replacement) = replacement else {
                    return Ok(None);
                };
                Ok(changed(value, pattern, |value, pattern| {
                    pattern.replaced(value, &replacement, is_everywhere)
                }))
            }
            _ => Err(Malformed),
        }
    }

    fn value(&self, name: &str) -> Value {
        match name.chars().next() {
            Some(first) if first == '_' || first.is_ascii_alphabetic() => (self.lookup)(name),
            _ => Value::Unset,
        }
    }

    /// A name, a number, or a special parameter.
    fn name(&mut self) -> String {
        let mut name = String::new();
        if let Some(special) = self.characters.next_if(|c| SPECIAL.contains(*c)) {
            name.push(special);
            return name;
        }
        let is_number = self.characters.peek().is_some_and(char::is_ascii_digit);
        let is_part =
            |c: &char| c.is_ascii_digit() || !is_number && (c.is_ascii_alphabetic() || *c == '_');
        while let Some(character) = self.characters.next_if(is_part) {
            name.push(character);
        }
        name
    }
}

impl Value {
    /// The value, which is empty where it is not set.
    fn or_empty(self) -> Option<Rc<str>> {
        match self {
            Self::Set(value) => Some(value),
            Self::Unset => Some("".into()),
            Self::Unknown => None,
        }
    }
}

/// A value that a pattern changes; `None` where one of these is not known.
fn changed(
    value: Value,
    pattern: Option<String>,
    change: impl FnOnce(&str, &Pattern) -> Option<String>,
) -> Option<Rc<str>> {
    let value = value.or_empty()?;
    change(&value, &Pattern::new(&pattern?)).map(Rc::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup(name: &str) -> Value {
        match name {
            "A" => Value::Set("a".into()),
            "PATH" => Value::Set("a/b.c/d.e".into()),
            "EMPTY" => Value::Set("".into()),
            "NONE" => Value::Unset,
            "LONG" => Value::Set("x".repeat(MAX_PATH - 1).into()),
            _ => Value::Unknown,
        }
    }

    #[test]
    fn variables_are_replaced() {
        for (word, expected) in [
            ("x$A/${A}y", "xa/ay"),
            ("${A:-b}${A-b}${EMPTY:-b}${EMPTY:-${A}}", "aaba"),
            ("${NONE:-b}${NONE-c}x${EMPTY-b}", "bcx"),
            ("${A:+b}${A+b}${EMPTY:+b}", "bb"),
            ("x${NONE+b}${NONE:+b}${EMPTY+c}", "xc"),
            ("${A:?no}${NONE?no}", "a"),
            ("$NONE$1a$12b$@c$$d${1}e", "abcde"),
            (r#"${NONE:-"}"\}'}'}${NONE:-{}"#, "}}}{"),
            ("${A:-$B}${EMPTY:+$B}", "a"),
            ("${PATH#*/} ${PATH##*/}", "b.c/d.e d.e"),
            ("${PATH%.*} ${PATH%%.?}", "a/b.c/d a/b.c/d"),
            ("${PATH/.?/-$A} ${PATH//\\//}${NONE#x}", "a/b-a/d.e ab.cd.e"),
            (r"\$A'$A'", "$A$A"),
            (r#""a b $A \" \$ \x""#, r#"a b a " $ \x"#),
            (r"a\b\\c", r"ab\c"),
            ("$ $", "$ $"),
            ("plain*[a]?", "plain*[a]?"),
            ("\"'\"", "'"),
        ] {
            assert_eq!(
                expand(word, '\\', &lookup).as_deref(),
                Some(expected),
                "{word}"
            );
        }
        assert_eq!(expand("`$A\\$A", '`', &lookup).as_deref(), Some("$A\\a"));
    }

    #[test]
    fn what_is_not_known_is_none() {
        for word in [
            "$B",
            "x${B}",
            "${B:-c}",
            "${A",
            "${A:",
            "${A:}",
            "${A#x",
            "$LONG$A",
            "${",
            "${A,,}",
            "${B#x}",
            "${A/x}",
            "${A#$B}",
            "${A:-${A:-${A:-${A:-${A:-${A:-${A:-${A:-${A}}}}}}}}}",
        ] {
            assert_eq!(expand(word, '\\', &lookup), None, "{word}");
        }
    }

    #[test]
    fn words_are_split_outside_of_quotes() {
        for (text, expected) in [
            ("a  b\tc", &["a", "b", "c"][..]),
            ("A=\"b c\" D='e f'", &["A=\"b c\"", "D='e f'"]),
            (r"A=b\ c d", &[r"A=b\ c", "d"]),
            ("", &[]),
        ] {
            assert_eq!(split(text, '\\'), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_word_panics(word in "[$A{}:+#%/\"'\\\\-]{0,20}") {
            let _ = expand(&word, '\\', &lookup);
            let _ = split(&word, '\\');
        }
    }
}
