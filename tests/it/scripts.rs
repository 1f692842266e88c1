//! What scripts and editors use: revisions, waits, parts of the stream, the description, and the clients of the
//! documentation.

use std::fs;
use std::io::Write;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use super::http::with_app;
use crate::common::client::Client;
use crate::common::{Daemon, Sandbox, container_id, eventually};

const APP: &str = "/devcontainers/app";

/// The dev container `app`, and a daemon that follows events.
fn following() -> (Sandbox, Daemon) {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.following_daemon().start();
    (sandbox, daemon)
}

/// Sets the status of the container of `app`, and emits an event.
fn set_status(sandbox: &Sandbox, status: &str) {
    let state = json!({"Status": status, "Running": status == "running", "ExitCode": 3});
    let folder = sandbox.path("work/app");
    sandbox.container(1).of(&folder).set("State", state).save();
    sandbox.event(1, "die");
}

#[test]
fn an_answer_is_not_sent_again_to_a_client_that_has_it() {
    let (sandbox, daemon) = with_app();
    let container = format!("/containers/{}", container_id(1));
    for path in ["/", "/devcontainers", APP, container.as_str()] {
        let first = daemon.get(path);
        assert_eq!(first.headers["cache-control"], "no-cache", "{path}");
        let version = env!("CARGO_PKG_VERSION");
        assert_eq!(first.headers["devcontainerd-version"], version, "{path}");
        let tag = &first.headers["etag"];
        for (tags, expected) in [
            (tag.clone(), 304),
            (format!("\"1\", W/{tag}"), 304),
            ("*".to_owned(), 304),
            ("\"1\"".to_owned(), 200),
        ] {
            let header = format!("If-None-Match: {tags}\r\n");
            let again = daemon.request("GET", path, &header);
            assert_eq!(again.status, expected, "{path} {tags}");
            assert_eq!(again.headers["etag"], *tag, "{path}");
            assert_eq!(again.body.is_empty(), expected == 304, "{path}");
        }
        // The connection goes on after an answer without a body and without a length.
        let mut client = daemon.client();
        for _ in 0..2 {
            client.send(daemon.head("GET", path, &format!("If-None-Match: {tag}\r\n")));
            assert_eq!(client.read_head().status, 304);
        }
    }
    let tag = daemon.get(APP).headers["etag"].clone();
    fs::write(sandbox.config("app"), r#"{"image": "other"}"#).unwrap();
    let changed = daemon.request("GET", APP, &format!("If-None-Match: {tag}\r\n"));
    assert_eq!(
        (changed.status, &changed.json()["dirty"]),
        (200, &json!(true))
    );
    assert_eq!(
        changed.headers["etag"],
        format!("\"{}\"", changed.json()["revision"])
    );

    sandbox.docker("echo no >&2; exit 1");
    let stale = eventually("docker is asked again", || {
        let answer = daemon.request("GET", APP, "If-None-Match: *\r\n");
        answer.headers.contains_key("age").then_some(answer)
    });
    assert_eq!(stale.status, 200, "an old list says nothing about now");
    assert_eq!(stale.headers.get("etag"), None);
    assert_eq!(stale.headers["cache-control"], "no-store");
    assert_eq!(daemon.get("/nope").headers["cache-control"], "no-store");
}

#[test]
fn a_container_is_shown_by_id_name_or_prefix() {
    let (sandbox, daemon) = with_app();
    let shown = &daemon.json("/")["containers"][0];
    for name in [&*container_id(1), &container_id(1)[..12], "box1"] {
        let mut one = daemon.json(&format!("/containers/{name}"));
        assert!(
            one.as_object_mut()
                .unwrap()
                .remove("revision")
                .unwrap()
                .is_u64()
        );
        assert_eq!(one, *shown);
    }
    let missing = daemon.get("/containers/nope");
    missing.assert_error(404, "Container not found", "nope");
    assert_eq!(missing.json()["code"], "container_not_found");
    let empty = daemon.get("/api/v0/containers/containers//");
    empty.assert_error(400, "Missing container ID or name", "/containers/");
    sandbox.container(2).save();
    assert_eq!(
        daemon.json("/containers/box2")["name"],
        "box2",
        "a new one is found"
    );
    let prefix = &container_id(1)[..12];
    let ambiguous = daemon.get(&format!("/containers/{prefix}"));
    ambiguous.assert_error(409, "Ambiguous container ID", prefix);
}

#[test]
fn the_exit_code_the_health_and_the_mounts_of_a_container_are_shown() {
    let sandbox = Sandbox::new();
    let health = json!({"Status": "running", "Running": true, "Health": {"Status": "unhealthy"}});
    let mounts =
        json!([{"Type": "volume", "Name": "v", "Source": "/s", "Destination": "/d", "RW": false}]);
    sandbox
        .container(1)
        .set("State", health)
        .set("Mounts", mounts)
        .save();
    let exited = json!({"Status": "exited", "ExitCode": 3, "Health": {"Status": "unhealthy"}});
    sandbox.container(2).set("State", exited).save();
    let daemon = sandbox.daemon().start();
    let [one, two] = ["box1", "box2"].map(|name| daemon.json(&format!("/containers/{name}")));
    assert_eq!(
        (&one["health"], one.get("exit_code")),
        (&json!("unhealthy"), None)
    );
    assert_eq!((two.get("health"), &two["exit_code"]), (None, &json!(3)));
    let mount = json!({"type": "volume", "name": "v", "source": "/s", "destination": "/d", "read_only": true});
    assert_eq!(one["mounts"], json!([mount]));
    assert_eq!(two["mounts"], json!([]));
}

#[test]
fn a_long_poll_is_answered_by_the_next_change_or_when_its_time_is_over() {
    let (sandbox, daemon) = following();
    let revision = daemon.json(APP)["revision"].clone();
    let poll = |wait: u32| format!("{APP}?wait={wait}&revision={revision}");
    let unchanged = daemon.json(&poll(0));
    assert_eq!(unchanged["revision"], revision);
    let header = format!("If-None-Match: \"{revision}\"\r\n");
    assert_eq!(daemon.request("GET", &poll(1), &header).status, 304);

    let mut client = daemon.client();
    client.send(daemon.head("GET", &poll(300), ""));
    daemon.follows();
    assert!(!client.is_readable(), "it waits");
    set_status(&sandbox, "exited");
    let changed = client.answer().json();
    assert_eq!(changed["status"], "stopped");
    assert_eq!(changed["container"]["exit_code"], 3);
    assert!(changed["revision"].as_u64() > revision.as_u64());
    assert_eq!(daemon.json(&poll(300)), changed, "at once");

    for (query, detail) in [
        ("wait=301&revision=1", "0 to 300"),
        ("wait=true&revision=1", "0 to 300"),
        ("wait=1", "together"),
        ("wait=1&revision=x", "revision should be"),
    ] {
        let bad = daemon.get(&format!("{APP}?{query}"));
        bad.assert_error(400, "Bad request", detail);
    }
    assert_eq!(daemon.get("/devcontainers/x?wait=9&revision=1").status, 404);
}

/// P19
#[test]
fn p19_long_polls_count_as_streams_and_give_their_places_back() {
    let (_sandbox, daemon) = with_app();
    let revision = || daemon.json(APP)["revision"].clone();
    let poll = |revision: &Value| {
        let mut client = daemon.client();
        let path = format!("{APP}?wait=300&revision={revision}");
        client.send(daemon.head("GET", &path, ""));
        client
    };
    let (clients, refused) = eventually("all places are taken", || {
        let known = revision();
        let clients: Vec<Client> = (0..32).map(|_| poll(&known)).collect();
        // They are answered where the dev container has changed once more, or those of the last try still have places.
        while !clients.iter().any(Client::is_readable) {
            let answer = daemon.get("/events?name=app&until=running");
            if answer.status == 503 {
                return Some((clients, answer));
            }
        }
        None
    });
    assert_eq!(refused.json()["code"], "too_many_streams");
    drop(clients);
    eventually("they are given back", || {
        let answer = daemon.get("/events?name=app&until=running");
        (answer.status == 200).then_some(())
    });
    let mut last = poll(&revision());
    daemon.signal("TERM");
    let answer = last.answer();
    assert_eq!(
        (answer.status, &answer.json()["code"]),
        (503, &json!("closing"))
    );
}

#[test]
fn a_stream_can_be_of_one_dev_container_and_of_some_types() {
    let sandbox = Sandbox::with_app();
    sandbox.devcontainer_of(2, &sandbox.workspace("other"));
    let daemon = sandbox.following_daemon().start();
    let (_, mut its) = daemon.stream("GET", "/events?name=app", "");
    let first = its.json_line().unwrap();
    let names = |list: &Value| -> Vec<String> {
        let all = list.as_array().unwrap().iter();
        all.map(|one| one["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(names(&first["containers"]), ["box1"]);
    assert_eq!(names(&first["devcontainers"]), ["app"]);
    let path = "/events?type=devcontainer,warnings";
    let (_, mut some) = daemon.stream("GET", path, "Accept: text/event-stream\r\n");
    assert_eq!(some.line().unwrap(), "retry: 1000");
    assert_eq!(some.line().unwrap(), "");
    assert!(some.line().unwrap().starts_with("id: "));
    assert_eq!(some.line().unwrap(), "event: snapshot");
    let snapshot = some.line().unwrap();
    let snapshot: Value = serde_json::from_str(snapshot.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!(snapshot["containers"], json!([]));
    assert_eq!(names(&snapshot["devcontainers"]), ["app", "other"]);
    assert_eq!(some.line().unwrap(), "");

    daemon.follows();
    sandbox.change(3, "running");
    set_status(&sandbox, "exited");
    let [container, devcontainer] = [its.json_line().unwrap(), its.json_line().unwrap()];
    assert_eq!(
        (&container["type"], &container["name"]),
        (&json!("container"), &json!("box1"))
    );
    assert_eq!(devcontainer["type"], "devcontainer");
    assert!(some.line().unwrap().starts_with("id: "));
    assert_eq!(some.line().unwrap(), "event: devcontainer");
    assert!(some.line().unwrap().contains("\"name\":\"app\""));

    for (query, detail) in [
        ("type=x", "type should be"),
        ("until=idle", "name should name"),
        ("name=app&until=x", "until should be"),
        ("name=", "name should be"),
    ] {
        let bad = daemon.get(&format!("/events?{query}"));
        bad.assert_error(400, "Bad request", detail);
    }
    daemon
        .get("/events?name=x")
        .assert_error(404, "Devcontainer not found", "x");
}

#[test]
fn a_stream_with_a_condition_ends_when_that_holds() {
    let (sandbox, daemon) = following();
    let path = "/events?name=app&until=stopped";
    let (_, mut json) = daemon.stream("GET", path, "");
    let (_, mut text) = daemon.stream("GET", &format!("{path}&type=warnings&format=text"), "");
    assert_eq!(json.json_line().unwrap()["type"], "snapshot");
    assert_eq!(text.line().unwrap(), "", "it has begun");
    daemon.follows();
    set_status(&sandbox, "exited");
    let last = eventually("the last line", || {
        let line = json.json_line().unwrap();
        (line["type"] == "end").then_some(line)
    });
    assert_eq!(
        (&last["until"], &last["met"]),
        (&json!("stopped"), &json!(true))
    );
    assert_eq!(json.line(), None);
    assert_eq!(text.line().unwrap(), "until stopped: met");
    assert_eq!(text.line(), None);
    let at_once = daemon.get(path);
    assert_eq!(at_once.body.lines().count(), 2, "{at_once:?}");

    let (_, mut gone) = daemon.stream("GET", "/events?name=app&until=running", "");
    fs::remove_dir_all(sandbox.path("work/app")).unwrap();
    sandbox.remove_container(1);
    sandbox.event(1, "destroy");
    let last = eventually("the last line", || {
        let line = gone.json_line().unwrap();
        (line["type"] == "end").then_some(line)
    });
    assert_eq!(last["met"], false);
    assert_eq!(gone.line(), None);
}

#[test]
fn the_forwarded_ports_are_those_of_the_configuration_on_disk() {
    let config = r#"{"image": "base", "forwardPorts": [3000, "db:5432"], "portsAttributes": {"3000": {"label": "App"}}}"#;
    let sandbox = Sandbox::with_app_of(config);
    let daemon = sandbox.daemon().start();
    let expected = json!([{"port": 3000, "label": "App"}, {"port": 5432, "host": "db"}]);
    assert_eq!(daemon.devcontainer()["forward_ports"], expected);
    fs::write(sandbox.config("app"), r#"{"image": "base"}"#).unwrap();
    assert_eq!(daemon.devcontainer()["forward_ports"], json!([]));
}

#[test]
fn the_description_has_the_version_of_the_api() {
    let (_sandbox, daemon) = with_app();
    let document = daemon.json("/openapi.json");
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(
        document["info"]["version"],
        daemon.json("/version")["api_version"]
    );
}

/// Returns the program in this language that the documentation shows, and that begins with such a comment.
fn documented(language: &str, comment: &str) -> String {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api.md")).unwrap();
    let begin = format!("\n```{language}\n");
    let blocks = text.split(&begin).skip(1);
    let mut programs = blocks.filter_map(|block| block.split("\n```\n").next());
    let program = programs.find(|one| one.contains(comment)).unwrap();
    assert!(program.lines().count() <= 50, "{language}");
    program.to_owned() + "\n"
}

/// Runs a program of the documentation against a daemon.
fn run(interpreter: &str, program: &str, arguments: &[&str], url: &str) -> (Option<i32>, String) {
    let mut command = Command::new(interpreter);
    // Both read the program from their standard input.
    command.args(if interpreter == "bash" {
        ["-s", "--"].as_slice()
    } else {
        &["-"]
    });
    let mut child = command
        .args(arguments)
        .env("DEVCONTAINERD_URL", url)
        .env("no_proxy", "*")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(program.as_bytes())
        .unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let said = String::from_utf8(stdout).unwrap() + &String::from_utf8(stderr).unwrap();
    (status.code(), said)
}

#[test]
fn the_client_in_bash_works() {
    let (sandbox, daemon) = with_app();
    let program = documented("bash", "# dc recreate|");
    let url = format!("http://{}", daemon.address);
    let dc = |arguments: &[&str]| run("bash", &program, arguments, &url);
    let (status, said) = dc(&["recreate", "app"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("recreate succeeded after"), "{said}");
    assert!(!said.contains("outcome"), "{said}");
    for condition in ["clean", "idle", "running"] {
        assert_eq!(dc(&["wait", "app", condition]).0, Some(0), "{condition}");
    }
    sandbox.devcontainer("echo no >&2; exit 1");
    let (status, said) = dc(&["recreate", "app"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("recreate failed after"), "{said}");
    let (status, said) = dc(&["start", "nope"]);
    assert_eq!(status, Some(3), "{said}");
    assert!(said.contains("devcontainer_not_found"), "{said}");
    assert_eq!(dc(&["wait", "app"]).0, Some(2));
    sandbox.devcontainer("sleep 60");
    std::thread::scope(|scope| {
        let recreate = scope.spawn(|| dc(&["recreate", "app"]));
        eventually("it is cancelled", || {
            (daemon.post(&format!("{APP}/cancel")).status == 204).then_some(())
        });
        assert_eq!(recreate.join().unwrap().0, Some(4));
    });
    assert_eq!(
        run("bash", &program, &["stop", "app"], "http://127.0.0.1:1").0,
        Some(5)
    );
}

#[test]
fn the_client_in_python_works() {
    let (sandbox, daemon) = with_app();
    let program = documented("python", "Recreates the dirty");
    let url = format!("http://{}", daemon.address);
    let client = || run("python3", &program, &[], &url);
    assert_eq!(client(), (Some(0), String::new()), "nothing is dirty");
    fs::write(sandbox.config("app"), r#"{"image": "other"}"#).unwrap();
    let (status, said) = client();
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("app: recreate succeeded after"), "{said}");
    assert!(said.ends_with("app: running\n"), "{said}");
    assert_eq!(daemon.devcontainer()["dirty"], false);
    fs::write(sandbox.config("app"), r#"{"image": "base"}"#).unwrap();
    sandbox.devcontainer("echo no >&2; exit 1");
    assert_eq!(client().0, Some(1));
}
