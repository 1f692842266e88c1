//! Recreating with older versions of the devcontainer CLI, which `scripts/setup.sh` puts into `target/tools`.
//!
//! `scripts/test.sh` leaves out the tests of versions that are missing.

use std::fs;
use std::path::PathBuf;
use std::thread;

use serde_json::{Value, json};

use crate::common::{Daemon, Response, eventually};
use crate::engine::{Containers, IMAGE, daemon, docker, inspect};
use crate::project::SERVE;
use crate::workspace::{WAITING_HOOK, Workspace, container_of};

/// Makes a test for a version of the CLI.
macro_rules! versions {
    ($($name:ident: $version:literal,)*) => { $(
        #[test]
        fn $name() {
            check($version);
        }
    )* };
}

versions! {
    cli_0_58_0: "0.58.0",
    cli_0_72_0: "0.72.0",
    cli_0_80_0: "0.80.0",
    cli_0_89_0: "0.89.0",
}

/// The kinds of dev containers.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Image,
    Dockerfile,
    Compose,
}

/// The program of a version; that of the newest is on `PATH`.
fn program(version: &str) -> PathBuf {
    let tools = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/target/tools"));
    let own = tools.join(format!("cli-{version}/node_modules/.bin/devcontainer"));
    match version {
        "0.89.0" => "devcontainer".into(),
        _ => own,
    }
}

fn check(version: &str) {
    let others = Containers::new("taken-by-another");
    let other = others.run(&["--publish", "127.0.0.1::80", IMAGE, "sleep", "1000"]);
    let published = docker(&["port", &other, "80/tcp"]);
    let taken = published.lines().next().unwrap();
    let daemon = daemon()
        .args("--max-operations 3 --devcontainer")
        .arg(program(version).to_str().unwrap())
        .start();
    thread::scope(|scope| {
        for kind in [Kind::Image, Kind::Dockerfile, Kind::Compose] {
            let daemon = &daemon;
            scope.spawn(move || check_kind(version, kind, daemon, taken));
        }
    });
}

/// Recreates a dev container badly and then well.
fn check_kind(version: &str, kind: Kind, daemon: &Daemon, taken: &str) {
    let case = format!("CLI {version}, {kind:?}");
    let workspace = Workspace::new("version", json!({}));
    let first = match kind {
        Kind::Image | Kind::Dockerfile => by_hand(&workspace),
        Kind::Compose => {
            configure(&workspace, kind, json!({}), None);
            workspace.up()
        }
    };
    assert_eq!(container_of(&workspace.devcontainer(daemon)), first);

    configure(&workspace, kind, json!({}), Some(taken));
    let failed = post(daemon, &format!("{}?wait", workspace.recreate()));
    assert_eq!(failed.status, 500, "{case}: {failed:?}");
    for said in match kind {
        Kind::Image | Kind::Compose => ["port is already allocated", "nothing was lost"],
        Kind::Dockerfile => ["build", "nothing was lost"],
    } {
        assert!(failed.body.contains(said), "{case}: {said}: {failed:?}");
    }
    assert_eq!(workspace.containers(), [&*first], "{case}");
    assert_eq!(inspect(&first, ".State.Running"), "true", "{case}");

    // The container can be used while the command after the one that is waited for runs.
    let generate =
        format!("printf 'FROM {IMAGE}\\nLABEL at=%s\\n' $(date +%N) >.devcontainer/Dockerfile");
    let fields = json!({
        "initializeCommand": {"generate": generate, "other": ["true"]},
        "onCreateCommand": "true",
        "waitFor": "onCreateCommand",
        "updateContentCommand": {"a": WAITING_HOOK, "b": "true"},
    });
    configure(&workspace, kind, fields, None);
    let begun = post(daemon, &workspace.recreate());
    assert_eq!(begun.status, 202, "{case}: {begun:?}");
    let usable = workspace.wait_for(daemon, &case, |one| one["status"] != "starting");
    assert_eq!(usable["status"], "running", "{case}: {usable:#}");
    assert_eq!(usable["job"]["state"], "running", "{case}: {usable:#}");
    assert_eq!(usable["job"]["phase"], "updateContentCommand", "{case}");
    workspace.release();
    let after = workspace.wait_for(daemon, &case, |one| one["job"]["state"] != "running");
    assert_eq!(after["job"]["state"], "succeeded", "{case}: {after:#}");
    assert_eq!(after["dirty"], false, "{case}: {after:#}");
    assert_eq!(after["status"], "running", "{case}: {after:#}");
    let second = container_of(&after);
    assert_ne!(second, first, "{case}");
    assert_eq!(workspace.containers(), [second], "{case}");
    assert_eq!(after["remote_user"], "root", "{case}");
    assert_eq!(after["remote_workspace_folder"], "/workspace", "{case}");
}

/// Begins an operation. The daemon of another test may look for a moment whether it has to repair what it sees of the one
/// before, and holds the lock on the folder meanwhile.
fn post(daemon: &Daemon, path: &str) -> Response {
    eventually("no other daemon holds the lock", || {
        Some(daemon.post(path)).filter(|answer| answer.status != 409)
    })
}

/// Makes a container as the CLI would make it, in less time.
fn by_hand(workspace: &Workspace) -> String {
    let label = format!("devcontainer.config_file={}", workspace.config().display());
    docker(&[
        "run",
        "--detach",
        "--label",
        &workspace.label(),
        "--label",
        &label,
        IMAGE,
        "sh",
        "-c",
        &SERVE.replace("$$", "$"), // ends at once when it is stopped
    ])
}

/// Writes the configuration with these fields. With a port that is `taken`, or a build that fails, a recreate fails.
fn configure(workspace: &Workspace, kind: Kind, fields: Value, taken: Option<&str>) {
    let publish = taken.map(|taken| format!("{taken}:80"));
    let mut config = json!({"workspaceFolder": "/workspace"});
    let mount = format!("source={},target=/workspace,type=bind", workspace.shown());
    let write = |name: &str, text: String| {
        fs::write(workspace.config().with_file_name(name), text).unwrap();
    };
    let own = match kind {
        Kind::Image => {
            let run_args = publish.map(|publish| vec!["--publish".to_owned(), publish]);
            json!({"image": IMAGE, "workspaceMount": mount, "runArgs": run_args.unwrap_or_default()})
        }
        Kind::Dockerfile => {
            let fails = if taken.is_some() { "RUN false" } else { "" };
            write("Dockerfile", format!("FROM {IMAGE}\n{fails}\n"));
            json!({"build": {"dockerfile": "Dockerfile"}, "workspaceMount": mount})
        }
        Kind::Compose => {
            let compose = json!({"version": "3.7", "services": {"dev": {
                "image": IMAGE,
                "command": ["sh", "-c", SERVE],
                "volumes": ["..:/workspace"],
                "ports": publish.into_iter().collect::<Vec<_>>(),
            }}});
            write("compose.yml", compose.to_string());
            json!({"dockerComposeFile": "compose.yml", "service": "dev"})
        }
    };
    for more in [own, fields] {
        let more = more.as_object().unwrap().clone();
        config.as_object_mut().unwrap().extend(more);
    }
    workspace.write(&config.to_string());
}
