//! The engine's socket on this machine, and whether this process may connect to it.

use std::fs;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::fs::{Access, access};
use rustix::io::Errno;
use rustix::process::{getegid, geteuid, getgroups};

use crate::base::regular_file;
use crate::base::within::within;

/// How long the files of docker's client may take. A home on a file system that does not answer makes that client fail, too.
const PATIENCE: Duration = Duration::from_secs(1);
/// The bytes of the client's configuration that are read. It is far smaller.
const MAX_CONFIGURATION: u64 = 1 << 20;
/// The socket where docker's client looks for the engine if nothing leads it elsewhere.
const DEFAULT: &str = "/var/run/docker.sock";

/// Returns why this process may not connect to the engine's socket, and the mend; `None` where it may, or where docker's
/// client may be led elsewhere. It is meant for a docker that has failed: the client's own words name neither a group nor a
/// mend. Blocks up to a second.
pub fn why_no_access(program: &Path) -> Option<String> {
    // True while a thread looks. One that does not come back is the only one that is left behind.
    static LOOKS: AtomicBool = AtomicBool::new(false);
    if LOOKS.swap(true, Ordering::AcqRel) {
        return None;
    }
    let program = program.to_owned();
    let look = move || {
        let why = look(&program);
        LOOKS.store(false, Ordering::Release);
        why
    };
    within(PATIENCE, look).unwrap_or_else(|error| {
        // Without a thread, nothing looks.
        if error.kind() != io::ErrorKind::TimedOut {
            LOOKS.store(false, Ordering::Release);
        }
        None
    })
}

fn look(program: &Path) -> Option<String> {
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
    let configuration = read(&configuration.join("config.json")).unwrap_or_default();
    let has_context =
        variable("DOCKER_CONTEXT").is_some() || configuration.contains("\"currentContext\"");
    let is_podman = program.file_name().is_some_and(|name| name == "podman");
    (!has_context && !is_podman).then(|| DEFAULT.into())
}

fn read(path: &Path) -> io::Result<String> {
    let (file, _) = regular_file::open(path)?;
    let mut text = String::new();
    file.take(MAX_CONFIGURATION).read_to_string(&mut text)?;
    Ok(text)
}
