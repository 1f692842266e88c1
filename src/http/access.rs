//! The rules about who may use the daemon, and the token that clients may need.

use std::fs::Metadata;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{fmt, fs};

use super::guard::AllowedHosts;
use super::peer::AllowedUsers;
use super::request::Request;
use crate::base::threads;
use crate::base::time::Timestamp;
use crate::base::token::{Token, TokenError};
use crate::base::within::within;
use crate::model::inputs::Stamp;

/// The interval at which the file of the token is looked at while requests come.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The time for which the start waits for the file.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// The time for which a request, or the reloading of everything, waits for a look at the file.
const PATIENCE: Duration = Duration::from_millis(500);

/// The rules about who may use the daemon.
pub struct Access {
    /// The users whose connections are served.
    pub users: AllowedUsers,
    /// The hosts that a request may be for.
    pub hosts: AllowedHosts,
    /// The token that requests need, if there is one.
    pub token: Option<Arc<TokenFile>>,
}

/// The token of a file, which is read again when the file changes.
///
/// Its file system may stop answering. So one thread looks at the file, and those who wait for it do so for a moment:
/// until that thread is back, the last good token stays in force.
pub struct TokenFile {
    path: PathBuf,
    current: Mutex<Current>,
    looked: Condvar,
}

struct Current {
    token: Token,
    /// The file as it was last looked at. `None` if it was not there.
    stamp: Option<Stamp>,
    checked: Instant,
    /// A thread looks at the file.
    is_looking: bool,
    /// The file is to be read even if it looks unchanged.
    must_read: bool,
}

/// A request without the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unauthorized {
    /// It has no bearer token.
    Missing,
    /// It has another one.
    Wrong,
}

/// The value of an `Authorization` header. It does not show what it holds.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Credentials<'h>(pub(super) &'h str);

impl Access {
    /// Admits a request that has the token, if one is needed.
    pub(super) fn authorize(&self, request: &Request<'_>) -> Result<(), Unauthorized> {
        let Some(file) = &self.token else {
            return Ok(());
        };
        let sent = request.authorization.and_then(Credentials::bearer_token);
        let sent = sent.ok_or(Unauthorized::Missing)?;
        if file.token().is(sent) {
            Ok(())
        } else {
            Err(Unauthorized::Wrong)
        }
    }
}

impl TokenFile {
    /// Reads the file for the first time.
    pub fn read(path: PathBuf) -> Result<Self, TokenError> {
        let own = path.clone();
        let read = within(START_PATIENCE, move || Token::read(&own));
        let (token, metadata) = read.map_err(TokenError::Io)??;
        let current = Current {
            token,
            stamp: Some(stamp(&metadata)),
            checked: Instant::now(),
            is_looking: false,
            must_read: false,
        };
        Ok(Self {
            path,
            current: Mutex::new(current),
            looked: Condvar::new(),
        })
    }

    /// Reads the file again. Where it holds no token that may be used, the last good one stays in force.
    pub fn reload(self: &Arc<Self>) {
        self.current().must_read = true;
        self.look();
    }

    /// Returns the token. The file is looked at first, unless that has just been done.
    fn token(self: &Arc<Self>) -> Token {
        if self.is_due() {
            self.look();
        }
        self.current().token.clone()
    }

    fn is_due(&self) -> bool {
        let mut current = self.current();
        let is_due = current.checked.elapsed() >= CHECK_INTERVAL;
        if is_due {
            current.checked = Instant::now();
        }
        is_due
    }

    /// Lets a thread look at the file, unless one does, and waits for it for a moment.
    fn look(self: &Arc<Self>) {
        let mut current = self.current();
        if current.is_looking {
            return;
        }
        let own = self.clone();
        if let Err(error) = threads::start("token", move || own.look_here()) {
            return self.complain(&format!("no thread can be started: {error}"));
        }
        current.is_looking = true;
        let is_looking = |current: &mut Current| current.is_looking;
        let waited = self
            .looked
            .wait_timeout_while(current, PATIENCE, is_looking);
        let (current, waited) = waited.unwrap_or_else(PoisonError::into_inner);
        drop(current);
        if waited.timed_out() {
            self.complain("its file system does not answer");
        }
    }

    /// Looks at the file on this thread, until nobody asks for more.
    fn look_here(&self) {
        loop {
            let (seen, must_read) = {
                let mut current = self.current();
                (current.stamp, std::mem::take(&mut current.must_read))
            };
            let found = fs::metadata(&self.path).ok().as_ref().map(stamp);
            // A file that is gone or cannot be used is not reported each time.
            let read = (must_read || found != seen).then(|| Token::read(&self.path));
            self.current().stamp = found;
            if let Some(read) = read {
                self.take(read);
            }
            let mut current = self.current();
            if !current.must_read {
                current.is_looking = false;
                self.looked.notify_all();
                return;
            }
        }
    }

    fn take(&self, read: Result<(Token, Metadata), TokenError>) {
        let (token, metadata) = match read {
            Ok(read) => read,
            Err(error) => return self.complain(&error.to_string()),
        };
        let mut current = self.current();
        let has_changed = current.token != token;
        current.token = token;
        current.stamp = Some(stamp(&metadata));
        drop(current);
        if has_changed {
            log::info!("the token was read again");
        }
    }

    fn complain(&self, why: &str) {
        let path = self.path.display();
        log::error!("--token-file {path}: {why}; the last good token stays in force");
    }

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    Stamp::of(metadata, Timestamp::now())
}

impl<'h> Credentials<'h> {
    /// Returns the token of `Bearer TOKEN` (RFC 6750, section 2.1). The scheme is in any case (RFC 9110, section 11.1).
    fn bearer_token(self) -> Option<&'h str> {
        let (scheme, token) = self.0.split_once(' ')?;
        let is_bearer = scheme.eq_ignore_ascii_case("Bearer");
        is_bearer.then(|| token.trim_matches(' '))
    }
}

impl fmt::Debug for Credentials<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bearer_token_is_found_in_any_case() {
        for (value, expected) in [
            ("Bearer abc", Some("abc")),
            ("bearer abc", Some("abc")),
            ("BEARER   abc", Some("abc")),
            ("Bearer", None),
            ("Bearerabc", None),
            ("Basic YTpi", None),
            ("abc", None),
            ("", None),
            ("Bearer ", Some("")),
        ] {
            let credentials = Credentials(value);
            assert_eq!(credentials.bearer_token(), expected, "{value:?}");
            assert_eq!(format!("{credentials:?}"), "Credentials");
        }
    }
}
