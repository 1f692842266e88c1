//! The queue of operations (P14), with the real CLI.

use serde_json::json;

use crate::common::eventually;
use crate::engine::{daemon, inspect};
use crate::workspace::{WAITING_HOOK, Workspace, container_of};

#[test]
fn p14_what_waits_in_the_queue_is_built_from_what_is_there_when_its_turn_comes() {
    let first = Workspace::new("queue-first", json!({"postCreateCommand": WAITING_HOOK}));
    let second = Workspace::new("queue-second", json!({}));
    let daemon = daemon()
        .args("--max-operations 1")
        .args(&format!("--devcontainer-folder {}", first.shown()))
        .args(&format!("--devcontainer-folder {}", second.shown()))
        .start();
    for (workspace, state) in [(&first, "running"), (&second, "queued")] {
        let answer = daemon.post(&format!("/devcontainers/{}/start", workspace.name));
        assert_eq!(answer.status, 202, "{answer:?}");
        assert_eq!(answer.json()["job"]["state"], state);
    }
    first.wait_for_log(&daemon, "begun");
    assert_eq!(second.containers(), [""; 0], "nothing is begun");
    second.configure(json!({"runArgs": ["--label", "edited=yes"]}));
    first.release();
    let one = eventually("the second one is made", || {
        let one = second.devcontainer(&daemon);
        (one["job"]["state"] == "succeeded").then_some(one)
    });
    let edited = inspect(&container_of(&one), r#"index .Config.Labels "edited""#);
    assert_eq!(edited, "yes");
    assert_eq!(one["dirty"], false, "{one}");
    assert_eq!(first.devcontainer(&daemon)["job"]["state"], "succeeded");
}
