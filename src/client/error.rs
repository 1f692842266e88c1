//! The ways in which a request to the daemon fails.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::base::token::TokenError;

/// A request that failed.
#[derive(Debug)]
pub struct ClientError {
    url: String,
    cause: Cause,
}

#[derive(Debug)]
pub(super) enum Cause {
    /// The URL has another form.
    InvalidUrl,
    /// The token cannot be read from this file.
    Token(PathBuf, TokenError),
    /// No address takes a connection.
    Unreachable(io::Error),
    /// Writing or reading failed, or took too long.
    Io(io::Error),
    /// The answer is not HTTP.
    NotHttp,
    /// The answer is an error of the daemon.
    Refused {
        status: u16,
        message: String,
        detail: String,
    },
}

impl ClientError {
    pub(super) fn new(url: String, cause: Cause) -> Self {
        Self { url, cause }
    }

    /// Returns the status of the answer, if there was one.
    pub fn status(&self) -> Option<u16> {
        match self.cause {
            Cause::Refused { status, .. } => Some(status),
            _ => None,
        }
    }

    /// True if the command line or the environment is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(self.cause, Cause::InvalidUrl | Cause::Token(..))
    }

    /// True if the daemon may be restarting, so that the request may succeed later.
    pub fn is_passing(&self) -> bool {
        match self.cause {
            Cause::Unreachable(_) | Cause::Io(_) => true,
            Cause::Refused { status, .. } => status >= 500,
            _ => false,
        }
    }

    /// True if connecting or reading took longer than it may.
    pub fn is_timeout(&self) -> bool {
        let (Cause::Io(error) | Cause::Unreachable(error)) = &self.cause else {
            return false;
        };
        error.kind() == io::ErrorKind::TimedOut
    }
}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.url;
        match &self.cause {
            Cause::InvalidUrl => write!(
                f,
                "--url {url}: it should be http://ADDRESS:PORT[/path] or unix:/path"
            ),
            Cause::Token(path, error) => write!(f, "--token-file {}: {error}", path.display()),
            Cause::Unreachable(error) if error.kind() == io::ErrorKind::PermissionDenied => write!(
                f,
                "no daemon answers at {url}: {error}; the socket is another user's, so start your own daemon with devcontainerd"
            ),
            Cause::Unreachable(error) => write!(
                f,
                "no daemon answers at {url}: {error}; is it running? Start it with devcontainerd, or name its address with --url"
            ),
            Cause::Io(error) => write!(f, "no daemon answers at {url}: {error}"),
            Cause::NotHttp => write!(f, "no daemon answers at {url}: the answer is not HTTP"),
            Cause::Refused {
                status,
                message,
                detail,
            } => refused(f, url, *status, message, detail),
        }
    }
}

fn refused(
    f: &mut fmt::Formatter<'_>,
    url: &str,
    status: u16,
    message: &str,
    detail: &str,
) -> fmt::Result {
    if message.is_empty() {
        return write!(f, "the daemon at {url} answers with status {status}");
    }
    write!(f, "{message}: {detail}")?;
    match status {
        401 => f.write_str("; name the file with --token-file or DEVCONTAINERD_TOKEN_FILE"),
        403 if message == "Forbidden" => write!(f, "; the daemon at {url} may be another user's"),
        _ => Ok(()),
    }
}

impl std::error::Error for ClientError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_where_why_and_how_to_fix_it() {
        let shown = |cause| ClientError::new("http://127.0.0.1:1".to_owned(), cause).to_string();
        let unreachable = shown(Cause::Unreachable(io::ErrorKind::ConnectionRefused.into()));
        assert!(
            unreachable.starts_with("no daemon answers at http://127.0.0.1:1: connection refused")
        );
        assert!(unreachable.contains("Start it with devcontainerd"));
        let refused = |status, message: &str| {
            let (message, detail) = (message.to_owned(), "why".to_owned());
            shown(Cause::Refused {
                status,
                message,
                detail,
            })
        };
        assert!(refused(401, "Unauthorized").contains("--token-file"));
        assert!(refused(403, "Forbidden").contains("another user's"));
        let folder = refused(403, "Workspace folder not allowed");
        assert_eq!(folder, "Workspace folder not allowed: why");
        assert_eq!(
            refused(502, ""),
            "the daemon at http://127.0.0.1:1 answers with status 502"
        );
    }
}
