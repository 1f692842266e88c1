//! Routes, methods and the form of responses.

use super::lifecycle::{runs, start};
use crate::common::{Daemon, Response, Sandbox, container_id};

const PREFIX: &str = "/api/v0/containers";
const JSON: &str = "application/json; charset=utf-8";

/// Every way to write a path.
fn ways(path: &str) -> [String; 4] {
    let plain = path.trim_end_matches('/');
    [
        if plain.is_empty() { "/" } else { plain }.to_owned(),
        format!("{plain}/"),
        format!("{PREFIX}{plain}"),
        format!("{PREFIX}{plain}/"),
    ]
}

pub(super) fn with_app() -> (Sandbox, Daemon) {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().start();
    (sandbox, daemon)
}

#[track_caller]
fn assert_json(response: &Response) {
    assert_eq!(response.headers["content-type"], JSON, "{response:?}");
    assert_eq!(
        response.headers["content-length"],
        response.body.len().to_string()
    );
    let one_line = response.body.ends_with('\n') && response.body.lines().count() == 1;
    assert!(one_line, "{response:?}");
    assert!(response.json().is_object());
}

#[test]
fn every_reading_route_answers_get_and_head_in_every_way_to_write_it() {
    let (_sandbox, daemon) = with_app();
    for path in [
        "/",
        "/devcontainers",
        "/devcontainers/app",
        "/healthz",
        "/readyz",
        "/version",
    ] {
        let expected = daemon.get(path);
        assert_eq!(expected.status, 200, "{path}: {expected:?}");
        assert_json(&expected);
        for way in ways(path) {
            let got = daemon.get(&way);
            assert_eq!((got.status, &got.body), (200, &expected.body), "{way}");
            let head = daemon.request("HEAD", &way, "");
            assert_eq!((head.status, head.body.as_str()), (200, ""), "{way}");
            let without_date = |response: &Response| {
                let mut headers = response.headers.clone();
                headers.remove("date").expect("a Date");
                headers
            };
            assert_eq!(without_date(&head), without_date(&got), "{way}");
        }
    }
}

#[test]
fn logs_answer_get_and_head_in_every_way_to_write_it() {
    let (_sandbox, daemon) = with_app();
    assert_eq!(
        daemon.post("/devcontainers/app/recreate?wait=true").status,
        204
    );
    let expected = daemon.get("/devcontainers/app/logs").body;
    assert!(expected.lines().count() >= 2, "{expected}");
    for way in ways("/devcontainers/app/logs") {
        let got = daemon.get(&way);
        assert_eq!((got.status, &got.body), (200, &expected), "{way}");
        let mut head = daemon.client();
        head.send(daemon.head("HEAD", &way, ""));
        let headers = head.read_head().headers;
        assert_eq!(headers["content-type"], "application/x-ndjson");
        assert_eq!(headers["transfer-encoding"], "chunked");
        head.send(daemon.head("GET", "/healthz", ""));
        assert_eq!(head.answer().status, 200, "nothing came between");
    }
}

#[test]
fn every_acting_route_answers_post_in_every_way_to_write_it() {
    let (sandbox, daemon) = with_app();
    let id = daemon.devcontainer()["id"].as_str().unwrap().to_owned();
    for way in ways("/devcontainers/container/made/recreate") {
        let way = match sandbox.calls("devcontainer", "up") {
            0 => way.replace("made", "box1"),
            _ => way,
        };
        let response = daemon.post(&way);
        assert_eq!((response.status, response.body.as_str()), (204, ""));
        for absent in ["content-length", "transfer-encoding", "content-type"] {
            assert!(!response.headers.contains_key(absent), "{response:?}");
        }
    }
    assert_eq!(sandbox.calls("devcontainer", "up"), 4);
    for (number, way) in ways("/devcontainers/app/recreate").into_iter().enumerate() {
        let response = daemon.post(&way);
        assert_eq!(response.status, 202, "{response:?}");
        assert_json(&response);
        assert_eq!(response.json()["id"], id);
        assert_eq!(response.json()["job"]["kind"], "recreate");
        assert_eq!(response.json()["job"]["state"], "running");
        assert_eq!(response.json()["status"], "starting");
        let location = response.headers["location"].clone();
        let prefix = if number < 2 { "" } else { PREFIX };
        assert_eq!(location, format!("{prefix}/devcontainers/{id}/logs"));
        let log = daemon.get(&format!("{location}?follow=true"));
        assert!(log.body.contains("recreate succeeded"), "{log:?}");
    }
    let response = daemon.post(&format!("/devcontainers/{id}/recreate?wait=true"));
    assert_eq!((response.status, response.body.as_str()), (204, ""));
    assert_eq!(sandbox.calls("devcontainer", "up"), 9);
}

#[test]
fn a_container_is_recreated_by_id_name_and_prefix() {
    let (sandbox, daemon) = with_app();
    let recreate = |container: &str| {
        let path = format!("/devcontainers/container/{container}/recreate");
        daemon.post(&path)
    };
    assert_eq!(recreate(&container_id(1)).status, 204);
    let id = daemon.devcontainer()["container"]["id"].clone();
    let id = id.as_str().unwrap();
    assert_ne!(id, container_id(1));
    assert_eq!(recreate("made").status, 204);
    let id = daemon.devcontainer()["container"]["id"].clone();
    let id = id.as_str().unwrap();
    assert_eq!(recreate(&id[..63]).status, 204);
    let short = "no container has the name or id \"00000000000\"";
    recreate("00000000000").assert_error(404, "Container not found", short);
    assert_eq!(sandbox.calls("devcontainer", "up"), 3);
}

#[test]
fn wrong_methods_say_which_are_right() {
    let (sandbox, daemon) = with_app();
    for (path, allowed) in [
        ("/", "GET, HEAD"),
        ("/devcontainers", "GET, HEAD, POST"),
        ("/devcontainers/app", "GET, HEAD, DELETE"),
        ("/devcontainers/app/logs", "GET, HEAD"),
        ("/healthz", "GET, HEAD"),
        ("/readyz", "GET, HEAD"),
        ("/version", "GET, HEAD"),
        ("/devcontainers/app/recreate", "POST"),
        ("/devcontainers/app/start", "POST"),
        ("/devcontainers/app/stop", "POST"),
        ("/devcontainers/app/cancel", "POST"),
        ("/devcontainers/container/box1/recreate", "POST"),
        ("/devcontainers/container//recreate", "POST"),
    ] {
        for way in ways(path) {
            let wrong = match allowed {
                "POST" => "GET",
                "GET, HEAD, POST" => "DELETE",
                _ => "POST",
            };
            for method in [wrong, "PUT", "PATCH", "OPTIONS", "TRACE", "get", "BREW"] {
                let response = daemon.request(method, &way, "");
                response.assert_error(405, "Method not allowed", &format!("only {allowed}"));
                assert_eq!(response.headers["allow"], allowed, "{method} {way}");
                assert_json(&response);
            }
        }
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}

#[test]
fn head_of_what_is_wrong_has_no_body_either() {
    let (_sandbox, daemon) = with_app();
    for (path, status) in [
        ("/nope", 404),
        ("/devcontainers/none", 404),
        ("/devcontainers/app/recreate", 405),
        ("/devcontainers/%zz", 400),
    ] {
        let head = daemon.request("HEAD", path, "");
        assert_eq!((head.status, head.body.as_str()), (status, ""), "{path}");
        assert_ne!(head.headers["content-length"], "0");
    }
}

#[test]
fn unknown_paths_are_not_found() {
    let (_sandbox, daemon) = with_app();
    for path in [
        "/nope",
        "//healthz",
        "/healthz//",
        "/healthz/x",
        "/Healthz",
        "/api",
        "/api/v0",
        "/api/v0/containersx",
        "/api/v0/containers/nope",
        "/api/v0/containers/api/v0/containers",
        "/devcontainers/app/",
        "/devcontainers/app/nope",
        "/devcontainers/app/logs/x",
        "/devcontainers/container/box1",
        "/devcontainers/../healthz",
        "/./healthz",
        "/healthz%2F",
        "/favicon.ico",
    ] {
        let response = daemon.get(path);
        match path {
            "/devcontainers/app/" => assert_eq!(response.status, 200),
            _ => {
                response.assert_error(404, "Not found", path);
                assert_json(&response);
            }
        }
    }
    daemon
        .post("/nope")
        .assert_error(404, "Not found", "no route matches /nope");
}

#[test]
fn percent_encoding_is_decoded() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("a b?é%2F");
    sandbox.devcontainer_of(1, &folder);
    let daemon = sandbox.daemon().start();
    let name = "a b?é%2F";
    let encoded = "a%20b%3f%C3%A9%252F";
    assert_eq!(daemon.devcontainer()["name"], name);
    let one = daemon.json(&format!("/devcontainers/{encoded}"));
    assert_eq!(one["name"], name);
    assert_eq!(daemon.json(&format!("/%64evcontainers/{encoded}/?")), one);
    assert_eq!(daemon.get("/%68ealthz").status, 200);
    let response = daemon.post(&format!("/devcontainers/{encoded}/recreate?wait=%74rue"));
    assert_eq!(response.status, 204);
    for bad in ["%", "%4", "%zz", "%ff", "%C3", "a%00%"] {
        let response = daemon.get(&format!("/devcontainers/{bad}"));
        response.assert_error(400, "Bad request", "not valid percent-encoded UTF-8");
    }
    let nul = daemon.get("/devcontainers/app%00");
    nul.assert_error(404, "Devcontainer not found", "app\\0");
    let split = daemon.get("/devcontainers/x%0d%0aSet-Cookie:%20y");
    split.assert_error(404, "Devcontainer not found", "Set-Cookie");
    assert!(!split.headers.contains_key("set-cookie"));
}

#[test]
fn queries_that_make_no_sense_are_refused() {
    let (sandbox, daemon) = with_app();
    for (query, detail) in [
        ("wait=maybe", "wait should be true or false"),
        ("follow=2", "follow should be true or false"),
        ("offset=-1", "offset should be the number of a line"),
        ("offset=18446744073709551616", "offset should be"),
        ("format=xml", "format should be json or text"),
        ("wait=true&wait=true", "wait should be given once"),
        (
            "wiat=true",
            "the query parameter \"wiat\" means nothing here: the route takes wait, follow, format, offset",
        ),
        ("wait&all", "\"all\" means nothing here"),
        ("%00=1", "\"\\0\" means nothing here"),
        (
            "format=text",
            "format is for the log of the operation, which follow=true asks for",
        ),
        (
            "offset=1&follow=false",
            "offset is for the log of the operation",
        ),
    ] {
        for path in ["app/recreate", "container/box1/recreate"] {
            let response = daemon.post(&format!("/devcontainers/{path}?{query}"));
            response.assert_error(400, "Bad request", detail);
        }
    }
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
    for path in [
        "/",
        "/healthz",
        "/readyz",
        "/version",
        "/openapi.json",
        "/containers/box1",
        "/api/v0/containers",
    ] {
        for name in ["wait", "x"] {
            let detail = format!("\"{name}\" means nothing here: the route takes none");
            let response = daemon.get(&format!("{path}?{name}=true"));
            response.assert_error(400, "Bad request", &detail);
        }
        assert_eq!(daemon.get(&format!("{path}?&")).status, 200, "{path}");
    }
    let events = daemon.get("/events?follow=true");
    events.assert_error(
        400,
        "Bad request",
        "the route takes format, name, type, until",
    );
    let logs = daemon.get("/devcontainers/app/logs?wait=true");
    logs.assert_error(400, "Bad request", "the route takes follow, format, offset");
    let cancel = daemon.post("/devcontainers/app/cancel?wait=true");
    cancel.assert_error(400, "Bad request", "the route takes none");
    let stop = daemon.post("/devcontainers/app/stop?al=true");
    stop.assert_error(
        400,
        "Bad request",
        "the route takes wait, follow, all, format, offset",
    );
}

#[test]
fn readyz_names_what_is_missing() {
    let sandbox = Sandbox::new();
    std::fs::remove_file(sandbox.path("bin/devcontainer")).unwrap();
    std::fs::remove_file(sandbox.path("bin/docker")).unwrap();
    let bin = sandbox.path("bin").display().to_string();
    let daemon = sandbox.daemon().env("PATH", &bin).start();
    let response = daemon.get("/readyz");
    response.assert_error(503, "Not ready", "docker");
    response.assert_error(503, "Not ready", "devcontainer");
    assert_eq!(daemon.get("/healthz").status, 200);
}

#[test]
fn other_methods_are_refused_with_those_that_are_allowed() {
    let (sandbox, daemon) = start("");
    for (method, path, allowed) in [
        ("GET", "/start", "POST"),
        ("DELETE", "/stop", "POST"),
        ("PUT", "/cancel", "POST"),
        ("HEAD", "/recreate", "POST"),
        ("POST", "", "GET, HEAD, DELETE"),
        ("DELETE", "/logs", "GET, HEAD"),
    ] {
        let answer = daemon.request(method, &format!("/devcontainers/app{path}"), "");
        assert_eq!(answer.status, 405, "{method} {path}: {answer:?}");
        assert_eq!(answer.headers["allow"], allowed, "{method} {path}");
    }
    for path in ["/start", "/stop", "/cancel"] {
        daemon
            .post(&format!("/devcontainers/nope{path}"))
            .assert_error(404, "Devcontainer not found", "nope");
        assert_eq!(daemon.post(path).status, 404);
    }
    assert_eq!(daemon.delete("/devcontainers").status, 405);
    let malformed = daemon.delete("/devcontainers/app?wait=maybe");
    assert_eq!(malformed.status, 400, "{malformed:?}");
    assert!(runs(&sandbox, 1), "nothing was done");
    assert_eq!(sandbox.calls("devcontainer", ""), 0);
}
