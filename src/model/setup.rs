//! The part of a container's own description that says how the devcontainer CLI uses it.

use serde::Deserialize;
use serde_json::Value;

use super::phase::Phase;

/// How the devcontainer CLI uses a container, by what docker says of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// The user of its processes, who may have a group after a colon; never empty.
    pub user: Option<Box<str>>,
    /// The user of tools, by its metadata; never empty.
    pub remote_user: Option<Box<str>>,
    /// The last phase that people wait for, by its metadata.
    pub wait_for: Phase,
}

/// An entry of the metadata: of an image, of a feature, or of the configuration. Later ones take precedence.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Entry {
    remote_user: Option<Value>,
    wait_for: Option<Value>,
}

impl Default for Setup {
    /// The setup of a container that says nothing.
    fn default() -> Self {
        Self {
            user: None,
            remote_user: None,
            wait_for: Phase::UpdateContentCommand,
        }
    }
}

impl Setup {
    /// Reads the user of a container, and its label `devcontainer.metadata`.
    pub fn of(user: &str, metadata: Option<&str>) -> Self {
        let entries = metadata.map(entries).unwrap_or_default();
        let text = |value: &Option<Value>| {
            let text = value.as_ref()?.as_str()?;
            (!text.is_empty()).then(|| text.to_owned())
        };
        // The CLI replaces variables on the machine that it runs on, whose environment may have changed since.
        let remote_user = entries
            .iter()
            .rev()
            .find_map(|entry| text(&entry.remote_user));
        let remote_user = remote_user.filter(|user| !user.contains("${"));
        let wait_for = entries.iter().rev().find_map(|entry| text(&entry.wait_for));
        let wait_for = wait_for.and_then(|word| Phase::of_command(&word));
        Self {
            user: (!user.is_empty()).then(|| user.into()),
            remote_user: remote_user.map(Into::into),
            wait_for: wait_for.unwrap_or(Phase::UpdateContentCommand),
        }
    }
}

/// Reads the metadata: a list, or its only entry.
fn entries(metadata: &str) -> Vec<Entry> {
    match serde_json::from_slice::<Value>(metadata.as_bytes()) {
        Ok(Value::Array(all)) => {
            let all = all.into_iter();
            all.filter_map(|one| serde_json::from_value(one).ok())
                .collect()
        }
        Ok(one @ Value::Object(_)) => serde_json::from_value(one).into_iter().collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_entry_that_names_something_counts() {
        for (metadata, user, wait_for) in [
            ("", None, Phase::UpdateContentCommand),
            ("no JSON", None, Phase::UpdateContentCommand),
            ("7", None, Phase::UpdateContentCommand),
            (
                r#"[{"remoteUser":"a"},{"remoteUser":"b"},{}]"#,
                Some("b"),
                Phase::UpdateContentCommand,
            ),
            (
                r#"[{"remoteUser":"a"},7,{"remoteUser":""}]"#,
                Some("a"),
                Phase::UpdateContentCommand,
            ),
            (
                r#"[{"remoteUser":"${localEnv:USER}"}]"#,
                None,
                Phase::UpdateContentCommand,
            ),
            (
                r#"{"remoteUser":"a","waitFor":"postStartCommand"}"#,
                Some("a"),
                Phase::PostStartCommand,
            ),
            (
                r#"[{"waitFor":"initializeCommand"},{"remoteUser":7}]"#,
                None,
                Phase::InitializeCommand,
            ),
            (
                r#"[{"waitFor":"never"}]"#,
                None,
                Phase::UpdateContentCommand,
            ),
        ] {
            let setup = Setup::of("", Some(metadata));
            assert_eq!(setup.remote_user.as_deref(), user, "{metadata}");
            assert_eq!(setup.wait_for, wait_for, "{metadata}");
        }
        let setup = Setup::of("app:staff", None);
        assert_eq!(setup.user.as_deref(), Some("app:staff"));
        assert_eq!(Setup::of("", None), Setup::default());
    }
}
