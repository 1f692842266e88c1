//! The engine's socket on this machine, and whether this process may connect to it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid, getgroups};

/// The socket where docker's client looks for the engine if nothing leads it elsewhere.
const DEFAULT: &str = "/var/run/docker.sock";

/// Returns why this process may not connect to the engine's socket, and the mend; `None` where it may, or where docker's
/// client may be led elsewhere. It is meant for a docker that has failed: the client's own words name neither a group nor a
/// mend.
pub fn why_no_access(program: &Path) -> Option<String> {
    let path = socket(program)?;
    let file = fs::metadata(&path).ok()?;
    if access(&path, Access::WRITE_OK) != Err(Errno::ACCESS) {
        return None;
    }
    let mut groups = getegid().as_raw().to_string();
    let all = getgroups().unwrap_or_default().into_iter();
    for group in all.filter(|group| *group != getegid()) {
        groups += &format!(", {}", group.as_raw());
    }
    let (user, group) = (file.uid(), file.gid());
    Some(format!(
        "the engine's socket {} is of user {user} and group {group} with mode {:o}, and the daemon is user {} in the groups {groups}; \
         add group {group}: docker run --group-add {group}, group_add in a compose file, or usermod -aG for the user; then start the daemon again",
        path.display(),
        file.mode() & 0o777,
        geteuid().as_raw(),
    ))
}

/// Returns the socket, unless docker's client may have another one from its configuration.
fn socket(program: &Path) -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).map(PathBuf::from);
    if let Some(host) = variable("DOCKER_HOST") {
        let path = host.to_str()?.strip_prefix("unix://")?;
        return Some(PathBuf::from(path));
    }
    let home = || Some(variable("HOME")?.join(".docker"));
    let configuration = variable("DOCKER_CONFIG").or_else(home).unwrap_or_default();
    let configuration = fs::read_to_string(configuration.join("config.json")).unwrap_or_default();
    let has_context =
        variable("DOCKER_CONTEXT").is_some() || configuration.contains("\"currentContext\"");
    let is_podman = program.file_name().is_some_and(|name| name == "podman");
    (!has_context && !is_podman).then(|| DEFAULT.into())
}
