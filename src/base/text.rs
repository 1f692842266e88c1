//! Text for people: one line, without control characters, and short.

/// `message` without control characters: what a label or a program says must not look like an event of ours, nor
/// move the cursor.
pub fn one_line(message: &str) -> String {
    let mut line = String::with_capacity(message.len());
    for c in message.trim_end().chars() {
        match c {
            c if c.is_control() => line.extend(c.escape_default()),
            c => line.push(c),
        }
    }
    line
}

/// How many containers a warning names.
pub const NAMED: usize = 5;

pub fn shorten(text: &str) -> String {
    text.chars().take(80).collect()
}

pub fn enumerate(names: &[&str]) -> String {
    let shown = names.get(..names.len().min(NAMED)).unwrap_or_default();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

/// `text` without terminal escapes and other control characters; of a line that was overwritten (`\r`), what
/// remained.
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
