//! The unix socket at which programs find the daemon without being told where it listens.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::geteuid;

use crate::http::Bound;
use crate::model::listen::ListenAddress;

/// Listens on the socket, if its directory is the user's own. The daemon is of use without it, so that a failure is a
/// warning.
pub(super) fn bind(path: &Path) -> Option<Bound> {
    let directory = path.parent()?;
    if !is_own(directory) {
        // As where sudo has kept the variable of another user.
        log::debug!(
            "{} is no directory of this user's own, so no socket is made there",
            directory.display()
        );
        return None;
    }
    let address = ListenAddress::Unix(path.to_owned());
    match Bound::new(&address) {
        Ok(bound) => {
            super::log_listening(&bound);
            Some(bound)
        }
        Err(e) => {
            let why = match e.kind() {
                io::ErrorKind::AddrInUse => {
                    "another program listens on it, or it is no socket".to_owned()
                }
                _ => e.to_string(),
            };
            log::warn!(
                "cannot listen on {}, where programs look for the daemon: {why}; remove it, or choose another address with --listen",
                path.display()
            );
            None
        }
    }
}

/// Returns whether nobody else can put files into a directory.
fn is_own(directory: &Path) -> bool {
    let is_own = |metadata: fs::Metadata| {
        let is_private = metadata.mode() & 0o022 == 0;
        metadata.is_dir() && metadata.uid() == geteuid().as_raw() && is_private
    };
    fs::metadata(directory).is_ok_and(is_own)
}
