//! An operation touches its target and what that needs, and nothing else (P24), on the real engine.

use crate::common::{Daemon, Response};
use crate::engine::{
    Containers, IMAGE, daemon, docker, inspect, try_docker, unique, warnings_with,
};
use crate::workspace::{Workspace, container_of};
use serde_json::json;

/// Runs until it gets a TERM, and says so in a file.
const SERVE: &str =
    "trap 'echo TERM >/kept/signal; exit 0' 15; while sleep 1 & wait $!; do :; done";

/// A dev container with three containers, made without the daemon; all are removed when it is dropped.
struct Triple {
    workspace: Workspace,
    /// The newest one last.
    ids: [String; 3],
    _containers: Containers,
}

impl Triple {
    fn new(test: &str) -> Self {
        let workspace = Workspace::new(test, json!({}));
        let containers = Containers::new(test);
        let folder = format!("--label={}", workspace.label());
        let config = workspace.config();
        let config = format!("--label=devcontainer.config_file={}", config.display());
        let ids = [(); 3].map(|()| containers.run(&[&folder, &config, IMAGE, "sleep", "1000"]));
        Self {
            workspace,
            ids,
            _containers: containers,
        }
    }

    #[track_caller]
    fn shown(&self, daemon: &Daemon) -> String {
        container_of(&self.workspace.devcontainer(daemon))
    }

    fn request(&self, daemon: &Daemon, method: &str, more: &str) -> Response {
        let path = format!("/devcontainers/{}{more}", self.workspace.name);
        daemon.request(method, &path, "")
    }
}

/// The facts that change if anything is done to a container; empty where it is gone.
fn facts(id: &str) -> String {
    let format = "{{.Name}} {{.State.Status}} {{.State.StartedAt}} {{.State.FinishedAt}}";
    let output = try_docker(&["inspect", "--format", format, id]);
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn p24_the_container_that_is_named_is_recreated_and_no_other() {
    let triple = Triple::new("target-recreate");
    let daemon = daemon().start();
    triple.shown(&daemon);
    let [first, second, third] = &triple.ids;
    let before = [first, third].map(|id| facts(id));
    let made = daemon.post(&format!("/devcontainers/container/{second}/recreate"));
    assert_eq!(made.status, 204, "{made:?}");
    assert_eq!(facts(second), "", "it is replaced");
    assert_eq!([first, third].map(|id| facts(id)), before);
    let all = triple.workspace.containers();
    assert_eq!(all.len(), 3, "{all:?}");
    let new = triple.shown(&daemon);
    assert!(!triple.ids.contains(&new), "{new}");
}

#[test]
fn p24_stop_and_delete_are_for_the_one_that_is_shown_and_with_all_for_each() {
    let triple = Triple::new("target-stop");
    let daemon = daemon().start();
    let [first, second, third] = &triple.ids;
    assert_eq!(&triple.shown(&daemon), third);
    let before = [first, second].map(|id| facts(id));
    let stopped = triple.request(&daemon, "POST", "/stop?wait");
    assert_eq!(stopped.status, 204, "{stopped:?}");
    assert_eq!(inspect(third, ".State.Running"), "false");
    assert_eq!([first, second].map(|id| facts(id)), before);

    assert_eq!(&triple.shown(&daemon), second, "one that runs");
    let deleted = triple.request(&daemon, "DELETE", "");
    assert_eq!(deleted.status, 204, "{deleted:?}");
    assert_eq!(facts(second), "");
    assert_eq!(facts(first), before[0]);
    assert_eq!(inspect(third, ".State.Running"), "false");

    assert_eq!(&triple.shown(&daemon), first);
    let deleted = triple.request(&daemon, "DELETE", "?all=true");
    assert_eq!(deleted.status, 204, "{deleted:?}");
    assert_eq!(triple.workspace.containers(), [""; 0]);
    assert!(triple.workspace.find(&daemon).is_none());
}

/// A volume; removed when it is dropped, after the containers that use it.
struct Volume(String);

impl Drop for Volume {
    fn drop(&mut self) {
        try_docker(&["volume", "rm", "--force", &self.0]);
    }
}

#[test]
fn p24_delete_lets_a_process_end_by_itself() {
    for remove in [&[][..], &["--rm"]] {
        let volume = Volume(unique("devcontainerd-term"));
        let workspace = Workspace::new("target-term", json!({}));
        let containers = Containers::new("target-term");
        let label = format!("--label={}", workspace.label());
        let mount = format!("--volume={}:/kept", volume.0);
        let serve = [&label, &mount, IMAGE, "sh", "-c", SERVE];
        let id = containers.run(&[remove, &serve].concat());
        let daemon = daemon().start();
        assert_eq!(container_of(&workspace.devcontainer(&daemon)), id);
        let deleted = daemon.delete(&format!("/devcontainers/{}", workspace.name));
        assert_eq!(deleted.status, 204, "{deleted:?}");
        assert_eq!(facts(&id), "");
        let read = ["run", "--rm", &mount, IMAGE, "cat", "/kept/signal"];
        assert_eq!(docker(&read), "TERM", "and its volume is kept");
    }
}

#[test]
fn p24_a_paused_container_is_stopped_and_deleted() {
    let triple = Triple::new("target-paused");
    let daemon = daemon().start();
    let third = triple.shown(&daemon);
    docker(&["pause", &third]);
    let stopped = triple.request(&daemon, "POST", "/stop?wait");
    assert_eq!(stopped.status, 204, "{stopped:?}");
    assert_eq!(inspect(&third, ".State.Status"), "exited");
    let second = triple.shown(&daemon);
    docker(&["pause", &second]);
    let deleted = triple.request(&daemon, "DELETE", "");
    assert_eq!(deleted.status, 204, "{deleted:?}");
    assert_eq!(facts(&second), "");
}

/// Two dev containers in one compose project, as compose 2 labels their containers: `a` needs `db` and `cache`, `b`
/// needs `db`.
struct Shared {
    a: Workspace,
    services: [String; 4],
    _b: Workspace,
    _containers: Containers,
}

impl Shared {
    fn new(test: &str) -> Self {
        let [a, b] = [(); 2].map(|()| Workspace::new(test, json!({})));
        let containers = Containers::new(test);
        let project = unique(test);
        let run = |service: &str, needs: &str, more: &[&str]| {
            let labels = [
                format!("--label=com.docker.compose.project={project}"),
                format!("--label=com.docker.compose.service={service}"),
                format!("--label=com.docker.compose.depends_on={needs}"),
            ];
            let labels = labels.each_ref().map(String::as_str);
            containers.run(&[&labels, more, &[IMAGE, "sleep", "1000"]].concat())
        };
        let labels = [&a, &b].map(|one| format!("--label={}", one.label()));
        let started = "service_started:false";
        let services = [
            run("a", &format!("db:{started},cache:{started}"), &[&labels[0]]),
            run("b", &format!("db:{started}"), &[&labels[1]]),
            run("db", "", &[]),
            run("cache", "", &[]),
        ];
        Self {
            a,
            services,
            _b: b,
            _containers: containers,
        }
    }

    /// The state of each service; empty where it is gone.
    fn states(&self) -> [String; 4] {
        self.services.each_ref().map(|id| {
            let output = try_docker(&["inspect", "--format", "{{.State.Status}}", id]);
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        })
    }
}

#[test]
fn p24_services_that_another_dev_container_needs_stay() {
    let shared = Shared::new("target-services");
    let daemon = daemon().start();
    shared.a.devcontainer(&daemon);
    let path = format!("/devcontainers/{}", shared.a.name);
    let stopped = daemon.post(&format!("{path}/stop?wait"));
    assert_eq!(stopped.status, 204, "{stopped:?}");
    assert_eq!(shared.states(), ["exited", "running", "running", "exited"]);
    let deleted = daemon.delete(&path);
    assert_eq!(deleted.status, 204, "{deleted:?}");
    assert_eq!(shared.states(), ["", "running", "running", ""]);
}

/// The id of an image, which is removed when it is dropped.
struct Committed(String);

impl Drop for Committed {
    fn drop(&mut self) {
        try_docker(&["rmi", "--force", &self.0]);
    }
}

#[test]
fn p23_copies_of_a_dev_container_are_none() {
    let workspace = Workspace::new("target-copies", json!({}));
    let daemon = daemon().start();
    workspace.up();
    // This one has the label of an operation, too.
    let answer = daemon.post(&format!("{}?wait=true", workspace.recreate()));
    assert_eq!(answer.status, 204, "{answer:?}");
    let own = container_of(&workspace.devcontainer(&daemon));
    let image = Committed(docker(&["commit", &own]).trim().to_owned());
    let containers = Containers::new("target-copies");
    let copies = [
        containers.run(&[&image.0, "sleep", "1000"]),
        containers.create(&[&image.0]),
    ];
    let before = copies.each_ref().map(|id| facts(id));
    let unchanged = || assert_eq!(copies.each_ref().map(|id| facts(id)), before);
    let shown = || container_of(&workspace.devcontainer(&daemon));

    assert_eq!(shown(), own);
    let duplicates = warnings_with(&daemon, &workspace.name);
    assert_eq!(duplicates, [""; 0]);
    let path = format!("/devcontainers/container/{}/recreate", copies[0]);
    let answer = daemon.post(&path);
    assert_eq!(answer.status, 400, "{answer:?}");

    workspace.configure(json!({"runArgs": ["--no-such-flag"]}));
    let answer = daemon.post(&format!("{}?wait=true", workspace.recreate()));
    assert_eq!(answer.status, 500, "{answer:?}");
    assert_eq!(shown(), own);
    unchanged();
    workspace.configure(json!({}));
    let answer = daemon.post(&format!("{}?wait=true", workspace.recreate()));
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_ne!(shown(), own);
    unchanged();
    for more in ["/stop?wait=true&all=true", "?all=true"] {
        let method = if more.starts_with('/') {
            "POST"
        } else {
            "DELETE"
        };
        let path = format!("/devcontainers/{}{more}", workspace.name);
        let answer = daemon.request(method, &path, "");
        assert_eq!(answer.status, 204, "{answer:?}");
        unchanged();
    }
}
