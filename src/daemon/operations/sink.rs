//! Hands the log of an operation to a program that the user chooses, as JSON lines on its standard input.

use std::ffi::OsString;
use std::process::Command;
use std::time::{Duration, Instant};

use super::journal::Journal;
use crate::base::json::to_line;
use crate::daemon::shared::Shared;
use crate::process::StdinWriter;

/// The time that the program gets to finish when the operation has ended.
const FINISH: Duration = Duration::from_secs(5);
/// The time that it gets when the daemon is about to stop.
const FINISH_CLOSING: Duration = Duration::from_secs(1);
/// How often to look whether the operation has ended.
const POLL_EVERY: Duration = Duration::from_secs(1);

/// The program of `--log-sink`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sink {
    program: OsString,
    arguments: Vec<OsString>,
}

impl Sink {
    /// Returns a sink that runs the first word with the rest as its arguments; `None` where there is no word.
    pub fn new(words: Vec<OsString>) -> Option<Self> {
        let mut words = words.into_iter();
        Some(Self {
            program: words.next()?,
            arguments: words.collect(),
        })
    }

    /// Runs the program for one operation and feeds it until the operation has ended, or until the program reads no
    /// more.
    pub fn feed(&self, journal: &Journal, shared: &Shared) {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        let mut feeder = match StdinWriter::spawn(command) {
            Ok(feeder) => feeder,
            Err(e) => {
                return log::warn!(
                    "could not start the log sink, which receives nothing of this operation: {e}"
                );
            }
        };
        let deadline = || match journal.ended_at() {
            Some(ended_at) => {
                let is_closing = shared.is_closing();
                ended_at + if is_closing { FINISH_CLOSING } else { FINISH }
            }
            None => Instant::now() + POLL_EVERY,
        };
        let mut next = 0;
        loop {
            let page = journal.read(next, POLL_EVERY);
            for line in &page.lines {
                if let Err(e) = feeder.feed(&to_line(&**line), &deadline) {
                    log::warn!("the log sink missed lines of this operation: {e}");
                    return feeder.finish(deadline());
                }
            }
            next = page.next;
            if page.ended {
                return feeder.finish(deadline());
            }
        }
    }
}
