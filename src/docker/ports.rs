//! Reads ports as docker writes them into ports as they are shown.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use serde::Deserialize;

use crate::model::container::{ContainerInfo, Port};

/// One host address and port, both text in docker's answer.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Binding {
    host_ip: String,
    host_port: String,
}

/// `NetworkSettings.Ports`: container port to its bindings, `null` where it is exposed but not published.
pub(super) type PortMap = BTreeMap<String, Option<Vec<Binding>>>;

/// Reads the ports of the container called `name`. A port that cannot be read becomes a warning.
///
/// Docker binds a published port to an IPv4 and to an IPv6 address. Such a pair is listed once, with the IPv4 address,
/// in whichever order docker lists it.
pub(super) fn convert(name: &str, ports: &PortMap, warnings: &mut Vec<String>) -> Vec<Port> {
    let mut converted: Vec<Port> = Vec::new();
    for (key, bindings) in ports {
        let (port, network) = parse_key(key).unwrap_or_else(|port| {
            warnings.push(format!(
                "convert docker port: invalid port {key:?} of container {name}"
            ));
            (port, "tcp")
        });
        let bindings = bindings.as_deref().unwrap_or_default();
        if bindings.is_empty() {
            converted.push(Port {
                port,
                network,
                host_ip: None,
                host_port: None,
            });
        }
        for binding in bindings {
            let Some(host_port) = parse_number(&binding.host_port) else {
                warnings.push(format!(
                    "convert docker host port: {:?} of container {name} is not a number from 1 to 65535",
                    binding.host_port
                ));
                continue;
            };
            let published = Port {
                port,
                network,
                host_ip: Some(binding.host_ip.clone()),
                host_port: Some(host_port),
            };
            let is_twin = |earlier: &&mut Port| are_twins(earlier, &published);
            match converted.iter_mut().find(is_twin) {
                None => converted.push(published),
                Some(listed) if is_ipv6(listed) == Some(true) => *listed = published,
                Some(_) => {}
            }
        }
    }
    converted
}

/// Reads `8080`, `8080/tcp`, `8080/udp` or `8080/sctp`. The error is the number if at least that can be read, or 0.
fn parse_key(key: &str) -> Result<(u16, &'static str), u16> {
    let (number, network) = key.split_once('/').unwrap_or((key, "tcp"));
    let port = parse_number(number);
    let network = ["tcp", "udp", "sctp"].into_iter().find(|n| *n == network);
    match (port, network) {
        (Some(port), Some(network)) => Ok((port, network)),
        (port, _) => Err(port.unwrap_or(0)),
    }
}

fn parse_number(text: &str) -> Option<u16> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|port| plain && *port != 0)
}

/// Returns whether both are one port of the host, bound to an IPv4 and to an IPv6 address.
fn are_twins(a: &Port, b: &Port) -> bool {
    let is_one_port = (a.port, a.network, a.host_port) == (b.port, b.network, b.host_port);
    let versions_differ = match (is_ipv6(a), is_ipv6(b)) {
        (Some(a), Some(b)) => a != b,
        _ => true,
    };
    is_one_port && versions_differ && is_local_or_any(a) && is_local_or_any(b)
}

/// `None` for podman's empty address, which stands for both versions.
fn is_ipv6(port: &Port) -> Option<bool> {
    let ip: IpAddr = port.host_ip.as_deref()?.parse().ok()?;
    Some(ip.is_ipv6())
}

/// Returns whether a port is bound to a loopback or an unspecified address, which podman writes as an empty one.
fn is_local_or_any(port: &Port) -> bool {
    match port.host_ip.as_deref() {
        None => false,
        Some("") => true,
        Some(ip) => ip
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_loopback() || ip.is_unspecified()),
    }
}

/// Warns of host ports that several containers hold on different interfaces: a client on the host cannot know which
/// container answers.
pub(super) fn shared_host_ports<'a>(
    containers: impl Iterator<Item = &'a ContainerInfo>,
) -> Vec<String> {
    let mut holders: BTreeMap<(u16, &str), BTreeSet<&str>> = BTreeMap::new();
    for container in containers {
        for port in container.ports.iter().filter(|port| is_local_or_any(port)) {
            let Some(host_port) = port.host_port else {
                continue;
            };
            let ids = holders.entry((host_port, port.network)).or_default();
            ids.insert(&container.id);
        }
    }
    let shared = holders.into_iter().filter(|(_, ids)| ids.len() > 1);
    shared
        .map(|((port, _), ids)| {
            let ids: Vec<&str> = ids.into_iter().collect();
            format!(
                "host port {port} is mapped to multiple containers on different interfaces: {}",
                ids.join(", ")
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Timestamp;
    use crate::model::container::{Pairs, RunState};
    use crate::model::setup::Setup;

    /// `ports` is docker's JSON; `expected` has one `host_ip:host_port->port/network` a port.
    fn check(ports: &str, expected: &[&str], warned: &[&str]) {
        let mut warnings = Vec::new();
        let shown: Vec<String> =
            convert("box", &serde_json::from_str(ports).unwrap(), &mut warnings)
                .iter()
                .map(show)
                .collect();
        assert_eq!(shown, expected, "{ports}");
        assert_eq!(warnings, warned, "{ports}");
    }

    fn show(port: &Port) -> String {
        let inside = format!("{}/{}", port.port, port.network);
        match (&port.host_ip, port.host_port) {
            (Some(ip), Some(host_port)) => format!("{ip}:{host_port}->{inside}"),
            _ => inside,
        }
    }

    #[test]
    fn the_three_right_forms_of_a_key() {
        check(
            r#"{"8081/udp":null,"8080/tcp":[],"53/sctp":null,"9090":null}"#,
            &["53/sctp", "8080/tcp", "8081/udp", "9090/tcp"],
            &[],
        );
    }

    #[test]
    fn a_bad_key_warns_and_reads_as_tcp() {
        for (key, shown) in [
            ("", "0/tcp"),
            ("http/tcp", "0/tcp"),
            ("8080/tcp/udp", "8080/tcp"),
            ("8080/quic", "8080/tcp"),
            ("0/udp", "0/tcp"),
            ("65536/tcp", "0/tcp"),
            ("+80/tcp", "0/tcp"),
        ] {
            check(
                &format!(r#"{{"{key}":null}}"#),
                &[shown],
                &[&format!(
                    "convert docker port: invalid port {key:?} of container box"
                )],
            );
        }
    }

    #[test]
    fn a_bad_host_port_warns_and_is_skipped() {
        for bad in ["", "http", "0", "65536", "-1", "+80"] {
            check(
                &format!(
                    r#"{{"80/tcp":[{{"HostIp":"0.0.0.0","HostPort":"{bad}"}},{{"HostIp":"0.0.0.0","HostPort":"8080"}}]}}"#
                ),
                &["0.0.0.0:8080->80/tcp"],
                &[&format!(
                    "convert docker host port: {bad:?} of container box is not a number from 1 to 65535"
                )],
            );
        }
    }

    #[test]
    fn one_port_on_both_ip_versions_is_listed_once() {
        for (four, six) in [("0.0.0.0", "::"), ("127.0.0.1", "::1"), ("", "::")] {
            check(
                &format!(
                    r#"{{"80/tcp":[{{"HostIp":"{four}","HostPort":"8080"}},{{"HostIp":"{six}","HostPort":"8080"}}]}}"#
                ),
                &[&format!("{four}:8080->80/tcp")],
                &[],
            );
        }
    }

    #[test]
    fn different_host_port_protocol_address_or_container_port_stay_apart() {
        check(
            r#"{"79/tcp":[{"HostIp":"127.0.0.1","HostPort":"79"},{"HostIp":"127.0.0.2","HostPort":"79"}],
                "80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"},{"HostIp":"::","HostPort":"8081"},{"HostIp":"192.0.2.1","HostPort":"8080"}],
                "80/udp":[{"HostIp":"::","HostPort":"8080"}],
                "81/tcp":[{"HostIp":"::1","HostPort":"8080"}]}"#,
            &[
                "127.0.0.1:79->79/tcp",
                "127.0.0.2:79->79/tcp",
                "0.0.0.0:8080->80/tcp",
                ":::8081->80/tcp",
                "192.0.2.1:8080->80/tcp",
                ":::8080->80/udp",
                "::1:8080->81/tcp",
            ],
            &[],
        );
    }

    fn container(id: &str, ip: &str, network: &'static str) -> ContainerInfo {
        ContainerInfo {
            created_at: Timestamp::new(0, 0),
            id: id.into(),
            name: id.into(),
            image: String::new(),
            labels: Pairs::default(),
            running: true,
            ports: vec![Port {
                port: 80,
                network,
                host_ip: Some(ip.into()),
                host_port: Some(8080),
            }],
            run_state: RunState::Running,
            error: None,
            health: None,
            mounts: Default::default(),
            setup: Setup::default(),
            foreign_labels: Box::default(),
        }
    }

    #[test]
    fn one_host_port_of_two_containers_warns() {
        let both = [
            container("b", "127.0.0.1", "tcp"),
            container("a", "::1", "tcp"),
        ];
        assert_eq!(
            shared_host_ports(both.iter()),
            ["host port 8080 is mapped to multiple containers on different interfaces: a, b"]
        );
        let apart = [
            container("b", "127.0.0.1", "tcp"),
            container("a", "::1", "udp"),
        ];
        assert!(shared_host_ports(apart.iter()).is_empty());
        let elsewhere = [
            container("b", "127.0.0.1", "tcp"),
            container("a", "192.0.2.1", "tcp"),
        ];
        assert!(shared_host_ports(elsewhere.iter()).is_empty());
    }
}
