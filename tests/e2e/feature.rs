//! The dev container Feature, put into a dev container by the real CLI.

use std::fs;
use std::path::Path;

use serde_json::json;

use crate::common::eventually;
use crate::engine::{docker, inspect, try_docker};
use crate::workspace::Workspace;

/// Copies the Feature beside the configuration, as `make feature` lays it out.
fn add_feature(workspace: &Workspace) {
    let to = workspace.folder().join(".devcontainer/devcontainerd");
    fs::create_dir_all(to.join("licenses")).unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR"));
    let parts = from.join("packaging/feature/src/devcontainerd");
    for entry in fs::read_dir(&parts).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
    fs::copy(from.join("LICENSE"), to.join("LICENSE")).unwrap();
    let binary = std::env::var("DEVCONTAINERD_STATIC_BIN");
    let binary =
        binary.expect("DEVCONTAINERD_STATIC_BIN names the binary that `make static` makes");
    let name = format!("devcontainerd-{}", std::env::consts::ARCH);
    fs::copy(binary, to.join(name)).unwrap();
    // The CLI asks a registry about each Feature after which this one is installed.
    let path = to.join("devcontainer-feature.json");
    let described: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    let mut described = described.as_object().unwrap().clone();
    assert!(described.remove("installsAfter").is_some());
    fs::write(&path, serde_json::to_string(&described).unwrap()).unwrap();
}

#[test]
fn the_feature_starts_the_daemon_as_the_remote_user_at_each_start() {
    let options = json!({"cli": "none", "listen": "127.0.0.1:3400", "discover": "/it's here"});
    let fields = json!({"remoteUser": "dev", "features": {"./devcontainerd": options}});
    let workspace = Workspace::new("feature", fields);
    add_feature(&workspace);
    let id = workspace.up();
    let in_it = |code: &str| docker(&["exec", &id, "sh", "-c", code]);
    let answers = || {
        eventually("the daemon answers", || {
            let url = "http://127.0.0.1:3400/healthz";
            let check = ["exec", &id, "devcontainerd", "healthcheck", "--url", url];
            try_docker(&check).status.success().then_some(())
        });
    };
    answers();
    let processes = in_it("ps -o user,args");
    let daemon = processes
        .lines()
        .find(|line| line.ends_with("/usr/local/bin/devcontainerd"));
    assert!(
        daemon.is_some_and(|line| line.starts_with("dev ")),
        "{processes}"
    );
    // Without further rights, not even root may read it.
    let read = "tr '\\0' '\\n' </proc/$(pidof devcontainerd)/environ";
    let environment = docker(&["exec", "--user", "dev", &id, "sh", "-c", read]);
    for variable in [
        "DEVCONTAINERD_DISCOVER=/it's here",
        "DEVCONTAINERD_STATE_DIR=/var/lib/devcontainerd",
    ] {
        assert!(
            environment.lines().any(|line| line == variable),
            "{environment}"
        );
    }
    assert_eq!(in_it("stat -c '%U %a' /var/lib/devcontainerd"), "dev 700");
    let volumes = inspect(&id, r#"range .Mounts}}{{.Name}} {{end"#);
    let volume = volumes
        .split(' ')
        .find(|name| name.starts_with("devcontainerd-"));

    docker(&["restart", "--time", "0", &id]);
    answers();
    docker(&["rm", "--force", &id]);
    docker(&["volume", "rm", volume.unwrap()]);
}
