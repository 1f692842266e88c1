//! The log of requests that are refused: one line a minute for each reason, however many there are.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use log::Level;

use super::errors::Error;
use super::request::Request;
use crate::base::event::{Event, Value};
use crate::base::text::beginning;
use crate::model::origin::Origin;

/// The interval of the lines of one reason at the level of the event. Those in between are logged at the level debug.
const INTERVAL: Duration = Duration::from_secs(60);
/// The characters of a path, and of the reason why a request is refused, that are logged.
const MAX_TEXT: usize = 200;
/// The characters of a method that are logged.
const MAX_METHOD: usize = 20;

/// The reason why a request, or a connection, is refused before it is looked at what it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// Its user is not served.
    User,
    /// Another web site, or a foreign host name, has to do with it.
    Guard,
    /// It has no token, or a wrong one.
    Token,
    /// It exceeds a bound.
    Limit,
    /// It is no request that could be understood.
    Request,
}

/// The refusals since the last line of each reason.
#[derive(Default)]
pub(super) struct Refusals(Mutex<[Tally; Reason::COUNT]>);

#[derive(Clone, Copy, Default)]
struct Tally {
    last: Option<Instant>,
    skipped: i64,
}

impl Reason {
    const COUNT: usize = 5;

    /// Returns the word in the log.
    fn word(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Guard => "guard",
            Self::Token => "token",
            Self::Limit => "limit",
            Self::Request => "request",
        }
    }
}

impl Tally {
    /// Counts a refusal. Returns how many were skipped before it, if its line is due.
    fn count(&mut self, now: Instant) -> Option<i64> {
        if self.last.is_some_and(|last| now < last + INTERVAL) {
            self.skipped += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.skipped))
    }
}

impl Refusals {
    /// Logs that a request was answered with `error`, if that is a refusal. A request whose head was not read has no path.
    pub(super) fn note(&self, error: &Error, origin: &Origin, request: &Request<'_>) {
        if let Some((reason, detail)) = error.refusal() {
            let path = beginning(request.path, MAX_TEXT);
            let method = beginning(request.method.as_str(), MAX_METHOD);
            let path = (!path.is_empty()).then_some((method, path));
            let why = (reason, beginning(&detail, MAX_TEXT));
            self.log(Event::RequestRefused, why, origin, path, true);
        }
    }

    /// Logs that a connection is refused. That is no line of its own where nobody is left at its other end.
    pub(super) fn note_connection(&self, error: &Error, origin: &Origin, is_there: bool) {
        if let Some((reason, detail)) = error.refusal() {
            let why = (reason, &*detail);
            self.log(Event::ConnectionRefused, why, origin, None, is_there);
        }
    }

    fn log(
        &self,
        event: Event,
        (reason, detail): (Reason, &str),
        origin: &Origin,
        path: Option<(&str, &str)>,
        counts: bool,
    ) {
        let due = {
            let mut tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let tally = tallies.get_mut(reason as usize).filter(|_| counts);
            tally.and_then(|tally| tally.count(Instant::now()))
        };
        let level = due.map_or(Level::Debug, |_| Level::Info);
        let (method, path) = match path {
            Some((method, path)) => (Value::Text(method), Value::Text(path)),
            None => (Value::Absent, Value::Absent),
        };
        let skipped = match due {
            None | Some(0) => Value::Absent,
            Some(skipped) => Value::Number(skipped),
        };
        let fields = [
            ("reason", Value::Text(reason.word())),
            ("detail", Value::Text(detail)),
            ("method", method),
            ("path", path),
            ("skipped", skipped),
        ];
        event.log_at(level, &[&origin.fields()[..], &fields].concat());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_a_line_a_minute_with_the_number_of_those_between() {
        let mut tally = Tally::default();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        let counted: Vec<Option<i64>> = [0, 1, 59, 60, 61, 200, 300]
            .into_iter()
            .map(|seconds| tally.count(at(seconds)))
            .collect();
        assert_eq!(
            counted,
            [Some(0), None, None, Some(2), None, Some(1), Some(0)]
        );
    }
}
