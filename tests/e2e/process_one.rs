//! The daemon as process 1 of a container, with stand-ins for docker and the CLI in it.

use std::process::{Command, Stdio};

use crate::common::{Sandbox, eventually};
use crate::engine::{Containers, IMAGE, docker, inspect, try_docker};

#[test]
fn docker_stop_lets_an_operation_end() {
    let sandbox = Sandbox::with_app();
    // A process that it leaves becomes a child of process 1.
    let leaves = "(sleep 0.01 &)";
    sandbox.devcontainer(&format!(
        "{leaves}; >$R/waits; while [ ! -e $R/go ]; do sleep 0.05; done"
    ));
    let binary = std::env::var("DEVCONTAINERD_STATIC_BIN");
    let binary =
        binary.expect("DEVCONTAINERD_STATIC_BIN names the binary that `make static` makes");
    let root = sandbox.path("").display().to_string();
    let root = root.trim_end_matches('/');
    let containers = Containers::new("process-one");
    let id = containers.run(&[
        "--stop-timeout",
        "60",
        "--network",
        "none",
        "--volume",
        &format!("{root}:{root}"),
        "--volume",
        &format!("{binary}:/bin/devcontainerd:ro"),
        "--env",
        &format!("PATH={root}/bin:/bin"),
        "--env",
        "DEVCONTAINERD_NO_EVENTS=true",
        IMAGE,
        "devcontainerd",
        "--state-dir",
        &format!("{root}/state"),
        "--drain-timeout",
        "50",
    ]);
    let daemon =
        |arguments: &[&str]| try_docker(&[&["exec", &*id, "devcontainerd"], arguments].concat());
    eventually("it answers", || {
        daemon(&["healthcheck"]).status.success().then_some(())
    });
    assert_eq!(daemon(&["ls", "--quiet"]).stdout, b"app\n");
    let mut recreate = Command::new("docker");
    recreate.args(["exec", &id, "devcontainerd", "recreate", "app"]);
    let mut recreate = recreate.stdout(Stdio::null()).spawn().unwrap();
    eventually("the CLI runs", || {
        sandbox.path("waits").exists().then_some(())
    });
    let mut stop = Command::new("docker");
    let mut stop = stop
        .args(["stop", &id])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let log = || String::from_utf8_lossy(&try_docker(&["logs", &id]).stderr).into_owned();
    eventually("it waits for the operation", || {
        log().contains("they get up to 50 s").then_some(())
    });
    assert_eq!(
        docker(&["top", &id, "-o", "pid,stat"])
            .matches(" Z")
            .count(),
        0,
        "zombies"
    );
    sandbox.write("go", "");
    assert!(stop.wait().unwrap().success());
    let _ = recreate.wait();
    assert_eq!(inspect(&id, ".State.ExitCode"), "0");
    let log = log();
    assert!(log.contains("recreate succeeded"), "{log}");
}
