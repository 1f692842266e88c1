//! The rules about who may use the daemon, and the token that clients may need.

use std::fmt;
use std::fs::Metadata;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::guard::AllowedHosts;
use super::peer::AllowedUsers;
use super::request::Request;
use crate::base::time::Timestamp;
use crate::base::token::{Token, TokenError};
use crate::model::inputs::Stamp;

/// The interval at which the file of the token is looked at while requests come.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);

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
pub struct TokenFile {
    path: PathBuf,
    current: Mutex<Current>,
}

struct Current {
    token: Token,
    /// The file as it was last looked at. `None` if it was not there.
    stamp: Option<Stamp>,
    checked: Instant,
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
#[derive(PartialEq, Eq)]
pub(super) struct Credentials(pub(super) String);

impl Access {
    /// Admits a request that has the token, if one is needed.
    pub(super) fn authorize(&self, request: &Request) -> Result<(), Unauthorized> {
        let Some(file) = &self.token else {
            return Ok(());
        };
        let credentials = request.authorization.as_ref();
        let sent = credentials.and_then(Credentials::bearer_token);
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
        let (token, metadata) = Token::read(&path)?;
        let current = Current {
            token,
            stamp: Some(stamp(&metadata)),
            checked: Instant::now(),
        };
        Ok(Self {
            path,
            current: Mutex::new(current),
        })
    }

    /// Reads the file again. Where it holds no token that may be used, the last good one stays in force.
    pub fn reload(&self) {
        let read = Token::read(&self.path);
        let mut current = self.current();
        current.checked = Instant::now();
        match read {
            Ok((token, metadata)) => {
                if current.token != token {
                    log::info!("the token was read again");
                }
                current.token = token;
                current.stamp = Some(stamp(&metadata));
            }
            Err(error) => {
                let path = self.path.display();
                log::error!("--token-file {path}: {error}; the last good token stays in force");
            }
        }
    }

    /// Returns the token. The file is looked at first, unless that has just been done.
    fn token(&self) -> Token {
        if self.is_due() {
            let found = std::fs::metadata(&self.path).ok();
            let found = found.as_ref().map(stamp);
            // A file that is gone or cannot be used is not reported each time.
            if found != std::mem::replace(&mut self.current().stamp, found) {
                self.reload();
            }
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

    fn current(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(|e| e.into_inner())
    }
}

fn stamp(metadata: &Metadata) -> Stamp {
    Stamp::of(metadata, Timestamp::now())
}

impl Credentials {
    /// Returns the token of `Bearer TOKEN` (RFC 6750, section 2.1). The scheme is in any case (RFC 9110, section 11.1).
    fn bearer_token(&self) -> Option<&str> {
        let (scheme, token) = self.0.split_once(' ')?;
        let is_bearer = scheme.eq_ignore_ascii_case("Bearer");
        is_bearer.then(|| token.trim_matches(' '))
    }
}

impl fmt::Debug for Credentials {
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
            let credentials = Credentials(value.into());
            assert_eq!(credentials.bearer_token(), expected, "{value:?}");
            assert_eq!(format!("{credentials:?}"), "Credentials");
        }
    }
}
