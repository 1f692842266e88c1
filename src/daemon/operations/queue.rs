//! An operation in the queue: until as many others run as may at once, it waits here (P14).
//!
//! It has touched nothing by then. Where it works and what it acts on is found out again when its turn comes, so that
//! an edit of that time is in the build and in the baseline. It has to be the place that the request was for (P25).

use std::time::{Duration, Instant, SystemTime};

use super::failure::Failure;
use super::run::{OperationRun, Outcome, Subject};
use super::{OperationPlace, StartError};
use crate::base::text::enumerate;
use crate::model::ids::OperationId;
use crate::model::operation::{ContainersReport, Ending, Settlement};
use crate::state::Ahead;

/// An operation waits for its turn for as long as that takes.
const FOREVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// How a wait in the queue ended.
enum Turn {
    Come,
    Cancelled,
    Closing,
}

impl OperationRun {
    /// Writes to both logs that it waits, and for what.
    pub(super) fn announce(&self, ahead: &Ahead) {
        let ahead = describe(ahead);
        self.audit.queued(&ahead);
        self.say(&format!("queued: {ahead}"));
    }

    /// Waits for its turn, if it is queued. Fails where it ends before, or cannot begin any more.
    pub(super) fn leave_queue(&mut self) -> Result<(), Outcome> {
        let Some(queued_at) = self.queued_at else {
            return Ok(());
        };
        self.operations.settings.persister.save();
        self.wait_for_turn()?;
        self.queued_at = None;
        self.deadline = Instant::now() + self.operations.settings.timeout;
        let waited = queued_at.elapsed().as_secs_f64();
        let verb = self.kind.verb();
        self.say(&format!("{verb} begins after {waited:.1} s in the queue"));
        self.take_place().map_err(|e| Failure::Start(e).into())
    }

    fn wait_for_turn(&mut self) -> Result<(), Outcome> {
        loop {
            let ending = match self.next_turn() {
                Turn::Come if self.begin_now() => return Ok(()),
                Turn::Come => continue,
                Turn::Cancelled => Ending::Cancelled,
                Turn::Closing => {
                    let verb = self.kind.verb();
                    Ending::Interrupted(format!("the daemon stopped before the {verb} began"))
                }
            };
            return Err(Outcome {
                ending,
                containers: Some(ContainersReport::Unharmed("nothing was changed".into())),
                container: None,
                settlement: Settlement::Settled,
            });
        }
    }

    fn next_turn(&self) -> Turn {
        let deadline = Instant::now() + FOREVER;
        let turn = self.operations.shared.wait_until_or(deadline, |state| {
            if self.abort.is_cancelled() {
                Some(Turn::Cancelled)
            } else if state.is_draining() {
                Some(Turn::Closing)
            } else {
                state.has_turn(self.key).then_some(Turn::Come)
            }
        });
        turn.unwrap_or(Turn::Closing)
    }

    /// Begins, under an id of this moment. Returns false where something else has begun in the meantime.
    fn begin_now(&mut self) -> bool {
        // While the handles are locked, no two operations get the same id.
        let _handles = self.operations.handles();
        let id = OperationId::new(SystemTime::now());
        let shared = &self.operations.shared;
        let has_begun = shared.update(|state| state.leave_queue(self.key, id.clone()));
        if has_begun {
            self.id = id;
        }
        has_begun
    }

    /// Finds out again where it works and what it acts on. Locks and claims of before are kept until then.
    fn take_place(&mut self) -> Result<(), StartError> {
        let mut target = self
            .operations
            .target(self.key, self.container.as_deref())?;
        // The request was for the place that was listed then. A later listing follows a link that was turned meanwhile.
        target.listed = self.resolved.clone();
        let OperationPlace {
            target,
            resolved,
            claims,
            locks,
        } = self.operations.place(self.key, self.kind, target)?;
        let (key, own) = (self.key, claims.clone());
        let subject = self.operations.shared.update(|state| {
            state.claim_instead(key, own)?;
            Ok(Subject::of(state, key, target.labels))
        });
        self.subject = subject.map_err(StartError::Refused)?;
        self.audit.found(&resolved);
        self.declared = target.declared;
        self.labelled = target.labelled;
        self.resolved = resolved;
        self.claims = claims;
        self._locks = locks;
        Ok(())
    }
}

/// Returns what a queued operation waits for, in words for people.
fn describe(ahead: &Ahead) -> String {
    let limit = match ahead.limit {
        1 => "1 operation runs".to_owned(),
        limit => format!("{limit} operations run"),
    };
    let mut text = format!("at most {limit} at once (--max-operations)");
    let running: Vec<&str> = ahead.running.iter().map(String::as_str).collect();
    if !running.is_empty() {
        text += &format!(", now {}", enumerate(&running));
    }
    match ahead.queued {
        0 => {}
        1 => text += "; 1 other begins before this one",
        more => text += &format!("; {more} others begin before this one"),
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queued_operation_says_what_it_waits_for() {
        for (limit, running, queued, expected) in [
            (
                1,
                &[][..],
                0,
                "at most 1 operation runs at once (--max-operations)",
            ),
            (
                2,
                &["start of `a`", "recreate of `b`"],
                1,
                "at most 2 operations run at once (--max-operations), now start of `a`, recreate of `b`; \
                 1 other begins before this one",
            ),
        ] {
            let running = running.iter().map(|text| (*text).to_owned()).collect();
            let ahead = Ahead {
                limit,
                running,
                queued,
            };
            assert_eq!(describe(&ahead), expected);
        }
    }
}
