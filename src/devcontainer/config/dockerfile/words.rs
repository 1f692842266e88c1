//! The words of an instruction, and the variables in them:
//! <https://docs.docker.com/reference/dockerfile/#environment-replacement>.

use std::iter::Peekable;
use std::rc::Rc;
use std::str::Chars;

use crate::model::location::MAX_PATH;

/// The value of a variable, which is empty where it is not set; `None` where the value is not known.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<Rc<str>>;

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
        done: String::new(),
    };
    expansion.run()?;
    Some(expansion.done)
}

struct Expansion<'a> {
    characters: Peekable<Chars<'a>>,
    escape: char,
    lookup: Lookup<'a>,
    done: String,
}

impl Expansion<'_> {
    fn run(&mut self) -> Option<()> {
        let mut is_quoted = false;
        while let Some(character) = self.characters.next() {
            match character {
                '"' => is_quoted = !is_quoted,
                '\'' if !is_quoted => {
                    let rest = self.characters.by_ref();
                    self.done.extend(rest.take_while(|c| *c != '\''));
                }
                '$' => {
                    let value = self.variable()?;
                    self.done.push_str(&value);
                }
                _ if character == self.escape => {
                    let next = self.characters.next();
                    let is_special = |c: char| matches!(c, '"' | '$') || c == self.escape;
                    if is_quoted && !next.is_some_and(is_special) {
                        self.done.push(character);
                    }
                    self.done.extend(next);
                }
                _ => self.done.push(character),
            }
            if self.done.len() >= MAX_PATH {
                return None;
            }
        }
        Some(())
    }

    /// The value of the variable after a dollar.
    fn variable(&mut self) -> Option<Rc<str>> {
        if self.characters.next_if_eq(&'{').is_some() {
            return self.braced();
        }
        let name = self.name();
        if name.is_empty() {
            return Some("$".into());
        }
        (self.lookup)(&name)
    }

    /// The value of `{NAME}`, `{NAME:-word}` and the like, after the brace.
    fn braced(&mut self) -> Option<Rc<str>> {
        let name = self.name();
        let is_colon = self.characters.next_if_eq(&':').is_some();
        let operator = self.characters.next()?;
        if operator == '}' {
            return (self.lookup)(&name);
        }
        let word = self.until_brace()?;
        let value = (self.lookup)(&name);
        let word = || expand(&word, self.escape, self.lookup).map(Rc::from);
        match operator {
            // The lookup does not tell a variable that is empty from one that is not set.
            '-' if value.as_deref() == Some("") => word(),
            '-' | '?' => value,
            '+' if is_colon && value.as_deref() == Some("") => value,
            '+' if value.is_some() => word(),
            _ => None,
        }
    }

    fn name(&mut self) -> String {
        let mut name = String::new();
        let is_part = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        while let Some(character) = self.characters.next_if(is_part) {
            name.push(character);
        }
        name
    }

    /// The text up to the brace that closes; others may be nested in it.
    fn until_brace(&mut self) -> Option<String> {
        let mut text = String::new();
        let mut depth = 0;
        loop {
            let character = self.characters.next()?;
            match character {
                '}' if depth == 0 => return Some(text),
                '}' => depth -= 1,
                '{' => depth += 1,
                _ => {}
            }
            // Each level is expanded by a call of its own.
            if depth > 8 {
                return None;
            }
            text.push(character);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lookup(name: &str) -> Option<Rc<str>> {
        match name {
            "A" => Some("a".into()),
            "EMPTY" => Some("".into()),
            "LONG" => Some("x".repeat(MAX_PATH - 1).into()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_replaced() {
        for (word, expected) in [
            ("x$A/${A}y", "xa/ay"),
            ("${A:-b}${A-b}${EMPTY:-b}${EMPTY:-${A}}", "aaba"),
            ("${A:+b}${A+b}${EMPTY:+b}", "bb"),
            ("${A:?no}", "a"),
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
            "$B", "x${B}", "${B:-c}", "${A", "${A:", "${A#x}", "$LONG$A", "${",
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
        fn no_word_panics(word in "[$A{}:+\"'\\\\-]{0,20}") {
            let _ = expand(&word, '\\', &lookup);
            let _ = split(&word, '\\');
        }
    }
}
