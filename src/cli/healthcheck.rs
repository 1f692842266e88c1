//! A check that a daemon answers, for images without `curl`.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::token::{Token, TokenError};
use crate::base::within::within;

/// The limit of the whole check.
const TIMEOUT: Duration = Duration::from_secs(3);
/// The length up to which an answer is read, in bytes.
const MAX_ANSWER: u64 = 64 << 10;
const DEFAULT_PATH: &str = "/healthz";

/// A check to do.
#[derive(Clone, Debug)]
pub struct Healthcheck {
    /// `http://ADDRESS:PORT[/path]` or `unix:/path`. Without a path, and for a unix socket, `/healthz` is requested.
    pub url: String,
    /// The file with the token of the daemon, if it has one.
    pub token_file: Option<PathBuf>,
}

/// A check that failed.
#[derive(Debug)]
pub struct HealthcheckError {
    url: String,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    /// The URL has another form.
    InvalidUrl,
    /// The token cannot be read from this file.
    Token(PathBuf, TokenError),
    /// Connecting, writing or reading failed, or took too long.
    Io(io::Error),
    /// The answer is not HTTP.
    NotHttp,
    /// The answer has another status than 200.
    Status(u16),
}

impl fmt::Display for HealthcheckError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &self.url;
        match &self.cause {
            Cause::InvalidUrl => write!(
                f,
                "--url {url}: it should be http://ADDRESS:PORT[/path] or unix:/path"
            ),
            Cause::Token(path, error) => write!(f, "--token-file {}: {error}", path.display()),
            Cause::Io(error) => write!(f, "no daemon answers at {url}: {error}"),
            Cause::NotHttp => write!(f, "no daemon answers at {url}: the answer is not HTTP"),
            Cause::Status(status) => write!(f, "the daemon at {url} answers with status {status}"),
        }
    }
}

impl std::error::Error for HealthcheckError {}

impl From<io::Error> for Cause {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Sends a GET request and expects status 200.
pub fn run(check: &Healthcheck) -> Result<(), HealthcheckError> {
    let own = check.clone();
    // The end of the process ends a thread that still waits, for a connection, for more of an answer, or for a file.
    let found = within(TIMEOUT, move || request(&own)).unwrap_or_else(|error| Err(error.into()));
    let result = match found {
        Ok(200) => return Ok(()),
        Ok(status) => Cause::Status(status),
        Err(cause) => cause,
    };
    Err(HealthcheckError {
        url: check.url.clone(),
        cause: result,
    })
}

/// Returns the status of the answer.
fn request(check: &Healthcheck) -> Result<u16, Cause> {
    let url = &check.url;
    if let Some(path) = url.strip_prefix("unix:") {
        let stream = UnixStream::connect(path)?;
        return exchange(stream, "localhost", DEFAULT_PATH, None);
    }
    let authority = url.strip_prefix("http://").ok_or(Cause::InvalidUrl)?;
    let (host, path) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
    let stream = TcpStream::connect(address(host).ok_or(Cause::InvalidUrl)?)?;
    let path = if path.len() > 1 { path } else { DEFAULT_PATH };
    exchange(stream, host, path, check.token(path)?)
}

impl Healthcheck {
    /// Reads the token for a path that needs one. Without a daemon, another program may listen at its address, which
    /// should not get the token of a check that needs none.
    fn token(&self, path: &str) -> Result<Option<Token>, Cause> {
        let Some(file) = self.token_file.as_ref().filter(|_| path != DEFAULT_PATH) else {
            return Ok(None);
        };
        match Token::read(file) {
            Ok((token, _)) => Ok(Some(token)),
            Err(error) => Err(Cause::Token(file.clone(), error)),
        }
    }
}

/// Reads a socket address, or `localhost` with a port. The daemon listens on no other name, and a resolver would be a
/// fifth of the program.
fn address(host: &str) -> Option<SocketAddr> {
    host.replace("localhost", "127.0.0.1").parse().ok()
}

fn exchange(
    mut stream: impl Read + Write,
    host: &str,
    path: &str,
    token: Option<Token>,
) -> Result<u16, Cause> {
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
    if let Some(token) = token {
        request += &format!("Authorization: {}\r\n", token.authorization());
    }
    request += "\r\n";
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.take(MAX_ANSWER).read_to_string(&mut answer)?;
    status(&answer).ok_or(Cause::NotHttp)
}

/// Reads the status line (RFC 9112, 4).
fn status(answer: &str) -> Option<u16> {
    let mut words = answer.strip_prefix("HTTP/1.")?.split(' ');
    words.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_the_second_word() {
        for (answer, expected) in [
            ("HTTP/1.1 200 OK\r\n\r\n", Some(200)),
            ("HTTP/1.0 503 Service Unavailable\r\n", Some(503)),
            ("", None),
            ("HTTP/1.1", None),
            ("HTTP/1.1 OK 200", None),
            ("SSH-2.0 200 x", None),
        ] {
            assert_eq!(status(answer), expected, "{answer}");
        }
    }

    #[test]
    fn an_error_names_the_url_and_the_answer() {
        let shown = |cause| {
            let url = "http://127.0.0.1:1/readyz".to_owned();
            HealthcheckError { url, cause }.to_string()
        };
        assert_eq!(
            shown(Cause::Status(503)),
            "the daemon at http://127.0.0.1:1/readyz answers with status 503"
        );
        let refused = Cause::Io(io::ErrorKind::ConnectionRefused.into());
        assert_eq!(
            shown(refused),
            "no daemon answers at http://127.0.0.1:1/readyz: connection refused"
        );
    }
}
