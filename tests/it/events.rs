//! The stream of changes and its readers.

use std::time::Duration;

use crate::common::client::Client;
use crate::common::mirror::Mirror;
use crate::common::{Daemon, Sandbox, Stopwatch, container_id, eventually};
use serde_json::Value;

/// The limit from when a change can be known until it shows.
pub(super) const SOON: Duration = Duration::from_secs(2);

/// One running container, and a daemon that follows events.
pub(super) fn start() -> (Sandbox, Daemon) {
    let sandbox = Sandbox::new();
    sandbox.container(1).save();
    let daemon = sandbox.following_daemon().start();
    (sandbox, daemon)
}

impl Sandbox {
    /// Sets the status of a container, or adds it, and emits an event.
    pub(super) fn change(&self, number: u32, status: &str) {
        self.change_without_event(number, status);
        self.event(number, "start");
    }

    pub(super) fn change_without_event(&self, number: u32, status: &str) {
        let state = serde_json::json!({"Status": status, "Running": status == "running"});
        self.container(number).set("State", state).save();
    }
}

#[test]
fn a_stream_tells_everything_and_then_what_changes() {
    let (sandbox, daemon) = start();
    let (head, mut client) = daemon.stream("GET", "/events", "");
    assert_eq!(head.headers["content-type"], "application/x-ndjson");
    assert_eq!(head.headers["cache-control"], "no-store");
    let first = client.json_line().unwrap();
    let fields: Vec<&String> = first.as_object().unwrap().keys().collect();
    assert_eq!(
        fields,
        [
            "containers",
            "devcontainers",
            "revision",
            "type",
            "warnings"
        ]
    );
    assert_eq!(first["containers"][0]["name"], "box1");
    sandbox.change(2, "running");
    let line = client.json_line().unwrap();
    assert_eq!(
        (&line["type"], &line["name"]),
        (&"container".into(), &"box2".into())
    );
    let object = line.as_object().unwrap();
    let all = daemon.json("/");
    let shown = all["containers"].as_array().unwrap();
    let shown = shown.iter().find(|one| one["name"] == "box2").unwrap();
    for (field, value) in shown.as_object().unwrap() {
        assert_eq!(&object[field], value);
    }
    assert_eq!(object.len(), shown.as_object().unwrap().len() + 2);
    sandbox.remove_container(2);
    sandbox.event(2, "destroy");
    let line = client.json_line().unwrap();
    assert_eq!(line["type"], "container_removed");
    assert_eq!(line["id"], *container_id(2));
}

#[test]
fn p11_who_reads_all_of_it_knows_what_a_question_would_tell() {
    let (sandbox, daemon) = start();
    let folder = sandbox.workspace("app");
    let mut mirror = Mirror::of(&daemon);
    sandbox.devcontainer_of(5, &folder);
    sandbox.event(5, "start");
    for round in 0..30_u32 {
        let status = ["running", "paused", "exited"][round as usize % 3];
        sandbox.change(round % 4 + 1, status);
        if round % 7 == 0 {
            sandbox.remove_container(round % 4 + 1);
            sandbox.event(round % 4 + 1, "destroy");
        }
    }
    sandbox.change(9, "running");
    mirror.until_container("box9", Some("running"));
    mirror.catch_up(&daemon);
    assert_eq!(mirror.snapshots, 1);
}

#[test]
fn p11_a_question_waits_for_what_events_have_named() {
    let (sandbox, daemon) = start();
    let _mirror = Mirror::of(&daemon);
    daemon.follows();
    for round in 0..20 {
        let status = ["exited", "running"][round % 2];
        sandbox.change(1, status);
        let begun = Stopwatch::start();
        eventually("it shows", || {
            let all = daemon.json("/");
            (all["containers"][0]["running"] == (status == "running")).then_some(())
        });
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    }
}

#[test]
fn equal_states_send_nothing() {
    let (sandbox, daemon) = start();
    let mut mirror = Mirror::of(&daemon);
    daemon.follows();
    let inspects = sandbox.calls("docker", "inspect");
    sandbox.event(1, "start");
    eventually("it is read again", || {
        (sandbox.calls("docker", "inspect") > inspects).then_some(())
    });
    sandbox.change(2, "running");
    assert_eq!(mirror.next()["name"], "box2", "and nothing before");
}

#[test]
fn one_reading_costs_one_inspect_of_what_was_named() {
    let (sandbox, daemon) = start();
    for number in 2..20 {
        sandbox.container(number).save();
    }
    let mut mirror = Mirror::of(&daemon);
    daemon.follows();
    sandbox.change(3, "paused");
    mirror.until_container("box3", Some("paused"));
    let calls = || {
        let calls = sandbox.read("calls/docker");
        calls.lines().map(str::to_owned).collect::<Vec<String>>()
    };
    let before = calls().len();
    sandbox.change(4, "paused");
    mirror.until_container("box4", Some("paused"));
    // The event of box3 may be late, as the listing at the start of the child has seen the change.
    let named = [3, 4].map(container_id);
    for call in &calls()[before..] {
        let mut words = call.split(' ');
        assert_eq!(words.next(), Some("inspect"), "{call}");
        assert!(
            words.all(|id| named.iter().any(|named| named == id)),
            "{call}"
        );
    }
}

#[test]
fn server_sent_events_can_be_resumed() {
    let (sandbox, daemon) = start();
    let sse = "Accept: text/event-stream\r\n";
    let (head, mut client) = daemon.stream("GET", "/events", sse);
    assert_eq!(head.headers["content-type"], "text/event-stream");
    let event = |client: &mut Client| loop {
        let (mut id, mut data) = (None, None);
        while let Some(line) = client.line().filter(|line| !line.is_empty()) {
            id = line.strip_prefix("id: ").map(str::to_owned).or(id);
            data = line.strip_prefix("data: ").map(str::to_owned).or(data);
        }
        // A heartbeat has neither.
        if let (Some(id), Some(data)) = (id, data) {
            let data: Value = serde_json::from_str(&data).unwrap();
            assert_eq!(data["revision"].to_string(), id);
            return (id, data);
        }
    };
    let (_, snapshot) = event(&mut client);
    assert_eq!(snapshot["type"], "snapshot");
    sandbox.change(2, "running");
    let (id, _) = event(&mut client);
    sandbox.change(3, "running");
    let (last, _) = event(&mut client);
    drop(client);
    sandbox.change(2, "exited");
    let resume = |id: &str| {
        let headers = format!("{sse}Last-Event-ID: {id}\r\n");
        daemon.stream("GET", "/events", &headers).1
    };
    let mut client = resume(&id);
    assert_eq!(event(&mut client).1["name"], "box3");
    let (_, changed) = event(&mut client);
    assert_eq!(
        (&changed["name"], &changed["running"]),
        (&"box2".into(), &false.into())
    );
    let mut client = resume(&last);
    assert_eq!(
        event(&mut client).1["name"],
        "box2",
        "and nothing that the stream had before"
    );
    for unknown in ["1", "99999999999999", "x", "-1"] {
        assert_eq!(
            event(&mut resume(unknown)).1["type"],
            "snapshot",
            "{unknown}"
        );
    }
}

#[test]
fn a_stream_for_people() {
    let (sandbox, daemon) = start();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(2, &folder);
    let (head, mut client) = daemon.stream("GET", "/events?format=text", "");
    assert_eq!(head.headers["content-type"], "text/plain; charset=utf-8");
    let mut line = || loop {
        let line = client.line().unwrap();
        if !line.is_empty() {
            return line;
        }
    };
    assert_eq!(line(), "container box1 000000000000 running");
    assert_eq!(line(), "container box2 000000000000 running");
    assert_eq!(line(), "devcontainer app running");
    sandbox.replace(
        "work/app/.devcontainer/devcontainer.json",
        r#"{"image": "other"}"#,
        0o644,
    );
    assert_eq!(line(), "container box2 000000000000 running, dirty");
    assert!(line().starts_with("devcontainer app running, dirty: /"));
    sandbox.remove_container(1);
    sandbox.event(1, "destroy");
    assert_eq!(line(), "container 000000000000 removed");
}

#[test]
fn operations_and_edits_go_the_same_way() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    sandbox.devcontainer_of(1, &folder);
    sandbox.devcontainer("while [ ! -e \"$R/go\" ]; do sleep 0.02; done");
    let daemon = sandbox.following_daemon().start();
    let mut mirror = Mirror::of(&daemon);
    let config = ".devcontainer/devcontainer.json";
    sandbox.write(&format!("work/app/{config}"), r#"{"image": "other"}"#);
    let dirty = mirror.until_devcontainer("it is dirty", |one| one["dirty"] == true);
    assert_eq!(
        dirty["changes"][0]["path"],
        *folder.join(config).to_str().unwrap()
    );
    daemon.begin_recreate("app");
    mirror.until_devcontainer("it begins", |one| one["status"] == "starting");
    sandbox.write("go", "");
    let made = mirror.until_devcontainer("it has ended", |one| {
        one["job"]["state"] == "succeeded" && one["dirty"] == false && one["running"] == true
    });
    assert_eq!(made["container"]["name"], "made");
    mirror.until_container("box1", None);
}

#[test]
fn head_old_versions_and_other_methods() {
    let (_sandbox, daemon) = start();
    let head = daemon.request("HEAD", "/events", "");
    assert_eq!((head.status, &*head.body), (200, ""));
    assert_eq!(daemon.post("/events").status, 405);
    let mut client = daemon.client();
    client.send("GET /api/v0/containers/events/ HTTP/1.0\r\nHost: localhost\r\n\r\n");
    let head = client.read_head();
    assert!(!head.headers.contains_key("transfer-encoding"));
    daemon.signal("TERM");
    let body = client.rest();
    assert!(body.starts_with("{\"type\":\"snapshot\","), "{body}");
    assert!(body.ends_with("}\n"), "{body}");
}

#[test]
fn p19_thirty_two_streams_and_no_more() {
    let (sandbox, daemon) = start();
    let open = || daemon.stream("GET", "/events", "").1;
    let mut clients: Vec<Client> = (0..32).map(|_| open()).collect();
    let refused = daemon.get("/events");
    refused.assert_error(503, "Too many streams", "at most 32");
    sandbox.change(2, "running");
    for client in &mut clients {
        assert_eq!(client.json_line().unwrap()["type"], "snapshot");
        assert_eq!(client.json_line().unwrap()["name"], "box2");
    }
    let begun = Stopwatch::start();
    drop(clients);
    eventually("those that are gone are noticed", || {
        let mut client = daemon.client();
        client.send(daemon.head("GET", "/events", ""));
        (client.read_head().status == 200).then_some(())
    });
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
}

#[test]
fn a_quiet_stream_says_that_it_is_there() {
    let (_sandbox, daemon) = start();
    let (_, mut client) = daemon.stream("GET", "/events", "");
    client.line().unwrap();
    let begun = Stopwatch::start();
    assert_eq!(client.line().unwrap(), r#"{"type":"heartbeat"}"#);
    let (least, waited) = (begun.by_the_clock(), begun.elapsed());
    assert!(least.as_secs() >= 10, "{least:?}");
    assert!(waited.as_secs() < 20, "{waited:?}");
}

#[test]
fn a_reader_that_is_slow_slows_nobody_and_is_told_the_last_of_each() {
    let (sandbox, daemon) = start();
    // More than the buffers between the two ends hold.
    let label = "x".repeat(1 << 20);
    let mut slow = Mirror::of(&daemon);
    let mut quick = Mirror::of(&daemon);
    for round in 0..30_u32 {
        let label = format!("{round} {label}");
        sandbox.container(2).label("large", &label).save();
        sandbox.event(2, "rename");
        quick.until("it is there", |mirror| {
            let shown = mirror.container("box2")?["labels"]["large"] == *label;
            shown.then_some(())
        });
    }
    let last = quick.containers[&container_id(2)].clone();
    let mut changes = 0;
    while slow.containers.get(&container_id(2)) != Some(&last) {
        slow.next();
        changes += 1;
    }
    assert!(changes < 30, "{changes} of 30, each of a megabyte");
}
