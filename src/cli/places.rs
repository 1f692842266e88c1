//! The directories that a service manager or a session gives, and the socket at which programs find the daemon.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Looks up a variable.
type Environment<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// The variables of a service manager (systemd.exec(5)), each with a list of absolute paths that are separated by colons.
const STATE: &str = "STATE_DIRECTORY";
const RUNTIME: &str = "RUNTIME_DIRECTORY";
/// The variables of a session (XDG Base Directory Specification).
const SESSION_STATE: &str = "XDG_STATE_HOME";
const SESSION_RUNTIME: &str = "XDG_RUNTIME_DIR";
const SOCKET: &str = "devcontainerd.sock";
/// The directory with the sockets of the system's units, one for each user.
const SYSTEM_SOCKETS: &str = "/run/devcontainerd";

/// Returns the state directory, or `None` without a home directory.
pub(super) fn state_dir(environment: Environment<'_>) -> Option<PathBuf> {
    let below = |variable, path: &str| Some(absolute(environment(variable)?)?.join(path));
    first(environment, STATE)
        .or_else(|| below(SESSION_STATE, "devcontainerd"))
        .or_else(|| below("HOME", ".local/state/devcontainerd"))
}

/// Returns the unix socket that a daemon listens on without `--listen`.
pub(super) fn runtime_socket(environment: Environment<'_>) -> Option<PathBuf> {
    let session = || absolute(environment(SESSION_RUNTIME)?);
    let directory = first(environment, RUNTIME).or_else(session)?;
    Some(directory.join(SOCKET))
}

/// Returns the unix sockets at which a daemon of this user may listen: one that the same service manager has started, one
/// of this session, one with a runtime directory of its own in it, and one of the system for this user.
pub(super) fn sockets(environment: Environment<'_>) -> Vec<PathBuf> {
    let session = environment(SESSION_RUNTIME).and_then(absolute);
    let own = session
        .as_ref()
        .map(|directory| directory.join("devcontainerd"));
    let user = environment("USER").filter(|user| !user.as_encoded_bytes().contains(&b'/'));
    let of_system = user.map(|mut name| {
        name.push(".sock");
        Path::new(SYSTEM_SOCKETS).join(name)
    });
    let directories = [first(environment, RUNTIME), session, own];
    let mut all: Vec<PathBuf> = Vec::new();
    let in_directories = directories
        .into_iter()
        .flatten()
        .map(|one| one.join(SOCKET));
    for socket in in_directories.chain(of_system) {
        if !all.contains(&socket) {
            all.push(socket);
        }
    }
    all
}

fn first(environment: Environment<'_>, variable: &str) -> Option<PathBuf> {
    let list = environment(variable)?.into_vec();
    let first = list.split(|byte| *byte == b':').next()?;
    absolute(OsString::from_vec(first.to_vec()))
}

/// A relative path counts as unset (XDG Base Directory Specification).
fn absolute(path: OsString) -> Option<PathBuf> {
    Some(PathBuf::from(path)).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directories_of_a_service_manager_come_before_those_of_a_session() {
        let session = [
            ("HOME", "/home/me"),
            ("XDG_STATE_HOME", "/xs"),
            ("XDG_RUNTIME_DIR", "/xr"),
            ("USER", "me"),
        ];
        let all = |more: &[(&str, &str)]| {
            let set: Vec<(&str, &str)> = session.iter().chain(more).copied().collect();
            let environment = |name: &str| {
                let found = set.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| OsString::from(*value))
            };
            let shown = |path: PathBuf| path.display().to_string();
            let tried: Vec<String> = sockets(&environment).into_iter().map(shown).collect();
            (
                state_dir(&environment).map(shown).unwrap(),
                runtime_socket(&environment).map(shown).unwrap(),
                tried.join(" "),
            )
        };
        let of_session = "/xr/devcontainerd.sock /xr/devcontainerd/devcontainerd.sock \
                          /run/devcontainerd/me.sock";
        let expected = (
            "/xs/devcontainerd".to_owned(),
            "/xr/devcontainerd.sock".to_owned(),
            of_session.to_owned(),
        );
        assert_eq!(all(&[]), expected);
        let relative = [("STATE_DIRECTORY", "a"), ("RUNTIME_DIRECTORY", ":/b")];
        assert_eq!(all(&relative), expected, "as if they were not set");
        let given = [("STATE_DIRECTORY", "/s:/t"), ("RUNTIME_DIRECTORY", "/r:/q")];
        let expected = (
            "/s".to_owned(),
            "/r/devcontainerd.sock".to_owned(),
            format!("/r/devcontainerd.sock {of_session}"),
        );
        assert_eq!(all(&given), expected);
        let own = [("RUNTIME_DIRECTORY", "/xr/devcontainerd")];
        assert_eq!(all(&own).2.matches("/xr/devcontainerd/d").count(), 1);
    }
}
