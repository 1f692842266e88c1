//! The result of the devcontainer CLI: a JSON object in the last line of its standard output.

use std::fmt;

use serde::Deserialize;

use super::mend::mend;
use super::names::TrueNames;

/// How many bytes of a line of standard output are kept. A message may hold a whole command line, and Linux allows 2 MiB
/// of arguments.
pub const MAX_RESULT: usize = 4 << 20;
/// How many bytes of a message or description are shown.
const MAX_TEXT: usize = 4 << 10;

/// The result of `devcontainer up`. Unknown fields are ignored, since newer versions add some.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpResult {
    outcome: Outcome,
    /// The id of the container, also where a hook failed after it was created.
    #[serde(default)]
    pub container_id: Option<String>,
    #[serde(default)]
    message: Option<String>,
    #[serde(default)]
    description: Option<String>,
}

/// The field `outcome` of a result.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
enum Outcome {
    Success,
    Error,
    /// A word that the CLI (0.89) does not use; it counts as a failure.
    Other(String),
}

impl From<String> for Outcome {
    fn from(word: String) -> Self {
        match word.as_str() {
            "success" => Self::Success,
            "error" => Self::Error,
            _ => Self::Other(word),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Success => "success",
            Self::Error => "error",
            Self::Other(word) => word,
        })
    }
}

impl UpResult {
    /// Reads a line of standard output; `None` where it is not a result.
    pub fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        line.starts_with('{')
            .then(|| serde_json::from_slice(line.as_bytes()))?
            .ok()
    }

    /// Reads a line of standard output whose end was dropped.
    pub fn parse_cut(line: &str) -> Option<Self> {
        let line = line.trim_start();
        let mended = mend(line, |line| Self::parse(line).is_some())?;
        Self::parse(&mended)
    }

    /// Returns the message and the description as the CLI gave them. They may hold secrets.
    pub fn raw_texts(&self) -> impl Iterator<Item = &str> {
        [&self.message, &self.description]
            .into_iter()
            .filter_map(|text| text.as_deref())
    }

    /// Returns whether the CLI reports success.
    pub fn succeeded(&self) -> bool {
        self.outcome == Outcome::Success
    }

    /// Replaces what the daemon gave to the CLI by its true names, in all texts.
    pub fn rename(&mut self, names: &TrueNames) {
        for text in [&mut self.message, &mut self.description]
            .into_iter()
            .flatten()
        {
            names.put_into(text);
        }
    }

    /// Returns message and description as one text, without arguments that may be secret.
    pub fn reason(&self) -> String {
        let text = |field: &Option<String>| {
            bounded(without_arguments(
                field.as_deref().unwrap_or_default().trim(),
            ))
        };
        let (message, description) = (text(&self.message), text(&self.description));
        match (message.as_str(), description.as_str()) {
            ("", "") => format!("outcome {:?} without a message", self.outcome.to_string()),
            (text, "") | ("", text) => text.to_owned(),
            (message, description) if message.contains(description) => message.to_owned(),
            (message, description) if description.contains(message) => description.to_owned(),
            (message, description) => {
                format!("{}: {message}", description.trim_end_matches('.'))
            }
        }
    }
}

/// Cuts a text that is too long to be shown.
fn bounded(mut text: String) -> String {
    let dropped = text.len() - text.floor_char_boundary(MAX_TEXT);
    if dropped > 0 {
        text.truncate(text.len() - dropped);
        text.push_str(&format!(" [{dropped} more bytes dropped]"));
    }
    text
}

/// The programs whose arguments may hold secrets.
const CONTAINER_PROGRAMS: [&str; 4] = ["docker", "podman", "docker-compose", "nerdctl"];
/// Their commands with environment variables or build arguments among the arguments.
const SECRET_COMMANDS: [&str; 7] = ["run", "exec", "create", "build", "buildx", "compose", "up"];

/// Cuts the arguments of `Command failed: docker run -e TOKEN=… …`.
fn without_arguments(message: &str) -> String {
    const FAILED: &str = "Command failed: ";
    let Some((before, command)) = message.split_once(FAILED) else {
        return message.to_owned();
    };
    let mut words = command.split_whitespace();
    let (program, verb) = (words.next().unwrap_or_default(), words.next());
    let name = program.rsplit('/').next().unwrap_or_default();
    let is_secret = |verb: &str| {
        CONTAINER_PROGRAMS.contains(&name)
            && (SECRET_COMMANDS.contains(&verb) || verb.starts_with('-'))
    };
    match verb {
        Some(_) if name == "docker-compose" => format!("{before}{FAILED}{program} …"),
        Some(verb) if is_secret(verb) => format!("{before}{FAILED}{program} {verb} …"),
        _ => message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(line: &str) -> Option<String> {
        UpResult::parse(line).map(|result| result.reason())
    }

    #[test]
    fn success_names_the_container() {
        let line = r#"{"outcome":"success","containerId":"abc","remoteUser":"root","remoteWorkspaceFolder":"/workspaces/x","new":{"a":1}}"#;
        let result = UpResult::parse(line).unwrap();
        assert!(result.succeeded());
        assert_eq!(result.container_id.as_deref(), Some("abc"));
    }

    #[test]
    fn an_error_says_why() {
        let line = r#"{"outcome":"error","message":"Command failed: false","description":"The postCreateCommand in the devcontainer.json failed.","containerId":"abc"}"#;
        let result = UpResult::parse(line).unwrap();
        assert!(!result.succeeded());
        assert_eq!(result.container_id.as_deref(), Some("abc"));
        assert_eq!(
            result.reason(),
            "The postCreateCommand in the devcontainer.json failed: Command failed: false"
        );
    }

    #[test]
    fn every_form_of_an_error_has_a_reason() {
        assert_eq!(
            reason(r#"{"outcome":"error","message":"m"}"#).as_deref(),
            Some("m")
        );
        assert_eq!(
            reason(r#"{"outcome":"error","description":"d"}"#).as_deref(),
            Some("d")
        );
        assert_eq!(
            reason(r#"{"outcome":"error","message":"m: d","description":"d"}"#).as_deref(),
            Some("m: d")
        );
        assert_eq!(
            reason(r#"{"outcome":"error","message":"m","description":null}"#).as_deref(),
            Some("m")
        );
        assert_eq!(
            reason(r#"{"outcome":"error"}"#).as_deref(),
            Some(r#"outcome "error" without a message"#)
        );
        assert_eq!(
            reason(r#"{"outcome":"odd"}"#).as_deref(),
            Some(r#"outcome "odd" without a message"#)
        );
    }

    #[test]
    fn a_long_result_is_understood_and_shown_in_part() {
        let message = "é\\n".repeat(1 << 20);
        let line = format!(
            r#"{{"outcome":"error","message":"{message}","description":"Why.","containerId":"abc"}}"#
        );
        let whole = UpResult::parse(&line).unwrap();
        assert_eq!(whole.container_id.as_deref(), Some("abc"));
        let reason = whole.reason();
        assert!(reason.starts_with("Why: é") && reason.ends_with(" more bytes dropped]"));
        assert!(reason.len() < MAX_TEXT + 100, "{}", reason.len());
        for cut in 100..120 {
            let line = String::from_utf8_lossy(&line.as_bytes()[..cut]);
            let cut = UpResult::parse_cut(&line).unwrap();
            assert!(!cut.succeeded() && cut.reason().starts_with('é'), "{cut:?}");
        }
        assert_eq!(UpResult::parse_cut("{\"level\":3,\"text\":\"a"), None);
    }

    #[test]
    fn the_arguments_of_docker_are_cut() {
        for (message, expected) in [
            (
                "Command failed: docker run -e TOKEN=hunter2 base\ntrap",
                "Command failed: docker run …",
            ),
            (
                "Command failed: /usr/bin/podman build --build-arg A=hunter2 .",
                "Command failed: /usr/bin/podman build …",
            ),
            (
                "Command failed: docker-compose -f x up",
                "Command failed: docker-compose …",
            ),
            (
                "Command failed: docker --context hunter2 run",
                "Command failed: docker --context …",
            ),
            (
                "Command failed: docker ps -q -a --filter label=x",
                "Command failed: docker ps -q -a --filter label=x",
            ),
            (
                "Command failed: /bin/sh -c exit 3",
                "Command failed: /bin/sh -c exit 3",
            ),
            ("Command failed: docker", "Command failed: docker"),
        ] {
            assert_eq!(without_arguments(message), expected);
        }
    }

    #[test]
    fn other_lines_are_no_results() {
        for line in [
            "",
            "{}",
            "null",
            "[]",
            "error",
            r#"{"outcome":7}"#,
            r#"{"outcome":"success""#,
            r#"{"message":"m"}"#,
        ] {
            assert_eq!(UpResult::parse(line), None, "{line}");
        }
    }
}
