//! A container as it is shown, from `docker inspect`.

use std::borrow::Cow;

use serde_json::{Error, Value};

use super::Inspected;
use super::answer::Mark;
use crate::base::time::Timestamp;
use crate::docker::ports;
use crate::model::container::{ContainerInfo, Mount, RunState};
use crate::model::labels::LABEL_METADATA;
use crate::model::setup::Setup;

/// The reading of one container.
#[derive(Debug)]
pub(in crate::docker) struct Read {
    /// The whole id.
    pub(in crate::docker) id: String,
    /// `None` if it cannot be read.
    pub(in crate::docker) info: Option<ContainerInfo>,
    /// Everything about it that is odd.
    pub(in crate::docker) warnings: Vec<String>,
    /// The id of its image, if it has labels of a dev container, which may come from there.
    pub(in crate::docker) image: Option<String>,
    /// True if docker does not say whether they do.
    pub(in crate::docker) is_doubtful: bool,
    /// The mark of the text that was read.
    pub(in crate::docker) mark: Option<Mark>,
}

/// Returns the reading of a container that cannot be read because of `error`. It costs only itself.
pub(super) fn unreadable(container: &Value, error: &Error) -> Read {
    let id = container.get("Id").and_then(Value::as_str).unwrap_or("?");
    Read {
        id: id.to_owned(),
        info: None,
        warnings: vec![format!(
            "docker inspect of container {id} cannot be read: {error}"
        )],
        image: None,
        is_doubtful: false,
        mark: None,
    }
}

/// Reads a container.
pub(super) fn convert(inspected: Inspected) -> Read {
    let mut warnings = Vec::new();
    let name = inspected.plain_name().to_owned();
    let created = Timestamp::parse(&inspected.created);
    if created.is_none() {
        warnings.push(format!(
            "container {name} has no creation time that can be read: {:?}",
            inspected.created
        ));
    }
    let image = inspected.image_of_devcontainer().map(str::to_owned);
    let error = inspected.state.error.as_deref();
    let metadata = inspected.config.labels.get(LABEL_METADATA);
    let setup = Setup::of(&inspected.config.user, metadata.map(String::as_str));
    let info = ContainerInfo {
        created_at: created.unwrap_or(Timestamp::new(0, 0)),
        id: inspected.id.clone(),
        ports: ports::convert(&name, &inspected.network_settings.ports, &mut warnings),
        name,
        image: inspected.config.image,
        labels: inspected.config.labels.into_iter().collect(),
        foreign_labels: Box::default(),
        running: inspected.state.has_processes(),
        // A container that is stopping is shown as running, so it must not differ from one.
        run_state: match inspected.state.run_state() {
            RunState::Stopping => RunState::Running,
            other => other,
        },
        error: error.filter(|error| !error.is_empty()).map(Box::from),
        health: inspected.state.health(),
        mounts: inspected.mounts.into_iter().filter_map(mount).collect(),
        setup,
    };
    Read {
        id: inspected.id,
        info: Some(info),
        warnings,
        image,
        is_doubtful: false,
        mark: None,
    }
}

/// Returns a mount; `None` where it has no place in the container.
fn mount(mount: super::Mount) -> Option<Mount> {
    let text = |text: Option<String>| {
        let text = text.filter(|text| !text.is_empty());
        text.map(String::into_boxed_str)
    };
    Some(Mount {
        kind: match mount.kind {
            None => "bind".into(),
            Some(word) => {
                let mut known = ["bind", "volume", "tmpfs"].into_iter();
                let known = known.find(|known| *known == word);
                known.map_or(word.into(), Cow::Borrowed)
            }
        },
        name: text(mount.name),
        source: text(mount.source),
        destination: text(mount.destination)?,
        read_only: !mount.rw,
    })
}

#[cfg(test)]
mod tests {
    use super::super::answer::read_whole;
    use super::*;
    use crate::model::api::Container;
    use proptest::prelude::*;

    /// All that can be read, and all warnings.
    fn parse(
        json: &[u8],
        warnings: &mut Vec<String>,
    ) -> Result<Vec<ContainerInfo>, serde_json::Error> {
        let all = read_whole(json)?;
        let infos = all.into_iter().filter_map(|read| {
            warnings.extend(read.warnings);
            read.info
        });
        Ok(infos.collect())
    }

    /// The container as answers show it.
    fn shown(container: &ContainerInfo) -> Value {
        let container = Container {
            info: container.clone().into(),
            devcontainer_dirty: false,
            owner: None,
        };
        serde_json::to_value(container).unwrap()
    }

    fn status(state: &str) -> (String, bool) {
        let json = format!(
            r#"[{{"Id":"a","Created":"2026-01-01T00:00:00Z","Name":"/n","State":{state}}}]"#
        );
        let mut warnings = Vec::new();
        let container = parse(json.as_bytes(), &mut warnings)
            .unwrap()
            .pop()
            .unwrap();
        assert!(warnings.is_empty(), "{warnings:?}");
        (container.status(), container.running)
    }

    /// podman's word must not make an event for a change that does not show.
    #[test]
    fn a_stopping_container_is_shown_like_a_running_one() {
        let info = |state: &str| {
            let json =
                format!(r#"[{{"Id":"a","Created":"2026-11-23T23:24:44Z","State":{state}}}]"#);
            parse(json.as_bytes(), &mut Vec::new()).unwrap().remove(0)
        };
        assert_eq!(
            info(r#"{"Status":"stopping","Running":true}"#),
            info(r#"{"Status":"running","Running":true}"#)
        );
    }

    #[test]
    fn every_status() {
        for (state, expected, running) in [
            (r#"{"Status":"running","Running":true}"#, "running", true),
            (
                r#"{"Status":"paused","Running":true,"Paused":true}"#,
                "paused",
                true,
            ),
            (
                r#"{"Status":"restarting","Running":true,"ExitCode":1}"#,
                "restarting",
                true,
            ),
            (r#"{"Status":"stopping"}"#, "running", true),
            (r#"{"Status":"created"}"#, "created", false),
            (
                r#"{"Status":"created","ExitCode":127,"Error":"no such file"}"#,
                "created: no such file",
                false,
            ),
            (r#"{"Status":"dead","Dead":true}"#, "dead", false),
            (r#"{"Status":"exited"}"#, "exited successfully", false),
            (
                r#"{"Status":"exited","ExitCode":137}"#,
                "exited with code 137",
                false,
            ),
            (
                r#"{"Status":"exited","ExitCode":128,"Error":"OCI runtime"}"#,
                "exited with code 128: OCI runtime",
                false,
            ),
            (r#"{"Status":"removing"}"#, "removing", false),
            // podman
            (r#"{"Status":"configured"}"#, "created", false),
            (r#"{"Status":"paused"}"#, "paused", true),
            (
                r#"{"Status":"stopped","ExitCode":3}"#,
                "exited with code 3",
                false,
            ),
            // without a word
            (r#"{"Running":true}"#, "running", true),
            (r#"{"Running":true,"Paused":true}"#, "paused", true),
            (r#"{"ExitCode":2}"#, "exited with code 2", false),
            ("null", "exited successfully", false),
        ] {
            assert_eq!(status(state), (expected.to_owned(), running), "{state}");
        }
    }

    /// Reads what a real engine printed, and shows each container in a line:
    /// `name status running? ports… | volumes… | labels…`.
    fn recorded(file: &str) -> Vec<String> {
        let path = format!(
            "{}/tests/fixtures/inspect/{file}.json",
            env!("CARGO_MANIFEST_DIR")
        );
        let mut warnings = Vec::new();
        let containers = parse(&std::fs::read(path).unwrap(), &mut warnings).unwrap();
        let mut lines: Vec<String> = containers.iter().map(show).collect();
        warnings.extend(ports::shared_host_ports(containers.iter()));
        lines.extend(warnings);
        lines
    }

    fn show(container: &ContainerInfo) -> String {
        assert_eq!(container.id.len(), 64);
        assert_eq!(container.image, "devcontainerd-base:latest");
        assert!(container.created_at > Timestamp::new(1_700_000_000, 0));
        let port = |port: &crate::model::container::Port| match (&port.host_ip, port.host_port) {
            (Some(ip), Some(host)) => format!("{ip}:{host}->{}/{}", port.port, port.network),
            _ => format!("{}/{}", port.port, port.network),
        };
        let ports: Vec<String> = container.ports.iter().map(port).collect();
        format!(
            "{} {} {} {}| {} | {}",
            container.name,
            container.status(),
            container.running,
            ports
                .iter()
                .map(|port| format!("{port} "))
                .collect::<String>(),
            shown(container)["volumes"],
            serde_json::to_string(&container.labels).unwrap(),
        )
    }

    fn check(file: &str, expected: &str) {
        let expected = expected.replace(" ~", " | {} | {}");
        assert_eq!(recorded(file).join("\n"), expected, "{file}");
    }

    #[test]
    fn what_a_real_engine_prints() {
        check("plain", "fixture-plain running true ~");
        check("host_network", "fixture-host-network running true ~");
        check(
            "labels",
            r#"fixture-labels running true | {} | {"fixture.empty":"","fixture.lines":"one\ntwo","fixture.text":"a b=\"c\" ü"}"#,
        );
        check(
            "same_port",
            "fixture-same-port running true 0.0.0.0:8080->8080/tcp ~",
        );
        check(
            "same_port_both_loopbacks",
            "fixture-same-port-both-loopbacks running true 127.0.0.1:8080->8080/tcp ~",
        );
        check(
            "same_port_different_addresses",
            "fixture-same-port-different-addresses running true 127.0.0.2:8080->8080/tcp 127.0.0.1:8080->8080/tcp ~",
        );
        check(
            "differing_ports",
            "fixture-differing-ports running true 0.0.0.0:12345->8080/tcp ~",
        );
        check(
            "exposed_only",
            "fixture-exposed-only running true 53/udp 9090/tcp ~",
        );
        check(
            "several_ports",
            "fixture-several-ports running true 0.0.0.0:5353->53/udp 127.0.0.1:12345->8080/tcp 0.0.0.0:8081->8081/tcp 9090/tcp ~",
        );
        check(
            "two_containers_one_host_port",
            "fixture-first running true 127.0.0.1:8080->8080/tcp ~\n\
             fixture-second running true 127.0.0.2:8080->8080/tcp ~\n\
             host port 8080 is mapped to multiple containers on different interfaces: \
             5350c9d25f753fb9cf791bcc6fc8ab5fd98ad7563c1cabd17069041e05370148, \
             c9738bdd825a1f892deacb957097abe0ee030225257ea3884371b935eda674ac",
        );
        check(
            "binds",
            r#"fixture-binds running true | {"/srv/fixture/data":"/data","/srv/fixture/read-only":"/read-only"} | {}"#,
        );
        check(
            "volume",
            r#"fixture-volume running true | {"/srv/fixture/engine/data/volumes/fixture-volume/_data":"/var/lib/data"} | {}"#,
        );
        check("status_running", "fixture-running running true ~");
        check("status_paused", "fixture-paused paused true ~");
        check("status_restarting", "fixture-restarting restarting true ~");
        check("status_created", "fixture-created created false ~");
        check(
            "status_exited_0",
            "fixture-exited-0 exited successfully false ~",
        );
        check(
            "status_exited_3",
            "fixture-exited-3 exited with code 3 false ~",
        );
        check(
            "status_exited_137",
            "fixture-killed exited with code 137 false ~",
        );
        check(
            "status_created_error",
            "fixture-error created: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"/no/such/command\": stat /no/such/command: no such file or directory: unknown false ~",
        );
    }

    #[test]
    fn a_real_dev_container_has_its_labels() {
        let json = include_bytes!("../../../tests/fixtures/inspect/devcontainer.json");
        let container = parse(json, &mut Vec::new()).unwrap().pop().unwrap();
        let label = |name| container.labels.get(name);
        assert_eq!(
            label(crate::model::labels::LABEL_FOLDER),
            Some("/srv/fixture/project")
        );
        assert_eq!(
            label(crate::model::labels::LABEL_CONFIG),
            Some("/srv/fixture/project/.devcontainer/devcontainer.json")
        );
        assert_eq!(container.ports[0].host_port, Some(3000));
    }

    #[test]
    fn podman_writes_names_without_a_slash_and_times_with_an_offset() {
        let json = br#"[{"Id":"a","Created":"2026-01-01T01:00:00.5+02:00","Name":"plain"}]"#;
        let container = parse(json, &mut Vec::new()).unwrap().pop().unwrap();
        assert_eq!(container.name, "plain");
        assert_eq!(container.created_at.to_string(), "2025-12-31T23:00:00.500Z");
    }

    #[test]
    fn one_container_that_cannot_be_read_costs_only_itself() {
        let json =
            br#"[{"Id":"a","Created":"2026-01-01T00:00:00Z","Name":"/a"},{"Id":"b","Name":7}]"#;
        let mut warnings = Vec::new();
        let containers = parse(json, &mut warnings).unwrap();
        assert_eq!(containers.len(), 1);
        assert!(
            warnings[0].starts_with("docker inspect of container b cannot be read: "),
            "{warnings:?}"
        );
    }

    #[test]
    fn volumes_without_a_source_are_named_or_left_out() {
        let json = br#"[{"Id":"a","Created":"2026-01-01T00:00:00Z","Name":"/a","Mounts":[
            {"Type":"bind","Source":"/src","Destination":"/dst"},
            {"Type":"volume","Name":"v","Source":"","Destination":"/v"},
            {"Type":"tmpfs","Source":"","Destination":"/t"}]}]"#;
        let container = parse(json, &mut Vec::new()).unwrap().pop().unwrap();
        assert_eq!(
            shown(&container)["volumes"].to_string(),
            r#"{"/src":"/dst","v":"/v"}"#
        );
    }

    #[test]
    fn health_is_that_of_a_container_that_runs() {
        for (state, expected) in [
            (r#"{"Running":true}"#, None),
            (
                r#"{"Running":true,"Health":{"Status":"starting","Log":[]}}"#,
                Some("starting"),
            ),
            (
                r#"{"Running":true,"Health":{"Status":"healthy"}}"#,
                Some("healthy"),
            ),
            (
                r#"{"Running":true,"Healthcheck":{"Status":"unhealthy"}}"#,
                Some("unhealthy"),
            ),
            (r#"{"Running":true,"Health":{"Status":"none"}}"#, None),
            (r#"{"Running":true,"Health":{"Status":""}}"#, None),
            (r#"{"Running":true,"Health":null}"#, None),
            (
                r#"{"Status":"exited","Health":{"Status":"unhealthy"}}"#,
                None,
            ),
        ] {
            let json =
                format!(r#"[{{"Id":"a","Created":"2026-01-01T00:00:00Z","State":{state}}}]"#);
            let container = parse(json.as_bytes(), &mut Vec::new()).unwrap().remove(0);
            let shown = shown(&container);
            assert_eq!(
                shown.get("health").and_then(Value::as_str),
                expected,
                "{state}"
            );
        }
    }

    #[test]
    fn mounts_are_sorted_and_say_what_they_are() {
        let json = br#"[{"Id":"a","Created":"2026-01-01T00:00:00Z","Mounts":[
            {"Type":"volume","Name":"v","Source":"/vol","Destination":"/v","RW":true},
            {"Type":"bind","Source":"/src","Destination":"/z","RW":false},
            {"Type":"bind","Source":"/src","Destination":"/a"},
            {"Type":"tmpfs","Destination":"/t"},{"Type":"bind","Source":"/nowhere"}]}]"#;
        let container = parse(json, &mut Vec::new()).unwrap().remove(0);
        let shown = shown(&container);
        assert_eq!(
            shown["volumes"],
            serde_json::json!({"/src": "/a", "/vol": "/v"})
        );
        assert_eq!(
            shown["mounts"],
            serde_json::json!([
                {"type": "tmpfs", "destination": "/t", "read_only": false},
                {"type": "bind", "source": "/src", "destination": "/a", "read_only": false},
                {"type": "bind", "source": "/src", "destination": "/z", "read_only": true},
                {"type": "volume", "name": "v", "source": "/vol", "destination": "/v", "read_only": false},
            ])
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[\\[\\]{}\":,a-z0-9I ]{0,60}") {
            let _ = parse(text.as_bytes(), &mut Vec::new());
        }
    }
}
