//! The stream of changes: everything once, then what changes, as it does.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};

use super::limits::Permit;
use super::socket::{Peer, Socket};
use super::stream::{Format, HEARTBEAT, write_chunk, write_end};
use crate::base::json::to_line;
use crate::base::notify::Notifier;
use crate::base::poll::wait;
use crate::base::text::one_line;
use crate::daemon::current::Observer;
use crate::daemon::shared::Shared;
use crate::model::api::{Container, Devcontainer};
use crate::state::{Body, Change, Fact, Update, View};

/// How often files are looked at where the system does not tell that they change.
const LOOK: Duration = Duration::from_secs(1);

/// Somebody who follows what changes.
pub(super) struct EventStream {
    shared: Arc<Shared>,
    observer: Arc<Observer>,
    /// Rung when something may have changed.
    notifier: Arc<Notifier>,
    pub(super) format: Format,
    /// The revision up to which the reader has been told, by an earlier stream.
    told: Option<u64>,
    /// One of the streams that there may be at once.
    _permit: Permit,
}

/// For as long as it lives, somebody is interested in what changes.
struct Interested<'a>(&'a Shared);

impl EventStream {
    pub(super) fn new(
        shared: &Arc<Shared>,
        observer: &Arc<Observer>,
        notifier: Arc<Notifier>,
        format: Format,
        told: Option<u64>,
        permit: Permit,
    ) -> Self {
        Self {
            shared: shared.clone(),
            observer: observer.clone(),
            notifier,
            format,
            told,
            _permit: permit,
        }
    }

    /// Sends each change when it happens, until nobody reads, or the daemon stops. What happened while the reader was
    /// slow is told at once, the last state of each object alone.
    pub(super) fn send(&self, socket: &Socket, is_1_1: bool) -> io::Result<()> {
        let _interested = Interested::new(&self.shared);
        let mut told = self.told;
        let mut last_sent = Instant::now();
        let mut is_silent = false;
        while !self.shared.read(|state| state.is_closing()) {
            let is_blind = self.shared.read(|state| state.watcher_warning().is_some());
            let (sent, revision) = match self.shared.updates_since(told) {
                Update::Snapshot(view) => {
                    self.snapshot(&view, socket, is_1_1)?;
                    (true, view.revision)
                }
                Update::Changes(changes, revision) => {
                    let mut out = Vec::new();
                    for (number, what) in &changes {
                        self.format.write_change(*number, what, &mut out);
                    }
                    if !out.is_empty() {
                        write_chunk(socket, &[&out], is_1_1)?;
                    }
                    (!out.is_empty(), revision)
                }
            };
            told = Some(revision);
            if sent {
                last_sent = Instant::now();
            }
            if last_sent.elapsed() >= HEARTBEAT {
                write_chunk(socket, &[self.format.heartbeat()], is_1_1)?;
                last_sent = Instant::now();
            }
            let mut until = last_sent + HEARTBEAT;
            if is_blind {
                until = until.min(Instant::now() + LOOK);
            }
            self.wait(socket, is_silent, until);
            match socket.peer() {
                Peer::Gone => return Err(io::ErrorKind::ConnectionAborted.into()),
                // One that sends no more may be gone: that shows when something is sent to it.
                Peer::HalfClosed if !is_silent => {
                    is_silent = true;
                    write_chunk(socket, &[self.format.heartbeat()], is_1_1)?;
                }
                Peer::HalfClosed | Peer::Present => {}
            }
            if is_blind {
                self.observer.scan();
            }
        }
        write_end(socket, is_1_1)
    }

    fn snapshot(&self, view: &View, socket: &Socket, is_1_1: bool) -> io::Result<()> {
        if self.format == Format::Text {
            let mut out = Vec::new();
            for container in &view.containers {
                out.extend_from_slice(container_text(container).as_bytes());
            }
            for devcontainer in &view.devcontainers {
                out.extend_from_slice(devcontainer_text(devcontainer).as_bytes());
            }
            out.extend_from_slice(warnings_text(&view.all_warnings()).as_bytes());
            // An empty chunk would be the end.
            return match out.is_empty() {
                true => write_chunk(socket, &[self.format.heartbeat()], is_1_1),
                false => write_chunk(socket, &[&out], is_1_1),
            };
        }
        let (before, after) = self.format.around(view.revision);
        let body = view.snapshot_body();
        write_chunk(
            socket,
            &[before.as_bytes(), &body, after.as_bytes()],
            is_1_1,
        )
    }

    /// Until something may have changed, the reader is gone, or that time.
    fn wait(&self, socket: &Socket, is_silent: bool, until: Instant) {
        // That it sends no more would be told again and again.
        let of_interest = match is_silent {
            true => PollFlags::empty(),
            false => PollFlags::RDHUP,
        };
        let mut fds = [
            PollFd::new(socket, of_interest),
            PollFd::from_borrowed_fd(self.notifier.as_fd(), PollFlags::IN),
        ];
        wait(&mut fds, until);
        self.notifier.take();
    }
}

impl<'a> Interested<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.apply(Fact::StreamOpened);
        Self(shared)
    }
}

impl Drop for Interested<'_> {
    fn drop(&mut self) {
        self.0.apply(Fact::StreamClosed);
    }
}

impl Format {
    fn write_change(self, revision: u64, what: &Change, out: &mut Vec<u8>) {
        if self == Self::Text {
            out.extend_from_slice(text(what).as_bytes());
            return;
        }
        let (kind, object) = match what {
            Change::Container(container) => ("container", to_line(container)),
            Change::Devcontainer(devcontainer) => ("devcontainer", to_line(devcontainer)),
            Change::Removed { devcontainer, id } => {
                let kind = match devcontainer {
                    true => "devcontainer_removed",
                    false => "container_removed",
                };
                let id = Some(&**id);
                (
                    kind,
                    to_line(&Body {
                        id,
                        ..Body::default()
                    }),
                )
            }
            Change::Warnings(warnings) => {
                let warnings = Some(&**warnings);
                (
                    "warnings",
                    to_line(&Body {
                        warnings,
                        ..Body::default()
                    }),
                )
            }
        };
        let (before, after) = self.around(revision);
        let head = format!("{before}{{\"type\":\"{kind}\",\"revision\":{revision},");
        out.extend_from_slice(head.as_bytes());
        // The object's own fields follow.
        out.extend_from_slice(object.get(1..).unwrap_or_default());
        out.extend_from_slice(after.as_bytes());
    }
}

fn text(what: &Change) -> String {
    match what {
        Change::Container(container) => container_text(container),
        Change::Devcontainer(devcontainer) => devcontainer_text(devcontainer),
        Change::Removed { devcontainer, id } => {
            let kind = if *devcontainer {
                "devcontainer"
            } else {
                "container"
            };
            format!("{kind} {} removed\n", short(id))
        }
        Change::Warnings(warnings) if warnings.is_empty() => "no warnings\n".to_owned(),
        Change::Warnings(warnings) => warnings_text(warnings),
    }
}

fn container_text(container: &Container) -> String {
    let info = &container.info;
    let dirty = match container.devcontainer_dirty {
        true => ", dirty",
        false => "",
    };
    let (name, id, status) = (&info.name, short(&info.id), &info.status);
    line(&format!("container {name} {id} {status}{dirty}"))
}

fn devcontainer_text(devcontainer: &Devcontainer) -> String {
    let status = devcontainer.status.as_str();
    let mut text = format!("devcontainer {} {status}", devcontainer.name);
    if devcontainer.dirty {
        let paths = devcontainer.changes.iter().map(|change| &*change.path);
        let paths: Vec<&str> = paths.collect();
        text = format!("{text}, dirty: {}", paths.join(", "));
    }
    if let Some(error) = &devcontainer.error {
        text = format!("{text}, error: {error}");
    }
    line(&text)
}

fn warnings_text(warnings: &[String]) -> String {
    let lines = warnings.iter();
    lines
        .map(|warning| line(&format!("warning: {warning}")))
        .collect()
}

fn line(text: &str) -> String {
    one_line(text) + "\n"
}

/// As docker shows ids.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
