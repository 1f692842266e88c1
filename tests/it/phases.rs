//! The phases of an operation, as the log of the CLI tells them.

use std::fs;

use crate::common::{Sandbox, eventually};
use serde_json::json;

/// Prints events of the CLI that begin and end `initializeCommand`, which writes the Dockerfile.
fn initializing(start: &str) -> String {
    format!(
        r#"{{
        echo '{{"type":"start","level":2,"timestamp":1,"text":"Run: docker ps -q"}}'
        {start}
        echo "FROM base" >>${{config%/*}}/Dockerfile
        echo '{{"type":"stop","level":3,"timestamp":1,"text":"Run: /bin/sh -c x","startTimestamp":1,"channel":"postCreate"}}'
        echo '{{"type":"start","level":2,"timestamp":1,"text":"Run: docker ps -q"}}'
        }} >&2"#
    )
}

#[test]
fn a_dockerfile_that_initialize_command_writes_in_any_form_is_what_it_was_made_from() {
    let sandbox = Sandbox::with_app();
    let config = r#"{"build":{"dockerfile":"Dockerfile"}}"#;
    fs::write(sandbox.config("app"), config).unwrap();
    let daemon = sandbox.daemon().start();
    daemon.json("/");
    let start = r#"echo '{"type":"start","level":3,"timestamp":1,"text":"Run: /bin/sh -c x","channel":"postCreate"}'"#;
    for heading in [
        r#"\u001b[1mRunning the initializeCommand from devcontainer.json...\u001b[0m\r\n"#,
        r#"\u001b[1mRunning 'a' from initializeCommand...\u001b[0m\r\n"#,
        "any other words",
    ] {
        let raw = format!(
            r#"printf '%s\n' '{{"type":"raw","level":3,"timestamp":1,"text":"{heading}","channel":"postCreate"}}'"#
        );
        sandbox.devcontainer(&initializing(&format!("{raw}\n{start}")));
        assert_eq!(daemon.recreate("app").status, 204);
        assert_eq!(daemon.changes(), json!([]), "{heading}");
    }
    sandbox.write("work/app/.devcontainer/Dockerfile", "FROM other");
    assert_eq!(daemon.changes(), json!([["Dockerfile", "modified"]]));
}

#[test]
fn a_dev_container_runs_as_soon_as_the_commands_that_it_waits_for_have_ended() {
    let sandbox = Sandbox::with_app();
    let begin = |command: &str| {
        format!(
            r#"echo '{{"type":"progress","name":"Running {command}...","status":"running","channel":"postCreate"}}' >&2
            while [ ! -e $R/{command} ]; do sleep 0.02; done"#
        )
    };
    sandbox.devcontainer(
        r#"echo '{"type":"start","level":3,"timestamp":1,"text":"Run: docker build ."}' >&2
        while [ ! -e $R/built ]; do sleep 0.02; done
        echo '{"type":"start","level":3,"timestamp":1,"text":"Run: docker run x"}' >&2"#,
    );
    sandbox.hook(
        "devcontainer-made",
        &["onCreateCommand", "postCreateCommand"]
            .map(begin)
            .join("\n"),
    );
    let daemon = sandbox.daemon().start();
    assert!(daemon.devcontainer().get("job").is_none());
    daemon.begin_recreate("app");
    let is = |phase: &str, status: &str| {
        eventually(phase, || {
            let now = daemon.devcontainer();
            let is = now["job"]["phase"] == phase;
            is.then(|| assert_eq!(now["status"], status, "{now}"))
        });
    };
    let (_, mut stream) = daemon.stream("GET", "/events", "");
    stream.json_line().unwrap();
    is("build", "starting");
    sandbox.write("built", "");
    is("onCreateCommand", "starting");
    sandbox.write("onCreateCommand", "");
    is("postCreateCommand", "running");
    let line = eventually("the stream says so, too", || {
        let line = stream.json_line().unwrap();
        (line["type"] == "devcontainer" && line["status"] == "running").then_some(line)
    });
    assert_eq!(line["job"]["state"], "running");
    assert_eq!(line["job"]["phase"], "postCreateCommand");
    assert_eq!(line["container"]["name"], "made");
    sandbox.write("postCreateCommand", "");
    daemon.log.wait_for("recreate succeeded");
    let after = daemon.devcontainer();
    assert_eq!(
        (&after["status"], &after["job"]["state"]),
        (&json!("running"), &json!("succeeded"))
    );
    assert!(after["job"].get("phase").is_none());
}
