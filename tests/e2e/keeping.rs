//! P12: when a recreate fails before the new container runs, the old one is there again, as it was.
//!
//! The old container is one that the real CLI made: it has a name, an extra label, a published port and a named volume,
//! and its own command serves a file of the volume on the port. The whole output of `docker inspect` must stay the
//! same. The two tables here are also the tables in docs/FAILURES.md.

use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::common::{Daemon, DaemonBuilder, eventually};
use crate::engine::{
    Containers, Directory, IMAGE, PrivateEngine, daemon, docker, try_docker, unique,
};
use crate::workspace::{Live, WAITING_HOOK, Workspace, container_of};

const FAILED: &str = "Could not recreate devcontainer";
/// Part of each error after which the old container is there.
const KEPT: &str = "nothing was lost";
/// A label of the containers that an operation makes.
const OPERATION: &str = "devcontainerd.operation";
/// Runs in the folder on the host, before the CLI touches any container.
const WAITING_INITIALIZE: &str = "echo >begun; while [ ! -e go ]; do sleep 0.02; done";

/// A way in which a recreate fails.
struct Cause {
    cause: &'static str,
    after: After,
    /// The parts that the error must have.
    says: &'static [&'static str],
    /// Makes the next recreate fail. Returns the daemon on which it does.
    arrange: fn(&Stage) -> DaemonBuilder,
    /// Runs while the recreate does.
    meanwhile: fn(&Stage),
}

/// The state of the old container in the end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    /// No program was started.
    Refused,
    /// It was never stopped.
    Untouched,
    /// It was renamed and stopped, and put back.
    Restored,
    /// It is gone, as the new container runs.
    Replaced,
}

/// A moment at which the daemon is killed, before another one is started.
struct Killed {
    during: &'static str,
    /// True if the old container runs.
    running: bool,
    after: After,
    /// Makes the next recreate wait at that moment. Returns the daemon on which it does.
    arrange: fn(&Stage) -> DaemonBuilder,
    /// Waits for that moment.
    reached: fn(&Stage),
}

/// Makes a test of each row, and the table of all.
macro_rules! rows {
    ($table:ident: $type:ty, $check:path; $($test:ident: $row:expr,)+) => {
        const $table: &[$type] = &[$($row),+];
        $(#[test]
        fn $test() {
            $check(&$row);
        })+
    };
}

rows! { CAUSES: Cause, check_cause;
    p12_an_image_that_is_not_found: Cause {
        cause: "the image is not found",
        after: After::Untouched,
        says: &["localhost:1/no-such-image"],
        arrange: |stage| stage.fails_with(json!({"image": "localhost:1/no-such-image"}), &[]),
        meanwhile: nothing,
    },
    p12_a_build_that_fails: Cause {
        cause: "the build fails",
        after: After::Untouched,
        says: &["build"],
        arrange: |stage| {
            stage.dockerfile("RUN false");
            stage.fails_with(json!({"image": null, "build": {"dockerfile": "Dockerfile"}}), &[])
        },
        meanwhile: nothing,
    },
    p12_a_dockerfile_that_is_missing: Cause {
        cause: "the Dockerfile is missing",
        after: After::Untouched,
        says: &["no-such.Dockerfile"],
        arrange: |stage| stage.fails_with(json!({"image": null, "build": {"dockerfile": "no-such.Dockerfile"}}), &[]),
        meanwhile: nothing,
    },
    p12_a_run_argument_that_is_unknown: Cause {
        cause: "`runArgs` has a flag that docker does not know",
        after: After::Untouched,
        says: &["docker run"],
        arrange: |stage| stage.fails_with(json!({}), &["--no-such-flag"]),
        meanwhile: nothing,
    },
    p12_a_port_that_is_taken: Cause {
        cause: "a published port belongs to another container",
        after: After::Restored,
        says: &["docker run"],
        arrange: |stage| {
            let taken = publish(free_port());
            stage.others.run(&["--publish", &taken, IMAGE, "sleep", "1000"]);
            stage.fails_with(json!({}), &["--publish", &taken])
        },
        meanwhile: nothing,
    },
    p12_a_device_that_does_not_exist: Cause {
        cause: "a device in `runArgs` does not exist",
        after: After::Restored,
        says: &["docker run"],
        arrange: |stage| stage.fails_with(json!({}), &["--device", "/dev/no-such-device"]),
        meanwhile: nothing,
    },
    p12_a_configuration_without_an_image: Cause {
        cause: "the configuration names neither an image nor a Dockerfile nor a compose file",
        after: After::Untouched,
        says: &["devcontainer.json", "is missing one of"],
        arrange: |stage| stage.fails_with(json!({"image": null}), &[]),
        meanwhile: nothing,
    },
    p12_a_configuration_that_is_no_object: Cause {
        cause: "the configuration is no JSON object",
        after: After::Untouched,
        says: &["devcontainer.json", "must contain a JSON object literal"],
        arrange: |stage| {
            stage.workspace.write("}{");
            stage.daemon()
        },
        meanwhile: nothing,
    },
    p12_an_initialize_command_that_fails: Cause {
        cause: "`initializeCommand` fails",
        after: After::Untouched,
        says: &["initializeCommand"],
        arrange: |stage| stage.fails_with(json!({"initializeCommand": "exit 7"}), &[]),
        meanwhile: nothing,
    },
    p12_a_post_create_command_that_fails: Cause {
        cause: "`postCreateCommand` fails",
        after: After::Replaced,
        says: &["postCreateCommand"],
        arrange: |stage| stage.fails_with(json!({"postCreateCommand": "exit 7"}), &[]),
        meanwhile: nothing,
    },
    p12_a_cli_that_is_missing: Cause {
        cause: "the devcontainer CLI is missing",
        after: After::Untouched,
        says: &["/nonexistent/devcontainer was not found"],
        arrange: |stage| stage.daemon().args("--devcontainer /nonexistent/devcontainer"),
        meanwhile: nothing,
    },
    p12_a_node_that_is_missing: Cause {
        cause: "node, with which the CLI runs, is missing",
        after: After::Untouched,
        says: &["127", "node"],
        arrange: |stage| {
            let cli = stage.program("devcontainer", "exec env -i PATH=/nonexistent /usr/bin/env node \"$@\"");
            stage.daemon().args(&format!("--devcontainer {cli}"))
        },
        meanwhile: nothing,
    },
    p12_an_engine_that_goes_away_before_the_old_one_is_touched: Cause {
        cause: "the Docker engine goes away before the old container is set aside",
        after: After::Untouched,
        says: &["docker"],
        arrange: |stage| {
            stage.fails_with(json!({"initializeCommand": WAITING_INITIALIZE}), &[])
                .env("DOCKER_HOST", &stage.gate())
        },
        meanwhile: |stage| {
            stage.wait_for_hook();
            stage.close_gate();
            stage.workspace.release();
            stage.wait_for_end();
            stage.open_gate();
            stage.workspace.hold();
        },
    },
    p12_a_folder_that_the_cli_hangs_on: Cause {
        cause: "the folder's path has an equals sign, with which the CLI would hang",
        after: After::Refused,
        says: &["hangs on a path with `=`", "nothing was changed"],
        // With this limit, an operation that waits for the CLI has another error.
        arrange: |stage| stage.daemon().args("--job-timeout 5"),
        meanwhile: nothing,
    },
}

rows! { KILLED: Killed, check_killed_with_and_without_state;
    p12_killed_during_initialize_command: Killed {
        during: "`initializeCommand`",
        running: true,
        after: After::Untouched,
        arrange: |stage| stage.fails_with(json!({"initializeCommand": WAITING_INITIALIZE}), &[]),
        reached: Stage::wait_for_hook,
    },
    p12_killed_during_the_build: Killed {
        during: "the build",
        running: true,
        after: After::Untouched,
        arrange: |stage| {
            // The `:` comes last, as a shell replaces itself by the last program.
            stage.dockerfile(&format!("RUN sleep 20; : built {}", stage.name));
            stage.fails_with(json!({"image": null, "build": {"dockerfile": "Dockerfile"}}), &[])
        },
        reached: |stage| {
            let building = format!("sleep 20; : built {}", stage.name);
            eventually("it is built", || processes_with(&building).pop());
        },
    },
    p12_killed_before_the_new_one_is_made: Killed {
        during: "the rename, before the new container is made",
        running: true,
        after: After::Untouched,
        arrange: Stage::held_before_making,
        reached: Stage::wait_until_held,
    },
    p12_killed_before_the_new_one_is_started: Killed {
        during: "the start of the new container, which is made",
        running: true,
        after: After::Restored,
        arrange: Stage::held_before_starting,
        reached: Stage::wait_until_held,
    },
    p12_killed_before_the_new_one_is_started_while_the_old_one_is_stopped: Killed {
        during: "the start of the new container, which is made",
        running: false,
        after: After::Restored,
        arrange: Stage::held_before_starting,
        reached: Stage::wait_until_held,
    },
    p12_killed_during_post_create_command: Killed {
        during: "`postCreateCommand`",
        running: true,
        after: After::Replaced,
        arrange: |stage| {
            let hook = WAITING_HOOK.replace("echo begun", "echo >/workspace/begun");
            stage.fails_with(json!({"postCreateCommand": hook}), &[])
        },
        reached: Stage::wait_for_hook,
    },
}

fn nothing(_: &Stage) {}

fn check_cause(cause: &Cause) {
    let folder = unique(match cause.cause.contains("equals sign") {
        true => "keep=it",
        false => "keep",
    });
    let stage = Stage::named(&folder);
    stage.make_old();
    let daemon = (cause.arrange)(&stage).start();
    for running in [true, false] {
        let old = stage.only_container();
        stage.set_running(&old, running);
        let before = stage.facts(&old);
        let shown_before = stage.workspace.devcontainer(&daemon);
        assert_eq!(container_of(&shown_before), old);

        let path = format!("{}?wait", stage.workspace.recreate());
        let waiting = Live::send(&daemon, "POST", &path);
        (cause.meanwhile)(&stage);
        let failed = waiting.finish();
        let case = format!("{}, running: {running}: {failed:?}", cause.cause);
        failed.assert_error(500, FAILED, "");
        let detail = failed.json()["detail"].clone();
        let said = detail.as_str().unwrap();
        // The answer comes after the end, so that a second look is not needed.
        let one = stage.workspace.devcontainer(&daemon);
        match cause.after {
            After::Replaced => stage.assert_replaced(&old),
            after => stage.assert_kept(&before, after, &case),
        }
        stage.assert_no_process(&daemon);
        assert_eq!(one["error"], detail, "{case}: {one:#}");
        assert_eq!(one["job"]["kind"], "recreate", "{case}");
        assert_eq!(one["job"]["state"], "failed", "{case}");
        assert_eq!(one["id"], shown_before["id"], "{case}");
        assert_eq!(one["name"], shown_before["name"], "{case}");
        for text in cause.says {
            assert!(said.contains(text), "{text:?} is not said: {case}");
        }
        if cause.after == After::Replaced {
            assert!(!said.contains(KEPT), "{case}");
            assert_eq!(container_of(&one), stage.only_container(), "{case}");
            assert_eq!(one["status"], "running", "{case}: {one:#}");
            continue;
        }
        if cause.after != After::Refused {
            assert!(said.contains(KEPT), "{KEPT:?} is not said: {case}");
            assert!(said.contains(&stage.name), "the container's name: {case}");
        }
        assert_eq!(container_of(&one), old, "{case}");
        assert_eq!(one["container"]["name"], *stage.name, "{case}");
        assert_eq!(one["running"], running, "{case}: {one:#}");
        assert_eq!(one["status"] == "running", running, "{case}: {one:#}");
    }
}

fn check_killed_with_and_without_state(killed: &Killed) {
    for has_state in [true, false] {
        let stage = Stage::new();
        check_killed(&stage, killed, has_state);
    }
}

fn check_killed(stage: &Stage, killed: &Killed, has_state: bool) {
    let case = format!("killed during {}, state: {has_state}", killed.during);
    stage.make_old();
    let old = stage.only_container();
    stage.set_running(&old, killed.running);
    let before = stage.facts(&old);
    let builder = || {
        let daemon = (killed.arrange)(stage);
        let state = stage.path("state");
        match has_state {
            true => daemon.args(&format!("--state-dir {}", state.display())),
            false => daemon,
        }
    };
    let mut first = builder().start();
    stage.workspace.devcontainer(&first);
    let begun = first.post(&stage.workspace.recreate());
    assert_eq!(begun.status, 202, "{case}: {begun:?}");
    (killed.reached)(stage);
    first.signal("KILL");
    first.wait();

    let second = builder().start();
    // There has been no request yet.
    stage.assert_no_process(&second);
    if killed.after == After::Replaced {
        let only = || stage.workspace.containers().len() == 1;
        eventually("the old one is removed", || only().then_some(()));
        stage.assert_replaced(&old);
    } else {
        eventually(&format!("it is as before: {case}"), || {
            let now = stage.try_facts(&old)?;
            let as_before = now.same == before.same && stage.workspace.containers() == [&*old];
            as_before.then_some(())
        });
        stage.assert_kept(&before, killed.after, &case);
    }
    let only = stage.only_container();
    let one = stage.workspace.wait_for(&second, "the end shows", |one| {
        let listed = one["container"]["id"] == *only;
        listed && one["job"]["state"] != "running"
    });
    if killed.after != After::Replaced {
        assert_eq!(one["container"]["name"], *stage.name, "{case}: {one:#}");
    }
    if has_state {
        let interrupted = stage.workspace.wait_for(&second, "interrupted", |one| {
            one["job"]["state"] == "interrupted"
        });
        assert_eq!(
            interrupted["job"]["kind"], "recreate",
            "{case}: {interrupted:#}"
        );
        if killed.after != After::Replaced {
            stage.workspace.wait_for(&second, KEPT, |one| {
                one["error"]
                    .as_str()
                    .is_some_and(|error| error.contains(KEPT))
            });
        }
    }
    // It can be recreated, as its name is free again.
    drop(second);
    stage.let_go();
    stage.configure(json!({}), &[]);
    let third = stage.daemon().start();
    stage.workspace.devcontainer(&third);
    let again = third.post(&format!("{}?wait", stage.workspace.recreate()));
    assert_eq!(again.status, 204, "{case}: {again:?}");
    stage.assert_replaced(&only);
}

/// A dev container whose container is worth keeping.
struct Stage {
    workspace: Workspace,
    /// Other containers of the same test.
    others: Containers,
    /// The name of the container.
    name: String,
    port: u16,
    volume: Volume,
    directory: Directory,
    engine: Engine,
}

/// The engine that docker reaches.
struct Engine {
    /// `None` stands for `DOCKER_HOST`.
    host: Option<String>,
    directory: PathBuf,
}

/// A named volume; removed when it is dropped.
struct Volume(String);

impl Drop for Volume {
    fn drop(&mut self) {
        try_docker(&["volume", "rm", "--force", &self.0]);
    }
}

/// The output of `docker inspect` for a container.
#[derive(Debug)]
struct Facts {
    id: String,
    running: bool,
    /// The fields that must not change.
    same: Value,
    /// The fields that change when the container is stopped and started.
    started: Value,
}

fn free_port() -> u16 {
    // The ports are below those that engines allocate.
    static NEXT: AtomicU16 = AtomicU16::new(21_000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

fn publish(port: u16) -> String {
    format!("127.0.0.1:{port}:80")
}

/// The processes on this machine, including those of containers, whose command line has `text`.
fn processes_with(text: &str) -> Vec<u32> {
    processes(|process| {
        let line = fs::read(process.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line)
            .replace('\0', " ")
            .contains(text)
    })
}

fn processes(is: impl Fn(&Path) -> bool) -> Vec<u32> {
    let all = fs::read_dir("/proc").unwrap().flatten();
    let found = all.filter(|process| is(&process.path()));
    found
        .filter_map(|process| process.file_name().to_str()?.parse().ok())
        .collect()
}

/// Builds an image whose command serves the files in `/data`, and ends at once at a TERM.
fn build_image(host: &[&str]) {
    let directory = Directory::new("keeping-image");
    let command = r#"["/bin/sh", "-c", "trap 'exit 0' TERM; httpd -f -p 80 -h /data & wait"]"#;
    let dockerfile = format!("FROM {IMAGE}\nCMD {command}\n");
    fs::write(directory.path().join("Dockerfile"), dockerfile).unwrap();
    let folder = directory.path().to_str().unwrap();
    docker(&[host, &["build", "--quiet", "--tag", SERVING, folder]].concat());
}

const SERVING: &str = "devcontainerd-keeping:latest";

impl Stage {
    fn new() -> Self {
        Self::named(&unique("keep"))
    }

    /// A stage whose folder has this name.
    fn named(folder: &str) -> Self {
        static BUILT: OnceLock<()> = OnceLock::new();
        BUILT.get_or_init(|| build_image(&[]));
        let directory = std::env::var_os("DEVCONTAINERD_ENGINE_DIR");
        let directory = directory
            .expect("an engine (use scripts/with-engine.sh)")
            .into();
        Self::on(
            folder,
            Engine {
                host: None,
                directory,
            },
        )
    }

    /// A stage on an engine that has the image.
    fn on(folder: &str, engine: Engine) -> Self {
        let stage = Self {
            workspace: Workspace::named(folder, json!({})),
            others: Containers::new("keeping"),
            name: unique("kept"),
            port: free_port(),
            volume: Volume(unique("kept-data")),
            directory: Directory::new("keeping"),
            engine,
        };
        stage.configure(json!({}), &[]);
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Writes a configuration with these fields and those that all have; null removes a field.
    fn configure(&self, fields: Value, run_args: &[&str]) {
        let published = publish(self.port);
        let all = [
            "--name",
            &self.name,
            "--publish",
            &published,
            "--label",
            "kept=yes",
        ];
        let run_args = [&all[..], run_args].concat();
        let mut config = json!({
            "image": SERVING,
            "overrideCommand": false,
            "workspaceFolder": "/workspace",
            "workspaceMount": format!("source={},target=/workspace,type=bind", self.workspace.shown()),
            "mounts": [format!("source={},target=/data,type=volume", self.volume.0)],
            "runArgs": run_args,
        });
        let map = config.as_object_mut().unwrap();
        map.extend(fields.as_object().unwrap().clone());
        map.retain(|_, value| !value.is_null());
        self.workspace.write(&config.to_string());
    }

    /// Writes a Dockerfile with the image and this line.
    fn dockerfile(&self, line: &str) {
        let path = self.workspace.config().with_file_name("Dockerfile");
        fs::write(path, format!("FROM {SERVING}\n{line}\n")).unwrap();
    }

    /// Writes a configuration that makes a recreate fail. Returns a daemon.
    fn fails_with(&self, fields: Value, run_args: &[&str]) -> DaemonBuilder {
        self.configure(fields, run_args);
        self.daemon()
    }

    fn daemon(&self) -> DaemonBuilder {
        match &self.engine.host {
            Some(host) => daemon().env("DOCKER_HOST", host),
            None => daemon(),
        }
    }

    /// Makes a program and returns its path.
    fn program(&self, name: &str, code: &str) -> String {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{code}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A daemon whose docker waits once, while there is the file `hold`, before it makes a container.
    fn held_before_making(&self) -> DaemonBuilder {
        self.held("run|create")
    }

    /// A daemon whose docker waits once, while there is the file `hold`, before it starts the new container.
    fn held_before_starting(&self) -> DaemonBuilder {
        self.held("start")
    }

    fn held(&self, at: &str) -> DaemonBuilder {
        let code = r#"
case "$1" in AT)
    if [ -e "$D/hold" ] && [ ! -e "$D/held" ]; then
        echo >"$D/held"
        while [ -e "$D/hold" ]; do sleep 0.02; done
    fi ;;
esac
exec docker "$@""#;
        fs::write(self.path("hold"), "").unwrap();
        let assignment = format!("D='{}'", self.directory.path().display());
        let code = format!("{assignment}{}", code.replace("AT", at));
        let docker = self.program("docker", &code);
        self.daemon().args(&format!("--docker {docker}"))
    }

    fn wait_until_held(&self) {
        eventually("docker is held", || {
            self.path("held").exists().then_some(())
        });
    }

    /// Lets go on all that waits.
    fn let_go(&self) {
        let _ = fs::remove_file(self.path("hold"));
        self.workspace.release();
    }

    fn wait_for_hook(&self) {
        let begun = self.workspace.folder().join("begun");
        eventually("the hook waits", || begun.exists().then_some(()));
        fs::remove_file(begun).unwrap();
    }

    /// Waits until the CLI has ended.
    fn wait_for_end(&self) {
        let up = format!("--workspace-folder {}", self.workspace.shown());
        eventually("the CLI ends", || {
            processes_with(&up).is_empty().then_some(())
        });
    }

    /// Makes a path to the engine that can be closed. Returns the value for `DOCKER_HOST`.
    fn gate(&self) -> String {
        self.open_gate();
        format!("unix://{}", self.path("sock").display())
    }

    fn open_gate(&self) {
        let host = self.engine.host.clone();
        let host = host.unwrap_or_else(|| std::env::var("DOCKER_HOST").unwrap());
        let socket = host
            .strip_prefix("unix://")
            .expect("a socket in the file system");
        self.close_gate();
        symlink(socket, self.path("sock")).unwrap();
    }

    /// Makes docker unable to connect.
    fn close_gate(&self) {
        let _ = fs::remove_file(self.path("sock"));
    }

    fn docker(&self, arguments: &[&str]) -> String {
        docker(&[&self.host(), arguments].concat())
    }

    fn host(&self) -> Vec<&str> {
        let host = self.engine.host.as_deref();
        host.map_or_else(Vec::new, |host| vec!["--host", host])
    }

    /// Makes the container, and writes the file that it serves into the volume.
    fn make_old(&self) {
        let id = if self.workspace.shown().contains('=') {
            // The CLI hangs on such a path.
            let config = self.workspace.config();
            self.docker(&[
                "run",
                "--detach",
                "--label",
                &self.workspace.label(),
                "--label",
                &format!("devcontainer.config_file={}", config.display()),
                "--label",
                "kept=yes",
                "--name",
                &self.name,
                "--publish",
                &publish(self.port),
                "--volume",
                &format!("{}:/data", self.volume.0),
                SERVING,
            ])
        } else {
            let host = self.engine.host.as_deref();
            let host = host.map(|host| ("DOCKER_HOST", host));
            self.workspace.up_with(host.as_slice())
        };
        let data = format!("echo {} >/data/data", self.name);
        self.docker(&["exec", &id, "/bin/sh", "-c", &data]);
        self.wait_until_served();
    }

    /// The id of the only container of the dev container.
    #[track_caller]
    fn only_container(&self) -> String {
        let all = self.containers();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    }

    fn containers(&self) -> Vec<String> {
        let filter = format!("label={}", self.workspace.label());
        let found = self.docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]);
        found.lines().map(str::to_owned).collect()
    }

    fn set_running(&self, id: &str, running: bool) {
        if !running {
            self.docker(&["stop", id]);
        }
    }

    #[track_caller]
    fn facts(&self, id: &str) -> Facts {
        self.try_facts(id).expect("the container is there")
    }

    fn try_facts(&self, id: &str) -> Option<Facts> {
        let host = self.host();
        let output = try_docker(&[&host, &["inspect", "--type", "container", id][..]].concat());
        let all: Value = serde_json::from_slice(&output.stdout).unwrap();
        let all = all.get(0)?;
        let state = &all["State"];
        let network = &all["NetworkSettings"];
        let mut mounts = all["Mounts"].as_array().unwrap().clone();
        mounts.sort_by_key(|mount| mount["Destination"].to_string());
        let networks: Vec<&String> = network["Networks"].as_object().unwrap().keys().collect();
        let mut same = json!({
            "mounts": mounts,
            "networks": networks,
            "ports": network["Ports"],
            "status": state["Status"],
        });
        for field in [
            "Id",
            "Name",
            "Created",
            "Image",
            "Path",
            "Args",
            "Config",
            "HostConfig",
        ] {
            same[field] = all[field].clone();
        }
        let of = ["StartedAt", "FinishedAt", "ExitCode", "Pid"];
        Some(Facts {
            id: id.to_owned(),
            running: state["Running"] == true,
            same,
            started: of.iter().map(|field| state[field].clone()).collect(),
        })
    }

    /// The content of the file in the volume, as it is served on the published port.
    fn served(&self) -> Option<String> {
        let pid = fs::read_to_string(self.engine.directory.join("pid")).ok()?;
        let url = format!("http://127.0.0.1:{}/data", self.port);
        let mut command = Command::new("nsenter");
        command.args(["--net", "--target", pid.trim()]);
        command.args(["curl", "--silent", "--fail", "--max-time", "2", &url]);
        let output = command.output().expect("nsenter runs");
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim_end().to_owned())
    }

    #[track_caller]
    fn wait_until_served(&self) {
        let served = eventually("it is served", || self.served());
        assert_eq!(served, self.name);
    }

    /// Asserts that the only container is the old one, as it was.
    #[track_caller]
    fn assert_kept(&self, before: &Facts, after: After, case: &str) {
        let now = self.facts(&before.id);
        assert_eq!(now.same, before.same, "{case}");
        if after != After::Restored || !before.running {
            assert_eq!(now.started, before.started, "it was stopped: {case}");
        } else {
            assert_ne!(now.started, before.started, "it was not set aside: {case}");
        }
        assert_eq!(self.containers(), [&*before.id], "{case}");
        self.assert_no_half_made(&[]);
        if before.running {
            self.wait_until_served();
        }
    }

    /// Asserts that the only container is a new one, with the name, the label and the volume of the old one.
    #[track_caller]
    fn assert_replaced(&self, old: &str) {
        assert!(self.try_facts(old).is_none(), "the old one is still there");
        let new = self.only_container();
        let now = self.facts(&new);
        assert!(now.running, "{now:#?}");
        assert_eq!(now.same["Name"], format!("/{}", self.name));
        assert_eq!(now.same["Config"]["Labels"]["kept"], "yes");
        self.assert_no_half_made(&[&new]);
        self.wait_until_served();
    }

    /// Asserts that of the containers that operations made, only these are there.
    #[track_caller]
    fn assert_no_half_made(&self, expected: &[&str]) {
        let filters = [&self.workspace.label(), OPERATION].map(|label| format!("label={label}"));
        let arguments = ["ps", "--all", "--quiet", "--no-trunc"];
        let more = ["--filter", &filters[0], "--filter", &filters[1]];
        let made = self.docker(&[&arguments[..], &more].concat());
        let made: Vec<&str> = made.lines().collect();
        assert_eq!(made, expected);
    }

    /// The processes other than this one that work in the folder, or have it on their command line or in their
    /// environment.
    fn processes(&self) -> Vec<u32> {
        let folder = self.workspace.shown().as_bytes();
        let names = |file: &Path| {
            let text = fs::read(file).unwrap_or_default();
            text.windows(folder.len()).any(|part| part == folder)
        };
        let mut found = processes(|process| {
            let inside = fs::read_link(process.join("cwd"));
            inside.is_ok_and(|inside| inside == self.workspace.folder())
                || names(&process.join("cmdline"))
                || names(&process.join("environ"))
        });
        found.retain(|pid| *pid != std::process::id());
        found
    }

    /// Asserts that soon no process of an operation is left.
    #[track_caller]
    fn assert_no_process(&self, daemon: &Daemon) {
        eventually("no process is left", || {
            let left = self.processes();
            left.iter().all(|pid| *pid == daemon.pid()).then_some(())
        });
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // The processes that a killed daemon left must not make a container after the test has removed its own.
        for pid in self.processes() {
            let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
            let _ = kill_process(pid.unwrap(), Signal::KILL);
        }
    }
}

/// The engine is killed while the old container is renamed and stopped, and comes back.
#[test]
fn p12_an_engine_that_is_killed_in_the_middle() {
    let mut engine = PrivateEngine::start("killed");
    build_image(&["--host", &engine.host]);
    let of = |engine: &PrivateEngine| Engine {
        host: Some(engine.host.clone()),
        directory: engine.directory().to_path_buf(),
    };
    let mut stage = Stage::on(&unique("keep"), of(&engine));
    stage.make_old();
    let old = stage.only_container();
    let before = stage.facts(&old);
    let daemon = stage
        .held_before_starting()
        .env("DOCKER_HOST", &stage.gate())
        .start();
    stage.workspace.devcontainer(&daemon);
    assert_eq!(daemon.post(&stage.workspace.recreate()).status, 202);
    stage.wait_until_held();
    engine.signal("KILL");
    stage.let_go();
    stage.wait_for_end();

    engine.restart();
    stage.engine = of(&engine);
    stage.open_gate();
    assert!(stage.try_facts(&old).is_some(), "the engine has it still");
    // Only the daemon can start it: it has no restart policy, and was stopped when the engine was killed.
    eventually("it is as before", || {
        let _ = daemon.get("/");
        let now = stage.try_facts(&old)?;
        (now.same == before.same && stage.containers() == [&*old]).then_some(())
    });
    stage.assert_kept(&before, After::Restored, "killed engine");
    let one = stage.workspace.wait_for(&daemon, "the end shows", |one| {
        let error = one["error"].as_str().unwrap_or_default();
        one["container"]["id"] == *old && error.contains(KEPT)
    });
    assert_eq!(one["job"]["state"], "failed", "{one:#}");
    assert_eq!(one["status"], "running", "{one:#}");
}

/// docker cannot connect when the new container is to be run, nor when the old one is to be put back.
#[test]
fn p12_an_engine_that_is_away_when_the_old_one_shall_be_put_back() {
    let stage = Stage::new();
    stage.make_old();
    let old = stage.only_container();
    let before = stage.facts(&old);
    let daemon = stage
        .held_before_starting()
        .env("DOCKER_HOST", &stage.gate())
        .start();
    stage.workspace.devcontainer(&daemon);
    let path = format!("{}?wait", stage.workspace.recreate());
    let waiting = Live::send(&daemon, "POST", &path);
    stage.wait_until_held();
    let aside = stage.facts(&old);
    assert!(!aside.running, "{aside:#?}");
    let name = aside.same["Name"].as_str().unwrap();
    let suffix = name.strip_prefix(&format!("/{}.devcontainerd-", stage.name));
    let suffix = suffix.unwrap_or_else(|| panic!("set aside as {name}"));
    let (operation, state) = suffix.split_once('-').unwrap();
    let is_hex = operation.bytes().all(|b| b"0123456789abcdef".contains(&b));
    assert!(operation.len() == 16 && is_hex, "{name}");
    assert_eq!(state, "running", "{name}");

    stage.close_gate();
    stage.let_go();
    stage.wait_for_end();
    stage.open_gate();
    waiting.finish().assert_error(500, FAILED, "");
    eventually("it is as before", || {
        let _ = daemon.get("/");
        (stage.facts(&old).same == before.same).then_some(())
    });
    stage.assert_kept(&before, After::Restored, "gate");
    let one = stage.workspace.wait_for(&daemon, KEPT, |one| {
        one["error"]
            .as_str()
            .is_some_and(|error| error.contains(KEPT))
    });
    assert_eq!(one["job"]["state"], "failed", "{one:#}");
    assert_eq!(container_of(&one), old);
}

#[test]
fn p12_a_daemon_that_starts_leaves_the_operation_of_another_alone() {
    let stage = Stage::new();
    stage.make_old();
    let old = stage.only_container();
    let a = stage.held_before_starting().start();
    stage.workspace.devcontainer(&a);
    let path = format!("{}?wait", stage.workspace.recreate());
    let waiting = Live::send(&a, "POST", &path);
    stage.wait_until_held();
    let aside = stage.facts(&old);
    assert!(!aside.running, "{aside:#?}");

    let b = stage.daemon().start();
    for _ in 0..20 {
        assert_eq!(b.get("/").status, 200);
        let now = stage.facts(&old);
        assert_eq!(
            (now.same, now.started),
            (aside.same.clone(), aside.started.clone())
        );
    }
    let c = stage.daemon().start();
    assert_eq!(c.get("/devcontainers").status, 200);
    stage.let_go();
    let done = waiting.finish();
    assert_eq!(done.status, 204, "{done:?}");
    stage.assert_replaced(&old);
    for daemon in [&a, &b, &c] {
        let one = stage.workspace.devcontainer(daemon);
        assert_eq!(container_of(&one), stage.only_container());
        assert_eq!(one["status"], "running", "{one:#}");
    }
    // The end of a daemon does not end the container either.
    drop((b, c));
    stage.wait_until_served();
}

#[test]
fn p12_what_failed_can_be_mended_and_tried_again() {
    let stage = Stage::new();
    stage.make_old();
    let old = stage.only_container();
    let daemon = stage.fails_with(json!({}), &["--no-such-flag"]).start();
    stage.workspace.devcontainer(&daemon);
    let recreate = || daemon.post(&format!("{}?wait", stage.workspace.recreate()));
    for _ in 0..2 {
        recreate().assert_error(500, FAILED, KEPT);
        assert_eq!(stage.only_container(), old);
    }
    stage.configure(json!({}), &[]);
    let mended = recreate();
    assert_eq!(mended.status, 204, "{mended:?}");
    stage.assert_replaced(&old);
    let one = stage.workspace.devcontainer(&daemon);
    assert!(one.get("error").is_none(), "{one:#}");
    assert_eq!(one["dirty"], false, "{one:#}");
}

/// There are two containers with the same labels, as two `up` at once leave them.
#[test]
fn p12_duplicates_are_all_kept_and_all_replaced() {
    let stage = Stage::new();
    stage.make_old();
    let first = stage.only_container();
    let config = stage.workspace.config();
    let second = stage.docker(&[
        "run",
        "--detach",
        "--label",
        &stage.workspace.label(),
        "--label",
        &format!("devcontainer.config_file={}", config.display()),
        "--label",
        "devcontainer.metadata=[]",
        "--volume",
        &format!("{}:/data", stage.volume.0),
        SERVING,
    ]);
    let before = [stage.facts(&first), stage.facts(&second)];
    let daemon = stage.daemon().start();
    let used = container_of(&stage.workspace.devcontainer(&daemon));
    let recreate = || daemon.post(&format!("{}?wait", stage.workspace.recreate()));
    for (fields, run_args) in [
        (json!({"image": "localhost:1/no-such-image"}), &[][..]),
        (json!({}), &["--no-such-flag"]),
    ] {
        stage.configure(fields, run_args);
        recreate().assert_error(500, FAILED, KEPT);
        for facts in &before {
            assert_eq!(stage.facts(&facts.id).same, facts.same, "{run_args:?}");
        }
        assert_eq!(stage.containers().len(), 2);
        let one = stage.workspace.devcontainer(&daemon);
        assert_eq!(container_of(&one), used);
    }
    stage.configure(json!({}), &[]);
    let done = recreate();
    assert_eq!(done.status, 204, "{done:?}");
    stage.assert_replaced(&first);
    stage.assert_replaced(&second);
}

/// The CLI derives it from the labels with which it finds the container. With another id, a volume that has it in its
/// name would be another volume.
#[test]
fn p12_the_id_of_the_dev_container_stays() {
    let stage = Stage::new();
    let mounts = json!({"mounts": [
        format!("source={}-${{devcontainerId}},target=/data,type=volume", stage.volume.0),
    ]});
    stage.configure(mounts.clone(), &[]);
    stage.make_old();
    let old = stage.only_container();
    let volume = |id: &str| {
        let mounts = stage.facts(id).same["mounts"].clone();
        let mounts = mounts.as_array().unwrap();
        let data = mounts.iter().find(|mount| mount["Destination"] == "/data");
        Volume(data.unwrap()["Name"].as_str().unwrap().to_owned())
    };
    let before = volume(&old);
    assert!(!before.0.ends_with('}'), "{}", before.0);
    let daemon = stage.daemon().start();
    stage.workspace.devcontainer(&daemon);
    let done = daemon.post(&format!("{}?wait", stage.workspace.recreate()));
    assert_eq!(done.status, 204, "{done:?}");
    stage.assert_replaced(&old);
    let new = stage.only_container();
    assert_eq!(volume(&new).0, before.0);
    // The volume must not be in use when it is removed.
    stage.docker(&["rm", "--force", &new]);
}

#[test]
fn p12_a_paused_one_is_paused_again() {
    let stage = Stage::new();
    stage.make_old();
    let old = stage.only_container();
    stage.docker(&["pause", &old]);
    let before = stage.facts(&old);
    assert_eq!(before.same["status"], "paused");
    let daemon = stage.daemon().start();
    stage.workspace.devcontainer(&daemon);
    for (fields, run_args) in [
        (json!({"image": "localhost:1/no-such-image"}), &[][..]),
        (json!({}), &["--no-such-flag"]),
    ] {
        stage.configure(fields, run_args);
        let failed = daemon.post(&format!("{}?wait", stage.workspace.recreate()));
        failed.assert_error(500, FAILED, KEPT);
        assert_eq!(stage.facts(&old).same, before.same, "{run_args:?}");
        assert_eq!(stage.only_container(), old);
    }
    stage.docker(&["unpause", &old]);
    stage.wait_until_served();
    // A paused container is replaced like any other.
    stage.docker(&["pause", &old]);
    stage.configure(json!({}), &[]);
    let done = daemon.post(&format!("{}?wait", stage.workspace.recreate()));
    assert_eq!(done.status, 204, "{done:?}");
    stage.assert_replaced(&old);
}

/// docker removes a container with `--rm` as soon as it is stopped.
#[test]
fn p12_one_that_is_removed_when_it_stops_is_kept_too() {
    let stage = Stage::new();
    stage.configure(json!({}), &["--rm"]);
    stage.make_old();
    let old = stage.only_container();
    let before = stage.facts(&old);
    assert_eq!(before.same["HostConfig"]["AutoRemove"], true);
    let daemon = stage.daemon().start();
    stage.workspace.devcontainer(&daemon);
    for (fields, run_args) in [
        (json!({"image": "localhost:1/no-such-image"}), &["--rm"][..]),
        (json!({}), &["--rm", "--no-such-flag"]),
    ] {
        stage.configure(fields, run_args);
        let failed = daemon.post(&format!("{}?wait", stage.workspace.recreate()));
        failed.assert_error(500, FAILED, KEPT);
        assert_eq!(stage.facts(&old).same, before.same, "{run_args:?}");
        assert_eq!(stage.only_container(), old);
        stage.wait_until_served();
    }
}

impl After {
    fn text(self) -> &'static str {
        match self {
            Self::Refused | Self::Untouched => "as before; it was never stopped",
            Self::Restored => "as before; a running one was stopped for a moment",
            Self::Replaced => "gone; the new one runs",
        }
    }
}

fn row(cells: [&str; 4]) -> String {
    format!("| {} |", cells.join(" | "))
}

/// Quotes code as Markdown does.
fn code(text: &str) -> String {
    match text.contains('`') {
        true => format!("``{text} ``"),
        false => format!("`{text}`"),
    }
}

fn table() -> String {
    let header = ["cause", "container before", "container after", "error says"];
    let mut text = format!("{}\n{}\n", row(header), "|---".repeat(4) + "|");
    for cause in CAUSES {
        let mut says: Vec<&str> = cause.says.to_vec();
        if [After::Untouched, After::Restored].contains(&cause.after) {
            says.push(KEPT);
        }
        let says: Vec<String> = says.iter().map(|text| code(text)).collect();
        let cells = [
            cause.cause,
            "running, or stopped",
            cause.after.text(),
            &says.join(", "),
        ];
        writeln!(text, "{}", row(cells)).unwrap();
    }
    for killed in KILLED {
        let cause = format!("the daemon is killed during {}", killed.during);
        let before = ["stopped", "running"][usize::from(killed.running)];
        let after = match (killed.running, killed.after) {
            (false, After::Restored) => "as before; it was not started",
            (_, after) => after.text(),
        };
        let says = match killed.after {
            After::Replaced => "(the job is `interrupted`)".to_owned(),
            _ => format!("`{KEPT}` (the job is `interrupted`)"),
        };
        writeln!(text, "{}", row([&cause, before, after, &says])).unwrap();
    }
    text
}

#[test]
fn p12_the_table_in_the_docs_is_what_is_tested() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/FAILURES.md");
    let text = fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| line.starts_with('|'));
    let found: String = lines.map(|line| format!("{line}\n")).collect();
    assert!(
        found == table(),
        "docs/FAILURES.md should have\n{}",
        table()
    );
}
