//! The running daemon against its own description, by schemathesis: requests that are made from `/openapi.json`, good and bad
//! ones, must get answers that it describes.

use std::path::Path;
use std::process::Command;

use serde_json::json;

use crate::common::Sandbox;

/// What is installed by scripts/setup.sh.
const PROGRAM: &str = "target/tools/schemathesis/bin/schemathesis";
/// The requests of a kind for each operation. There are several kinds.
const EXAMPLES: &str = "10";

#[test]
fn answers_are_as_described() {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(PROGRAM);
    assert!(
        program.exists(),
        "{PROGRAM} is missing; run scripts/setup.sh test"
    );
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace_with(
        "app",
        r#"{"image": "x", "forwardPorts": [3000, "db:5432"], "portsAttributes": {"3000": {"label": "App"}}}"#,
    );
    let state = json!({"Status": "running", "Running": true, "Health": {"Status": "healthy"}});
    sandbox.container(1).of(&folder).set("State", state).save();
    sandbox.container(2).save();
    let daemon = sandbox.daemon().start();
    let output = Command::new(program)
        // It keeps what it has found in its working directory.
        .current_dir(sandbox.path("work"))
        .arg("run")
        .arg(format!("http://{}/openapi.json", daemon.address))
        .args(["--checks", "all", "--max-examples", EXAMPLES, "--seed", "1"])
        // A folder or an id that nobody has is a good value by its type, and yet gets an error.
        .args(["--exclude-checks", "positive_data_acceptance"])
        .args(["--request-timeout", "60", "--no-color"])
        // Most of its answers have no end.
        .args(["--exclude-path", "/events"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains(" passed"), "{text}");
    daemon.assert_prompt(&[200]);
}
