//! Arguments that an operator adds to `devcontainer up`.

use std::fmt;

/// The options that the daemon sets itself, or that would end `up` before it has made a container. Its promises rest on
/// them.
const REFUSED: [&str; 12] = [
    "config",
    "docker-compose-path",
    "docker-path",
    "expect-existing-container",
    "help",
    "id-label",
    "log-format",
    "log-level",
    "override-config",
    "remove-existing-container",
    "version",
    "workspace-folder",
];

/// An argument of `devcontainer up` that undoes no promise of the daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpArg(String);

/// The reason why an argument is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UpArgError {
    /// It sets this option.
    Refused(&'static str),
    /// It would end the options.
    End,
    /// It has a NUL character.
    Nul,
}

impl fmt::Display for UpArgError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(name) => write!(
                f,
                "the daemon decides itself on --{name} of devcontainer up; leave it out"
            ),
            Self::End => f.write_str("devcontainer up takes options only; leave it out"),
            Self::Nul => f.write_str("an argument cannot have a NUL character"),
        }
    }
}

impl std::error::Error for UpArgError {}

impl UpArg {
    /// Takes an argument: an option, an option with its value after `=`, or the value of the option before it.
    ///
    /// # Errors
    ///
    /// Fails where the argument would undo a promise, in whichever spelling the CLI accepts.
    pub fn parse(text: &str) -> Result<Self, UpArgError> {
        if text.contains('\0') {
            return Err(UpArgError::Nul);
        }
        let name = option_name(text);
        if name.as_deref() == Some("") {
            return Err(UpArgError::End);
        }
        let is_refused = |refused: &&str| {
            let refused = plain(refused);
            let name = name.as_deref();
            name.is_some_and(|name| name == refused || name.strip_prefix("no") == Some(&refused))
        };
        match REFUSED.into_iter().find(is_refused) {
            Some(refused) => Err(UpArgError::Refused(refused)),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// The argument.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The name of the option that `text` sets, without what does not count; `None` where it is no option.
///
/// The CLI accepts `--docker-path` as `--dockerPath`, too, and takes `--docker-path.x` for a part of its value.
fn option_name(text: &str) -> Option<String> {
    let name = text.strip_prefix('-')?;
    let name = name.split(['=', '.']).next().unwrap_or_default();
    Some(plain(name))
}

fn plain(name: &str) -> String {
    let letters = name.chars().filter(|c| !matches!(c, '-' | '_'));
    letters.flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_that_would_undo_a_promise_are_refused_in_every_spelling() {
        for (text, refused) in [
            ("--docker-path", "docker-path"),
            ("--docker-path=/bin/true", "docker-path"),
            ("--dockerPath", "docker-path"),
            ("--dockerPath=/x", "docker-path"),
            ("--docker_path", "docker-path"),
            ("--docker-path.x=/x", "docker-path"),
            ("---docker-path", "docker-path"),
            ("-docker-path", "docker-path"),
            (
                "--no-remove-existing-container",
                "remove-existing-container",
            ),
            ("--noRemoveExistingContainer", "remove-existing-container"),
            (
                "--remove-existing-container=false",
                "remove-existing-container",
            ),
            ("--expect-existing-container", "expect-existing-container"),
            ("--id-label", "id-label"),
            ("--idLabel=a=b", "id-label"),
            ("--log-level=trace", "log-level"),
            ("--log-format", "log-format"),
            ("--config", "config"),
            ("--override-config=x", "override-config"),
            ("--workspace-folder=/", "workspace-folder"),
            ("--docker-compose-path", "docker-compose-path"),
            ("--help", "help"),
            ("--version", "version"),
        ] {
            let parsed = UpArg::parse(text);
            assert_eq!(parsed, Err(UpArgError::Refused(refused)), "{text}");
        }
        for text in ["-", "--", "--=x", "---"] {
            assert_eq!(UpArg::parse(text), Err(UpArgError::End), "{text}");
        }
        assert_eq!(UpArg::parse("a\0"), Err(UpArgError::Nul));
    }

    #[test]
    fn other_arguments_are_taken_as_they_are() {
        for text in [
            "--mount",
            "type=bind,source=/a,target=/b",
            "--mount=type=volume,source=docker-path,target=/b",
            "--remote-env=config=1",
            "config=1",
            "help",
            "--no-lockfile",
            "--build-no-cache",
            "--container-data-folder",
            "--mount-workspace-git-root=false",
            "",
        ] {
            assert_eq!(UpArg::parse(text).unwrap().as_str(), text);
        }
    }
}
