//! One line of an operation's log.

use crate::base::time::Timestamp;
use crate::model::api::LogLevel;

/// The longest text of a line, in bytes.
pub const MAX_LINE: usize = 64 << 10;

/// A line of the log, without its line feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When the CLI wrote it; the time of arrival where the CLI gives none.
    pub at: Timestamp,
    /// Its severity.
    pub level: LogLevel,
    /// At most [`MAX_LINE`] bytes, followed by a note of how many were dropped.
    pub text: Box<str>,
}

impl Line {
    /// A line with this text, cut to [`MAX_LINE`] bytes.
    pub fn new(at: Timestamp, level: LogLevel, text: &str) -> Self {
        let (kept, rest) = text.split_at(text.floor_char_boundary(MAX_LINE));
        let mut line = Self {
            at,
            level,
            text: kept.into(),
        };
        line.note_dropped(rest.len());
        line
    }

    /// Notes at its end that it went on for so many bytes; 0 changes nothing.
    pub(super) fn note_dropped(&mut self, bytes: usize) {
        if bytes > 0 {
            self.text = format!("{} [{bytes} more bytes dropped]", self.text).into();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let line = |text: &str| Line::new(Timestamp::from_millis(1), LogLevel::Info, text).text;
        let full = "x".repeat(MAX_LINE);
        assert_eq!(*line(&full), *full);
        let cut = line(&format!("{}éé", "x".repeat(MAX_LINE - 1)));
        assert!(cut.ends_with("x [4 more bytes dropped]"), "{}", cut.len());
    }
}
