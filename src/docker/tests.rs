//! The output of docker and podman differs from version to version; the containers that are read from it do not. The
//! clients are recordings in `tests/fixtures/clients`.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::client::Client;
use super::command::{Runner, Tracking};
use super::error::Error;
use super::inspect::{Image, Object};
use super::inspector::{Inspection, Inspector};
use super::known::KnownContainers;

const CLIENTS: [&str; 5] = [
    "docker-20.10",
    "docker-26.1",
    "docker-28.2",
    "podman-4.3",
    "podman-5.4",
];
const UNREACHABLE: [&str; 2] = ["docker-unreachable", "podman-unreachable"];

fn recording(name: &str) -> PathBuf {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/clients");
    clients.join(name)
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(20)
}

fn client(program: &Path) -> Client<'_> {
    Client {
        program,
        deadline: soon(),
        abort: None,
        operation: None,
        thorough: false,
        socket: None,
    }
}

fn runner(program: &Path) -> Runner<'_> {
    Runner {
        host: None,
        program,
        abort: &[],
        late: None,
        tracking: Tracking::Inherited,
    }
}

fn inspect(program: &Path, ids: &[String]) -> Inspection {
    let inspector = Inspector {
        docker: runner(program),
        known: &KnownContainers::default(),
        timeout: Duration::from_secs(20),
        begun: Instant::now(),
        references: Vec::new(),
        hasty: HashSet::new(),
    };
    inspector.inspect(ids, Vec::new())
}

/// An id as it is recorded: `a` and `b` exist, `e` and `f` do not.
fn id(digit: char) -> String {
    digit.to_string().repeat(64)
}

#[test]
fn what_is_gone_is_left_out_of_an_inspect() {
    for name in CLIENTS {
        let program = recording(name);
        let docker = client(&program);
        for (asked, expected) in [("af", "a"), ("f", ""), ("fe", "")] {
            let ids: Vec<String> = asked.chars().map(id).collect();
            let found = docker.inspect(&ids).unwrap();
            let found: Vec<String> = found.into_iter().map(|one| one.id).collect();
            let expected: Vec<String> = expected.chars().map(id).collect();
            assert_eq!(found, expected, "{name}");
        }
        // podman writes the ids of images without the kind of the hash.
        let hash = if name.starts_with("docker") {
            "sha256:"
        } else {
            ""
        };
        let ids = [format!("{hash}{}", id('c')), format!("sha256:{}", id('f'))];
        let images: Vec<Image> = docker.inspect_as(&ids).unwrap();
        let images: Vec<&str> = images.iter().map(Object::id).collect();
        assert_eq!(images, [&ids[0]], "{name}");
    }
}

#[test]
fn what_is_gone_is_left_out_of_a_listing_without_a_warning() {
    for name in CLIENTS {
        let program = recording(name);
        for (asked, expected) in [("af", 1), ("fa", 1), ("f", 0), ("fe", 0)] {
            let ids: Vec<String> = asked.chars().map(id).collect();
            let inspection = inspect(&program, &ids);
            assert!(inspection.error.is_none(), "{name}: {:?}", inspection.error);
            assert_eq!(inspection.found.len(), expected, "{name}: {asked}");
            let other = [inspection.warnings, inspection.unanswered, inspection.hung];
            assert_eq!(other.concat(), [""; 0], "{name}: {asked}");
        }
    }
}

#[test]
fn what_is_gone_is_stopped_removed_and_out_of_the_way() {
    let gone = id('f');
    for name in CLIENTS {
        let program = recording(name);
        let docker = client(&program);
        for ids in [vec![&*gone], vec![&id('a'), &gone]] {
            docker.stop(&ids).unwrap();
            docker.remove(&ids).unwrap();
        }
        for (verb, failed) in [
            ("rename", docker.rename(&gone, "newname")),
            ("start", docker.start(&gone)),
            ("pause", docker.pause(&gone)),
            ("unpause", docker.unpause(&gone)),
            ("connect", docker.connect(&gone, "bridge")),
            ("disconnect", docker.disconnect(&gone, "bridge")),
        ] {
            assert!(
                matches!(failed, Err(Error::Failed { .. })),
                "{name}: {verb}"
            );
            let result = docker.unless_gone(&gone, failed);
            assert!(result.is_ok(), "{name}: {verb}: {result:?}");
        }
    }
}

#[test]
fn other_failures_are_failures() {
    let there = id('a');
    for name in CLIENTS {
        let program = recording(name);
        let docker = client(&program);
        for (verb, failed) in [
            ("rename", docker.rename(&there, "bbb")),
            ("unpause", docker.unpause(&there)),
            ("connect", docker.connect(&there, "NETWORK")),
        ] {
            let result = docker.unless_gone(&there, failed);
            assert!(result.is_err(), "{name}: {verb}");
        }
    }
}

#[test]
fn nothing_is_gone_if_docker_cannot_be_reached() {
    let there = id('a');
    for name in UNREACHABLE {
        let program = recording(name);
        let docker = client(&program);
        let both = [there.clone(), id('b')];
        let ids = [there.as_str(), both[1].as_str()];
        let renamed = docker.unless_gone(&there, docker.rename(&there, "x"));
        let failures = [
            docker.inspect(&both).err(),
            docker.stop(&ids).err(),
            docker.remove(&ids).err(),
            renamed.err(),
            inspect(&program, &both).error,
        ];
        for failure in failures {
            let said = failure.unwrap().to_string();
            assert!(said.contains("annot connect to"), "{name}: {said}");
        }
    }
}

#[test]
fn the_network_of_docker_is_not_that_of_podman() {
    for name in CLIENTS {
        let program = recording(name);
        let has_bridge = client(&program).may_have_network("bridge");
        assert_eq!(has_bridge, name.starts_with("docker"), "{name}");
    }
}
