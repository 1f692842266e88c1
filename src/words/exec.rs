//! Running a command in a dev container.

use std::ffi::OsString;
use std::path::PathBuf;

use super::Failure;
use super::devcontainer::Devcontainer;
use super::find::find;
use crate::client::Client;
use crate::process::become_program;
use crate::process::programs::Programs;

/// Becomes `docker exec`, and so returns only if that fails.
pub(super) fn run(
    client: &Client,
    name: &str,
    flags: &[&str],
    docker: Option<PathBuf>,
    command: &[OsString],
) -> Result<(), Failure> {
    let found = find(client, name)?;
    let arguments = arguments(&found, flags, command)?;
    let docker = Programs::new(docker, None).docker();
    let error = become_program(&docker, &arguments);
    Err(Failure::Other(format!(
        "{error}; install it, or name it with --docker"
    )))
}

/// Returns the arguments of docker. An answer cannot bring in flags of its own: what comes from it is the value of a flag or
/// made of hexadecimal digits.
fn arguments(
    one: &Devcontainer,
    flags: &[&str],
    command: &[OsString],
) -> Result<Vec<OsString>, Failure> {
    let (id, name) = (one.container_id(), one.name());
    if id.is_empty() {
        let text = format!("{name} has no container; devcontainerd start {name} makes one");
        return Err(Failure::NotThere(text));
    }
    if !id.bytes().all(|b| b.is_ascii_hexdigit()) {
        let text = format!("the daemon gave {id:?} as the id of a container");
        return Err(Failure::Other(text));
    }
    let mut arguments: Vec<OsString> = vec!["exec".into()];
    arguments.extend(flags.iter().map(OsString::from));
    for (flag, value) in [
        ("--user=", one.remote_user()),
        ("--workdir=", one.remote_folder()),
    ] {
        if !value.is_empty() {
            arguments.push(format!("{flag}{value}").into());
        }
    }
    arguments.push(id.into());
    arguments.extend(command.iter().cloned());
    Ok(arguments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(value: serde_json::Value, flags: &[&str]) -> Result<String, Failure> {
        let command = ["make".into(), "--all".into()];
        let arguments = arguments(&Devcontainer(value), flags, &command)?;
        let words: Vec<&str> = arguments
            .iter()
            .map(|word| word.to_str().unwrap())
            .collect();
        Ok(words.join(" "))
    }

    #[test]
    fn the_user_and_the_folder_are_those_of_the_dev_container() {
        let one = json!({"name": "app", "container": {"id": "ab12"}, "remote_user": "me",
                         "remote_workspace_folder": "/w"});
        assert_eq!(
            shown(one, &["--interactive", "--tty"]).unwrap(),
            "exec --interactive --tty --user=me --workdir=/w ab12 make --all"
        );
        let bare = json!({"name": "app", "container": {"id": "ab12"}});
        assert_eq!(shown(bare, &[]).unwrap(), "exec ab12 make --all");
    }

    #[test]
    fn an_answer_brings_in_no_flags() {
        let bad = json!({"name": "app", "container": {"id": "--privileged"}});
        assert!(matches!(shown(bad, &[]), Err(Failure::Other(_))));
        let none = json!({"name": "app"});
        assert!(matches!(shown(none, &[]), Err(Failure::NotThere(_))));
    }
}
