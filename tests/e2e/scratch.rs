//! The image that `make image` builds: the static binary and its licenses, and nothing else.

use std::fs;
use std::time::Duration;

use crate::common::{Stopwatch, eventually};
use crate::engine::{Containers, Directory, docker, inspect, try_docker, unique};

/// An image; removed when it is dropped.
struct Image(String);

impl Image {
    /// From `packaging/image/Dockerfile`, with the static binary.
    fn build() -> Self {
        let binary = std::env::var("DEVCONTAINERD_STATIC_BIN");
        let binary =
            binary.expect("DEVCONTAINERD_STATIC_BIN names the binary that `make static` makes");
        let directory = Directory::new("scratch");
        fs::copy(binary, directory.path().join("devcontainerd")).unwrap();
        let name = unique("devcontainerd-scratch");
        docker(&[
            "build",
            "--quiet",
            "--tag",
            &name,
            "--build-arg",
            "VERSION=1.2.3",
            "--file",
            concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/image/Dockerfile"),
            directory.path().to_str().unwrap(),
        ]);
        Self(name)
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        try_docker(&["rmi", "--force", &self.0]);
    }
}

#[test]
fn the_static_binary_serves_from_scratch_without_any_right() {
    let image = Image::build();
    let containers = Containers::new("scratch");
    let id = containers.run(&[
        "--user",
        "1000",
        "--read-only",
        "--cap-drop",
        "ALL",
        "--network",
        "none",
        &image.0,
    ]);
    eventually("it answers /healthz", || {
        let checked = try_docker(&["exec", &id, "/devcontainerd", "healthcheck"]);
        checked.status.success().then_some(())
    });
    let label = r#"index .Config.Labels "org.opencontainers.image.version""#;
    assert_eq!(inspect(&id, label), "1.2.3");
    let checks = inspect(&id, ".Config.Healthcheck.Test");
    assert_eq!(checks, "[CMD /devcontainerd healthcheck]");
    let ready = ["exec", &id, "/devcontainerd", "healthcheck", "--url"];
    let healthcheck = |url| try_docker(&[&ready[..], &[url]].concat());
    assert!(
        healthcheck("http://127.0.0.1:3382/version")
            .status
            .success()
    );
    let not_ready = healthcheck("http://127.0.0.1:3382/readyz");
    let said = String::from_utf8_lossy(&not_ready.stderr).into_owned();
    assert!(said.contains("503"), "there is no docker in it: {said}");

    // An init process has to handle the signal itself, or docker kills it after ten seconds.
    let begun = Stopwatch::start();
    docker(&["stop", "--time", "10", &id]);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(inspect(&id, ".State.ExitCode"), "0");
}
