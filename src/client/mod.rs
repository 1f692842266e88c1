//! A client of the daemon: one request on each connection, over TCP or a unix socket, with deadlines.

mod answer;
mod error;
mod place;
mod socket;

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub use self::answer::Answer;
use self::error::Cause;
pub use self::error::ClientError;
use self::place::Place;
use self::socket::{Deadlines, Socket};
use crate::base::token::Token;

/// The time to answer. A cancelled operation that restores a container may take a minute.
const ANSWER: Duration = Duration::from_secs(120);
/// The silence after which a stream is broken. The daemon sends something every 15 s.
const SILENCE: Duration = Duration::from_secs(45);
/// The path of the health check, which needs no token.
const HEALTH: &str = "/healthz";

/// The places at which a daemon may be, and the token that it may need.
#[derive(Clone, Debug)]
pub struct Client {
    places: Vec<Place>,
    token_file: Option<PathBuf>,
}

/// A request without a body.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// GET, POST or DELETE.
    pub method: &'static str,
    /// The path with its query, percent-encoded.
    pub path: &'a str,
    /// The revision after which a stream is to go on.
    pub last_event_id: Option<u64>,
}

impl<'a> Request<'a> {
    /// Returns a GET request for this path.
    pub fn get(path: &'a str) -> Self {
        Self::new("GET", path)
    }

    /// Returns a request for this path.
    pub fn new(method: &'static str, path: &'a str) -> Self {
        Self {
            method,
            path,
            last_event_id: None,
        }
    }
}

impl Client {
    /// Takes the addresses, `http://ADDRESS:PORT[/prefix]` or `unix:/path`, of which the first one that takes a connection
    /// is used.
    ///
    /// # Errors
    ///
    /// One of them has another form.
    pub fn new(urls: &[String], token_file: Option<PathBuf>) -> Result<Self, ClientError> {
        let places = urls.iter().map(|url| {
            let place = Place::parse(url);
            place.ok_or_else(|| ClientError::new(url.clone(), Cause::InvalidUrl))
        });
        let places = places.collect::<Result<_, _>>()?;
        Ok(Self { places, token_file })
    }

    /// Sends a request whose whole answer comes at once. The answer has status 200 to 299.
    pub fn send(&self, request: Request<'_>) -> Result<Answer, ClientError> {
        let deadlines = Deadlines::within(ANSWER);
        self.answer(request, deadlines)?.successful()
    }

    /// Sends a request whose answer is a stream, and that fails at a time, if there is one. The answer has status 200.
    pub fn stream(
        &self,
        request: Request<'_>,
        until: Option<Instant>,
    ) -> Result<Answer, ClientError> {
        let deadlines = Deadlines {
            silence: ANSWER,
            until,
        };
        let mut answer = self.answer(request, deadlines)?.successful()?;
        answer.set_silence(SILENCE);
        Ok(answer)
    }

    /// Requests the path of the URL, or `/healthz` where it has none. Returns the status.
    pub fn health(&self, limit: Duration) -> Result<u16, ClientError> {
        let is_bare = self.places.iter().all(|place| place.prefix.is_empty());
        let path = if is_bare { HEALTH } else { "" };
        let mut answer = self.answer(Request::get(path), Deadlines::within(limit))?;
        answer.drain()?;
        Ok(answer.status)
    }

    fn answer(&self, request: Request<'_>, deadlines: Deadlines) -> Result<Answer, ClientError> {
        let (place, socket) = self.connect(deadlines)?;
        let answer = self.exchange(place, socket, request);
        answer.map_err(|cause| ClientError::new(place.url.clone(), cause))
    }

    fn connect(&self, deadlines: Deadlines) -> Result<(&Place, Socket), ClientError> {
        let mut first = None;
        for place in &self.places {
            match Socket::connect(&place.address, deadlines) {
                Ok(socket) => return Ok((place, socket)),
                Err(error) => _ = first.get_or_insert(error),
            }
        }
        let error = first.unwrap_or_else(|| std::io::ErrorKind::NotFound.into());
        Err(ClientError::new(self.urls(), Cause::Unreachable(error)))
    }

    fn exchange(
        &self,
        place: &Place,
        mut socket: Socket,
        request: Request<'_>,
    ) -> Result<Answer, Cause> {
        let Request { method, path, .. } = request;
        let Place { prefix, host, .. } = place;
        let mut head =
            format!("{method} {prefix}{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n");
        if let Some(revision) = request.last_event_id {
            head += &format!("Last-Event-ID: {revision}\r\n");
        }
        // Without a daemon, another program may listen at its address. It should not get the token of a request that needs
        // none.
        if let Some(file) = self.token_file.as_ref().filter(|_| path != HEALTH) {
            let read = Token::read(file);
            let (token, _) = read.map_err(|error| Cause::Token(file.clone(), error))?;
            head += &format!("Authorization: {}\r\n", token.authorization());
        }
        head += "\r\n";
        // A daemon that does not serve this user answers before it has read the request.
        let written = socket.write_all(head.as_bytes());
        let answer = Answer::read(&place.url, socket);
        answer.map_err(|cause| match written {
            Err(error) if !matches!(cause, Cause::NotHttp) => Cause::Io(error),
            _ => cause,
        })
    }

    fn urls(&self) -> String {
        let urls: Vec<&str> = self.places.iter().map(|place| &*place.url).collect();
        urls.join(" or ")
    }
}
