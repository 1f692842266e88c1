//! The bodies and lines that show the state, encoded once for each revision.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::base::json::{to_line, to_line_after};
use crate::model::api::{ContainerList, DevcontainerList, Event};
use crate::state::{Change, View};

/// How many changes are kept encoded. Those who follow are rarely further apart.
const KEPT_CHANGES: usize = 64;

/// The bytes of the newest view that was asked for, and of the newest changes, shared by all connections.
#[derive(Default)]
pub(super) struct Bodies {
    newest: Mutex<Arc<Encoded>>,
    /// By revision.
    changes: Mutex<VecDeque<(u64, Arc<[u8]>)>>,
}

/// The bytes of one view, each made at its first use.
#[derive(Default)]
struct Encoded {
    revision: u64,
    containers: OnceLock<Arc<[u8]>>,
    devcontainers: OnceLock<Arc<[u8]>>,
    snapshot: OnceLock<Arc<[u8]>>,
}

impl Bodies {
    /// Returns the body of `GET /`.
    pub(super) fn containers(&self, view: &View) -> Arc<[u8]> {
        self.body(view, |of| &of.containers, encode_containers)
    }

    /// Returns the body of `GET /devcontainers`.
    pub(super) fn devcontainers(&self, view: &View) -> Arc<[u8]> {
        self.body(view, |of| &of.devcontainers, encode_devcontainers)
    }

    /// Returns the line with which a stream of changes begins.
    pub(super) fn snapshot(&self, view: &View) -> Arc<[u8]> {
        self.body(view, |of| &of.snapshot, |view, _| encode_snapshot(view))
    }

    /// Returns the line of a stream for one change.
    pub(super) fn change(&self, revision: u64, change: &Change) -> Arc<[u8]> {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, line)) = changes.iter().find(|(known, _)| *known == revision) {
            return line.clone();
        }
        let line: Arc<[u8]> = encode_change(revision, change).into();
        if changes.back().is_none_or(|(newest, _)| *newest < revision) {
            if changes.len() >= KEPT_CHANGES {
                changes.pop_front();
            }
            changes.push_back((revision, line.clone()));
        }
        line
    }

    /// Gives the lines of changes back, once no client follows them.
    pub(super) fn forget_changes(&self) {
        let mut changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        *changes = VecDeque::new();
    }

    /// Returns a part of a view. Equal revisions mean equal views. One that another connection has outrun is encoded for
    /// itself, so that the bytes of the newest view stay.
    fn body(
        &self,
        view: &View,
        part: fn(&Encoded) -> &OnceLock<Arc<[u8]>>,
        encode: fn(&View, Option<&str>) -> Vec<u8>,
    ) -> Arc<[u8]> {
        // No panic can leave it half changed.
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if newest.revision < view.revision {
            *newest = Arc::new(Encoded {
                revision: view.revision,
                ..Encoded::default()
            });
        }
        if newest.revision != view.revision {
            drop(newest);
            return encode(view, None).into();
        }
        if let Some(bytes) = part(&newest).get() {
            return bytes.clone();
        }
        let encoded = newest.clone();
        drop(newest);
        let bytes = part(&encoded).get_or_init(|| encode(view, None).into());
        bytes.clone()
    }
}

/// Returns the body of `GET /` with a warning that concerns this answer alone.
pub(super) fn containers_with_warning(view: &View, warning: &str) -> Vec<u8> {
    encode_containers(view, Some(warning))
}

fn encode_containers(view: &View, warning: Option<&str>) -> Vec<u8> {
    let warnings = view.warnings.iter().map(String::as_str);
    to_line(&ContainerList {
        containers: &view.containers,
        warnings: warnings.chain(warning).collect(),
    })
}

/// Returns the body of `GET /devcontainers` with a warning that concerns this answer alone.
pub(super) fn devcontainers_with_warning(view: &View, warning: &str) -> Vec<u8> {
    encode_devcontainers(view, Some(warning))
}

fn encode_devcontainers(view: &View, warning: Option<&str>) -> Vec<u8> {
    to_line(&DevcontainerList {
        devcontainers: &view.devcontainers,
        warnings: warning.into_iter().collect(),
    })
}

pub(super) fn encode_snapshot(view: &View) -> Vec<u8> {
    to_line(&Event::Snapshot {
        revision: view.revision,
        containers: &view.containers,
        devcontainers: &view.devcontainers,
        warnings: &view.all_warnings(),
    })
}

fn encode_change(revision: u64, change: &Change) -> Vec<u8> {
    to_line(&match change {
        Change::Container(container) => {
            let fields = format!(r#""type":"container","revision":{revision},"#);
            return to_line_after(&fields, container);
        }
        Change::Devcontainer(devcontainer) => {
            let fields = format!(r#""type":"devcontainer","revision":{revision},"#);
            return to_line_after(&fields, devcontainer);
        }
        Change::ContainerRemoved(id) => Event::ContainerRemoved { revision, id },
        Change::DevcontainerRemoved(id) => Event::DevcontainerRemoved { revision, id: *id },
        Change::Warnings(warnings) => Event::Warnings { revision, warnings },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::examples;

    /// The fields of the examples, in their order.
    const INFO: &str = r#""created_at":"1970-01-01T00:00:00.000Z","id":"0123456789abcdef","name":"box","image":"debian:12","labels":{"a":"é","b":"\"2\"\n"},"running":true,"ports":[{"port":80,"network":"tcp","host_ip":"127.0.0.1","host_port":8080},{"port":53,"network":"udp"}],"status":"running","health":"healthy","volumes":{"/s":"/d"},"mounts":[{"type":"bind","source":"/s","destination":"/d","read_only":false}]"#;
    const PLAIN: &str = r#""devcontainer_dirty":false"#;
    const DIRTY: &str = r#""devcontainer_dirty":true,"devcontainer_id":"00000000-0000-0000-0000-000000000000","devcontainer_name":"app","devcontainer_status":"running""#;
    const BARE: &str = r#""id":"00000000-0000-0000-0000-000000000000","name":"app","workspace_folder":"/w/app","running":false,"status":"stopped","dirty":false,"changes":[],"forward_ports":[]"#;
    const FULL_BEFORE: &str = r#""id":"00000000-0000-0000-0000-000000000000","name":"app","workspace_folder":"/w/app","config_path":"/w/app/.devcontainer.json","running":true,"status":"running","dirty":true,"changes":[{"path":"/w/app/Dockerfile","change":"modified"}],"unchecked":"/w/app/F cannot be read""#;
    const FULL_AFTER: &str = r#""remote_user":"root","forward_ports":[{"port":5432,"host":"db","label":"Database"}],"remote_workspace_folder":"/workspaces/app","error":"it broke","job":{"kind":"recreate","state":"failed","phase":"build","started_at":"1970-01-01T00:00:01.000Z","finished_at":"1970-01-01T00:00:02.500Z","seconds":1.5}"#;

    fn full() -> String {
        format!(r#"{FULL_BEFORE},"container":{{{INFO},{DIRTY}}},{FULL_AFTER}"#)
    }

    fn containers() -> String {
        format!(r#""containers":[{{{INFO},{PLAIN}}},{{{INFO},{DIRTY}}}]"#)
    }

    fn devcontainers() -> String {
        format!(r#""devcontainers":[{{{BARE}}},{{{}}}]"#, full())
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn every_kind_of_line_keeps_its_bytes() {
        let full = full();
        let expected = [
            format!(r#"{{"type":"container","revision":7,{INFO},{PLAIN}}}"#),
            format!(r#"{{"type":"container","revision":7,{INFO},{DIRTY}}}"#),
            format!(r#"{{"type":"devcontainer","revision":7,{BARE}}}"#),
            format!(r#"{{"type":"devcontainer","revision":7,{full}}}"#),
            r#"{"type":"container_removed","revision":7,"id":"0123456789abcdef"}"#.to_owned(),
            r#"{"type":"devcontainer_removed","revision":7,"id":"00000000-0000-0000-0000-000000000000"}"#
                .to_owned(),
            r#"{"type":"warnings","revision":7,"warnings":[]}"#.to_owned(),
            r#"{"type":"warnings","revision":7,"warnings":["odd","a\nb"]}"#.to_owned(),
        ];
        let changes = examples::changes();
        assert_eq!(changes.len(), expected.len());
        for (change, expected) in changes.iter().zip(expected) {
            let line = encode_change(7, change);
            assert_eq!(text(&line), expected + "\n");
        }
    }

    #[test]
    fn every_body_keeps_its_bytes() {
        let (bodies, view) = (Bodies::default(), examples::view());
        let (containers, devcontainers) = (containers(), devcontainers());
        assert_eq!(
            text(&bodies.containers(&view)),
            format!("{{{containers},\"warnings\":[\"odd\"]}}\n")
        );
        assert_eq!(
            text(&containers_with_warning(&view, "old")),
            format!("{{{containers},\"warnings\":[\"odd\",\"old\"]}}\n")
        );
        assert_eq!(
            text(&bodies.devcontainers(&view)),
            format!("{{{devcontainers}}}\n")
        );
        assert_eq!(
            text(&bodies.snapshot(&view)),
            format!(
                "{{\"type\":\"snapshot\",\"revision\":7,{containers},{devcontainers},\"warnings\":[\"odd\"]}}\n"
            )
        );
    }

    #[test]
    fn every_body_of_an_empty_view_keeps_its_bytes() {
        let (bodies, view) = (Bodies::default(), View::default());
        assert_eq!(text(&bodies.containers(&view)), "{\"containers\":[]}\n");
        assert_eq!(
            text(&containers_with_warning(&view, "old")),
            "{\"containers\":[],\"warnings\":[\"old\"]}\n"
        );
        assert_eq!(
            text(&bodies.devcontainers(&view)),
            "{\"devcontainers\":[]}\n"
        );
        assert_eq!(
            text(&bodies.snapshot(&view)),
            "{\"type\":\"snapshot\",\"revision\":0,\"containers\":[],\"devcontainers\":[],\"warnings\":[]}\n"
        );
    }

    #[test]
    fn a_view_is_encoded_once_and_only_the_newest_is_kept() {
        let bodies = Bodies::default();
        let mut view = examples::view();
        let first = bodies.containers(&view);
        assert!(Arc::ptr_eq(&first, &bodies.containers(&view)));
        assert_eq!(Arc::strong_count(&first), 2);

        view.revision += 1;
        let second = bodies.containers(&view);
        assert_eq!(Arc::strong_count(&first), 1, "the older bytes are dropped");
        assert_eq!(first, second);

        view.revision -= 1;
        let outrun = bodies.containers(&view);
        assert_eq!(Arc::strong_count(&outrun), 1, "they are not kept");
        view.revision += 1;
        assert!(Arc::ptr_eq(&second, &bodies.containers(&view)));
    }
}
