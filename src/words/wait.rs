//! Waiting until a dev container is as it should be.

use std::time::{Duration, Instant};

use super::Failure;
use super::devcontainer::Devcontainer;
use super::feed::{Change, Feed};
use super::find::find;
use crate::client::Client;

/// The conditions that must hold at once.
#[derive(Clone, Copy)]
pub(super) struct Wanted {
    pub(super) clean: bool,
    pub(super) running: bool,
    pub(super) idle: bool,
}

impl Wanted {
    fn is_met(self, one: &Devcontainer) -> bool {
        (!self.clean || one.is_clean())
            && (!self.running || one.is_running())
            && (!self.idle || one.is_idle())
    }

    fn text(self) -> String {
        let words = [
            (self.idle, "idle"),
            (self.running, "running"),
            (self.clean, "clean"),
        ];
        let words = words.into_iter().filter(|(is_wanted, _)| *is_wanted);
        let words: Vec<&str> = words.map(|(_, word)| word).collect();
        words.join(" and ")
    }
}

/// Waits until the conditions hold, or for so long.
pub(super) fn run(
    client: &Client,
    name: &str,
    wanted: Wanted,
    timeout: Option<Duration>,
) -> Result<(), Failure> {
    let until = timeout.map(|timeout| Instant::now() + timeout);
    let mut last = find(client, name)?;
    if wanted.is_met(&last) {
        return Ok(());
    }
    let mut feed = match Feed::open(client, until) {
        Err(error) if error.is_timeout() => return Err(over(&last, wanted, timeout)),
        opened => opened?,
    };
    while let Some(change) = feed.next()? {
        let found = match change {
            Change::All(mut all) => {
                all.retain(|one| one.id() == last.id());
                all.pop()
            }
            Change::One(one) if one.id() == last.id() => Some(one),
            Change::Removed(id) if id == last.id() => None,
            Change::One(_) | Change::Removed(_) => continue,
        };
        let Some(one) = found else {
            let text = format!("the dev container {} is no longer listed", last.name());
            return Err(Failure::NotThere(text));
        };
        if wanted.is_met(&one) {
            return Ok(());
        }
        last = one;
    }
    Err(over(&last, wanted, timeout))
}

fn over(last: &Devcontainer, wanted: Wanted, timeout: Option<Duration>) -> Failure {
    let seconds = timeout.unwrap_or_default().as_secs_f64();
    let (wanted, line) = (wanted.text(), last.line());
    Failure::Other(format!(
        "{} is not {wanted} after {seconds} s: {line}",
        last.name()
    ))
}
