//! Variables in `devcontainer.json`:
//! <https://containers.dev/implementors/json_reference/#variables-in-devcontainerjson>.

use std::ffi::OsString;

use crate::model::location::{CliPaths, MAX_PATH};

/// Looks up a variable of the local environment.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Replaces `${…}` in a path of the configuration.
///
/// Variables that are known only with a container are left as they are, as the CLI does. The result may be cut where it
/// is longer than a path can be.
pub(super) fn substitute(text: &str, paths: &CliPaths, environment: Environment<'_>) -> OsString {
    let mut done = OsString::new();
    let mut rest = text;
    while let Some((before, variable, after)) = split_variable(rest) {
        if done.len() >= MAX_PATH {
            return done;
        }
        done.push(before);
        match value(variable, paths, environment) {
            Some(value) => done.push(value),
            None => done.push(format!("${{{variable}}}")),
        }
        rest = after;
    }
    done.push(rest);
    done
}

fn value(variable: &str, paths: &CliPaths, environment: Environment<'_>) -> Option<OsString> {
    let mut parts = variable.split(':');
    match (parts.next()?, parts.next()) {
        ("env" | "localEnv", Some(name)) => {
            let default = || parts.next().unwrap_or_default().into();
            Some(environment(name).unwrap_or_else(default))
        }
        ("localWorkspaceFolder", _) => Some(paths.folder.clone().into()),
        ("localWorkspaceFolderBasename", _) => paths.folder.file_name().map(OsString::from),
        _ => None,
    }
}

/// Splits a text into the parts before, inside and after its first `${…}`.
fn split_variable(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once("${")?;
    let (variable, after) = rest.split_once('}')?;
    Some((before, variable, after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_that_need_no_container_are_replaced() {
        let paths = CliPaths {
            folder: "/f/w".into(),
            config: "/f/w/.devcontainer/devcontainer.json".into(),
        };
        let environment = |name: &str| (name == "NAME").then(|| "value".into());
        for (text, expected) in [
            ("${localWorkspaceFolder}/D", "/f/w/D"),
            ("../${localWorkspaceFolderBasename}/D", "../w/D"),
            ("${localEnv:NAME}", "value"),
            ("${env:NAME:default}", "value"),
            ("${localEnv:NONE:default}", "default"),
            ("${localEnv:NONE:a:b}", "a"),
            ("a${localEnv:NONE}b", "ab"),
            ("${devcontainerId}", "${devcontainerId}"),
            ("${localEnv}", "${localEnv}"),
            ("${open", "${open"),
            ("${env:NAME}${env:NAME}}", "valuevalue}"),
        ] {
            assert_eq!(substitute(text, &paths, &environment), expected, "{text}");
        }
    }

    #[test]
    fn the_result_is_bounded() {
        let paths = CliPaths {
            folder: "/w".into(),
            config: "/w/.devcontainer.json".into(),
        };
        let text = "${localWorkspaceFolder}".repeat(100_000);
        let long = substitute(&text, &paths, &|_| None);
        assert!((MAX_PATH..MAX_PATH + 100).contains(&long.len()));
    }
}
