//! The events of the CLI's log: with `--log-format json`, one JSON object a line.
//!
//! The objects are those of `src/spec-utils/log.ts` in <https://github.com/devcontainers/cli>.

use std::borrow::Cow;

use serde::Deserialize;

use crate::base::time::Timestamp;
use crate::model::api::LogLevel;

/// The lowest level that is shown; levels are 1 (trace) to 5 (error).
const SHOWN_FROM: u8 = 3;
const ERROR: u8 = 5;

/// One event, with the fields that are read. Other fields are ignored, and `type` may stand anywhere in the object.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(super) enum CliEvent<'a> {
    /// A piece of a program's output, as one read of a pipe brought it.
    #[serde(borrow)]
    Raw(Message<'a>),
    /// One or more whole lines.
    #[serde(borrow)]
    Text(Message<'a>),
    /// The start of a step; `text` may be a command line.
    Start {
        #[serde(default, borrow)]
        text: Cow<'a, str>,
        #[serde(default, borrow)]
        channel: Option<Cow<'a, str>>,
    },
    /// The end of a step, with the text of its start.
    #[serde(rename_all = "camelCase")]
    Stop {
        #[serde(flatten, borrow)]
        message: Message<'a>,
        /// In milliseconds since 1970.
        #[serde(default)]
        start_timestamp: i64,
    },
    /// The state of a step that has a name for people.
    #[serde(rename_all = "camelCase")]
    Progress {
        #[serde(default, borrow)]
        name: Cow<'a, str>,
        /// `running`, `succeeded` or `failed`.
        #[serde(default, borrow)]
        status: Cow<'a, str>,
        #[serde(default, borrow)]
        step_detail: Option<Cow<'a, str>>,
        #[serde(default, borrow)]
        channel: Option<Cow<'a, str>>,
    },
    /// An event of an unknown type.
    #[serde(other)]
    Other,
}

/// A text with its level and time.
#[derive(Debug, PartialEq, Deserialize)]
pub(super) struct Message<'a> {
    #[serde(default)]
    level: u8,
    /// In milliseconds since 1970; 0 where there is none.
    #[serde(default)]
    timestamp: i64,
    #[serde(default, borrow)]
    pub(super) text: Cow<'a, str>,
    #[serde(default, borrow)]
    channel: Option<Cow<'a, str>>,
}

impl CliEvent<'_> {
    /// Returns whether it comes from a lifecycle command of the configuration, which has a channel of its own.
    pub(super) fn is_of_hook(&self) -> bool {
        let channel = match self {
            Self::Raw(message) | Self::Text(message) | Self::Stop { message, .. } => {
                &message.channel
            }
            Self::Start { channel, .. } | Self::Progress { channel, .. } => channel,
            Self::Other => return false,
        };
        channel.is_some()
    }
}

impl Message<'_> {
    /// Returns whether its level is high enough to be shown.
    pub(super) fn is_shown(&self) -> bool {
        self.level >= SHOWN_FROM
    }

    pub(super) fn level(&self) -> LogLevel {
        if self.level >= ERROR {
            LogLevel::Error
        } else {
            LogLevel::Info
        }
    }

    /// When it was written; `now` where it does not say, or gives a time that cannot be.
    pub(super) fn at(&self, now: Timestamp) -> Timestamp {
        if self.timestamp == 0 {
            now
        } else {
            Timestamp::checked_from_millis(self.timestamp).unwrap_or(now)
        }
    }
}

/// Reads one line of the log; `None` where it is not an event.
pub(super) fn parse(line: &str) -> Option<CliEvent<'_>> {
    line.starts_with('{')
        .then(|| serde_json::from_str(line))?
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(level: u8, timestamp: i64, text: &str) -> CliEvent<'_> {
        CliEvent::Text(Message {
            level,
            timestamp,
            text: text.into(),
            channel: None,
        })
    }

    #[test]
    fn the_type_may_stand_anywhere_and_unknown_fields_are_ignored() {
        let expected = Some(text(3, 7, "a\nb"));
        for line in [
            r#"{"type":"text","level":3,"timestamp":7,"text":"a\nb"}"#,
            r#"{"text":"a\nb","new":{"deep":[1,{}]},"level":3,"timestamp":7,"type":"text","name":7}"#,
        ] {
            assert_eq!(parse(line), expected, "{line}");
        }
        assert_eq!(parse(r#"{"type":"text"}"#), Some(text(0, 0, "")));
    }

    #[test]
    fn every_type_has_its_fields() {
        let stop = r#"{"type":"stop","level":2,"timestamp":9,"text":"Run: x","startTimestamp":4}"#;
        let message = Message {
            level: 2,
            timestamp: 9,
            text: "Run: x".into(),
            channel: None,
        };
        let start_timestamp = 4;
        assert_eq!(
            parse(stop),
            Some(CliEvent::Stop {
                message,
                start_timestamp
            })
        );
        assert_eq!(
            parse(r#"{"type":"start","text":"Run: x","channel":"postCreate"}"#),
            Some(CliEvent::Start {
                text: "Run: x".into(),
                channel: Some("postCreate".into()),
            })
        );
        assert_eq!(
            parse(r#"{"type":"progress","name":"n","status":"running","stepDetail":"d"}"#),
            Some(CliEvent::Progress {
                name: "n".into(),
                status: "running".into(),
                step_detail: Some("d".into()),
                channel: None,
            })
        );
        let unknown = r#"{"type":"other","level":"high","text":"x"}"#;
        assert_eq!(parse(unknown), Some(CliEvent::Other));
    }

    #[test]
    fn an_event_of_a_hook_has_a_channel() {
        for kind in ["raw", "text", "start", "stop", "progress"] {
            let event = |channel: &str| format!(r#"{{"type":"{kind}","level":3{channel}}}"#);
            let is_of_hook = |line: &str| parse(line).unwrap().is_of_hook();
            assert!(is_of_hook(&event(r#","channel":"postCreate""#)), "{kind}");
            assert!(!is_of_hook(&event("")), "{kind}");
        }
    }

    #[test]
    fn a_line_that_is_no_event_is_none() {
        for line in ["", "{}", "{", "[]", " {\"type\":\"text\"}", "text"] {
            assert_eq!(parse(line), None, "{line}");
        }
        assert_eq!(parse(r#"{"type":"text","text":7}"#), None);
    }

    #[test]
    fn text_without_escapes_is_borrowed() {
        let Some(CliEvent::Raw(message)) = parse(r#"{"level":3,"text":"plain","type":"raw"}"#)
        else {
            panic!("it is an event");
        };
        assert!(matches!(message.text, Cow::Borrowed("plain")));
    }
}
