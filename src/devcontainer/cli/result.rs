//! The last line that the devcontainer CLI prints: what came of it.

use serde::Deserialize;

/// The CLI's result. Fields that we do not know are ignored: more appear with versions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpResult {
    /// `success` or `error`.
    pub outcome: String,
    /// The container, also where a hook failed after it was made.
    #[serde(default)]
    pub container_id: Option<String>,
    /// What went wrong.
    #[serde(default)]
    pub message: Option<String>,
    /// More about it.
    #[serde(default)]
    pub description: Option<String>,
}

impl UpResult {
    /// Reads a line of standard output. `None` where it is not a result.
    pub fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        line.starts_with('{')
            .then(|| serde_json::from_str(line))?
            .ok()
    }

    /// Whether it did what was asked.
    pub fn succeeded(&self) -> bool {
        self.outcome == "success"
    }

    /// Calls programs by other names where their paths stand in the texts.
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

    /// What went wrong, in one text, without what may be secret.
    pub fn reason(&self) -> String {
        let message = without_arguments(self.message.as_deref().unwrap_or_default().trim());
        let description = self.description.as_deref().unwrap_or_default().trim();
        let description = without_arguments(description);
        match (message.as_str(), description.as_str()) {
            ("", "") => format!("outcome {:?} without a message", self.outcome),
            (text, "") | ("", text) => text.to_owned(),
            (a, b) if a.contains(b) => a.to_owned(),
            (a, b) if b.contains(a) => b.to_owned(),
            (message, description) => {
                format!("{}: {message}", description.trim_end_matches('.'))
            }
        }
    }
}

/// The commands whose arguments may hold an environment or build arguments, and with these secrets.
const SECRETIVE: [&str; 7] = ["run", "exec", "create", "build", "buildx", "compose", "up"];

/// `Command failed: docker run -e TOKEN=… …` without the arguments.
fn without_arguments(message: &str) -> String {
    const FAILED: &str = "Command failed: ";
    let Some((before, command)) = message.split_once(FAILED) else {
        return message.to_owned();
    };
    let mut words = command.split_whitespace();
    let (program, verb) = (words.next().unwrap_or_default(), words.next());
    let name = program.rsplit('/').next().unwrap_or_default();
    let runs_containers = ["docker", "podman", "docker-compose", "nerdctl"].contains(&name);
    match verb {
        Some(_) if name == "docker-compose" => format!("{before}{FAILED}{program} …"),
        Some(verb) if runs_containers && (SECRETIVE.contains(&verb) || verb.starts_with('-')) => {
            format!("{before}{FAILED}{program} {verb} …")
        }
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
            reason(r#"{"outcome":"odd"}"#).as_deref(),
            Some(r#"outcome "odd" without a message"#)
        );
    }

    #[test]
    fn the_arguments_of_docker_are_kept_out() {
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
    fn what_is_no_result_is_none() {
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
