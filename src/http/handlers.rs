//! The work of each route.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use uuid::Uuid;

use super::add_request::AddRequest;
use super::encode::{containers_with_warning, devcontainers_with_warning};
use super::errors::{ContainerError, Error, Limit, stale_warning, warning_header};
use super::events::EventStream;
use super::filter::Filter;
use super::guard::Forbidden;
use super::limits::Permit;
use super::logs::{LogEnd, LogStream};
use super::long_poll::LongPoll;
use super::openapi;
use super::page;
use super::query::{Query, QueryError, last_event_id};
use super::reader::Body;
use super::request::Request;
use super::response::Answer;
use super::routes::{self, Action, RouteError, Scope};
use super::service::Service;
use crate::base::json::to_line_after;
use crate::daemon::current::Current;
use crate::daemon::operations::OperationRequest;
use crate::daemon::operations::journal::Journal;
use crate::daemon::wanted::{ALWAYS, IsWanted};
use crate::model::api::{API_VERSION, BuildInfo, DevcontainerList, Health};
use crate::model::ids::Key;
use crate::model::operation::OperationKind;
use crate::model::origin::Origin;
use crate::state::Refusal;

/// The reply to a request, as far as it is known at once.
pub(super) enum Reply {
    Answer(Answer),
    /// The answer is the result of the operation that writes this log.
    Result(Arc<Journal>, OperationKind),
    /// The answer is 204 once the operation that writes this log has ended, with any result.
    End(Arc<Journal>),
    Log(Box<LogStream>),
    Events(Box<EventStream>),
    /// The answer is the dev container once it has changed.
    Poll(Box<LongPoll>),
}

/// The action that a request asks for, if a route serves it.
type Route = Result<Action, RouteError>;

/// The route of a request, unless the guard refuses it. The head and the settings alone decide it.
pub(super) type Checked = Result<Route, Forbidden>;

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        Self::Answer(answer)
    }
}

impl Service {
    /// Replies to a request that was checked: admits it, and does the work of its route. What changes nothing is left undone
    /// once the client is no longer there.
    pub(super) fn reply(
        &self,
        request: &Request<'_>,
        checked: &Checked,
        scope: Scope,
        origin: &Origin,
        is_there: IsWanted<'_>,
    ) -> Reply {
        let admitted = self.admit(request, checked, scope);
        let reply = admitted.and_then(|route| self.act(route, request, origin, is_there));
        reply.unwrap_or_else(|error| {
            self.refusals.note(&error, origin, request);
            Reply::Answer(error.into())
        })
    }

    /// Checks a request. Returns its route, if the socket that it came on serves it. The result is the same for each request
    /// with the same head.
    pub(super) fn check(&self, request: &Request<'_>, scope: Scope) -> Checked {
        self.access.hosts.check(request)?;
        let mut route = routes::route(&request.method, request.path);
        if matches!(route, Ok(Action::Containers)) && page::is_wanted(request) {
            route = page::index().map(Action::Page).ok_or(RouteError::NotFound);
        }
        if !scope.serves(&route) {
            route = Err(RouteError::NotFound);
        }
        Ok(route)
    }

    /// Admits a request that was checked, or refuses it.
    fn admit<'c>(
        &self,
        request: &Request<'_>,
        checked: &'c Checked,
        scope: Scope,
    ) -> Result<&'c Route, Error> {
        if self.is_closing() {
            return Err(Error::Closing);
        }
        let forbidden = |why: &Forbidden| Error::Forbidden(why.clone());
        let route = checked.as_ref().map_err(forbidden)?;
        if scope.needs_token(route) {
            let authorized = self.access.authorize(request);
            authorized.map_err(Error::Unauthorized)?;
        }
        Ok(route)
    }

    /// Admits a request with a body, or refuses it. Returns whether its route takes the body.
    pub(super) fn admit_body(&self, request: &Request<'_>, scope: Scope) -> Result<Body, Error> {
        let checked = self.check(request, scope);
        let route = self.admit(request, &checked, scope)?;
        let is_kept = route.as_ref().is_ok_and(Action::takes_body);
        Ok(if is_kept { Body::Kept } else { Body::Dropped })
    }

    fn act(
        &self,
        route: &Route,
        request: &Request<'_>,
        origin: &Origin,
        is_there: IsWanted<'_>,
    ) -> Result<Reply, Error> {
        let action = route.as_ref().map_err(|error| Error::NoRoute {
            error: error.clone(),
            method: request.method.clone(),
            path: request.path.to_owned(),
        })?;
        if *action == Action::Containers && request.query.is_empty() && !request.has_content {
            return self.containers(request, is_there).map(Reply::from);
        }
        let query = Query::parse(request.query, action.parameters()).map_err(Error::Query)?;
        if action.operates() {
            query.check_forget().map_err(Error::Query)?;
            query.check_follow().map_err(Error::Query)?;
        }
        if request.has_content && !action.takes_body() {
            return Err(Error::UnusedBody);
        }
        // The next daemon has to know what is listed, and is the one to be ready.
        let is_for_next = *action == Action::Add || query.forget || *action == Action::Readyz;
        if is_for_next && self.is_draining() {
            return Err(Error::Closing);
        }
        match action {
            Action::Healthz => Ok(Answer::json(200, &Health::Ok).into()),
            Action::Readyz => self.readyz(is_there).map(Reply::from),
            Action::Version => Ok(version().into()),
            Action::Openapi => Ok(Answer::line(200, openapi::DOCUMENT.as_bytes()).into()),
            Action::Metrics => Ok(self.metrics(request).into()),
            Action::Page(file) => page::answer(file, request).map(Reply::from),
            Action::Containers => self.containers(request, is_there).map(Reply::from),
            Action::Container(name) => self.container(name, request, is_there).map(Reply::from),
            Action::Devcontainers => match &query.workspace_folder {
                None => self.devcontainers(request, is_there).map(Reply::from),
                Some(folder) => {
                    let answer = self.devcontainers_in(Path::new(folder), is_there);
                    answer.map(Reply::from)
                }
            },
            Action::Add => self.add(request, origin, is_there).map(Reply::from),
            Action::Devcontainer(name) => {
                let poll = query.poll().map_err(Error::Query)?;
                let answer = self.devcontainer(name, request, is_there)?;
                match poll {
                    Some((revision, time)) => self.poll(name, revision, time, answer),
                    None => Ok(answer.into()),
                }
            }
            Action::RecreateContainer(container) => {
                let (owner, container) = self.owner_of(container)?;
                let operation = OperationRequest {
                    container: Some(container),
                    ..OperationKind::Recreate.into()
                };
                self.operate(owner, operation, &query, request, origin)
            }
            Action::Operate(_, name) if query.forget => {
                let owner = self.known(name, ALWAYS)?;
                let forgotten = self.registry.forget(owner, origin);
                forgotten.map_err(Error::NotForgotten)?;
                Ok(Answer::empty().into())
            }
            Action::Operate(kind, name) => {
                let operation = OperationRequest {
                    all: query.all.unwrap_or(false),
                    ..(*kind).into()
                };
                let owner = self.known(name, ALWAYS)?;
                self.operate(owner, operation, &query, request, origin)
            }
            Action::Cancel(name) => {
                let owner = self.known(name, ALWAYS)?;
                Ok(Reply::End(self.cancel(owner, origin)?))
            }
            Action::Logs(name) => {
                let journal = self.journal(self.known(name, is_there)?);
                let end = if query.follow {
                    self.end_of_operation()?
                } else {
                    LogEnd::Now
                };
                Ok(Reply::Log(Box::new(log(journal, end, &query, request))))
            }
            Action::Events => {
                let events = self.events(&query, request, is_there)?;
                Ok(Reply::Events(Box::new(events)))
            }
        }
    }

    fn readyz(&self, is_there: IsWanted<'_>) -> Result<Answer, Error> {
        let (missing, warnings) = self.missing(is_there)?;
        if missing.is_empty() {
            Ok(Answer::json(200, &Health::Ready { warnings }))
        } else {
            Err(Error::NotReady(missing))
        }
    }

    fn containers(&self, request: &Request<'_>, is_there: IsWanted<'_>) -> Result<Answer, Error> {
        let Current { view, stale } = self.current(is_there, Error::NoContainers)?;
        let body = |warning: Option<&str>| match warning {
            None => self.bodies.containers(&view),
            Some(warning) => containers_with_warning(&view, warning).into(),
        };
        let mut answer = Answer::revised(view.revision, stale, request, body);
        answer.varies_by_accept = page::may_be_wanted(request);
        Ok(answer)
    }

    fn devcontainers(
        &self,
        request: &Request<'_>,
        is_there: IsWanted<'_>,
    ) -> Result<Answer, Error> {
        let Current { view, stale } = self.current(is_there, Error::NoListing)?;
        let body = |warning: Option<&str>| match warning {
            None => self.bodies.devcontainers(&view),
            Some(warning) => devcontainers_with_warning(&view, warning).into(),
        };
        Ok(Answer::revised(view.revision, stale, request, body))
    }

    fn container(
        &self,
        id_or_name: &str,
        request: &Request<'_>,
        is_there: IsWanted<'_>,
    ) -> Result<Answer, Error> {
        let Current { stale, .. } = self.current(is_there, Error::NoListing)?;
        match self.shown_container(id_or_name) {
            Ok((found, revision)) => return Ok(Answer::object(&found, revision, stale, request)),
            Err(ContainerError::NotFound(_)) => {}
            Err(error) => return Err(Error::Container(error)),
        }
        self.newer(is_there)?;
        match self.shown_container(id_or_name) {
            Ok((found, revision)) => Ok(Answer::object(&found, revision, None, request)),
            Err(error) => Err(self.absent(Error::Container(error))),
        }
    }

    pub(super) fn devcontainer(
        &self,
        id_or_name: &str,
        request: &Request<'_>,
        is_there: IsWanted<'_>,
    ) -> Result<Answer, Error> {
        let Current { stale, .. } = self.current(is_there, Error::NoListing)?;
        if let Some((found, revision)) = self.shown_devcontainer(id_or_name) {
            return Ok(Answer::object(&*found, revision, stale, request));
        }
        let (found, revision) = self.newer_devcontainer(id_or_name, is_there)?;
        Ok(Answer::object(&*found, revision, None, request))
    }

    /// Answers with the dev containers of one folder. None are told of by a list that began after the request only.
    fn devcontainers_in(&self, folder: &Path, is_there: IsWanted<'_>) -> Result<Answer, Error> {
        let folder = self.registry.folder(folder).map_err(Error::Silent)?;
        let Current { view, stale } = self.current(is_there, Error::NoListing)?;
        let mut found = self.in_folder(&view, &folder);
        if found.is_empty() && stale.is_none() {
            found = self.in_folder(&*self.newer(is_there)?, &folder);
        }
        let warning = stale.as_ref().map(stale_warning);
        let list = DevcontainerList {
            devcontainers: &found,
            warnings: warning.iter().map(String::as_str).collect(),
        };
        Ok(Answer::json(200, &list).aged(stale))
    }

    /// Lists the dev container that a client asks for.
    fn add(
        &self,
        request: &Request<'_>,
        origin: &Origin,
        is_there: IsWanted<'_>,
    ) -> Result<Answer, Error> {
        let AddRequest {
            workspace_folder,
            config_path,
        } = AddRequest::parse(request)?;
        // A list shows those that are known already. Where docker gives none, the folder is listed all the same.
        let _ = self.current(is_there, Error::NoListing);
        let config = config_path.map(PathBuf::from);
        let added = self.registry.add(workspace_folder.into(), config, origin);
        let (key, is_new) = added.map_err(Error::NotAdded)?;
        let shown = self.shown(key).ok_or(Error::Refused(Refusal::Gone))?;
        let (prefix, _) = routes::split_prefix(request.path);
        let location = format!("{prefix}/devcontainers/{}", shown.id);
        let status = if is_new { 201 } else { 200 };
        let answer = Answer::json(status, &shown).with("Location", location);
        Ok(answer.aged(self.outage()))
    }

    /// Replies with the answer that there is now, unless the client has its object: then it waits for a change.
    fn poll(
        &self,
        id_or_name: &str,
        revision: u64,
        time: Duration,
        answer: Answer,
    ) -> Result<Reply, Error> {
        let known = self.shown_devcontainer(id_or_name);
        let Some((found, _)) = known.filter(|(_, now)| *now == revision) else {
            return Ok(answer.into());
        };
        Ok(Reply::Poll(Box::new(LongPoll {
            id: found.id.to_string(),
            revision,
            deadline: Instant::now() + time,
            notifier: self.notifier()?,
            _permit: self.stream_permit()?,
        })))
    }

    fn operate(
        &self,
        key: Key,
        operation: OperationRequest,
        query: &Query,
        request: &Request<'_>,
        origin: &Origin,
    ) -> Result<Reply, Error> {
        let kind = operation.kind;
        // A removed dev container can no longer be shown in a 202, and a script that names a container waits for its end.
        let waits = kind == OperationKind::Delete || operation.container.is_some();
        if query.follow {
            // A stream that cannot be opened is refused before the operation begins.
            let end = self.end_of_operation()?;
            let journal = self.start(key, operation, origin)?;
            let log = log(Some(journal), end, query, request);
            return Ok(Reply::Log(Box::new(log)));
        }
        let before = self.shown(key);
        let journal = self.start(key, operation, origin)?;
        if query.wait.unwrap_or(waits) {
            return Ok(Reply::Result(journal, kind));
        }
        self.await_owed_list();
        // A removal may have ended by now.
        let shown = self.shown(key).or(before);
        let shown = shown.ok_or(Error::Refused(Refusal::Gone))?;
        let (prefix, _) = routes::split_prefix(request.path);
        let location = format!("{prefix}/devcontainers/{}/logs", shown.id);
        let answer = Answer::json(202, &shown).with("Location", location);
        Ok(answer.aged(self.outage()).into())
    }

    /// Opens the stream before it waits for a list: where there is no list, no stream begins.
    fn events(
        &self,
        query: &Query,
        request: &Request<'_>,
        is_there: IsWanted<'_>,
    ) -> Result<EventStream, Error> {
        if query.until.is_some() && query.name.is_none() {
            return Err(Error::Query(QueryError::UntilWithoutName));
        }
        let permit = self.stream_permit()?;
        let notifier = self.notifier()?;
        let Current { stale, .. } = self.current(is_there, Error::NoListing)?;
        let name = query.name.as_deref();
        let only = name.map(|name| self.id_of(name, is_there)).transpose()?;
        let filter = Filter {
            only,
            types: query.types,
            until: query.until,
        };
        let format = query.format(request);
        // The containers that the client knows of one dev container are not known any more.
        let seen = last_event_id(request).filter(|_| only.is_none());
        Ok(EventStream::new(
            notifier, format, filter, seen, stale, permit,
        ))
    }

    fn id_of(&self, id_or_name: &str, is_there: IsWanted<'_>) -> Result<Uuid, Error> {
        let (found, _) = match self.shown_devcontainer(id_or_name) {
            Some(shown) => shown,
            None => self.newer_devcontainer(id_or_name, is_there)?,
        };
        Ok(found.id)
    }

    fn end_of_operation(&self) -> Result<LogEnd, Error> {
        let _permit = self.stream_permit()?;
        Ok(LogEnd::Operation { _permit })
    }

    fn stream_permit(&self) -> Result<Permit, Error> {
        self.limits.stream().ok_or(Error::Limit(Limit::Streams))
    }
}

/// The header of a client that resumes a stream takes precedence over `offset`: a browser repeats the address as it
/// was.
fn log(
    journal: Option<Arc<Journal>>,
    end: LogEnd,
    query: &Query,
    request: &Request<'_>,
) -> LogStream {
    let resumed = last_event_id(request).map(|id| id.saturating_add(1));
    LogStream {
        journal,
        from: resumed.unwrap_or(query.offset),
        format: query.format(request),
        end,
    }
}

impl Answer {
    /// Shows an object with the revision of its last change, or says that the client has that.
    fn object<T: Serialize>(
        object: &T,
        revision: u64,
        stale: Option<(Duration, String)>,
        request: &Request<'_>,
    ) -> Self {
        Self::revised(revision, stale, request, |_| {
            to_line_after(&format!(r#""revision":{revision},"#), object).into()
        })
    }

    /// Answers with the body of a revision, or says that the client has it. A stale list says nothing about now: it has an age
    /// in place of the revision, and `body` takes the warning about that.
    fn revised(
        revision: u64,
        stale: Option<(Duration, String)>,
        request: &Request<'_>,
        body: impl FnOnce(Option<&str>) -> Arc<[u8]>,
    ) -> Self {
        match stale.as_ref().map(stale_warning) {
            Some(warning) => Self::line(200, body(Some(&warning))).aged(stale),
            None if request.has_revision(revision) => Self::not_modified(revision),
            None => Self::line(200, body(None)).of_revision(revision),
        }
    }

    /// Adds the age of the list that it shows and the reason for that, if there is one.
    fn aged(self, stale: Option<(Duration, String)>) -> Self {
        let headers = stale.iter().flat_map(age_headers);
        headers.fold(self, |answer, (name, value)| answer.with(name, value))
    }
}

/// Returns the headers with the age of a list and the reason why there is no newer one.
pub(super) fn age_headers(stale: &(Duration, String)) -> [(&'static str, String); 2] {
    [
        ("Age", stale.0.as_secs().to_string()),
        ("Warning", warning_header(&stale_warning(stale))),
    ]
}

fn version() -> Answer {
    Answer::json(
        200,
        &BuildInfo {
            version: env!("CARGO_PKG_VERSION"),
            api_version: API_VERSION,
            commit: option_env!("DEVCONTAINERD_BUILD_COMMIT").unwrap_or("unknown"),
            commit_date: option_env!("DEVCONTAINERD_BUILD_DATE"),
            os: std::env::consts::OS,
            arch: std::env::consts::ARCH,
        },
    )
}
