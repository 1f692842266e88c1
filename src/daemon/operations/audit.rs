//! The events of the daemon's own log that say who asked for an operation, where it works, and how it went.

use super::StartError;
use crate::base::event::{Event, Field, Value};
use crate::model::location::Resolved;
use crate::model::origin::Origin;

/// An operation as the log names it.
#[derive(Clone)]
pub(super) struct Audit {
    /// The verb.
    operation: &'static str,
    origin: Origin,
    /// The name of the dev container.
    name: String,
    /// The workspace folder without symbolic links.
    folder: String,
    /// The configuration without symbolic links.
    config: Option<String>,
}

impl Audit {
    /// Returns the operation on the dev container of this name, with its place as it was listed.
    pub(super) fn new(
        operation: &'static str,
        origin: &Origin,
        (name, place): (String, Resolved),
    ) -> Self {
        let mut audit = Self {
            operation,
            origin: origin.clone(),
            name,
            folder: String::new(),
            config: None,
        };
        audit.found(&place);
        audit
    }

    /// Takes the place as it was found when the operation began.
    pub(super) fn found(&mut self, place: &Resolved) {
        self.folder = place.folder.to_string_lossy().into_owned();
        let config = place.canonical_config.as_ref();
        self.config = config.map(|config| config.to_string_lossy().into_owned());
    }

    pub(super) fn queued(&self, ahead: &str) {
        self.log(Event::OperationQueued, &[("reason", Value::Text(ahead))]);
    }

    pub(super) fn begun(&self) {
        self.log(Event::OperationBegun, &[]);
    }

    pub(super) fn refused(&self, why: &StartError) {
        let why = why.to_string();
        self.log(Event::OperationRefused, &[("reason", Value::Text(&why))]);
    }

    /// Logs the end, of which these fields tell.
    pub(super) fn ended(&self, end: &[Field<'_>]) {
        self.log(Event::OperationEnded, end);
    }

    /// Logs that a client wants to end the operation, or why there is none to end.
    pub(super) fn cancelled(&self, refusal: Option<&str>) {
        let event = match refusal {
            None => Event::CancelRequested,
            Some(_) => Event::CancelRefused,
        };
        self.log(event, &[("reason", refusal.into())]);
    }

    fn log(&self, event: Event, more: &[Field<'_>]) {
        let [address, uid, pid] = self.origin.fields();
        let own = [
            address,
            uid,
            pid,
            ("operation", Value::Text(self.operation)),
            ("devcontainer", Value::Text(&self.name)),
            ("folder", Value::Text(&self.folder)),
            ("config", self.config.as_deref().into()),
        ];
        event.log_with(&own, more);
    }
}
