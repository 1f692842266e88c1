//! The changes of dev containers, also while the daemon is restarted.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::Failure;
use super::devcontainer::Devcontainer;
use super::find::take_all;
use super::output::say;
use crate::client::{Answer, Client, ClientError, Request};

/// The pauses between attempts to reach a daemon that is gone.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A change of dev containers.
pub(super) enum Change {
    /// All that there are.
    All(Vec<Devcontainer>),
    /// One that is new or has changed.
    One(Devcontainer),
    /// The id of one that is no longer listed.
    Removed(String),
}

/// A stream of changes.
pub(super) struct Feed<'a> {
    client: &'a Client,
    /// The time at which it ends, if it does.
    until: Option<Instant>,
    stream: Option<Answer>,
    /// The last change that has come.
    revision: Option<u64>,
}

impl<'a> Feed<'a> {
    /// Opens a stream.
    ///
    /// # Errors
    ///
    /// The daemon cannot be reached, or refuses.
    pub(super) fn open(client: &'a Client, until: Option<Instant>) -> Result<Self, ClientError> {
        let mut feed = Self {
            client,
            until,
            stream: None,
            revision: None,
        };
        feed.stream = Some(feed.connect()?);
        Ok(feed)
    }

    /// Waits for the next change. Returns `None` at the time at which the feed ends.
    pub(super) fn next(&mut self) -> Result<Option<Change>, Failure> {
        while !self.is_over() {
            let Some(stream) = &mut self.stream else {
                self.reconnect()?;
                continue;
            };
            match stream.next_line() {
                Ok(Some(mut event)) => {
                    if let Some(change) = self.change(&mut event) {
                        return Ok(Some(change));
                    }
                }
                Ok(None) => self.stream = None,
                Err(error) if error.is_passing() => self.stream = None,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    fn connect(&self) -> Result<Answer, ClientError> {
        let request = Request {
            last_event_id: self.revision,
            ..Request::get("/events")
        };
        self.client.stream(request, self.until)
    }

    /// Tries again until a daemon answers or the time is over.
    fn reconnect(&mut self) -> Result<(), Failure> {
        let mut pause = FIRST_PAUSE;
        let mut is_said = false;
        while !self.is_over() {
            match self.connect() {
                Ok(stream) => {
                    self.stream = Some(stream);
                    if is_said {
                        say("the daemon is back");
                    }
                    return Ok(());
                }
                Err(error) if error.is_passing() => {
                    if !is_said {
                        say(&format!("waiting for the daemon to come back: {error}"));
                    }
                    is_said = true;
                }
                Err(error) => return Err(error.into()),
            }
            let until = self.until;
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            thread::sleep(left.map_or(pause, |left| left.min(pause)));
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        Ok(())
    }

    fn change(&mut self, event: &mut Value) -> Option<Change> {
        let revision = event.get("revision").and_then(Value::as_u64);
        self.revision = revision.or(self.revision);
        let kind = event.get("type").and_then(Value::as_str)?.to_owned();
        match &*kind {
            "snapshot" => Some(Change::All(take_all(event))),
            "devcontainer" => Some(Change::One(Devcontainer(event.take()))),
            "devcontainer_removed" => {
                let id = event.get("id").and_then(Value::as_str)?;
                Some(Change::Removed(id.to_owned()))
            }
            _ => None,
        }
    }
}
