//! The flags of an instruction.

use std::collections::BTreeMap;

/// Splits the flags of an instruction from the rest. They are without their quotes.
pub(super) fn flags(mut rest: &str, escape: char) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    while rest.starts_with("--") {
        let (flag, after) = word(rest, escape);
        flags.push(flag);
        rest = after.trim_start();
    }
    (flags, rest)
}

/// Splits off a word. A space in quotes or after `escape` is part of it.
fn word(text: &str, escape: char) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match quote {
            _ if character == escape => word.extend(characters.next()),
            None if character.is_whitespace() => break,
            None if matches!(character, '"' | '\'') => quote = Some(character),
            Some(open) if open == character => quote = None,
            _ => word.push(character),
        }
    }
    (word, characters.as_str())
}

/// The fields of `--mount`.
pub(super) struct Mount<'a>(BTreeMap<String, &'a str>);

impl<'a> Mount<'a> {
    pub(super) fn new(fields: &'a str) -> Self {
        let fields = fields.split(',').filter_map(|field| field.split_once('='));
        let named = fields.map(|(key, value)| match key.to_ascii_lowercase() {
            key if key == "src" => ("source".to_owned(), value),
            key => (key, value),
        });
        Self(named.collect())
    }

    /// The value of a field, whose name is in small letters.
    pub(super) fn get(&self, key: &str) -> Option<&'a str> {
        self.0.get(key).copied()
    }

    /// Returns whether it is a mount of files.
    pub(super) fn is_bind(&self) -> bool {
        let kind = self.get("type");
        kind.is_none_or(|kind| kind.eq_ignore_ascii_case("bind"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_without_quotes() {
        for (text, expected, rest) in [
            ("--a --b=c  d --e", &["--a", "--b=c"][..], "d --e"),
            ("--a=\"b c\" d", &["--a=b c"], "d"),
            ("--a='b \"c',d e", &["--a=b \"c,d"], "e"),
            ("--a=b\\ c\\\" d", &["--a=b c\""], "d"),
            ("a --b", &[], "a --b"),
            ("--a", &["--a"], ""),
        ] {
            let (flags, after) = flags(text, '\\');
            assert_eq!(
                (&*flags, after),
                (
                    &*expected.iter().map(|f| f.to_string()).collect::<Vec<_>>(),
                    rest
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn the_last_source_of_a_mount_counts() {
        let mount = Mount::new("TYPE=Bind,src=a,ro,Source=b,from=");
        assert!(mount.is_bind());
        assert_eq!(
            (mount.get("source"), mount.get("from")),
            (Some("b"), Some(""))
        );
        assert!(!Mount::new("type=cache").is_bind());
    }
}
