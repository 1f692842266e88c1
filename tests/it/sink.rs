//! The log sink, a program that reads the logs of operations.

use std::time::Duration;

use crate::common::usage::AT_REST;
use crate::common::{Daemon, LONG, Sandbox, Stopwatch, eventually};
use serde_json::Value;

const FALLBACK: &str = "3b579bf4-1ed8-4b99-87a8-e9a1e3410410";
const ID: &str = "11111111-1111-4111-8111-111111111111";
const SOURCE: &str = "22222222-2222-4222-8222-222222222222";

/// A sandbox with one dev container, and its daemon, whose sink runs this code.
fn start(sink: &str, devcontainer: &str, arguments: &str) -> (Sandbox, Daemon) {
    let sandbox = Sandbox::with_app();
    sandbox.devcontainer(devcontainer);
    let sink = sandbox.program("sink", &format!("echo $$ >>$R/sinks; {sink}"));
    let command = format!("{} --to there", sink.display());
    let daemon = sandbox
        .daemon()
        .arg("--log-sink")
        .arg(&command)
        .args(arguments)
        .start();
    daemon.json("/");
    (sandbox, daemon)
}

#[track_caller]
fn lines(sandbox: &Sandbox, file: &str) -> Vec<Value> {
    let text = sandbox.read(file);
    assert!(text.ends_with('\n'), "{text:?}");
    text.lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect()
}

fn wait_for_end(sandbox: &Sandbox) {
    eventually("the sink has ended", || {
        let begun = !sandbox.read("sinks").is_empty();
        (begun && sandbox.processes().is_empty()).then_some(())
    });
}

#[track_caller]
fn assert_no_zombie(daemon: &Daemon) {
    eventually("no zombie", || daemon.children().is_empty().then_some(()));
}

#[test]
fn the_sink_gets_each_line_as_json_with_the_fallback_source() {
    let (sandbox, daemon) = start(
        "echo \"$*\" >$R/arguments; cat >$R/got",
        r#"echo '{"type":"text","level":1,"timestamp":1700000000000,"text":"TOKEN=hunter2"}' >&2
        echo '{"type":"text","level":5,"timestamp":1700000000123,"text":"wrong"}' >&2"#,
        "",
    );
    assert_eq!(daemon.recreate("app").status, 204);
    wait_for_end(&sandbox);
    let got = lines(&sandbox, "got");
    assert_eq!(sandbox.read("arguments"), "--to there\n");
    assert_eq!(got.len(), 3, "{got:?}");
    let expected = serde_json::json!({
        "log_source_id": FALLBACK,
        "devcontainer_id": daemon.devcontainer()["id"],
        "devcontainer_name": "app",
        "created_at": "2023-11-14T22:13:20.123Z",
        "level": "error",
        "output": "wrong",
    });
    assert_eq!(got[0], expected);
    assert_eq!(
        (&got[1]["output"], &got[1]["level"]),
        (&"made it".into(), &"info".into())
    );
    assert_eq!(got[2]["outcome"], "succeeded");
    assert!(got.iter().all(|line| line["log_source_id"] == FALLBACK));
    assert_eq!(got, daemon.log_of("app"), "what /logs shows");
}

#[test]
fn a_script_of_the_manifest_gives_the_source() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    let other = sandbox.workspace("other");
    sandbox.devcontainer_of(1, &folder);
    let manifest = serde_json::json!({
        "devcontainers": [
            {"id": ID, "workspace_folder": folder.to_str()},
            {"id": SOURCE, "workspace_folder": other.to_str()},
        ],
        "scripts": [{"id": ID, "log_source_id": SOURCE}],
    });
    let manifest = sandbox.write("manifest.json", &manifest.to_string());
    let sink = sandbox.program("sink", "echo $$ >>$R/sinks; cat >>$R/got");
    let daemon = sandbox
        .daemon()
        .args(&format!(
            "--manifest {} --log-sink {}",
            manifest.display(),
            sink.display()
        ))
        .start();
    daemon.log.wait_for("no script has the id of dev container");
    assert_eq!(daemon.recreate(ID).status, 204);
    wait_for_end(&sandbox);
    assert!(
        lines(&sandbox, "got")
            .iter()
            .all(|l| l["log_source_id"] == SOURCE)
    );
    sandbox.write("got", "");
    assert_eq!(daemon.recreate("other").status, 204);
    wait_for_end(&sandbox);
    assert!(
        lines(&sandbox, "got")
            .iter()
            .all(|l| l["log_source_id"] == FALLBACK)
    );
}

#[test]
fn each_operation_has_a_sink_of_its_own() {
    let (sandbox, daemon) = start("cat >$R/got-$$", "", "");
    for _ in 0..3 {
        assert_eq!(daemon.recreate("app").status, 204);
    }
    wait_for_end(&sandbox);
    let sinks = sandbox.read("sinks");
    assert_eq!(sinks.lines().count(), 3);
    for sink in sinks.lines() {
        assert_eq!(lines(&sandbox, &format!("got-{sink}")).len(), 2);
    }
}

/// Recreates with this sink, and asserts that it does not delay the operation.
fn check_undelayed(sink: &str, devcontainer: &str) -> (Sandbox, Daemon) {
    let (sandbox, daemon) = start(sink, devcontainer, "");
    let begun = Stopwatch::start();
    assert_eq!(daemon.recreate("app").status, 204);
    let took = begun.elapsed();
    assert!(took < Duration::from_millis(3500), "{sink}: {took:?}");
    (sandbox, daemon)
}

const TALK: &str = r#"k=$(printf '%01000d' 7)
    yes "{\"type\":\"text\",\"level\":3,\"timestamp\":1,\"text\":\"$k\"}" | head -c 1000000 >&2; echo >&2"#;

#[test]
fn a_sink_that_dies_delays_no_operation() {
    let (sandbox, daemon) = check_undelayed("read line; exit 1", TALK);
    daemon
        .log
        .wait_for("the log sink missed lines of this operation");
    wait_for_end(&sandbox);
    assert_no_zombie(&daemon);
}

#[test]
fn a_sink_that_closes_its_input_or_dies_at_once_delays_no_operation() {
    for sink in ["exit 0", "exec <&-; sleep 1000", "kill -9 $$"] {
        let (sandbox, daemon) = check_undelayed(sink, TALK);
        wait_for_end(&sandbox);
        assert_no_zombie(&daemon);
    }
}

#[test]
fn a_missing_sink_is_said_and_delays_no_operation() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox
        .daemon()
        .args("--log-sink /nonexistent/sink")
        .start();
    daemon.json("/");
    assert_eq!(daemon.recreate("app").status, 204);
    daemon
        .log
        .wait_for("could not start the log sink, which receives nothing of this operation: /nonexistent/sink was not found");
}

#[test]
fn p16_a_sink_that_never_reads_is_ended_5_s_after_the_operation() {
    let (sandbox, daemon) = check_undelayed("sleep 1000 & sleep 1000", TALK);
    let ended = Stopwatch::start();
    assert_eq!(daemon.devcontainer()["job"]["state"], "succeeded");
    wait_for_end(&sandbox);
    let (least, took) = (ended.by_the_clock(), ended.elapsed());
    assert!(
        least > Duration::from_millis(4500),
        "it gets 5 s: {least:?}"
    );
    assert!(took < LONG / 2, "{took:?}");
    assert_no_zombie(&daemon);
    eventually("no thread", || (daemon.threads() <= AT_REST).then_some(()));
}

#[test]
fn a_slow_sink_gets_all_of_it_within_its_5_s() {
    let (sandbox, daemon) = check_undelayed(
        "while read -r line; do printf '%s\\n' \"$line\" >>$R/got; sleep 0.1; done; echo '{}' >>$R/got",
        r#"for i in 1 2 3 4 5 6 7 8 9; do
            echo "{\"type\":\"text\",\"level\":3,\"timestamp\":1,\"text\":\"$i\"}" >&2
        done"#,
    );
    wait_for_end(&sandbox);
    let got = lines(&sandbox, "got");
    assert_eq!(
        got.len(),
        12,
        "nine, two of the stand-in, and the end: {got:?}"
    );
    assert_eq!(got[..11], daemon.log_of("app"));
}

#[test]
fn p16_a_sink_that_never_ends_is_ended_when_the_daemon_stops() {
    let (sandbox, mut daemon) = start("cat >/dev/null; sleep 1000", "", "");
    assert_eq!(daemon.recreate("app").status, 204);
    let begun = Stopwatch::start();
    daemon.signal("TERM");
    assert!(daemon.wait().success());
    assert!(begun.elapsed() < LONG / 2, "{:?}", begun.elapsed());
    assert_eq!(sandbox.processes(), [0; 0]);
}
