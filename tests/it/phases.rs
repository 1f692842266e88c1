//! The phases of an operation, as the log of the CLI tells them.

use std::fs;

use crate::common::Sandbox;
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
