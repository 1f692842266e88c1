//! What each route does.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::events::EventStream;
use super::guard::AllowedHosts;
use super::limits::{Limits, MAX_STREAMS};
use super::logs::LogStream;
use super::request::Request;
use super::response::Answer;
use super::routes::{self, Action};
use super::stream::Format;
use crate::daemon::current::{Current, NoView, Observer};
use crate::daemon::operations::journal::Journal;
use crate::daemon::operations::{Operations, StartError};
use crate::daemon::shared::Shared;
use crate::model::ids::Key;
use crate::model::operation::{End, Ending, OperationKind};
use crate::process::programs::Programs;
use crate::state::{Refusal, Selected, View};

/// Everything that answers need.
pub struct Service {
    /// What is true.
    pub shared: Arc<Shared>,
    /// Returns the view as it is now.
    pub observer: Arc<Observer>,
    /// What can be done.
    pub operations: Arc<Operations>,
    /// Where docker and the CLI are.
    pub programs: Arc<Programs>,
    /// Who may ask.
    pub allowed_hosts: AllowedHosts,
    /// How many ask at once.
    pub limits: Arc<Limits>,
}

/// What comes of a request.
pub(super) enum Reply {
    Answer(Answer),
    /// The answer depends on how an operation ends.
    AtTheEnd(Arc<Journal>, OperationKind),
    /// The answer comes when an operation has ended, however it did.
    AfterTheEnd(Arc<Journal>),
    Log(LogStream),
    Events(EventStream),
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

#[derive(Serialize)]
struct Status {
    status: &'static str,
}

#[derive(Serialize)]
struct Version {
    version: &'static str,
    commit: &'static str,
    os: &'static str,
    arch: &'static str,
}

/// What a query may say.
#[derive(Debug, Default, PartialEq, Eq)]
struct Query {
    wait: Option<bool>,
    follow: bool,
    offset: u64,
    text: bool,
}

type Failed = Answer;

impl Service {
    pub(super) fn reply(&self, request: &Request) -> Reply {
        if self.shared.read(|state| state.is_closing()) {
            return closed().into();
        }
        if let Err(why) = self.allowed_hosts.check(request) {
            return Answer::error(403, "Forbidden", &why).into();
        }
        match routes::route(&request.method, &request.path) {
            Ok(action) => self
                .act(action, request)
                .unwrap_or_else(|failed| failed.into()),
            Err(error) => Answer::no_route(error, request).into(),
        }
    }

    fn act(&self, action: Action, request: &Request) -> Result<Reply, Failed> {
        let query = Query::parse(&request.query)?;
        match action {
            Action::Healthz => Ok(Answer::json(200, &Status { status: "ok" }).into()),
            Action::Readyz => Ok(self.readyz().into()),
            Action::Version => Ok(version().into()),
            Action::Containers => self.containers().map(Reply::from),
            Action::Devcontainers => {
                let view = self.view()?;
                Ok(Answer::line(200, view.devcontainers_body()).into())
            }
            Action::Devcontainer(name) => {
                let view = self.view()?;
                let found = view.devcontainer(&name).ok_or_else(|| unknown(&name))?;
                Ok(Answer::json(200, found).into())
            }
            Action::RecreateContainer(container) => {
                let key = self.devcontainer_of(&container)?;
                let journal = self.start(key, OperationKind::Recreate)?;
                Ok(Reply::AtTheEnd(journal, OperationKind::Recreate))
            }
            Action::Operate(kind, name) => {
                let key = self.known(&name)?;
                self.operate(key, kind, &query, request)
            }
            Action::Cancel(name) => {
                let key = self.known(&name)?;
                let journal = self.operations.cancel(key).ok_or_else(nothing_to_cancel)?;
                Ok(Reply::AfterTheEnd(journal))
            }
            Action::Logs(name) => {
                let key = self.known(&name)?;
                let journal = self.operations.journal(key);
                self.log(journal, &query, request).map(Reply::Log)
            }
            Action::Events => self.events(&query, request).map(Reply::Events),
        }
    }

    /// Everything, or why not.
    fn current(&self, message: &str) -> Result<Current, Failed> {
        let current = self.observer.current();
        current.map_err(|no_view| match no_view {
            NoView::Closing => closed(),
            NoView::Failed(reason) => Answer::error(500, message, &reason),
        })
    }

    fn view(&self) -> Result<Arc<View>, Failed> {
        Ok(self.current("Could not list containers")?.view)
    }

    fn containers(&self) -> Result<Answer, Failed> {
        let current = self.current("Could not get containers.")?;
        Ok(match current.stale {
            None => Answer::line(200, current.view.containers_body()),
            Some((age, reason)) => {
                let body = current
                    .view
                    .containers_body_with(&[stale_warning(age, &reason)]);
                Answer::line(200, body).with("Age", age.as_secs().to_string())
            }
        })
    }

    /// A dev container that is known already needs no listing: docker may hang.
    fn known(&self, name: &str) -> Result<Key, Failed> {
        if let Some(key) = self.shared.read(|state| state.find(name)) {
            return Ok(key);
        }
        self.view()?;
        let found = self.shared.read(|state| state.find(name));
        found.ok_or_else(|| unknown(name))
    }

    fn devcontainer_of(&self, container: &str) -> Result<Key, Failed> {
        if container.is_empty() {
            let detail = "the path is /devcontainers/container/{id or name}/recreate";
            return Err(Answer::error(400, "Missing container ID or name", detail));
        }
        self.view()?;
        let selected = self.shared.read(|state| state.select(container));
        let info = match selected {
            Selected::One(info) => info,
            Selected::None => {
                let detail = format!(
                    "no container has the id or name {container:?}, or an id that begins so (12 characters or more)"
                );
                return Err(Answer::error(404, "Container not found", &detail));
            }
            Selected::Ambiguous => {
                let detail = format!("several ids begin with {container}; give more of it");
                return Err(Answer::error(409, "Ambiguous container ID", &detail));
            }
        };
        if info
            .labels
            .get(crate::model::labels::LABEL_FOLDER)
            .is_none()
        {
            let detail = format!(
                "container {} has no label devcontainer.local_folder: it is no dev container",
                info.name
            );
            return Err(Answer::error(
                400,
                "Missing workspace folder label",
                &detail,
            ));
        }
        let owner = self.shared.read(|state| state.owner(&info.id));
        owner.ok_or_else(|| unknown(&info.name))
    }

    fn start(&self, key: Key, kind: OperationKind) -> Result<Arc<Journal>, Failed> {
        self.operations.start(key, kind).map_err(|error| match error {
            StartError::NotAllowed(why) => Answer::error(403, "Workspace folder not allowed", &why),
            StartError::NoResources(why) => {
                let message = format!("Could not {} devcontainer", kind.verb());
                Answer::error(500, &message, &why)
            }
            StartError::Refused(Refusal::Closing) => closed(),
            StartError::Refused(Refusal::Gone) => {
                Answer::error(404, "Devcontainer not found", "it is gone")
            }
            StartError::Locked => Answer::error(
                409,
                "Devcontainer operation in progress",
                "another program, most likely another devcontainerd, has the lock on the workspace folder (flock); try again when it has ended",
            ),
            StartError::Refused(Refusal::Repairing) => Answer::error(
                409,
                "Devcontainer operation in progress",
                "what an earlier operation left is being put right; try again in a moment",
            ),
            StartError::Refused(Refusal::InProgress) => Answer::error(
                409,
                "Devcontainer operation in progress",
                "only one operation at a time runs for a dev container; wait for it (its logs can be followed) or cancel it",
            ),
        })
    }

    fn operate(
        &self,
        key: Key,
        kind: OperationKind,
        query: &Query,
        request: &Request,
    ) -> Result<Reply, Failed> {
        // What may be refused is refused before anything has begun.
        let stream = match query.follow {
            true => Some(self.log(None, query, request)?),
            false => None,
        };
        let journal = self.start(key, kind)?;
        if let Some(stream) = stream {
            let journal = Some(journal);
            return Ok(Reply::Log(LogStream { journal, ..stream }));
        }
        // What is removed has nothing to show any more.
        if query.wait.unwrap_or(kind == OperationKind::Delete) {
            return Ok(Reply::AtTheEnd(journal, kind));
        }
        let found = self.shared.read(|state| state.describe(key));
        let found = found.ok_or_else(|| unknown("of this operation"))?;
        let prefix = request.path.find("/devcontainers/");
        let prefix = request.path.get(..prefix.unwrap_or(0)).unwrap_or_default();
        let location = format!("{prefix}/devcontainers/{}/logs", found.id);
        Ok(Answer::json(202, &found).with("Location", location).into())
    }

    fn log(
        &self,
        journal: Option<Arc<Journal>>,
        query: &Query,
        request: &Request,
    ) -> Result<LogStream, Failed> {
        let resumed = last_event_id(request);
        let permit = match query.follow {
            true => Some(self.limits.stream().ok_or_else(too_many_streams)?),
            false => None,
        };
        Ok(LogStream {
            journal,
            from: resumed.map_or(query.offset, |id| id.saturating_add(1)),
            format: query.format(request),
            follow: query.follow,
            _permit: permit,
        })
    }

    /// What is there is told before anything else; where that cannot be, the stream does not begin.
    fn events(&self, query: &Query, request: &Request) -> Result<EventStream, Failed> {
        let permit = self.limits.stream().ok_or_else(too_many_streams)?;
        let no_notifier = |e: io::Error| Answer::error(503, "Too many streams", &e.to_string());
        let notifier = self.shared.notifier().map_err(no_notifier)?;
        let stream = EventStream::new(
            &self.shared,
            &self.observer,
            notifier,
            query.format(request),
            last_event_id(request),
            permit,
        );
        self.current("Could not list containers")?;
        Ok(stream)
    }

    fn readyz(&self) -> Answer {
        let mut missing = self.programs.missing();
        let listing = match self.observer.probe() {
            Err(NoView::Closing) => return closed(),
            Err(NoView::Failed(reason)) => Some(reason),
            Ok(current) => current.stale.map(|(_, reason)| reason),
        };
        if let Some(reason) = listing.filter(|_| !missing.iter().any(|m| m.starts_with("docker"))) {
            missing.push(format!("docker: {reason}"));
        }
        let watcher = self
            .shared
            .read(|state| state.watcher_warning().map(str::to_owned));
        missing.extend(watcher.map(|warning| format!("watcher: {warning}")));
        match missing.is_empty() {
            true => Answer::json(200, &Status { status: "ready" }),
            false => Answer::error(503, "Not ready", &missing.join("; ")),
        }
    }
}

impl Query {
    fn format(&self, request: &Request) -> Format {
        let accept = request.accept.as_deref().unwrap_or_default();
        match accept.contains("text/event-stream") {
            _ if self.text => Format::Text,
            true => Format::Events,
            false => Format::JsonLines,
        }
    }

    fn parse(query: &str) -> Result<Self, Failed> {
        let mut parsed = Self::default();
        for part in query.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let value = routes::decode(value);
            let value = value.as_deref();
            let right = match name {
                "wait" => truth(value)
                    .map(|wait| parsed.wait = Some(wait))
                    .ok_or("true or false"),
                "follow" => truth(value)
                    .map(|f| parsed.follow = f)
                    .ok_or("true or false"),
                "offset" => value
                    .and_then(|value| value.parse().ok())
                    .map(|offset| parsed.offset = offset)
                    .ok_or("the number of a line, from 0"),
                "format" => match value {
                    Some("text" | "json") => {
                        parsed.text = value == Some("text");
                        Ok(())
                    }
                    _ => Err("json or text"),
                },
                _ => Ok(()),
            };
            right.map_err(|right| {
                let detail = format!("{name} should be {right}");
                Answer::error(400, "Bad request", &detail)
            })?;
        }
        Ok(parsed)
    }
}

/// Where a stream was broken off.
fn last_event_id(request: &Request) -> Option<u64> {
    request.last_event_id.as_deref()?.parse().ok()
}

fn truth(value: Option<&str>) -> Option<bool> {
    match value? {
        "" | "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ => None,
    }
}

/// The answer to somebody who waited for the end of an operation.
pub(super) fn at_the_end(end: &End, kind: OperationKind) -> Answer {
    if end.ending == Ending::Succeeded {
        return Answer::empty();
    }
    let message = format!("Could not {} devcontainer", kind.verb());
    let explanation = end.explanation(kind);
    Answer::error(
        500,
        &message,
        explanation.as_deref().unwrap_or("no reason was given"),
    )
}

fn nothing_to_cancel() -> Answer {
    let detail = "no operation runs for this dev container";
    Answer::error(409, "No devcontainer operation in progress", detail)
}

pub(super) fn closed() -> Answer {
    Answer::error(503, "API closed", "the daemon is about to stop")
}

fn unknown(name: &str) -> Answer {
    let detail = format!("no dev container has the id or name {name:?}; see /devcontainers");
    Answer::error(404, "Devcontainer not found", &detail)
}

fn too_many_streams() -> Answer {
    let detail = format!("at most {} streams may be open at once", MAX_STREAMS);
    Answer::error(503, "Too many streams", &detail).with("Retry-After", "1")
}

fn stale_warning(age: Duration, reason: &str) -> String {
    format!("this list is {} s old: {reason}", age.as_secs())
}

fn version() -> Answer {
    Answer::json(
        200,
        &Version {
            version: env!("CARGO_PKG_VERSION"),
            commit: option_env!("DEVCONTAINERD_COMMIT").unwrap_or("unknown"),
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries() {
        let parse = |query| Query::parse(query).unwrap();
        assert_eq!(parse(""), Query::default());
        for wait in ["wait", "x=1&wait=true&y", "wait=1"] {
            assert_eq!(parse(wait).wait, Some(true), "{wait}");
        }
        assert_eq!(parse("wait=false").wait, Some(false));
        let query = parse("follow=true&offset=7&format=text");
        assert!(query.follow && query.text && query.offset == 7);
        for bad in [
            "wait=yes",
            "offset=-1",
            "offset",
            "format=xml",
            "follow=%zz",
        ] {
            assert_eq!(Query::parse(bad).unwrap_err().status, 400, "{bad}");
        }
    }
}
