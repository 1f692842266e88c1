//! Our own log: one event a line, on standard error.

use std::io::{self, Write};

use log::{LevelFilter, Log, Metadata, Record};
use serde::Serialize;

use super::time::Timestamp;
use crate::base::text::one_line;

struct Logger {
    json: bool,
}

#[derive(Serialize)]
struct Event<'a> {
    time: Timestamp,
    level: &'a str,
    message: &'a str,
}

/// Writes events of `level` and more serious ones from now on.
pub fn start(level: LevelFilter, json: bool) {
    // There is only one logger, and this is called once.
    if log::set_boxed_logger(Box::new(Logger { json })).is_ok() {
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
        let line = format(
            self.json,
            Timestamp::now(),
            record.level().as_str(),
            &message,
        );
        // Nobody is left to be told that standard error is closed.
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

fn format(json: bool, time: Timestamp, level: &str, message: &str) -> String {
    if json {
        let level = &level.to_ascii_lowercase();
        let event = Event {
            time,
            level,
            message,
        };
        return String::from_utf8(crate::base::json::to_line(&event)).unwrap_or_default();
    }
    format!("{time} {level:5} {}\n", one_line(message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let time = Timestamp::from_millis(1);
        assert_eq!(
            format(false, time, "INFO", "a\nb\u{1b}[0m é\n"),
            "1970-01-01T00:00:00.001Z INFO  a\\nb\\u{1b}[0m é\n"
        );
        assert_eq!(
            format(true, time, "WARN", "a\nb"),
            "{\"time\":\"1970-01-01T00:00:00.001Z\",\"level\":\"warn\",\"message\":\"a\\nb\"}\n"
        );
    }
}
