//! The user and the folder with which tools work in a container, against those that the real CLI gives.

use serde_json::{Value, json};

use crate::engine::{IMAGE, daemon};
use crate::project::SERVE;
use crate::workspace::{Workspace, container_of};

/// The user and the folder in a result of the CLI.
fn of_result(result: &Value) -> [Value; 2] {
    ["remoteUser", "remoteWorkspaceFolder"].map(|field| result[field].clone())
}

/// The user and the folder in an answer of the daemon.
fn of_answer(devcontainer: &Value) -> [Value; 2] {
    ["remote_user", "remote_workspace_folder"].map(|field| devcontainer[field].clone())
}

#[test]
fn the_user_and_the_folder_are_those_that_the_cli_gives() {
    let compose = json!({"services": {"dev": {
        "image": IMAGE, "command": ["sh", "-c", SERVE], "user": "dev",
    }}});
    let only = |fields: Value| (Some(fields), None);
    let cases: [(Option<Value>, Option<Value>); 5] = [
        // The CLI mounts the git repository around the folder.
        only(json!({"image": IMAGE})),
        only(
            json!({"image": IMAGE, "containerUser": "dev", "workspaceFolder": "/src/${localWorkspaceFolderBasename}"}),
        ),
        (None, Some(json!({"remoteUser": "dev"}))),
        only(json!({"dockerComposeFile": "c.yml", "service": "dev"})),
        only(
            json!({"dockerComposeFile": "c.yml", "service": "dev", "workspaceFolder": "/tmp", "remoteUser": "root"}),
        ),
    ];
    std::thread::scope(|scope| {
        for (whole, fields) in cases {
            let compose = compose.to_string();
            scope.spawn(move || check(whole, fields, &compose));
        }
    });
}

#[track_caller]
fn check(whole: Option<Value>, fields: Option<Value>, compose: &str) {
    let workspace = Workspace::new("remote", fields.unwrap_or(json!({})));
    if let Some(whole) = &whole {
        workspace.write(&whole.to_string());
    }
    std::fs::write(workspace.config().with_file_name("c.yml"), compose).unwrap();
    let expected = workspace.result_of_up(&[], &[]);
    let config = workspace.read();
    let now = || {
        let daemon = daemon().start();
        workspace.devcontainer(&daemon)
    };
    let one = now();
    assert_eq!(container_of(&one), expected["containerId"], "{config}");
    assert_eq!(of_answer(&one), of_result(&expected), "{config}");
    assert_eq!(of_answer(&now()), of_result(&expected), "after a restart");
}
