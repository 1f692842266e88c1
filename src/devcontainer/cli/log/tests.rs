//! Tests of whole logs: which lines they show.

use proptest::prelude::*;

use super::*;

const NOW: i64 = 1_000_000;

fn read(pieces: &[&[u8]]) -> Vec<String> {
    let mut reader = LogReader::default();
    let mut now = NOW;
    let mut lines = Vec::new();
    for piece in pieces {
        lines.extend(reader.feed(piece, Timestamp::from_millis(now)));
        now += 1500;
    }
    lines.extend(reader.finish(Timestamp::from_millis(now)));
    let show = |line: Line| match line.level {
        LogLevel::Info => line.text.to_string(),
        LogLevel::Error => format!("ERROR {}", line.text),
    };
    lines.into_iter().map(show).collect()
}

fn check(log: &str, expected: &[&str]) {
    assert_eq!(read(&[log.as_bytes()]), expected, "{log}");
    let bytes: Vec<&[u8]> = log.as_bytes().chunks(1).collect();
    if !log.contains("progress") {
        assert_eq!(read(&bytes), expected, "byte by byte: {log}");
    }
}

#[test]
fn text_and_raw_of_level_three_and_above_are_shown() {
    check(
        r#"{"type":"text","level":3,"timestamp":1795477584416,"text":"@devcontainers/cli 0.89.0."}
{"type":"text","level":4,"timestamp":1,"text":"a warning"}
{"type":"text","level":5,"timestamp":1,"text":"an error"}
{"type":"raw","level":3,"timestamp":1,"text":"Container started\n","channel":"postCreate"}
"#,
        &[
            "@devcontainers/cli 0.89.0.",
            "a warning",
            "ERROR an error",
            "Container started",
        ],
    );
}

#[test]
fn levels_one_and_two_command_lines_and_stack_traces_are_hidden() {
    check(
        r#"{"type":"text","level":3,"timestamp":1,"text":"first"}
{"type":"text","level":1,"timestamp":1,"text":"TOKEN=hunter2"}
{"type":"raw","level":2,"timestamp":1,"text":"TOKEN=hunter2"}
{"type":"start","level":3,"timestamp":1,"text":"Run: docker run -e TOKEN=hunter2"}
{"type":"stop","level":3,"timestamp":1,"text":"Run: docker run -e TOKEN=hunter2","startTimestamp":0}
Error: Command failed: docker run -e TOKEN=hunter2
    at Q (devContainersSpecCLI.js:233:157)
{
  stderr: 'TOKEN=hunter2'
}
{"type":"other","level":5,"text":"TOKEN=hunter2"}
"#,
        &["first"],
    );
}

#[test]
fn the_resolved_compose_file_is_not_shown() {
    check(
        r#"{"type":"start","level":3,"timestamp":1000,"text":"Run: docker-compose -f x.yml config"}
{"type":"stop","level":3,"timestamp":1500,"text":"Run: docker-compose -f x.yml config","startTimestamp":1000}
{"type":"text","level":3,"timestamp":1500,"text":"services:\n  dev:\n    environment:\n      TOKEN: hunter2\n"}
{"type":"text","level":3,"timestamp":1600,"text":"next"}
"#,
        &["next"],
    );
}

#[test]
fn long_steps_are_timed_whatever_their_level() {
    let stop = |text: &str| {
        format!(
            "{{\"type\":\"stop\",\"level\":2,\"timestamp\":3500,\"text\":\"{text}\",\"startTimestamp\":1000}}\n"
        )
    };
    for (text, expected) in [
        ("Run: /d pull x", "pulling the image took 2.5 s"),
        ("Starting container", "creating the container took 2.5 s"),
    ] {
        check(&stop(text), &[expected]);
    }
    check(&stop("Run: /d ps -q"), &[]);
}

#[test]
fn the_cause_is_the_last_error_of_docker_even_if_it_is_not_shown() {
    let cause = |log: &str| {
        let mut reader = LogReader::default();
        reader.feed(log.as_bytes(), Timestamp::from_millis(NOW));
        reader.cause_of("Command failed: docker ps")
    };
    let down = "Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?";
    let hidden = format!(
        r#"{{"type":"text","level":2,"timestamp":1,"text":"\u001b[1m{down}\r\n\u001b[0m"}}"#
    );
    assert_eq!(cause(&format!("{hidden}\n")).as_deref(), Some(down));
    let raw = r#"{"type":"raw","level":3,"timestamp":1,"text":"Error response from daemon: port is taken\nError: failed to start containers: x\n"}"#;
    assert_eq!(
        cause(&format!("{hidden}\n{raw}\n")).as_deref(),
        Some("Error response from daemon: port is taken")
    );
    assert_eq!(
        cause("{\"type\":\"text\",\"level\":3,\"text\":\"fine\"}\n"),
        None
    );
}

#[test]
fn a_usage_error_is_plain_text_before_any_object() {
    check(
        "devcontainer up\n\nUnknown argument: bogus",
        &["devcontainer up", "Unknown argument: bogus"],
    );
}

#[test]
fn raw_text_is_joined_to_lines() {
    check(
        r#"{"type":"raw","level":3,"timestamp":1,"text":"one\r\ntw"}
{"type":"raw","level":3,"timestamp":1,"text":"o\n\r\nthree"}
{"type":"text","level":3,"timestamp":1,"text":"next"}
{"type":"raw","level":3,"timestamp":1,"text":"end"}"#,
        &["one", "two", "three", "next", "end"],
    );
}

#[test]
fn finished_steps_show_their_seconds() {
    let lines = read(&[
        b"{\"type\":\"progress\",\"name\":\"Running postCreateCommand...\",\"status\":\"running\",\"stepDetail\":\"echo a\"}\n",
        b"{\"type\":\"progress\",\"name\":\"Running postCreateCommand...\",\"status\":\"running\",\"stepDetail\":\"echo b\"}\n",
        b"{\"type\":\"progress\",\"name\":\"Running postCreateCommand...\",\"status\":\"succeeded\"}\n",
        b"{\"type\":\"progress\",\"name\":\"Other\",\"status\":\"failed\"}\n",
    ]);
    assert_eq!(
        lines,
        [
            "Running postCreateCommand... echo a",
            "Running postCreateCommand... echo b",
            "Running postCreateCommand... succeeded (3.0 s)",
            "ERROR Other failed",
        ]
    );
}

#[test]
fn a_line_of_30_mb_is_cut_and_counted() {
    for escape in ["\\n", "\\\\", "\\u00e9", "é", "x"] {
        let text = escape.repeat(30_000_000 / escape.len());
        let log = format!(
            "{{\"type\":\"raw\",\"level\":3,\"timestamp\":1,\"text\":\"a{text}\",\"channel\":\"postCreate\"}}\n{{\"type\":\"text\",\"level\":3,\"timestamp\":1,\"text\":\"next\"}}\n"
        );
        let lines = read(&log.as_bytes().chunks(65_536).collect::<Vec<_>>());
        assert_eq!(lines.len(), 2, "{escape}");
        assert!(
            lines[0].starts_with('a') && lines[0].ends_with("more bytes dropped]"),
            "{escape}"
        );
        assert!(lines[0].len() < MAX_LINE + 100, "{escape}");
        assert_eq!(lines[1], "next");
    }
}

#[test]
fn a_long_line_of_a_low_level_is_not_shown() {
    let text = "TOKEN=hunter2 ".repeat(200_000);
    check(
        &format!("{{\"type\":\"text\",\"level\":2,\"timestamp\":1,\"text\":\"{text}\"}}\n"),
        &[],
    );
}

#[test]
fn invalid_utf_8_is_replaced() {
    assert_eq!(read(&[b"caf\xe9 au lait\n"]), ["caf\u{fffd} au lait"]);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        read(&[&bytes]);
    }
}
