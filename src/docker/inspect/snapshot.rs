//! A container as operations need it, from `docker inspect`.

use super::{Image, Inspected};
use crate::model::container::RunState;
use crate::model::labels::{
    ComposeService, LABEL_COMPOSE_PROJECT, LABEL_COMPOSE_SERVICE, LABEL_CONFIG, LABEL_TEST_RUN,
};

/// Labels that compose gives to containers. Images that it builds have the first two, and `docker commit` copies all.
const LABELS_OF_COMPOSE: [&str; 4] = [
    LABEL_COMPOSE_PROJECT,
    LABEL_COMPOSE_SERVICE,
    "com.docker.compose.container-number",
    "com.docker.compose.config-hash",
];
/// The label that is `True` on containers that `docker compose run` made.
const LABEL_COMPOSE_ONE_OFF: &str = "com.docker.compose.oneoff";

/// A container as it was when docker was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The whole id.
    pub id: String,
    /// Without the leading slash that docker shows.
    pub name: String,
    /// Its state.
    pub run_state: RunState,
    /// True if its processes have ever run.
    pub has_run: bool,
    /// True if `docker compose run` made it.
    pub one_off: bool,
    /// The path of the configuration that it was made from, if a label names one.
    pub config: Option<String>,
    /// True if the CLI's own tests made it.
    pub is_test_run: bool,
    /// True if docker removes it as soon as it is stopped (`--rm`).
    pub auto_remove: bool,
    /// True if it publishes ports through a network that it can leave.
    pub publishes: bool,
    /// The names of the networks that it is connected to, sorted.
    pub networks: Vec<String>,
    /// The network that docker connects it to when it is made.
    pub own_network: String,
    /// Its service, if it belongs to a compose project.
    pub compose: Option<ComposeService>,
}

impl Inspected {
    /// The id of its image, if it has the label of a compose project.
    pub(in crate::docker) fn image_to_compare(&self) -> Option<&str> {
        let is_labelled = self.config.labels.contains_key(LABEL_COMPOSE_PROJECT);
        is_labelled.then_some(&self.image)
    }

    /// Forgets the label of a compose project that the container only has from its image: then it does not belong to
    /// that project (P18).
    pub(in crate::docker) fn forget_labels_of_image(&mut self, images: &[Image]) {
        let image = images.iter().find(|image| image.id == self.image);
        let is_own = |key: &str| {
            let label = self.config.labels.get(key);
            label.is_some() && image.is_some_and(|image| image.config.labels.get(key) != label)
        };
        if !LABELS_OF_COMPOSE.into_iter().any(is_own) {
            self.config.labels.remove(LABEL_COMPOSE_PROJECT);
        }
    }
}

impl From<Inspected> for Snapshot {
    fn from(inspected: Inspected) -> Self {
        let name = inspected.plain_name().to_owned();
        let host = inspected.host_config;
        // Networks of the host or of another container (`container:ID`) cannot be left.
        let can_leave =
            !["host", "none"].contains(&&*host.network_mode) && !host.network_mode.contains(':');
        let mut labels = inspected.config.labels;
        let compose = labels
            .remove(LABEL_COMPOSE_PROJECT)
            .zip(labels.remove(LABEL_COMPOSE_SERVICE));
        let has = |key: &str, value: &str| labels.get(key).is_some_and(|is| is == value);
        Self {
            name,
            run_state: inspected.state.run_state(),
            has_run: inspected.state.has_run(),
            one_off: has(LABEL_COMPOSE_ONE_OFF, "True"),
            is_test_run: has(LABEL_TEST_RUN, "true"),
            config: labels
                .remove(LABEL_CONFIG)
                .filter(|config| !config.is_empty()),
            id: inspected.id,
            auto_remove: host.auto_remove,
            publishes: !host.port_bindings.is_empty() && can_leave,
            networks: inspected.network_settings.networks.into_keys().collect(),
            own_network: match host.network_mode.as_str() {
                "" | "default" => "bridge".to_owned(),
                _ => host.network_mode,
            },
            compose: compose.map(|(project, service)| ComposeService { project, service }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspected(json: &str) -> Inspected {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_real_dev_container() {
        let json = include_bytes!("../../../tests/fixtures/inspect/devcontainer.json");
        let mut all: Vec<Inspected> = serde_json::from_slice(json).unwrap();
        let snapshot = Snapshot::from(all.pop().unwrap());
        assert_eq!(snapshot.id.len(), 64);
        assert_eq!(snapshot.run_state, RunState::Running);
        assert!(snapshot.has_run && snapshot.publishes);
        assert!(!snapshot.one_off && !snapshot.is_test_run && !snapshot.auto_remove);
        assert_eq!(snapshot.name, "fixture-devcontainer");
        assert_eq!(
            snapshot.config.as_deref(),
            Some("/srv/fixture/project/.devcontainer/devcontainer.json")
        );
        assert_eq!(snapshot.own_network, "bridge");
        assert_eq!(snapshot.networks, ["bridge"]);
        assert_eq!(snapshot.compose, None);
    }

    #[test]
    fn only_a_network_that_can_be_left_counts_as_publishing() {
        for (mode, publishes) in [
            ("default", true),
            ("mine", true),
            ("host", false),
            ("none", false),
            ("container:a1b2", false),
        ] {
            let json = format!(
                r#"{{"Id":"a","HostConfig":{{"NetworkMode":"{mode}","PortBindings":{{"80/tcp":[]}}}}}}"#
            );
            let snapshot = Snapshot::from(inspected(&json));
            assert_eq!(snapshot.publishes, publishes, "{mode}");
        }
    }

    #[test]
    fn p18_labels_that_the_image_has_too_make_no_service() {
        let labels = r#"{"com.docker.compose.project":"p","com.docker.compose.service":"s"}"#;
        for (label_of_image, belongs) in [("p", false), ("q", true)] {
            let mut one = inspected(&format!(
                r#"{{"Id":"a","Image":"i","Config":{{"Labels":{labels}}}}}"#
            ));
            assert_eq!(one.image_to_compare(), Some("i"));
            let image = labels.replace("\"p\"", &format!("\"{label_of_image}\""));
            let image = format!(r#"{{"Id":"i","Config":{{"Labels":{image}}}}}"#);
            one.forget_labels_of_image(&[serde_json::from_str(&image).unwrap()]);
            assert_eq!(Snapshot::from(one).compose.is_some(), belongs);
        }
    }

    #[test]
    fn null_and_missing_fields_are_empty() {
        let null = r#"{"Id":"a","Name":null,"Image":null,"State":null,"Config":null,"HostConfig":null,"NetworkSettings":{"Ports":null,"Networks":null},"Mounts":null}"#;
        let null = Snapshot::from(inspected(null));
        assert_eq!(null, Snapshot::from(inspected(r#"{"Id":"a"}"#)));
        assert_eq!(null.run_state, RunState::Exited(0));
        assert!(!null.has_run);
    }
}
