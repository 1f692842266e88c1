//! A dev container, as the daemon describes it.

use std::path::Path;

use serde_json::Value;

use crate::base::text::{NAMED, printable};

/// A dev container of an answer, or of an event.
#[derive(Clone, Debug)]
pub(super) struct Devcontainer(pub(super) Value);

impl Devcontainer {
    /// Returns the text at a JSON pointer, or nothing where there is none.
    fn text(&self, pointer: &str) -> &str {
        let text = self.0.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default()
    }

    fn is_true(&self, field: &str) -> bool {
        self.0.get(field).and_then(Value::as_bool) == Some(true)
    }

    pub(super) fn id(&self) -> &str {
        self.text("/id")
    }

    pub(super) fn name(&self) -> &str {
        self.text("/name")
    }

    pub(super) fn folder(&self) -> &str {
        self.text("/workspace_folder")
    }

    pub(super) fn status(&self) -> &str {
        self.text("/status")
    }

    pub(super) fn container_id(&self) -> &str {
        self.text("/container/id")
    }

    pub(super) fn container_name(&self) -> &str {
        self.text("/container/name")
    }

    pub(super) fn remote_user(&self) -> &str {
        self.text("/remote_user")
    }

    pub(super) fn remote_folder(&self) -> &str {
        self.text("/remote_workspace_folder")
    }

    /// Returns the kind of the operation that is running or queued.
    pub(super) fn operation(&self) -> Option<&str> {
        let is_active = ["running", "queued"].contains(&self.text("/job/state"));
        is_active.then(|| self.text("/job/kind"))
    }

    pub(super) fn is_running(&self) -> bool {
        self.status() == "running"
    }

    pub(super) fn is_dirty(&self) -> bool {
        self.is_true("dirty")
    }

    /// True if its container matches the configuration, and everything was compared.
    pub(super) fn is_clean(&self) -> bool {
        !self.container_id().is_empty() && !self.is_dirty() && !self.is_unchecked()
    }

    pub(super) fn is_unchecked(&self) -> bool {
        !self.text("/unchecked").is_empty()
    }

    /// True if nothing is being done to it, or about to be done.
    pub(super) fn is_idle(&self) -> bool {
        let is_busy = ["starting", "stopping", "deleting"].contains(&self.status());
        !is_busy && self.operation().is_none()
    }

    /// Returns the status in words: with what is being done, or how that has failed.
    pub(super) fn state(&self) -> String {
        let status = self.status();
        let (kind, state, phase) = (
            self.text("/job/kind"),
            self.text("/job/state"),
            self.text("/job/phase"),
        );
        let text = match state {
            "queued" => format!("{status}, {kind} queued"),
            "running" if !phase.is_empty() => format!("{status}, {phase}"),
            "failed" | "interrupted" if !self.text("/error").is_empty() => {
                format!("{status}, {kind} {state}")
            }
            _ => status.to_owned(),
        };
        printable(&text)
    }

    /// Returns the inputs that differ: a few by their names, and how many more there are.
    pub(super) fn dirt(&self) -> String {
        let changes = self.0.get("changes").and_then(Value::as_array);
        let changes = changes.map(Vec::as_slice).unwrap_or_default();
        let named: Vec<String> = changes.iter().take(NAMED).map(change).collect();
        let text = match (named.split_first(), changes.len()) {
            (None, _) if self.is_dirty() => "dirty".to_owned(),
            (None, _) if self.is_unchecked() => "unchecked".to_owned(),
            (None, _) if self.container_id().is_empty() => "-".to_owned(),
            (None, _) => "clean".to_owned(),
            (Some((first, [])), _) => first.clone(),
            (Some((first, _)), count) => format!("{first}, +{} more", count - 1),
        };
        printable(&text)
    }

    /// Returns the published ports as `docker ps` shows them, and then those that are only exposed.
    pub(super) fn ports(&self) -> String {
        let ports = self.0.pointer("/container/ports").and_then(Value::as_array);
        let (published, exposed): (Vec<String>, Vec<String>) = ports
            .into_iter()
            .flatten()
            .map(port)
            .partition(|port| port.contains("->"));
        let all: Vec<String> = published.into_iter().chain(exposed).collect();
        printable(&all.join(", "))
    }

    /// Returns a line about all that can change.
    pub(super) fn line(&self) -> String {
        let dirt = self.dirt();
        let mut text = format!("{} {}", printable(self.name()), self.state());
        if dirt != "-" {
            let label = if self.is_dirty() { ", dirty: " } else { ", " };
            text.push_str(label);
            text.push_str(&dirt);
        }
        for (label, field) in [(", unchecked: ", "/unchecked"), (", error: ", "/error")] {
            if !self.text(field).is_empty() {
                text.push_str(label);
                text.push_str(&printable(self.text(field)));
            }
        }
        text
    }
}

/// Returns the name of a file with its change, such as `Dockerfile modified`.
fn change(change: &Value) -> String {
    let text = |name| change.get(name).and_then(Value::as_str).unwrap_or_default();
    let path = Path::new(text("path"));
    let name = path.file_name().unwrap_or(path.as_os_str());
    format!("{} {}", name.display(), text("change"))
}

/// Returns a port, such as `127.0.0.1:8080->80/tcp`.
fn port(port: &Value) -> String {
    let text = |name| port.get(name).and_then(Value::as_str).unwrap_or_default();
    let number = |name| port.get(name).and_then(Value::as_u64);
    let inside = format!("{}/{}", number("port").unwrap_or_default(), text("network"));
    let Some(host_port) = number("host_port") else {
        return inside;
    };
    match text("host_ip") {
        "" => format!("{host_port}->{inside}"),
        ip if ip.contains(':') => format!("[{ip}]:{host_port}->{inside}"),
        ip => format!("{ip}:{host_port}->{inside}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn changes_are_named_and_counted() {
        let dirt = |value: Value| Devcontainer(value).dirt();
        let changed = |path: &str, change: &str| json!({"path": path, "change": change});
        let one = changed("/w/a/.devcontainer/devcontainer.json", "modified");
        let two = changed("/w/a/Dockerfile", "unknown");
        let three = changed("/w/a/b\u{1b}[2J", "created");
        assert_eq!(
            dirt(json!({"dirty": true, "changes": [one]})),
            "devcontainer.json modified"
        );
        assert_eq!(
            dirt(json!({"dirty": true, "changes": [two, one, three]})),
            "Dockerfile unknown, +2 more"
        );
        assert_eq!(
            dirt(json!({"dirty": true, "changes": [three]})),
            "b\\u{1b}[2J created"
        );
        let container = json!({"id": "1"});
        assert_eq!(
            dirt(json!({"dirty": false, "container": container})),
            "clean"
        );
        assert_eq!(dirt(json!({"dirty": false, "changes": []})), "-");
        assert_eq!(
            dirt(json!({"container": container, "unchecked": "why"})),
            "unchecked"
        );
    }

    #[test]
    fn what_was_not_compared_is_not_clean() {
        for (value, expected) in [
            (json!({"container": {"id": "1"}}), true),
            (json!({"container": {"id": "1"}, "dirty": true}), false),
            (json!({"container": {"id": "1"}, "unchecked": "why"}), false),
            (json!({}), false),
        ] {
            assert_eq!(Devcontainer(value.clone()).is_clean(), expected, "{value}");
        }
    }

    #[test]
    fn ports_are_as_docker_shows_them() {
        let ports = json!([
            {"port": 5432, "network": "tcp"},
            {"port": 80, "network": "tcp", "host_ip": "127.0.0.1", "host_port": 8080},
            {"port": 53, "network": "udp", "host_ip": "::1", "host_port": 53},
            {"port": 81, "network": "tcp", "host_ip": "", "host_port": 81},
        ]);
        let shown = Devcontainer(json!({"container": {"ports": ports}})).ports();
        assert_eq!(
            shown,
            "127.0.0.1:8080->80/tcp, [::1]:53->53/udp, 81->81/tcp, 5432/tcp"
        );
    }

    #[test]
    fn a_state_says_what_is_being_done() {
        for (job, error, expected) in [
            (
                json!({"kind": "recreate", "state": "running", "phase": "build"}),
                "",
                "starting, build",
            ),
            (
                json!({"kind": "recreate", "state": "queued"}),
                "",
                "starting, recreate queued",
            ),
            (
                json!({"kind": "recreate", "state": "failed"}),
                "why",
                "starting, recreate failed",
            ),
            (
                json!({"kind": "recreate", "state": "failed"}),
                "",
                "starting",
            ),
            (
                json!({"kind": "start", "state": "succeeded"}),
                "",
                "starting",
            ),
        ] {
            let mut value = json!({"status": "starting", "job": job});
            if !error.is_empty() {
                value["error"] = error.into();
            }
            assert_eq!(Devcontainer(value.clone()).state(), expected, "{value}");
        }
    }
}
