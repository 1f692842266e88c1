//! P12 for dev containers of a compose project: when a recreate fails, or the daemon is killed, the container and the
//! other services are there again, as they were. Together, the rows are the second table in docs/operations.md.

use std::fmt::Write as _;
use std::fs;

use serde_json::{Value, json};

use crate::common::{Daemon, DaemonBuilder, eventually};
use crate::engine::{Containers, Directory, IMAGE, daemon, docker, inspect};
use crate::keeping::facts::{Facts, facts_of, processes_with};
use crate::keeping::held::{Hold, hold_at};
use crate::keeping::stage::{engine_socket, free_port, publish};
use crate::project::Project;
use crate::workspace::container_of;

const KEPT: &str = "nothing was lost";
const WAITING: &str = "echo >begun; while [ ! -e go ]; do sleep 0.02; done";

/// A project whose containers are worth keeping.
struct Stage {
    project: Project,
    /// Other containers of the same test.
    others: Containers,
    directory: Directory,
    dev: Facts,
    db: Facts,
}

/// What has become of a container.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// It was never stopped.
    Untouched,
    /// It was stopped, and put back.
    Restored,
    /// It is gone, as a new one runs.
    Replaced,
}

/// A way in which a recreate fails, or a moment at which the daemon is killed.
struct Row {
    cause: &'static str,
    dev: After,
    db: After,
    /// The parts that the error must have.
    says: &'static [&'static str],
    /// Makes the next recreate fail, or wait. Returns the daemon on which it does.
    arrange: fn(&Stage) -> DaemonBuilder,
    /// Waits for the moment at which the daemon is killed.
    killed_at: Option<fn(&Stage)>,
}

macro_rules! rows {
    ($($test:ident: $row:expr,)+) => {
        const ROWS: &[Row] = &[$($row),+];
        $(#[test]
        fn $test() {
            check(&$row);
        })+
    };
}

rows! {
    p12_compose_an_image_that_is_not_found: Row {
        cause: "the image of the service is not found",
        dev: After::Untouched,
        db: After::Untouched,
        says: &["localhost:1/no-such-image"],
        arrange: |stage| stage.compose(|services| {
            services["dev"]["image"] = json!("localhost:1/no-such-image");
            services["dev"].as_object_mut().unwrap().remove("build");
        }),
        killed_at: None,
    },
    p12_compose_a_build_that_fails: Row {
        cause: "the build fails",
        dev: After::Untouched,
        db: After::Untouched,
        says: &["/bin/sh -c false"],
        arrange: |stage| {
            stage.project.dockerfile("RUN false");
            stage.daemon()
        },
        killed_at: None,
    },
    p12_compose_a_file_that_is_no_yaml: Row {
        cause: "the compose file cannot be read",
        dev: After::Untouched,
        db: After::Untouched,
        says: &["yaml"],
        arrange: |stage| {
            stage.project.write("compose.yml", "services: [");
            stage.daemon()
        },
        killed_at: None,
    },
    p12_compose_an_initialize_command_that_fails: Row {
        cause: "`initializeCommand` fails",
        dev: After::Untouched,
        db: After::Untouched,
        says: &["initializeCommand"],
        arrange: |stage| stage.configure(json!({"initializeCommand": "exit 7"})),
        killed_at: None,
    },
    p12_compose_a_port_that_is_taken: Row {
        cause: "a published port of the service belongs to another container",
        dev: After::Restored,
        db: After::Untouched,
        says: &["port is already allocated"],
        arrange: |stage| {
            let taken = stage.taken_port();
            stage.compose(|services| services["dev"]["ports"] = json!([taken]))
        },
        killed_at: None,
    },
    p12_compose_a_device_that_does_not_exist: Row {
        cause: "a device of the service does not exist",
        dev: After::Restored,
        db: After::Untouched,
        says: &["no-such-device"],
        arrange: |stage| stage.compose(|services| {
            services["dev"]["devices"] = json!(["/dev/no-such-device"]);
        }),
        killed_at: None,
    },
    p12_compose_another_service_whose_port_is_taken: Row {
        cause: "a published port of another service, which the service needs, belongs to another container",
        dev: After::Untouched,
        db: After::Restored,
        says: &["port is already allocated"],
        arrange: |stage| {
            let taken = stage.taken_port();
            stage.compose(|services| services["db"]["ports"] = json!([taken]))
        },
        killed_at: None,
    },
    p12_compose_another_service_that_is_not_needed: Row {
        cause: "a device of another service, which needs the service, does not exist",
        dev: After::Restored,
        db: After::Restored,
        says: &["no-such-device"],
        arrange: |stage| stage.compose(|services| {
            services["dev"].as_object_mut().unwrap().remove("depends_on");
            services["db"]["depends_on"] = json!(["dev"]);
            services["db"]["devices"] = json!(["/dev/no-such-device"]);
        }),
        killed_at: None,
    },
    p12_compose_a_hook_that_fails: Row {
        cause: "`postCreateCommand` fails",
        dev: After::Replaced,
        db: After::Untouched,
        says: &["postCreateCommand", "the new container runs, and the old one is gone"],
        arrange: |stage| stage.configure(json!({"postCreateCommand": "exit 7"})),
        killed_at: None,
    },
    p12_compose_killed_during_initialize_command: Row {
        cause: "the daemon is killed during `initializeCommand`",
        dev: After::Untouched,
        db: After::Untouched,
        says: &[],
        arrange: |stage| stage.configure(json!({"initializeCommand": WAITING})),
        killed_at: Some(Stage::wait_for_hook),
    },
    p12_compose_killed_during_the_build: Row {
        cause: "the daemon is killed during the build",
        dev: After::Untouched,
        db: After::Untouched,
        says: &[],
        arrange: |stage| {
            let line = format!("RUN sleep 20; : built {}", stage.project.name);
            stage.project.dockerfile(&line);
            stage.daemon()
        },
        killed_at: Some(|stage| {
            let building = format!("sleep 20; : built {}", stage.project.name);
            eventually("it is built", || processes_with(&building).pop());
        }),
    },
    p12_compose_killed_before_the_rename: Row {
        cause: "the daemon is killed during the rename, before the new container is made",
        dev: After::Untouched,
        db: After::Untouched,
        says: &[],
        arrange: |stage| stage.held(Hold::Before("rename")),
        killed_at: Some(Stage::wait_until_held),
    },
    p12_compose_killed_before_the_start: Row {
        cause: "the daemon is killed during the start of the new container, which is made",
        dev: After::Restored,
        db: After::Untouched,
        says: &[],
        arrange: |stage| stage.held(Hold::After("stop")),
        killed_at: Some(Stage::wait_until_held),
    },
    p12_compose_killed_while_another_service_is_replaced: Row {
        cause: "the daemon is killed while another service is replaced",
        dev: After::Untouched,
        db: After::Restored,
        says: &[],
        arrange: Stage::with_held_db,
        killed_at: Some(Stage::wait_until_db_is_set_aside),
    },
    p12_compose_killed_during_post_create_command: Row {
        cause: "the daemon is killed during `postCreateCommand`",
        dev: After::Replaced,
        db: After::Untouched,
        says: &[],
        arrange: |stage| stage.configure(json!({
            "postCreateCommand": "echo >/tmp/begun; while [ ! -e /tmp/go ]; do sleep 0.02; done",
        })),
        killed_at: Some(|stage| {
            let begun = || {
                let new = stage.project.service("dev").into_iter().find(|id| *id != stage.dev.id);
                let new = new?;
                let state = ["exec", &new, "test", "-e", "/tmp/begun"];
                crate::engine::try_docker(&state).status.success().then_some(())
            };
            eventually("the hook waits", begun);
        }),
    },
}

impl After {
    fn text(self) -> &'static str {
        match self {
            Self::Untouched => "as before; it was never stopped",
            Self::Restored => "as before; it was stopped for a moment",
            Self::Replaced => "gone; the new one runs",
        }
    }
}

/// The table in the docs.
pub(crate) fn table() -> String {
    let mut text = String::from(
        "| cause | the dev container's | that of another service | error says |\n|---|---|---|---|\n",
    );
    for row in ROWS {
        let mut says: Vec<String> = row.says.iter().map(|text| format!("`{text}`")).collect();
        if row.dev != After::Replaced {
            says.push(format!("`{KEPT}`"));
        }
        let says = match row.killed_at {
            None => says.join(", "),
            Some(_) => format!("{} (the job is `interrupted`)", says.join(", ")),
        };
        let (dev, db) = (row.dev.text(), row.db.text());
        writeln!(text, "| {} | {dev} | {db} | {} |", row.cause, says.trim()).unwrap();
    }
    text
}

impl Stage {
    fn new() -> Self {
        let (project, dev) = Project::up("compose-keep", free_port());
        let db = project.db();
        for id in [&dev, &db] {
            docker(&["exec", id, "sh", "-c", "echo own >/own"]);
        }
        Self {
            dev: facts_of(&[], &dev).unwrap(),
            db: facts_of(&[], &db).unwrap(),
            project,
            others: Containers::new("compose-keep"),
            directory: Directory::new("compose-keep"),
        }
    }

    fn daemon(&self) -> DaemonBuilder {
        daemon()
    }

    fn configure(&self, fields: Value) -> DaemonBuilder {
        self.project.configure(fields);
        self.daemon()
    }

    fn compose(&self, change: impl FnOnce(&mut Value)) -> DaemonBuilder {
        let port = self.project.port;
        self.project
            .compose_with("one", port, |file| change(&mut file["services"]));
        self.daemon()
    }

    fn held(&self, hold: Hold) -> DaemonBuilder {
        let host = hold_at(self.directory.path(), &engine_socket(), hold);
        self.daemon().env("DOCKER_HOST", &host)
    }

    /// Makes a recreate replace `db`, and wait for its end.
    fn with_held_db(&self) -> DaemonBuilder {
        self.project.hold_db();
        self.compose(|services| services["db"]["environment"] = json!({"NEW": "yes"}))
    }

    fn wait_until_db_is_set_aside(&self) {
        let name = || inspect(&self.db.id, ".Name").contains(".devcontainerd-");
        eventually("db is set aside", || name().then_some(()));
    }

    fn taken_port(&self) -> String {
        let taken = publish(free_port());
        self.others
            .run(&["--publish", &taken, IMAGE, "sleep", "1000"]);
        taken
    }

    fn wait_until_held(&self) {
        let held = self.directory.path().join("held");
        eventually("the engine is held", || held.exists().then_some(()));
    }

    fn wait_for_hook(&self) {
        let begun = self.project.workspace.folder().join("begun");
        eventually("the hook waits", || begun.exists().then_some(()));
    }

    /// Returns whether a container is there with everything that must not change.
    fn is_as_before(&self, before: &Facts, service: &str) -> bool {
        let now = facts_of(&[], &before.id);
        now.is_some_and(|now| now.same == before.same)
            && self.project.service(service) == [&*before.id]
    }

    #[track_caller]
    fn assert_after(&self, before: &Facts, after: After, service: &str, case: &str) {
        if after == After::Replaced {
            assert!(
                facts_of(&[], &before.id).is_none(),
                "the old one is there: {case}"
            );
            let all = self.project.service(service);
            assert_eq!(all.len(), 1, "{case}: {all:?}");
            assert_eq!(inspect(&all[0], ".State.Running"), "true", "{case}");
            return;
        }
        let now = facts_of(&[], &before.id).unwrap_or_else(|| panic!("{service} is lost: {case}"));
        assert_eq!(now.same, before.same, "{service}: {case}");
        let was_stopped = now.started != before.started;
        assert_eq!(
            was_stopped,
            after == After::Restored,
            "{service} was stopped: {case}"
        );
        assert_eq!(
            self.project.service(service),
            [&*before.id],
            "{service}: {case}"
        );
        let own = docker(&["exec", &before.id, "cat", "/own"]);
        assert_eq!(own, "own", "its file system: {case}");
    }

    #[track_caller]
    fn assert_all_after(&self, row: &Row) {
        self.assert_after(&self.dev, row.dev, "dev", row.cause);
        self.assert_after(&self.db, row.db, "db", row.cause);
        self.project.assert_data_is_there();
    }

    fn recreate(&self, daemon: &Daemon) -> crate::common::Response {
        self.project.post(daemon, "recreate?wait")
    }

    /// Asserts that it can be recreated once nothing is in the way.
    #[track_caller]
    fn assert_recreates(&self, case: &str) {
        fs::write(self.project.workspace.folder().join("go"), "").unwrap();
        let _ = fs::remove_file(self.directory.path().join("hold"));
        self.project.configure(json!({}));
        self.project.compose("one", self.project.port);
        self.project.dockerfile("");
        let daemon = daemon().start();
        self.project.workspace.devcontainer(&daemon);
        let answer = self.recreate(&daemon);
        assert_eq!(answer.status, 204, "{case}: {answer:?}");
        let one = self.project.workspace.devcontainer(&daemon);
        assert_eq!(one["status"], "running", "{case}: {one:#}");
        assert_eq!(self.project.service("dev"), [container_of(&one)], "{case}");
        self.project.assert_data_is_there();
    }
}

fn check(row: &Row) {
    match row.killed_at {
        None => check_failure(row),
        Some(reached) => {
            for has_state in [true, false] {
                check_killed(row, reached, has_state);
            }
        }
    }
}

fn check_failure(row: &Row) {
    let stage = Stage::new();
    let daemon = (row.arrange)(&stage).start();
    stage.project.workspace.devcontainer(&daemon);
    let failed = stage.recreate(&daemon);
    assert_eq!(failed.status, 500, "{}: {failed:?}", row.cause);
    let said = failed.json()["detail"].as_str().unwrap().to_owned();
    let case = format!("{}: {said}", row.cause);
    stage.assert_all_after(row);
    for text in row.says {
        assert!(said.contains(text), "{text:?} is not said: {case}");
    }
    assert_eq!(said.contains(KEPT), row.dev != After::Replaced, "{case}");
    let one = stage.project.workspace.devcontainer(&daemon);
    assert_eq!(one["job"]["state"], "failed", "{case}");
    assert_eq!(one["status"], "running", "{case}: {one:#}");
    drop(daemon);
    stage.assert_recreates(row.cause);
}

fn check_killed(row: &Row, reached: fn(&Stage), has_state: bool) {
    let stage = Stage::new();
    let case = format!("{}, state: {has_state}", row.cause);
    let state = stage.directory.path().join("state");
    let with_state = |builder: DaemonBuilder| match has_state {
        true => builder.args(&format!("--state-dir {}", state.display())),
        false => builder,
    };
    let mut first = with_state((row.arrange)(&stage)).start();
    stage.project.workspace.devcontainer(&first);
    assert_eq!(stage.project.post(&first, "recreate").status, 202, "{case}");
    reached(&stage);
    first.signal("KILL");
    first.wait();
    if Project::release_db(&stage.db.id) {
        let is_stopped = || inspect(&stage.db.id, ".State.Running") == "false";
        eventually("db has ended", || is_stopped().then_some(()));
    }

    let second = with_state(stage.daemon()).start();
    let look = || stage.project.workspace.find(&second);
    eventually(&format!("it is as it should be: {case}"), || {
        look();
        let is_done = |before: &Facts, after: After, service: &str| match after {
            After::Replaced => facts_of(&[], &before.id).is_none(),
            _ => stage.is_as_before(before, service),
        };
        let dev = is_done(&stage.dev, row.dev, "dev");
        (dev && is_done(&stage.db, row.db, "db")).then_some(())
    });
    stage.assert_all_after(row);
    if has_state {
        let one = stage
            .project
            .workspace
            .wait_for(&second, "interrupted", |one| {
                one["job"]["state"] == "interrupted" && one["status"] != "starting"
            });
        assert_eq!(one["job"]["kind"], "recreate", "{case}: {one:#}");
        if row.dev != After::Replaced {
            let says = |one: &Value| {
                one["error"]
                    .as_str()
                    .is_some_and(|error| error.contains(KEPT))
            };
            stage.project.workspace.wait_for(&second, KEPT, says);
        }
    }
    drop(second);
    stage.assert_recreates(&case);
}

/// A cancel at each stage leaves everything as it was.
#[test]
fn p12_compose_cancelled_before_the_start() {
    let stage = Stage::new();
    let daemon = stage.held(Hold::After("stop")).start();
    stage.project.workspace.devcontainer(&daemon);
    assert_eq!(stage.project.post(&daemon, "recreate").status, 202);
    stage.wait_until_held();
    let cancelled = stage.project.post(&daemon, "cancel");
    assert_eq!(cancelled.status, 204, "{cancelled:?}");
    stage.assert_after(&stage.dev, After::Restored, "dev", "cancelled");
    stage.assert_after(&stage.db, After::Untouched, "db", "cancelled");
    let left = crate::common::operation_processes(daemon.pid());
    assert!(left.is_empty(), "{left:?}");
    drop(daemon);
    stage.assert_recreates("cancelled");
}

#[test]
fn p12_compose_cancelled_while_another_service_is_stopped() {
    let stage = Stage::new();
    let daemon = stage.with_held_db().start();
    stage.project.workspace.devcontainer(&daemon);
    assert_eq!(stage.project.post(&daemon, "recreate").status, 202);
    stage.wait_until_db_is_set_aside();
    let cancelled = std::thread::scope(|scope| {
        let cancel = scope.spawn(|| stage.project.post(&daemon, "cancel"));
        daemon.log.wait_for(": asked for");
        assert!(
            Project::release_db(&stage.db.id),
            "it was stopped too early"
        );
        cancel.join().unwrap()
    });
    assert_eq!(cancelled.status, 204, "{cancelled:?}");
    stage.assert_after(&stage.dev, After::Untouched, "dev", "cancelled");
    stage.assert_after(&stage.db, After::Restored, "db", "cancelled");
}
