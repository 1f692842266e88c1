//! The limit of open files of this process.

use rustix::process::{Resource, getrlimit};

/// The descriptors that must be free at start: about 20 of the daemon's own, about 16 of an operation, and those of a few
/// connections.
const NEEDED: u64 = 48;
/// The value that messages recommend: more than all connections and operations take.
const RECOMMENDED: u64 = 1024;

/// A limit that leaves too few descriptors.
#[derive(Debug, PartialEq, Eq)]
pub struct TooFew {
    limit: u64,
    open: u64,
}

/// Checks that the process may open as many files as the daemon needs to serve anyone.
pub fn check() -> Result<(), TooFew> {
    let Some(limit) = limit() else {
        return Ok(());
    };
    check_limit(limit, count())
}

/// Returns the number of open files, with the directory of them that is read for that.
pub fn count() -> u64 {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count) as u64
}

/// Returns the limit of open files, if there is one.
pub fn limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

fn check_limit(limit: u64, open: u64) -> Result<(), TooFew> {
    if limit.saturating_sub(open) < NEEDED {
        return Err(TooFew { limit, open });
    }
    Ok(())
}

impl std::fmt::Display for TooFew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { limit, open } = self;
        write!(
            f,
            "the limit of open files is {limit}, {open} are open, and the daemon needs {NEEDED} more; raise it with ulimit -n {RECOMMENDED}, or with LimitNOFILE={RECOMMENDED} in a systemd unit"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_leaves_too_few_descriptors_is_refused() {
        assert_eq!(check_limit(NEEDED + 5, 5), Ok(()));
        let error = check_limit(NEEDED + 4, 5).unwrap_err();
        assert!(error.to_string().contains("ulimit -n 1024"), "{error}");
        assert!(check_limit(3, 5).is_err());
        assert_eq!(check(), Ok(()));
    }
}
