//! A container as operations need it, from `docker inspect`.

use std::io;

use super::{HostConfig, Image, Inspected};
use crate::model::container::RunState;
use crate::model::labels::{
    ComposeService, LABEL_COMPOSE_DEPENDS_ON, LABEL_COMPOSE_ONE_OFF, LABEL_COMPOSE_PROJECT,
    LABEL_COMPOSE_SERVICE, LABEL_COMPOSE_WORKING_DIR, LABEL_CONFIG, LABEL_FOLDER, LABEL_OPERATION,
    LABEL_TEST_RUN,
};
use crate::model::original::{Original, PriorState};

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
    /// The workspace folder that a label of its own names: it is a dev container.
    pub folder: Option<String>,
    /// The path of the configuration that it was made from, if a label names one.
    pub config: Option<String>,
    /// The id of the operation that made it, if a label of its own names one.
    pub operation: Option<String>,
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
    /// The directory of its compose project.
    pub working_dir: Option<String>,
    /// The services that its service needs; `None` if that is not known.
    pub depends_on: Option<Vec<String>>,
    /// The ids or names of the containers whose namespaces or volumes it uses, sorted.
    pub joins: Vec<String>,
}

impl HostConfig {
    /// The ids or names of the containers whose namespaces or volumes are used, sorted.
    fn joined(&self) -> Vec<String> {
        let modes = [&self.network_mode, &self.ipc_mode, &self.pid_mode].into_iter();
        let shared = modes.filter_map(|mode| mode.strip_prefix("container:"));
        // An access mode may follow: `NAME:ro`.
        let volumes = self.volumes_from.iter();
        let volumes = volumes.filter_map(|from| from.split(':').next());
        let all = shared.chain(volumes).filter(|one| !one.is_empty());
        let mut joined: Vec<String> = all.map(str::to_owned).collect();
        joined.sort_unstable();
        joined.dedup();
        joined
    }
}

/// The names of the services in compose's label, such as `db:service_started:false,cache:service_healthy:true`.
fn services(label: &str) -> Vec<String> {
    let names = label.split(',').filter_map(|one| one.split(':').next());
    let names = names.map(str::trim).filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

impl Snapshot {
    /// Returns whether labels of its own make it the container of a dev container.
    pub fn is_devcontainer(&self) -> bool {
        self.folder.is_some()
    }

    /// Reads what the engine answers to `GET /containers/ID/json`. `image` returns what it answers for an image.
    ///
    /// # Errors
    ///
    /// An answer cannot be read, or `image` fails.
    pub fn from_api(
        container: &[u8],
        image: impl FnOnce(&str) -> io::Result<Option<Vec<u8>>>,
    ) -> io::Result<Self> {
        let mut inspected: Inspected = serde_json::from_slice(container)?;
        if let Some(id) = inspected.image_to_compare() {
            let image: Option<Image> = match image(id)? {
                Some(json) => Some(serde_json::from_slice(&json)?),
                None => None,
            };
            let labels = image.map(Image::into_labels);
            inspected.forget_labels_of_image(labels.as_slice());
        }
        Ok(inspected.into())
    }

    /// Returns whether it lives in the namespaces of the container with this id and name, or uses its volumes.
    pub fn is_joined_to(&self, id: &str, name: &str) -> bool {
        let is_short_id = |joined: &str| joined.len() >= 12 && id.starts_with(joined);
        let mut joins = self.joins.iter();
        joins.any(|joined| joined == name || is_short_id(joined))
    }

    /// A container that runs, without anything else.
    #[cfg(test)]
    pub fn running(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            name: id.to_owned(),
            run_state: RunState::Running,
            has_run: true,
            one_off: false,
            folder: None,
            config: None,
            operation: None,
            is_test_run: false,
            auto_remove: false,
            publishes: false,
            networks: Vec::new(),
            own_network: "bridge".to_owned(),
            compose: None,
            working_dir: None,
            depends_on: None,
            joins: Vec::new(),
        }
    }
}

impl From<Snapshot> for Original {
    /// The original that a snapshot shows. If an earlier operation left it parked, it is as it was before that.
    fn from(snapshot: Snapshot) -> Self {
        let removed_when_stopped = snapshot.auto_remove;
        let original = Self {
            was: PriorState::from(&snapshot.run_state),
            leaves_networks: if removed_when_stopped && snapshot.publishes {
                snapshot.networks
            } else {
                Vec::new()
            },
            id: snapshot.id,
            name: snapshot.name,
            removed_when_stopped,
            compose: snapshot.compose,
        };
        original.before_parking()
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
        let mut take = |key: &str| labels.remove(key);
        let [working_dir, depends_on, folder, config, operation] = [
            LABEL_COMPOSE_WORKING_DIR,
            LABEL_COMPOSE_DEPENDS_ON,
            LABEL_FOLDER,
            LABEL_CONFIG,
            LABEL_OPERATION,
        ]
        .map(&mut take);
        let in_project = compose.is_some();
        let has = |key: &str, value: &str| labels.get(key).is_some_and(|is| is == value);
        Self {
            name,
            run_state: inspected.state.run_state(),
            has_run: inspected.state.has_run(),
            one_off: has(LABEL_COMPOSE_ONE_OFF, "True"),
            is_test_run: has(LABEL_TEST_RUN, "true"),
            folder: folder.filter(|folder| !folder.is_empty()),
            config: config.filter(|config| !config.is_empty()),
            operation,
            id: inspected.id,
            auto_remove: host.auto_remove,
            joins: host.joined(),
            publishes: !host.port_bindings.is_empty() && can_leave,
            networks: inspected.network_settings.networks.into_keys().collect(),
            own_network: match host.network_mode.as_str() {
                "" | "default" => "bridge".to_owned(),
                _ => host.network_mode,
            },
            compose: compose.map(|(project, service)| ComposeService { project, service }),
            working_dir: working_dir.filter(|directory| in_project && !directory.is_empty()),
            depends_on: depends_on
                .filter(|_| in_project)
                .map(|label| services(&label)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::inspect::own_labels::ImageLabels;

    fn inspected(json: &str) -> Inspected {
        serde_json::from_str(json).unwrap()
    }

    fn labels_of(image: &str) -> (String, ImageLabels) {
        let image: Image = serde_json::from_str(image).unwrap();
        image.into_labels()
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
        assert_eq!(snapshot.folder.as_deref(), Some("/srv/fixture/project"));
        assert_eq!(snapshot.own_network, "bridge");
        assert_eq!(snapshot.networks, ["bridge"]);
        assert_eq!(snapshot.compose, None);
        assert_eq!((snapshot.working_dir, snapshot.depends_on), (None, None));
        assert_eq!(snapshot.joins, [""; 0]);
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
            one.forget_labels_of_image(&[labels_of(&image)]);
            assert_eq!(Snapshot::from(one).compose.is_some(), belongs);
        }
    }

    #[test]
    fn p23_a_folder_that_the_image_has_too_makes_no_dev_container() {
        let labels = |folder: &str, config: &str| {
            format!(r#"{{"Labels":{{"{LABEL_FOLDER}":"{folder}","{LABEL_CONFIG}":"{config}"}}}}"#)
        };
        let of_container = labels("/w", "/w/c");
        for (of_image, is_own) in [
            (labels("/w", "/w/c"), false),
            (labels("/v", "/w/c"), true),
            (labels("/w", "/w/d"), true),
            (r#"{"Labels":null}"#.to_owned(), true),
        ] {
            let json = format!(r#"{{"Id":"a","Image":"i","Config":{of_container}}}"#);
            let mut one = inspected(&json);
            assert_eq!(one.image_to_compare(), Some("i"));
            let image = format!(r#"{{"Id":"i","Config":{of_image}}}"#);
            one.forget_labels_of_image(&[labels_of(&image)]);
            let snapshot = Snapshot::from(one);
            assert_eq!(snapshot.folder.is_some(), is_own, "{of_image}");
            assert_eq!(snapshot.config.is_some(), is_own, "{of_image}");
        }
        let mut one = inspected(&format!(
            r#"{{"Id":"a","Image":"gone","Config":{of_container}}}"#
        ));
        one.forget_labels_of_image(&[]);
        assert!(Snapshot::from(one).folder.is_some(), "nothing is known");
    }

    #[test]
    fn p23_an_operation_that_the_image_names_did_not_make_the_container() {
        let labels = |folder: &str, operation: &str| {
            format!(
                r#"{{"Labels":{{"{LABEL_FOLDER}":"{folder}","{LABEL_OPERATION}":"{operation}"}}}}"#
            )
        };
        for (of_image, folder, operation) in [
            (labels("/w", "1"), None, None),
            // Made again in the same folder from an image that was committed there.
            (labels("/w", "0"), Some("/w"), Some("1")),
            (labels("/v", "1"), Some("/w"), None),
        ] {
            let of_container = labels("/w", "1");
            let json = format!(r#"{{"Id":"a","Image":"i","Config":{of_container}}}"#);
            let mut one = inspected(&json);
            let image = format!(r#"{{"Id":"sha256:i","Config":{of_image}}}"#);
            one.forget_labels_of_image(&[labels_of(&image)]);
            let snapshot = Snapshot::from(one);
            let found = (snapshot.folder.as_deref(), snapshot.operation.as_deref());
            assert_eq!(found, (folder, operation), "{of_image}");
        }
    }

    #[test]
    fn p24_what_a_service_needs_is_known_from_a_label_of_its_own() {
        let json = |labels: &str| {
            format!(
                r#"{{"Id":"a","Image":"i","Config":{{"Labels":{{"com.docker.compose.project":"p","com.docker.compose.service":"s"{labels}}}}}}}"#
            )
        };
        let needs = |value: &str| format!(r#","{LABEL_COMPOSE_DEPENDS_ON}":"{value}""#);
        for (labels, expected) in [
            (String::new(), None),
            (needs(""), Some(vec![])),
            (needs("db"), Some(vec!["db"])),
            (
                needs("db:service_started:false,cache:service_healthy:true"),
                Some(vec!["db", "cache"]),
            ),
        ] {
            let snapshot = Snapshot::from(inspected(&json(&labels)));
            let expected =
                expected.map(|all| all.into_iter().map(str::to_owned).collect::<Vec<_>>());
            assert_eq!(snapshot.depends_on, expected, "{labels}");
        }
        let place = format!(r#","{LABEL_COMPOSE_WORKING_DIR}":"/w""#);
        let labels = needs("db") + &place + r#","com.docker.compose.config-hash":"h""#;
        let mut one = inspected(&json(&labels));
        let image = json(&(needs("db") + &place)).replace(r#""a""#, r#""i""#);
        one.forget_labels_of_image(&[labels_of(&image)]);
        let snapshot = Snapshot::from(one);
        assert!(snapshot.compose.is_some());
        assert_eq!((snapshot.depends_on, snapshot.working_dir), (None, None));
        let snapshot = Snapshot::from(inspected(&json(&labels)));
        assert_eq!(snapshot.working_dir.as_deref(), Some("/w"));
    }

    #[test]
    fn p24_the_containers_that_it_lives_in_are_known() {
        let json = r#"{"Id":"a","HostConfig":{"NetworkMode":"container:net","IpcMode":"shareable",
            "PidMode":"container:pid","VolumesFrom":["vol:ro","net","plain"]}}"#;
        let snapshot = Snapshot::from(inspected(json));
        assert_eq!(snapshot.joins, ["net", "pid", "plain", "vol"]);
        let json = r#"{"Id":"a","HostConfig":{"NetworkMode":"bridge","IpcMode":"container:","VolumesFrom":null}}"#;
        assert_eq!(Snapshot::from(inspected(json)).joins, [""; 0]);
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
