//! The daemon's own log: one event a line, on standard error.

use std::io::{self, Write};

use log::{LevelFilter, Log, Metadata, Record};
use serde::Serialize;

use super::json;
use super::text::one_line;
use super::time::Timestamp;

/// The format of the daemon's own log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Time, level and message, separated by spaces. Control characters are escaped.
    Text,
    /// A JSON object with `time`, `level` and `message`.
    Json,
}

struct Logger {
    format: LogFormat,
}

#[derive(Serialize)]
struct Event<'a> {
    time: Timestamp,
    level: &'a str,
    message: &'a str,
}

/// Starts to log events of `level` and more severe ones. Later calls have no effect.
pub fn start(level: LevelFilter, format: LogFormat) {
    if log::set_boxed_logger(Box::new(Logger { format })).is_ok() {
        log::set_max_level(level);
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("devcontainerd")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let message = record.args().to_string();
        let level = record.level().as_str();
        let line = self.format.line(Timestamp::now(), level, &message);
        // If standard error is closed, there is no place left to report that.
        let _ = io::stderr().lock().write_all(&line);
    }

    fn flush(&self) {}
}

impl LogFormat {
    /// Returns an event as one line; `level` is in capitals.
    fn line(self, time: Timestamp, level: &str, message: &str) -> Vec<u8> {
        match self {
            Self::Text => format!("{time} {level:5} {}\n", one_line(message)).into_bytes(),
            Self::Json => json::to_line(&Event {
                time,
                level: &level.to_ascii_lowercase(),
                message,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let time = Timestamp::from_millis(1);
        let line = |format: LogFormat, level, message| {
            String::from_utf8(format.line(time, level, message)).unwrap()
        };
        assert_eq!(
            line(LogFormat::Text, "INFO", "a\nb\u{1b}[0m é\n"),
            "1970-01-01T00:00:00.001Z INFO  a\\nb\\u{1b}[0m é\n"
        );
        assert_eq!(
            line(LogFormat::Json, "WARN", "a\nb"),
            "{\"time\":\"1970-01-01T00:00:00.001Z\",\"level\":\"warn\",\"message\":\"a\\nb\"}\n"
        );
    }
}
