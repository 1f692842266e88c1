//! The description of the API for programs (OpenAPI 3.1).

/// The document, as it is served.
pub(super) const DOCUMENT: &str = include_str!("openapi.json");

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::str::FromStr;
    use std::sync::Arc;

    use serde::Serialize;
    use serde_json::{Value, json};
    use tiny_http::Method;
    use uuid::Uuid;

    use super::*;
    use crate::base::time::Timestamp;
    use crate::http::examples;
    use crate::http::filter::Condition;
    use crate::http::routes::{Action, route};
    use crate::model::api::{
        API_VERSION, Container, ErrorBody, Health, Job, LogLevel, LogLine, LogSource,
    };
    use crate::model::container::{ContainerInfo, RunState};
    use crate::model::error_code::ErrorCode;
    use crate::model::operation::OperationState;

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    fn texts(value: &Value) -> Vec<&str> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one.as_str().unwrap())
            .collect()
    }

    fn keys(value: &Value) -> BTreeSet<String> {
        value.as_object().unwrap().keys().cloned().collect()
    }

    /// The path of each operation, its method, and what the document says of it.
    fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
        let paths = document["paths"].as_object().unwrap().iter();
        let all = paths.flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().iter();
            methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
        });
        all.collect()
    }

    #[test]
    fn every_route_is_described_with_its_parameters() {
        let document = document();
        let mut described: Vec<Action> = Vec::new();
        for (path, method, operation) in operations(&document) {
            let is_of_path = |of: &str| path.contains(&format!("{{{of}}}"));
            let (mut of_query, mut of_path) = (Vec::new(), Vec::new());
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                let reference = parameter["$ref"].as_str().unwrap().trim_start_matches('#');
                let parameter = document.pointer(reference).unwrap();
                let name = parameter["name"].as_str().unwrap();
                match parameter["in"].as_str().unwrap() {
                    "query" => of_query.push(name),
                    "path" => of_path.push(name),
                    _ => {}
                }
            }
            assert_eq!(of_path.len(), path.matches('{').count(), "{path}");
            assert!(of_path.iter().all(|name| is_of_path(name)), "{path}");
            let method = Method::from_str(&method.to_ascii_uppercase()).unwrap();
            let action = route(&method, &path.replace(['{', '}'], "")).unwrap();
            let known = action.parameters().iter().map(|parameter| parameter.name());
            of_query.sort_unstable();
            let mut known: Vec<&str> = known.collect();
            known.sort_unstable();
            assert_eq!(of_query, known, "{method} {path}");
            assert!(!described.contains(&action), "{action:?}");
            described.push(action);
        }
        let table = include_str!("routes.rs").lines().filter(|line| {
            let line = line.trim_start();
            ["(Get, [", "(Post, [", "(Delete, ["]
                .iter()
                .any(|begin| line.starts_with(begin))
                // The files of the status page are for browsers.
                && !line.contains("page::file")
        });
        assert_eq!(
            described.len(),
            table.count(),
            "each line of the table of routes"
        );
    }

    /// Checks the fields of a schema against all those that `examples` have, and those that each of them has.
    #[track_caller]
    fn check<T: Serialize>(schema: &str, examples: &[T]) {
        let document = document();
        let schema = &document["components"]["schemas"][schema];
        let examples: Vec<BTreeSet<String>> = examples
            .iter()
            .map(|example| keys(&serde_json::to_value(example).unwrap()))
            .collect();
        let any = examples.iter().flatten().cloned().collect();
        assert_eq!(keys(&schema["properties"]), any);
        let each = |field: &&String| examples.iter().all(|example| example.contains(*field));
        let required = texts(&schema["required"]);
        let required: BTreeSet<&str> = required.into_iter().collect();
        let each: BTreeSet<&str> = any.iter().filter(each).map(String::as_str).collect();
        assert_eq!(required, each);
    }

    #[test]
    fn every_field_is_described() {
        let plain = examples::plain_container();
        let ended = Container {
            info: Arc::new(ContainerInfo {
                run_state: RunState::Exited(3),
                health: None,
                ..(*plain.info).clone()
            }),
            ..plain
        };
        check("Container", &[ended, examples::dirty_container()]);
        let full = examples::full_devcontainer();
        let job = full.job.unwrap();
        let begun = Job {
            phase: None,
            finished_at: None,
            ..job
        };
        check("Job", &[job, begun]);
        check("Change", &full.changes);
        let mut ports = full.forward_ports.to_vec();
        ports[0].host = None;
        ports[0].label = None;
        check(
            "ForwardPort",
            &[full.forward_ports.to_vec(), ports].concat(),
        );
        check("Port", &full.container.as_ref().unwrap().info.ports);
        let mount = json!({"type": "bind", "destination": "/d", "read_only": false});
        let mut named = mount.clone();
        named["name"] = json!("v");
        named["source"] = json!("/s");
        check("Mount", &[mount, named]);
        check("Devcontainer", &[examples::bare_devcontainer(), full]);
        let line = |outcome| LogLine {
            source: Arc::new(LogSource {
                id: Uuid::nil(),
                devcontainer_id: Uuid::nil(),
                devcontainer_name: "app".into(),
            }),
            created_at: Timestamp::new(0, 0),
            level: LogLevel::Info,
            output: "x".into(),
            outcome,
        };
        check("LogLine", &[line(None), line(Some(OperationState::Failed))]);
        let ready = |warnings: &[&str]| Health::Ready {
            warnings: warnings.iter().map(|one| (*one).to_owned()).collect(),
        };
        check("Health", &[Health::Ok, ready(&[]), ready(&["w"])]);
        check(
            "Error",
            &[ErrorBody {
                code: ErrorCode::Closing,
                message: "",
                detail: "",
            }],
        );
    }

    #[test]
    fn the_words_of_the_document_are_those_of_the_daemon() {
        let document = document();
        assert_eq!(document["info"]["version"], API_VERSION);
        let components = &document["components"];
        let codes = texts(&components["schemas"]["Error"]["properties"]["code"]["enum"]);
        assert_eq!(codes, ErrorCode::ALL.map(|code| code.row().1));
        let conditions = texts(&components["parameters"]["until"]["schema"]["enum"]);
        assert_eq!(conditions, Condition::ALL.map(Condition::as_str));
        // Whoever reads one of these has to know all of them.
        let types = &components["schemas"]["Event"]["properties"]["type"]["enum"];
        let documented = include_str!("../../docs/api.md");
        for word in texts(types) {
            assert!(documented.contains(&format!("| `{word}` |")), "{word}");
        }
    }
}
