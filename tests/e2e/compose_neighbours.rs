//! P24: a recreate of a dev container of a compose project leaves other dev containers alone, and makes again what lives
//! in the namespaces of the old container.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::common::{Daemon, eventually};
use crate::engine::{
    Containers, Directory, IMAGE, daemon, docker, inspect, remove_labelled, try_docker,
};
use crate::keeping::facts::facts_of;
use crate::keeping::stage::{free_port, program, publish};
use crate::project::{Project, SERVE};
use crate::workspace::{Workspace, container_of};

/// Serves a file on port 80 until it gets a TERM.
const HTTPD: &str =
    "mkdir -p /srv; echo served >/srv/file; trap 'exit 0' 15; httpd -f -p 80 -h /srv & wait";

fn with_sidecar(file: &mut Value) {
    file["services"]["dev"]["command"] = json!(["sh", "-c", HTTPD]);
    file["services"]["dev"]
        .as_object_mut()
        .unwrap()
        .remove("depends_on");
    file["services"]["db"]["network_mode"] = json!("service:dev");
}

#[track_caller]
fn assert_reaches(project: &Project, case: &str) {
    let url = "http://127.0.0.1/file";
    let db = project.db();
    assert_eq!(inspect(&db, ".State.Running"), "true", "{case}");
    let fetched = try_docker(&["exec", &db, "wget", "-q", "-O", "-", url]);
    let said = String::from_utf8_lossy(&fetched.stderr);
    assert_eq!(fetched.stdout, b"served\n", "{case}: {said}");
}

#[test]
fn p12_a_service_in_the_network_of_the_old_container_is_made_again() {
    let port = free_port();
    let (mut project, _) = Project::up_with("compose-net", port, with_sidecar);
    assert_reaches(&project, "before");
    let daemon = daemon().start();
    project.workspace.devcontainer(&daemon);
    for (greeting, case) in [("one", "nothing changed"), ("two", "with a change")] {
        project.compose_with(greeting, port, with_sidecar);
        project.recreate(&daemon, greeting);
        assert_reaches(&project, case);
        assert_eq!(project.service("db").len(), 1, "{case}");
    }
    // A recreate that fails puts both back.
    let others = Containers::new("compose-net");
    let taken = free_port();
    others.run(&["--publish", &publish(taken), IMAGE, "sleep", "1000"]);
    let (dev, db) = (project.service("dev"), project.service("db"));
    project.compose_with("three", taken, with_sidecar);
    let failed = project.post(&daemon, "recreate?wait");
    assert_eq!(failed.status, 500, "{failed:?}");
    assert!(failed.body.contains("nothing was lost"), "{failed:?}");
    assert_eq!((project.service("dev"), project.service("db")), (dev, db));
    assert_reaches(&project, "after a failure");
    project.port = taken;
}

/// A folder with two dev containers, which are the services `a` and `b` of one compose project.
struct Pair {
    workspace: Workspace,
    project: String,
}

impl Pair {
    fn up(test: &str) -> Self {
        let workspace = Workspace::new(test, json!({}));
        fs::remove_file(workspace.config()).unwrap();
        let project = workspace.name.clone();
        let pair = Self { workspace, project };
        pair.compose("one");
        for service in ["a", "b"] {
            let config = pair.configure(service, json!({"runServices": [service]}));
            pair.workspace.up_from(&config);
        }
        for service in ["a", "b"] {
            pair.configure(service, json!({}));
        }
        pair
    }

    /// Writes the configuration of a dev container, and returns its path.
    fn configure(&self, service: &str, fields: Value) -> PathBuf {
        let directory = self.workspace.folder().join(".devcontainer").join(service);
        fs::create_dir_all(&directory).unwrap();
        let mut config = json!({
            "name": service,
            "dockerComposeFile": "../../compose.yml",
            "service": service,
            "workspaceFolder": "/",
        });
        let fields = fields.as_object().unwrap().clone();
        config.as_object_mut().unwrap().extend(fields);
        let path = directory.join("devcontainer.json");
        fs::write(&path, config.to_string()).unwrap();
        path
    }

    fn compose(&self, greeting: &str) {
        let service = json!({
            "image": IMAGE,
            "command": ["sh", "-c", SERVE],
            "environment": {"GREETING": greeting},
        });
        let file = json!({
            "version": "3.7",
            "services": {"a": service, "b": service, "db": {"image": IMAGE, "command": ["sh", "-c", SERVE]}},
        });
        fs::write(
            self.workspace.folder().join("compose.yml"),
            file.to_string(),
        )
        .unwrap();
    }

    #[track_caller]
    fn container(&self, service: &str) -> String {
        let project = format!("label=com.docker.compose.project={}", self.project);
        let service = format!("label=com.docker.compose.service={service}");
        let all = ["ps", "--all", "--quiet", "--no-trunc"];
        let found = docker(&[&all[..], &["--filter", &project, "--filter", &service]].concat());
        assert_eq!(found.lines().count(), 1, "{found}");
        found
    }

    /// The id of the dev container that is a service.
    #[track_caller]
    fn devcontainer(&self, daemon: &Daemon, service: &str) -> Value {
        let all = daemon.json("/devcontainers");
        let all = all["devcontainers"].as_array().unwrap().clone();
        let end = format!("/{service}/devcontainer.json");
        let is = |one: &Value| {
            one["workspace_folder"] == self.workspace.shown()
                && one["config_path"]
                    .as_str()
                    .is_some_and(|path| path.ends_with(&end))
        };
        all.into_iter().find(is).expect("it is listed")
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        remove_labelled(&format!("com.docker.compose.project={}", self.project));
        try_docker(&["network", "rm", &format!("{}_default", self.project)]);
    }
}

#[test]
fn p24_a_recreate_leaves_another_dev_container_of_the_project_alone() {
    let pair = Pair::up("pair");
    let b = pair.container("b");
    let before = facts_of(&[], &b).unwrap();
    let daemon = daemon().start();
    for greeting in ["one", "two"] {
        // To compose, both services have changed: the CLI labels only that of the dev container.
        pair.compose(greeting);
        let a = pair.container("a");
        let one = pair.devcontainer(&daemon, "a");
        assert_eq!(container_of(&one), a);
        let id = one["id"].as_str().unwrap();
        let answer = daemon.post(&format!("/devcontainers/{id}/recreate?wait"));
        assert_eq!(answer.status, 204, "{answer:?}");
        let new = pair.container("a");
        assert_ne!(new, a, "a new one");
        assert!(inspect(&new, "json .Config.Env").contains(&format!("GREETING={greeting}")));
        assert_eq!(pair.container("b"), b, "{greeting}");
        let now = facts_of(&[], &b).expect("b is there");
        assert_eq!(now.same, before.same, "{greeting}");
        assert_eq!(now.started, before.started, "b was stopped: {greeting}");
        assert_eq!(container_of(&pair.devcontainer(&daemon, "b")), b);
        let log = daemon.get(&format!("/devcontainers/{id}/logs?format=text"));
        assert!(log.body.contains("is left alone"), "{}", log.body);
    }
}

/// Two folders of the same name have one compose project, unless they give it a name.
#[test]
fn p24_the_container_of_another_folder_is_neither_replaced_nor_started() {
    let (first, dev) = Project::up("same", free_port());
    let directory = Directory::new("same");
    let second = directory.path().join(&first.workspace.name);
    fs::create_dir_all(second.join(".devcontainer")).unwrap();
    for file in ["devcontainer.json", "compose.yml", "Dockerfile"] {
        let from = first.workspace.config().with_file_name(file);
        fs::copy(from, second.join(".devcontainer").join(file)).unwrap();
    }
    let manifest = directory.path().join("manifest.json");
    let id = "3b579bf4-1ed8-4b99-87a8-e9a1e3410999";
    let defined =
        json!({"devcontainers": [{"id": id, "name": "second", "workspace_folder": second}]});
    fs::write(&manifest, defined.to_string()).unwrap();
    let daemon = daemon()
        .args(&format!("--manifest {}", manifest.display()))
        .start();
    for running in [true, false] {
        if !running {
            docker(&["stop", &dev]);
        }
        let before = facts_of(&[], &dev).unwrap();
        let db = facts_of(&[], &first.db()).unwrap();
        for operation in ["recreate", "start"] {
            let refused = daemon.post(&format!("/devcontainers/{id}/{operation}?wait"));
            let case = format!("{operation}, running: {running}: {refused:?}");
            assert_eq!(refused.status, 500, "{case}");
            assert!(
                refused.body.contains(first.workspace.shown()),
                "whose it is: {case}"
            );
            let now = facts_of(&[], &dev).unwrap_or_else(|| panic!("lost: {case}"));
            assert_eq!(now.same, before.same, "{case}");
            assert_eq!(now.started, before.started, "{case}");
            let now = facts_of(&[], &first.db()).unwrap_or_else(|| panic!("db is lost: {case}"));
            assert_eq!(now.same, db.same, "{case}");
        }
    }
}

/// The old container is replaced, whatever kind of dev container the new one is.
#[test]
fn p12_a_container_of_another_kind_is_replaced() {
    let port = free_port();
    let (mut project, _) = Project::up("kind", port);
    let daemon = daemon().start();
    project.workspace.devcontainer(&daemon);
    let recreate = |case: &str| {
        let before = container_of(&project.workspace.devcontainer(&daemon));
        let answer = project.post(&daemon, "recreate?wait");
        assert_eq!(answer.status, 204, "{case}: {answer:?}");
        let after = container_of(&project.workspace.devcontainer(&daemon));
        assert_eq!(project.workspace.containers(), [&*after], "{case}");
        assert_ne!(after, before, "{case}");
        after
    };
    let published = publish(port);
    project
        .workspace
        .configure(json!({"runArgs": ["--publish", published]}));
    let image = recreate("from compose to an image");
    assert!(!inspect(&image, "json .Config.Labels").contains("com.docker.compose"));
    project.configure(json!({}));
    let service = recreate("from an image to compose");
    assert_eq!(project.service("dev"), [&*service]);
    project.compose_with("one", port, |file| {
        let dev = file["services"]
            .as_object_mut()
            .unwrap()
            .remove("dev")
            .unwrap();
        file["services"]["other"] = dev;
    });
    project.configure(json!({"service": "other"}));
    let other = recreate("to another service");
    assert_eq!(project.service("other"), [&*other]);
    // The CLI reads this, and a comma may be missing.
    let text = r#"{"dockerComposeFile": "compose.yml" "service": "${localEnv:NO_SUCH_VARIABLE:other}", "workspaceFolder": "/"}"#;
    project.workspace.write(text);
    recreate("with a service that only the CLI reads");
    project.port = port;
}

/// Where the engine has no socket on this machine, docker connects to it.
#[test]
fn p12_an_engine_elsewhere_is_reached_by_docker() {
    let (mut project, _) = Project::up("elsewhere", free_port());
    let directory = Directory::new("elsewhere");
    let code = r#"case "$1 $2" in
"context inspect") [ "$DOCKER_HOST" = unix:///nonexistent/devcontainerd.sock ] && echo "$DOCKER_HOST" || echo ssh://somewhere; exit ;;
"system dial-stdio") echo >>"${0%/*}/dialled" ;;
esac
exec docker "$@""#;
    let docker = program(&directory, "docker", code);
    let daemon = daemon().args(&format!("--docker {docker}")).start();
    project.workspace.devcontainer(&daemon);
    project.compose("two", project.port);
    let new = project.recreate(&daemon, "two");
    assert!(directory.path().join("dialled").exists());
    let others = Containers::new("elsewhere");
    let taken = free_port();
    others.run(&["--publish", &publish(taken), IMAGE, "sleep", "1000"]);
    project.compose("three", taken);
    let failed = project.post(&daemon, "recreate?wait");
    assert_eq!(failed.status, 500, "{failed:?}");
    assert!(failed.body.contains("nothing was lost"), "{failed:?}");
    assert_eq!(project.service("dev"), [new]);
    project.port = taken;
}

/// Nothing is left over of several recreates.
#[test]
fn p16_recreates_leave_nothing() {
    let (project, _) = Project::up_with("compose-many", free_port(), |file| {
        file["services"]["dev"]["volumes"] = json!(["/anonymous"]);
    });
    let daemon = daemon().start();
    project.workspace.devcontainer(&daemon);
    let sockets = || {
        let all = fs::read_dir(std::env::temp_dir()).unwrap().flatten();
        let name = format!("devcontainerd-{}.", daemon.pid());
        let is_ours = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with(&name);
        all.filter(is_ours).count()
    };
    let networks = || {
        let filter = format!("label=com.docker.compose.project={}", project.name);
        let found = docker(&["network", "ls", "--quiet", "--filter", &filter]);
        found.lines().count()
    };
    let before = networks();
    let open_files = format!("/proc/{}/fd", daemon.pid());
    let descriptors = || fs::read_dir(&open_files).unwrap().count();
    project.recreate(&daemon, "one");
    let most = descriptors() + 2;
    for _ in 0..3 {
        let old = container_of(&project.workspace.devcontainer(&daemon));
        let mounts = inspect(&old, r#"range .Mounts}}{{.Name}} {{end"#);
        let mut names = mounts.split_whitespace();
        let anonymous = names.find(|name| name.len() == 64).unwrap();
        project.recreate(&daemon, "one");
        let gone = try_docker(&["volume", "inspect", anonymous]);
        assert!(!gone.status.success(), "the volume of the old one is left");
    }
    assert_eq!((sockets(), networks()), (0, before));
    eventually("descriptors are closed", || {
        (descriptors() <= most).then_some(())
    });
}
