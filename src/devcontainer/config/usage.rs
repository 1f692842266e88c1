//! The properties of a configuration by which tools work in the container.

use serde_json::{Map, Value};

use super::references::is_compose;
use super::substitute::{Environment, substitute};
use crate::model::inputs::{ForwardPort, Usage};
use crate::model::location::CliPaths;

/// Maximum number of forwarded ports.
const MAX_PORTS: usize = 100;

/// Returns the usage that the configuration at `paths` says.
pub fn usage(paths: &CliPaths, config: &Value, environment: Environment<'_>) -> Usage {
    let text = |property: &str| {
        let text = config.get(property)?.as_str()?;
        let text = substitute(text, paths, environment).into_string().ok()?;
        (!text.is_empty()).then(|| text.into())
    };
    Usage {
        remote_user: text("remoteUser"),
        workspace_folder: text("workspaceFolder"),
        is_compose: is_compose(config) && config.get("dockerComposeFile").is_some(),
        forward_ports: forward_ports(config),
    }
}

/// Returns the ports of `forwardPorts`: `3000`, `"3000"` or `"db:5432"`. Anything else is left out.
fn forward_ports(config: &Value) -> Box<[ForwardPort]> {
    let ports = config.get("forwardPorts").and_then(Value::as_array);
    let attributes = config.get("portsAttributes").and_then(Value::as_object);
    let read = |port: &Value| {
        let (host, port) = match port {
            Value::String(text) => match text.rsplit_once(':') {
                Some((host, port)) => (host, port.parse().ok()?),
                None => ("", text.parse().ok()?),
            },
            number => ("", u16::try_from(number.as_u64()?).ok()?),
        };
        let host = (!["", "localhost"].contains(&host)).then_some(host);
        Some(ForwardPort {
            port,
            host: host.map(Into::into),
            label: attributes.and_then(|all| label(all, host, port)),
        })
    };
    let ports = ports.into_iter().flatten().filter_map(read);
    ports.filter(|one| one.port != 0).take(MAX_PORTS).collect()
}

/// Returns the label of a port. Keys are a port, `HOST:PORT` or a range such as `40000-55000`; those that are regular
/// expressions for command lines are not for forwarded ports.
fn label(attributes: &Map<String, Value>, host: Option<&str>, port: u16) -> Option<Box<str>> {
    let is_in = |range: &str| {
        let (first, last) = range.split_once('-')?;
        let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
        Some((first..=last).contains(&port))
    };
    let is_key = |key: &str| match key.rsplit_once(':') {
        Some((of, text)) => Some(of) == host.or(Some("localhost")) && text.parse() == Ok(port),
        None if host.is_some() => false,
        None => key.parse() == Ok(port) || is_in(key) == Some(true),
    };
    let mut labels = attributes.iter().filter(|(key, _)| is_key(key));
    let label = labels.find_map(|(_, one)| one.get("label")?.as_str());
    label.filter(|label| !label.is_empty()).map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn forwarded_ports_have_the_labels_of_their_attributes() {
        let config = json!({
            "forwardPorts": [3000, "db:5432", "8080", 41000, 0, 70000, "x", "db:x", null, {}, "localhost:9"],
            "portsAttributes": {
                "3000": {"label": "App"},
                "db:5432": {"label": "Database", "protocol": "http"},
                "5432": {"label": "another's"},
                "8080": {"label": ""},
                "40000-55000": {"label": "Many"},
                "localhost:9": {"label": "Nine"},
                ".+\\/server.js": {"label": "no port"},
            },
        });
        let port = |port, host: Option<&str>, label: Option<&str>| ForwardPort {
            port,
            host: host.map(Into::into),
            label: label.map(Into::into),
        };
        let expected = [
            port(3000, None, Some("App")),
            port(5432, Some("db"), Some("Database")),
            port(8080, None, None),
            port(41000, None, Some("Many")),
            port(9, None, Some("Nine")),
        ];
        assert_eq!(*forward_ports(&config), expected);
        for nothing in [json!({}), json!({"forwardPorts": 3000})] {
            assert_eq!(*forward_ports(&nothing), [], "{nothing}");
        }
        let many = json!({"forwardPorts": (1..=200).collect::<Vec<_>>()});
        assert_eq!(forward_ports(&many).len(), MAX_PORTS);
    }

    #[test]
    fn variables_are_replaced_and_empty_texts_are_nothing() {
        let paths = CliPaths {
            folder: "/f/w".into(),
            config: "/f/w/.devcontainer.json".into(),
        };
        let environment = |name: &str| (name == "USER").then(|| "me".into());
        let check = |config: Value, user: Option<&str>, folder: Option<&str>, is_compose: bool| {
            let expected = Usage {
                remote_user: user.map(Into::into),
                workspace_folder: folder.map(Into::into),
                is_compose,
                forward_ports: Box::default(),
            };
            assert_eq!(usage(&paths, &config, &environment), expected, "{config}");
        };
        check(json!({"image": "x"}), None, None, false);
        check(
            json!({
                "dockerComposeFile": "c.yml",
                "remoteUser": "${localEnv:USER}",
                "workspaceFolder": "/src/${localWorkspaceFolderBasename}",
            }),
            Some("me"),
            Some("/src/w"),
            true,
        );
        let image_counts = json!({"image": "x", "dockerComposeFile": "c.yml", "remoteUser": "", "workspaceFolder": 7});
        check(image_counts, None, None, false);
    }
}
