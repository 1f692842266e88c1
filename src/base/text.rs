//! Text for people: one line, without control characters, and short.

use std::borrow::Cow;

/// Escapes control characters, so that a label or the output of a program can neither look like another log line nor
/// move the cursor. Trailing space is removed.
pub fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for c in message.trim_end().chars() {
        if c.is_control() {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

/// Escapes control characters, and those that turn the direction of text, so that a name or a path can neither move the
/// cursor of a terminal nor look like another one.
pub fn printable(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || turns {
            line.extend(c.escape_unicode());
        } else {
            line.push(c);
        }
    }
    line
}

/// How many names a warning lists.
pub const NAMED: usize = 5;
/// How many characters [`shorten`] keeps.
const SHORT: usize = 80;

/// Returns the first `max` characters of `text`.
pub fn beginning(text: &str, max: usize) -> &str {
    let end = text.char_indices().nth(max).map(|(end, _)| end);
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// The first 80 characters of `text`.
pub fn shorten(text: &str) -> String {
    beginning(text, SHORT).to_owned()
}

/// The first [`NAMED`] names, and how many more there are.
pub fn enumerate(names: &[&str]) -> String {
    let shown = names.get(..NAMED).unwrap_or(names);
    let listed = shown.join(", ");
    match names.len() - shown.len() {
        0 => listed,
        more => format!("{listed} and {more} more"),
    }
}

/// Returns bytes as text, with U+FFFD in place of what is not UTF-8. It is faster than [`String::from_utf8_lossy`] where all
/// is UTF-8, as nearly always.
pub fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(bytes),
    }
}

/// Removes terminal escapes and other control characters. Of a line that was overwritten (`\r`), the last text stays.
pub fn plain_text(text: &str) -> String {
    let remained = text.trim_end_matches('\r').rsplit('\r').next();
    let mut chars = remained.unwrap_or_default().chars().peekable();
    let mut plain = String::with_capacity(text.len());
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            // A control sequence: parameters, then one final byte from @ to ~ (ECMA-48, 5.4).
            ('\u{1b}', Some('[')) => {
                chars.next();
                chars.find(|c| ('@'..='~').contains(c));
            }
            // An operating system command ends in BEL or ESC \.
            ('\u{1b}', Some(']')) => {
                chars.find(|c| matches!(c, '\u{7}' | '\u{1b}'));
                chars.next_if_eq(&'\\');
            }
            ('\u{1b}', _) => {
                chars.next();
            }
            ('\t', _) => plain.push('\t'),
            (c, _) if c.is_control() => {}
            (c, _) => plain.push(c),
        }
    }
    plain
}

/// Replaces `%2F` and its like. Returns `None` where an escape is malformed or the result is not UTF-8.
pub fn percent_decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let (high, low) = (hex(bytes.next()?)?, hex(bytes.next()?)?);
            decoded.push(high << 4 | low);
        } else {
            decoded.push(byte);
        }
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn hex(byte: u8) -> Option<u8> {
    let digit = char::from(byte).to_digit(16)?;
    u8::try_from(digit).ok()
}

/// Replaces all bytes but letters, digits and `-._~` by `%2F` and its like.
pub fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_line_has_no_control_characters() {
        assert_eq!(one_line("a\nb\u{1b}[1m é \n"), "a\\nb\\u{1b}[1m é");
    }

    #[test]
    fn printable_text_turns_nothing() {
        let text = "a\u{202e}b\u{1b}[2J\u{9b}c\u{7f} é";
        assert_eq!(printable(text), "a\\u{202e}b\\u{1b}[2J\\u{9b}c\\u{7f} é");
    }

    #[test]
    fn five_names_are_listed() {
        let names = ["a", "b", "c", "d", "e", "f", "g"];
        assert_eq!(enumerate(&[]), "");
        assert_eq!(enumerate(&names[..5]), "a, b, c, d, e");
        assert_eq!(enumerate(&names), "a, b, c, d, e and 2 more");
    }

    #[test]
    fn plain_text_has_no_escapes_and_no_overwritten_text() {
        for (text, expected) in [
            ("\u{1b}[1mbold\u{1b}[0m", "bold"),
            ("\u{1b}[38;5;12mx\u{1b}[K", "x"),
            ("1%\r20%\r100%\r", "100%"),
            ("\u{1b}]0;title\u{7}x\u{1b}]8;;http://y\u{1b}\\z", "xz"),
            ("a\tb\u{8}\u{0}c", "a\tbc"),
            ("\u{1b}", ""),
            ("\u{1b}[", ""),
        ] {
            assert_eq!(plain_text(text), expected, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[\\x00-\\x7f]{0,40}") {
            plain_text(&text);
        }
    }
}
