//! Edits of the JSON that goes through the proxy.

use serde_json::{Map, Value};

use crate::model::ids::OperationId;
use crate::model::labels::{
    ComposeService, LABEL_COMPOSE_HASH, LABEL_COMPOSE_ONE_OFF, LABEL_COMPOSE_PROJECT,
    LABEL_COMPOSE_SERVICE, LABEL_COMPOSE_WORKING_DIR, LABEL_FOLDER, LABEL_OPERATION,
};

/// The configuration of a container that is to be made: the body of the request.
pub(super) struct NewContainer(Value);

impl NewContainer {
    /// Returns `None` where the body is no JSON object. The engine says what is wrong with it.
    pub(super) fn parse(body: &[u8]) -> Option<Self> {
        let value: Value = serde_json::from_slice(body).ok()?;
        value.is_object().then_some(Self(value))
    }

    fn label(&self, key: &str) -> Option<&str> {
        let label = self.0.get("Labels")?.get(key)?.as_str()?;
        (!label.is_empty()).then_some(label)
    }

    /// The workspace folder, if it is to be a dev container.
    pub(super) fn folder(&self) -> Option<&str> {
        self.label(LABEL_FOLDER)
    }

    /// The service that it is to be a container of. Containers of `docker compose run` are none.
    pub(super) fn service(&self) -> Option<ComposeService> {
        if self.label(LABEL_COMPOSE_ONE_OFF) == Some("True") {
            return None;
        }
        Some(ComposeService {
            project: self.label(LABEL_COMPOSE_PROJECT)?.to_owned(),
            service: self.label(LABEL_COMPOSE_SERVICE)?.to_owned(),
        })
    }

    /// The directory of the compose project.
    pub(super) fn working_dir(&self) -> Option<&str> {
        self.label(LABEL_COMPOSE_WORKING_DIR)
    }

    /// The body with the label of the operation.
    pub(super) fn labelled(mut self, operation: &OperationId) -> Vec<u8> {
        if let Some(body) = self.0.as_object_mut() {
            let labels = body.entry("Labels").or_insert(Value::Null);
            if !labels.is_object() {
                *labels = Value::Object(Map::new());
            }
            if let Some(labels) = labels.as_object_mut() {
                labels.insert(LABEL_OPERATION.to_owned(), operation.as_str().into());
            }
        }
        self.0.to_string().into_bytes()
    }
}

/// The id in the answer to a request that makes a container.
pub(super) fn created_id(body: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(body).ok()?;
    Some(answer.get("Id")?.as_str()?.to_owned())
}

/// A container in a list.
pub(super) struct Listed<'a> {
    /// The whole id.
    pub(super) id: &'a str,
    /// True if it has the label of a dev container, perhaps from its image.
    pub(super) is_labelled: bool,
}

/// A list of containers without those that are not `shown`; those that are to be `renewed` seem to have been made from
/// another configuration. Returns `None` where the body is no such list.
pub(super) fn list(
    body: &[u8],
    shown: impl Fn(&Listed<'_>) -> bool,
    renewed: impl Fn(&str) -> bool,
) -> Option<Vec<u8>> {
    let mut all: Vec<Value> = serde_json::from_slice(body).ok()?;
    all.retain(|one| {
        let id = one.get("Id").and_then(Value::as_str);
        let folder = one.pointer(&format!("/Labels/{LABEL_FOLDER}"));
        let is_labelled = folder.is_some();
        id.is_none_or(|id| shown(&Listed { id, is_labelled }))
    });
    for one in &mut all {
        let is_renewed = one.get("Id").and_then(Value::as_str).is_some_and(&renewed);
        if let Some(labels) = one.get_mut("Labels").filter(|_| is_renewed) {
            spoil_hash(labels);
        }
    }
    serde_json::to_vec(&all).ok()
}

/// The description of one container that is to be renewed.
pub(super) fn renewed(body: &[u8]) -> Option<Vec<u8>> {
    let mut one: Value = serde_json::from_slice(body).ok()?;
    spoil_hash(one.pointer_mut("/Config/Labels")?);
    serde_json::to_vec(&one).ok()
}

/// Replaces the hash by which compose finds out that a container was made from another configuration.
fn spoil_hash(labels: &mut Value) {
    if let Some(hash) = labels.get_mut(LABEL_COMPOSE_HASH) {
        *hash = "outdated".into();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn new_container(labels: Value) -> NewContainer {
        let body = json!({"Image": "x", "Labels": labels});
        NewContainer::parse(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn labels_say_what_a_new_container_is() {
        let plain = new_container(json!(null));
        assert_eq!(plain.folder(), None);
        assert_eq!(plain.service(), None);
        let folder = |folder: &str| new_container(json!({"devcontainer.local_folder": folder}));
        assert_eq!(folder("/w").folder(), Some("/w"));
        assert_eq!(folder("").folder(), None);
        let labels = |one_off: &str| {
            json!({
                "com.docker.compose.project": "p",
                "com.docker.compose.service": "s",
                "com.docker.compose.oneoff": one_off,
                "com.docker.compose.project.working_dir": "/w",
            })
        };
        let service = new_container(labels("False")).service().unwrap();
        assert_eq!((&*service.project, &*service.service), ("p", "s"));
        assert_eq!(new_container(labels("True")).service(), None);
        assert_eq!(new_container(labels("False")).working_dir(), Some("/w"));
        assert!(NewContainer::parse(b"[]").is_none());
        assert!(NewContainer::parse(b"{").is_none());
    }

    #[test]
    fn the_label_of_the_operation_joins_the_others() {
        let operation = OperationId::parse("0123456789abcdef").unwrap();
        for (labels, expected) in [
            (
                json!(null),
                json!({"devcontainerd.operation": "0123456789abcdef"}),
            ),
            (
                json!({"a": "b", "devcontainerd.operation": "old"}),
                json!({"a": "b", "devcontainerd.operation": "0123456789abcdef"}),
            ),
        ] {
            let body = new_container(labels).labelled(&operation);
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(body, json!({"Image": "x", "Labels": expected}));
        }
        let body = NewContainer::parse(b"{}").unwrap().labelled(&operation);
        assert!(
            String::from_utf8(body)
                .unwrap()
                .contains("0123456789abcdef")
        );
    }

    #[test]
    fn a_list_hides_and_renews() {
        let all = json!([
            {"Id": "a", "Labels": {"com.docker.compose.config-hash": "1"}},
            {"Id": "b", "Labels": {"devcontainer.local_folder": "/w"}},
            {"Id": "c", "Labels": {"com.docker.compose.config-hash": "1"}},
        ]);
        let shown = |one: &Listed<'_>| !one.is_labelled;
        let edited = list(all.to_string().as_bytes(), shown, |id| id == "c").unwrap();
        let edited: Value = serde_json::from_slice(&edited).unwrap();
        assert_eq!(
            edited,
            json!([
                {"Id": "a", "Labels": {"com.docker.compose.config-hash": "1"}},
                {"Id": "c", "Labels": {"com.docker.compose.config-hash": "outdated"}},
            ])
        );
        assert!(list(b"{}", |_| true, |_| false).is_none());
    }

    #[test]
    fn a_description_is_renewed() {
        let one = json!({"Id": "a", "Config": {"Labels": {"com.docker.compose.config-hash": "1"}}});
        let edited = renewed(one.to_string().as_bytes()).unwrap();
        let edited: Value = serde_json::from_slice(&edited).unwrap();
        assert_eq!(
            edited["Config"]["Labels"]["com.docker.compose.config-hash"],
            "outdated"
        );
        assert!(renewed(b"{}").is_none());
    }

    #[test]
    fn the_id_of_a_new_container() {
        assert_eq!(
            created_id(br#"{"Id":"a1","Warnings":[]}"#).as_deref(),
            Some("a1")
        );
        assert_eq!(created_id(b"{}"), None);
    }
}
