//! The result of the devcontainer CLI: a JSON object in the last line of its standard output.

use std::fmt;

use serde::Deserialize;

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
            .then(|| serde_json::from_str(line))?
            .ok()
    }

    /// Returns whether the CLI reports success.
    pub fn succeeded(&self) -> bool {
        self.outcome == Outcome::Success
    }

    /// Replaces paths of programs by names in all texts.
    pub fn rename(&mut self, programs: &[(&str, &str)]) {
        for text in [&mut self.message, &mut self.description]
            .into_iter()
            .flatten()
        {
            for (path, name) in programs {
                *text = text.replace(path, name);
            }
        }
    }

    /// Returns message and description as one text, without arguments that may be secret.
    pub fn reason(&self) -> String {
        let text =
            |field: &Option<String>| without_arguments(field.as_deref().unwrap_or_default().trim());
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
