//! Standard output, which may be a terminal and may be closed early.

use std::env;
use std::io::{self, IsTerminal, StdoutLock, Write};

use super::Failure;
use crate::base::text::printable;

/// A colour of text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Plain,
    Red,
    Green,
    Yellow,
}

/// Standard output.
pub(super) struct Output {
    stdout: StdoutLock<'static>,
    is_coloured: bool,
    /// The columns of the terminal, if it is one.
    pub(super) width: Option<usize>,
}

impl Output {
    pub(super) fn new() -> Self {
        let stdout = io::stdout().lock();
        let is_terminal = stdout.is_terminal();
        let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
        let is_dumb = env::var_os("TERM").is_some_and(|term| term == "dumb");
        let size = rustix::termios::tcgetwinsize(&stdout);
        let columns = size.map_or(0, |size| usize::from(size.ws_col));
        Self {
            is_coloured: is_terminal && !is_dumb && !is_set("NO_COLOR"),
            width: (is_terminal && columns > 0).then_some(columns),
            stdout,
        }
    }

    /// Prints a line, which has no control characters.
    pub(super) fn line(&mut self, text: &str) -> Result<(), Failure> {
        self.bytes(format!("{text}\n").as_bytes())
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.stdout.write_all(bytes).map_err(Failure::Output)
    }

    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.stdout.flush().map_err(Failure::Output)
    }

    /// Returns the text in a colour, if standard output takes colours.
    pub(super) fn coloured(&self, text: &str, colour: Colour) -> String {
        let code = match colour {
            Colour::Plain => return text.to_owned(),
            _ if !self.is_coloured => return text.to_owned(),
            Colour::Red => 31,
            Colour::Green => 32,
            Colour::Yellow => 33,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// Prints a message on standard error.
pub(super) fn say(text: &str) {
    let _ = writeln!(io::stderr(), "devcontainerd: {}", printable(text));
}

/// Escapes control characters in JSON, which stand only in its texts, so that a terminal does not obey them.
pub(super) fn safe_json(line: &str) -> String {
    let mut safe = String::with_capacity(line.len());
    for c in line.chars() {
        if c.is_control() && c != '\n' {
            safe.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            safe.push(c);
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_stays_json() {
        let line = "{\"name\":\"a\u{9b}31m\u{7f}\"}\n";
        let safe = safe_json(line);
        assert_eq!(safe, "{\"name\":\"a\\u009b31m\\u007f\"}\n");
        let values =
            [line, &safe].map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap());
        assert_eq!(values[0], values[1]);
    }
}
