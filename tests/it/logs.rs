//! Logs of operations: their formats, and followers that get each line when it is written.

use crate::common::client::Client;
use crate::common::usage::AT_REST;
use crate::common::{Daemon, Response, Sandbox, Stopwatch, eventually};
use serde_json::{Value, json};
use std::time::Duration;

const LOGS: &str = "/devcontainers/app/logs";
const RECREATE: &str = "/devcontainers/app/recreate";
const FALLBACK_SOURCE: &str = "3b579bf4-1ed8-4b99-87a8-e9a1e3410410";

/// Logs two lines, waits for the file `go`, and logs a third line.
const SLOW: &str = r#"
say() { echo "{\"type\":\"text\",\"level\":3,\"timestamp\":1700000000000,\"text\":\"$1\"}" >&2; }
say first; say second
while [ ! -e "$R/go" ]; do sleep 0.02; done
say third
"#;

fn with_app(devcontainer: &str) -> (Sandbox, Daemon) {
    let sandbox = Sandbox::with_app();
    sandbox.devcontainer(devcontainer);
    let daemon = sandbox.daemon().start();
    (sandbox, daemon)
}

/// A daemon with a running operation that has logged its first two lines.
fn running() -> (Sandbox, Daemon) {
    let (sandbox, daemon) = with_app(SLOW);
    assert_eq!(daemon.post(RECREATE).status, 202);
    eventually("two lines are there", || {
        (daemon.get(LOGS).body.lines().count() == 2).then_some(())
    });
    (sandbox, daemon)
}

/// A daemon with an operation that has ended.
fn ended() -> (Sandbox, Daemon) {
    let (sandbox, daemon) = with_app(SLOW);
    sandbox.write("go", "");
    assert_eq!(daemon.post(&format!("{RECREATE}?wait=true")).status, 204);
    (sandbox, daemon)
}

fn outputs(response: &Response) -> Vec<String> {
    let line = |line: &str| -> Value { serde_json::from_str(line).unwrap() };
    let output = |line: Value| line["output"].as_str().unwrap().to_owned();
    response.body.lines().map(line).map(output).collect()
}

fn next_output(client: &mut Client) -> String {
    client.json_line().unwrap()["output"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_log_is_json_lines() {
    let (_sandbox, daemon) = ended();
    let response = daemon.get(LOGS);
    assert_eq!(response.headers["content-type"], "application/x-ndjson");
    assert_eq!(response.headers["cache-control"], "no-store");
    let lines: Vec<Value> = response
        .body
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let expected = json!({
        "log_source_id": FALLBACK_SOURCE,
        "devcontainer_id": daemon.devcontainer()["id"],
        "devcontainer_name": "app",
        "created_at": "2023-11-14T22:13:20.000Z",
        "level": "info",
        "output": "first",
    });
    assert_eq!(lines[0], expected);
    assert_eq!(
        outputs(&response)[..4],
        ["first", "second", "third", "made it"]
    );
    let last = lines.last().unwrap();
    assert_eq!(last["outcome"], "succeeded");
    assert!(
        last["output"]
            .as_str()
            .unwrap()
            .starts_with("recreate succeeded after ")
    );
    assert_eq!(lines.len(), 5);
}

#[test]
fn before_the_first_operation_it_is_empty() {
    let (_sandbox, daemon) = with_app("");
    for query in ["", "?follow=true", "?format=text"] {
        let response = daemon.get(&format!("{LOGS}{query}"));
        assert_eq!((response.status, response.body.as_str()), (200, ""));
    }
}

#[test]
fn a_log_is_plain_text_when_asked_for() {
    let (_sandbox, daemon) = ended();
    let response = daemon.get(&format!("{LOGS}?format=text"));
    assert_eq!(
        response.headers["content-type"],
        "text/plain; charset=utf-8"
    );
    let start = "first\nsecond\nthird\nmade it\nrecreate succeeded after ";
    assert!(response.body.starts_with(start), "{response:?}");
    assert!(
        response.body.ends_with(" s\noutcome: succeeded\n"),
        "{response:?}"
    );
}

#[test]
fn a_log_is_server_sent_events_when_asked_for() {
    let (_sandbox, daemon) = ended();
    let plain = daemon.get(LOGS);
    let accept = "Accept: text/event-stream\r\n";
    let events = daemon.request("GET", LOGS, accept);
    assert_eq!(events.headers["content-type"], "text/event-stream");
    let expected: String = plain
        .body
        .lines()
        .enumerate()
        .map(|(number, line)| {
            let event = if line.contains("\"outcome\"") {
                "outcome"
            } else {
                "line"
            };
            format!("id: {number}\nevent: {event}\ndata: {line}\n\n")
        })
        .collect();
    let begin = "retry: 1000\n\n";
    let expected = format!("{begin}{expected}");
    assert_eq!(events.body, expected);
    assert_eq!(events.headers["x-accel-buffering"], "no");
    let resumed = daemon.request("GET", LOGS, &format!("{accept}Last-Event-ID: 1\r\n"));
    let from = expected.find("id: 2\n").unwrap();
    let rest = format!("{begin}{}", &expected[from..]);
    assert_eq!(resumed.body, rest);
    // The header wins over the query, as a browser that reconnects repeats the URL unchanged.
    let both = daemon.request(
        "GET",
        &format!("{LOGS}?offset=0"),
        &format!("{accept}Last-Event-ID: 1\r\n"),
    );
    assert_eq!(both.body, rest);
    let nonsense = daemon.request("GET", LOGS, &format!("{accept}Last-Event-ID: x\r\n"));
    assert_eq!(nonsense.body, expected);
}

#[test]
fn a_log_is_read_from_a_line_on() {
    let (_sandbox, daemon) = ended();
    let all = outputs(&daemon.get(LOGS));
    for offset in 0..=all.len() + 1 {
        let got = daemon.get(&format!("{LOGS}?offset={offset}"));
        assert_eq!(outputs(&got), all[offset.min(all.len())..], "{offset}");
        let followed = daemon.get(&format!("{LOGS}?follow=true&offset={offset}"));
        assert_eq!(followed.body, got.body, "{offset}");
    }
    let last = u64::MAX;
    let got = daemon.get(&format!("{LOGS}?offset={last}"));
    assert_eq!((got.status, got.body.as_str()), (200, ""));
    let header = format!("Last-Event-ID: {last}\r\n");
    assert_eq!(daemon.request("GET", LOGS, &header).body, "");
}

#[test]
fn a_follower_gets_each_line_when_it_is_written_and_the_outcome_last() {
    let (sandbox, daemon) = running();
    let (_, mut json) = daemon.stream("GET", &format!("{LOGS}?follow=true"), "");
    let (_, mut later) = daemon.stream("GET", &format!("{LOGS}?follow=true&offset=2"), "");
    let (_, mut text) = daemon.stream("GET", &format!("{LOGS}?follow=true&format=text"), "");
    let (_, mut events) = daemon.stream(
        "GET",
        &format!("{LOGS}?follow=true"),
        "Accept: text/event-stream\r\n",
    );
    assert_eq!(events.line().unwrap(), "retry: 1000");
    assert_eq!(events.line().unwrap(), "");
    for expected in ["first", "second"] {
        assert_eq!(next_output(&mut json), expected);
        assert_eq!(text.line().unwrap(), expected);
        assert!(events.line().unwrap().starts_with("id: "));
        assert_eq!(events.line().unwrap(), "event: line");
        let data = events.line().unwrap();
        assert!(
            data.starts_with("data: {") && data.contains(expected),
            "{data}"
        );
        assert_eq!(events.line().unwrap(), "");
    }
    assert_eq!(
        daemon.devcontainer()["job"]["state"],
        "running",
        "they came before the end"
    );
    sandbox.write("go", "");
    assert_eq!(next_output(&mut json), "third");
    assert_eq!(
        next_output(&mut later),
        "third",
        "a follower may begin where it likes"
    );
    assert_eq!(text.line().unwrap(), "third");
    assert_eq!(events.line().unwrap(), "id: 2");
    assert_eq!(events.line().unwrap(), "event: line");
    assert_eq!(next_output(&mut json), "made it");
    let last = json.json_line().unwrap();
    assert_eq!(last["outcome"], "succeeded");
    assert_eq!(json.line(), None);
    // The connection takes the next request.
    json.send(daemon.head("GET", "/healthz", ""));
    assert_eq!(json.answer().status, 200);
}

#[test]
fn recreate_can_be_followed_to_its_outcome() {
    let (sandbox, daemon) = with_app(SLOW);
    let (head, mut follower) = daemon.stream("POST", &format!("{RECREATE}?follow=true"), "");
    assert_eq!(head.headers["content-type"], "application/x-ndjson");
    assert_eq!(next_output(&mut follower), "first");
    assert_eq!(next_output(&mut follower), "second");
    sandbox.write("go", "");
    assert_eq!(next_output(&mut follower), "third");
    assert_eq!(next_output(&mut follower), "made it");
    assert_eq!(follower.json_line().unwrap()["outcome"], "succeeded");
    assert_eq!(follower.line(), None);
    // After the end of the log, the state shows the end, too.
    assert_eq!(daemon.devcontainer()["job"]["state"], "succeeded");

    sandbox.devcontainer(r#"echo '{"outcome":"error","message":"it broke"}'; exit 1"#);
    let failed = daemon.post(&format!("{RECREATE}?follow=true"));
    assert_eq!(failed.status, 200);
    let last: Value = serde_json::from_str(failed.body.lines().last().unwrap()).unwrap();
    assert_eq!(
        (&last["outcome"], &last["level"]),
        (&json!("failed"), &json!("error"))
    );
    assert!(
        last["output"].as_str().unwrap().contains("it broke"),
        "{last}"
    );
    let text = daemon.post(&format!("{RECREATE}?follow=true&format=text"));
    let mut lines = text.body.lines().rev();
    assert_eq!(lines.next(), Some("outcome: failed"));
    assert!(lines.next().unwrap().starts_with("recreate failed after"));
}

#[test]
fn a_follower_with_http_1_0_reads_to_the_end_of_the_connection() {
    let (sandbox, daemon) = running();
    let mut client = daemon.client();
    client.send(format!(
        "GET {LOGS}?follow=true&format=text HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    ));
    let head = client.read_head();
    assert_eq!(head.headers["connection"], "close");
    assert!(!head.headers.contains_key("transfer-encoding"), "{head:?}");
    assert!(!head.headers.contains_key("content-length"), "{head:?}");
    sandbox.write("go", "");
    let rest = client.rest();
    let expected = "first\nsecond\nthird\nmade it\nrecreate succeeded after ";
    assert!(rest.starts_with(expected), "{rest}");
}

#[test]
fn a_log_of_megabytes_arrives_whole_with_and_without_following() {
    let lines = r#"
i=0; while [ $i -lt 40 ]; do i=$((i+1))
    printf '{"type":"text","level":3,"timestamp":1,"text":"%s%050000d"}\n' $i 0 >&2
done"#;
    let (_sandbox, daemon) = with_app(lines);
    let followed = daemon.post(&format!("{RECREATE}?follow=true"));
    let read = daemon.get(LOGS);
    assert_eq!(followed.body, read.body);
    let outputs = outputs(&read);
    assert_eq!(outputs.len(), 42);
    for (number, output) in outputs.iter().take(40).enumerate() {
        assert_eq!(output.len(), 50_000 + (number + 1).to_string().len());
        assert!(output.starts_with(&(number + 1).to_string()));
    }
}

#[test]
fn p19_followers_that_go_away_are_noticed() {
    let (sandbox, daemon) = running();
    eventually("no client is connected", || {
        (daemon.threads() == AT_REST + 1).then_some(())
    });
    let descriptors = daemon.descriptors();
    let follow = |n: usize| {
        let http = if n.is_multiple_of(2) { "1.1" } else { "1.0" };
        let mut client = daemon.client();
        client.send(format!(
            "GET {LOGS}?follow=true HTTP/{http}\r\nHost: localhost\r\n\r\n"
        ));
        assert_eq!(client.read_head().status, 200);
        client
    };
    let followers: Vec<Client> = (0..10).map(follow).collect();
    drop(followers);
    let begun = Stopwatch::start();
    eventually("their threads and descriptors are free again", || {
        (daemon.threads() == AT_REST + 1 && daemon.descriptors() == descriptors).then_some(())
    });
    assert!(
        begun.elapsed() < Duration::from_secs(10),
        "before the first heartbeat"
    );
    sandbox.write("go", "");
}

#[test]
fn a_follower_that_closed_its_sending_half_still_gets_the_log() {
    let (sandbox, daemon) = running();
    let (_, mut client) = daemon.stream("GET", &format!("{LOGS}?follow=true"), "");
    client.stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(next_output(&mut client), "first");
    assert_eq!(next_output(&mut client), "second");
    let probe = client.line().unwrap();
    assert_eq!(
        probe, "{\"type\":\"heartbeat\"}",
        "whether it is still there"
    );
    sandbox.write("go", "");
    assert_eq!(next_output(&mut client), "third");
    assert_eq!(next_output(&mut client), "made it");
    assert_eq!(client.json_line().unwrap()["outcome"], "succeeded");
    assert_eq!(client.line(), None);
}

#[test]
fn a_quiet_stream_sends_a_heartbeat_every_15_s() {
    let (sandbox, daemon) = running();
    let follow = |query: &str, headers: &str| {
        let path = format!("{LOGS}?follow=true&offset=2{query}");
        daemon.stream("GET", &path, headers).1
    };
    let mut json = follow("", "");
    let mut text = follow("&format=text", "");
    let mut events = follow("", "Accept: text/event-stream\r\n");
    let begun = Stopwatch::start();
    assert_eq!(json.line().unwrap(), "{\"type\":\"heartbeat\"}");
    assert_eq!(text.line().unwrap(), "");
    assert_eq!(events.line().unwrap(), "retry: 1000");
    assert_eq!(events.line().unwrap(), "");
    assert_eq!(events.line().unwrap(), ": heartbeat");
    assert_eq!(events.line().unwrap(), "");
    let (least, waited) = (begun.by_the_clock(), begun.elapsed());
    assert!(least.as_secs_f64() >= 14.0, "{least:?}");
    assert!(waited.as_secs_f64() < 17.0, "{waited:?}");
    sandbox.write("go", "");
    assert_eq!(next_output(&mut json), "third");
}

#[test]
fn p19_the_33rd_stream_is_refused_and_plain_requests_are_not() {
    let (sandbox, daemon) = running();
    let follow = format!("{LOGS}?follow=true");
    let mut streams: Vec<Client> = (0..32)
        .map(|_| daemon.stream("GET", &follow, "").1)
        .collect();
    let refused = |response: Response| {
        response.assert_error(503, "Too many streams", "at most 32");
        assert_eq!(response.headers["retry-after"], "1");
    };
    refused(daemon.get(&follow));
    let other = sandbox.workspace("other");
    sandbox.devcontainer_of(2, &other);
    eventually("it is listed", || {
        (daemon.get("/devcontainers/other").status == 200).then_some(())
    });
    let calls = sandbox.calls("devcontainer", "up");
    refused(daemon.post("/devcontainers/other/recreate?follow=true"));
    assert_eq!(
        sandbox.calls("devcontainer", "up"),
        calls,
        "it has not begun"
    );
    for path in ["/", "/devcontainers", LOGS, "/healthz"] {
        assert_eq!(daemon.get(path).status, 200, "{path}");
    }
    // One stream ends, and another one may begin.
    streams.pop();
    eventually("its place is free", || {
        let mut client = daemon.client();
        client.send(daemon.head("GET", &follow, ""));
        (client.read_head().status == 200).then(|| streams.push(client))
    });
    refused(daemon.get(&follow));
    sandbox.write("go", "");
    for mut stream in streams {
        assert_eq!(next_output(&mut stream), "first");
        while stream.line().is_some() {}
    }
}
