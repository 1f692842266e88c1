//! The units in `packaging/systemd`, under a real systemd, which is a PID 1 of its own (`systemd/boot.sh`).

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::common::eventually;
use crate::engine::Directory;
use crate::workspace::Workspace;

const BOOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/e2e/systemd/boot.sh");
const UNITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging/systemd");
/// The user of the daemon.
const DEV: u32 = 4242;
const SERVICE: &str = "devcontainerd@dev.service";

/// A systemd in which the units are installed; ended when it is dropped.
struct Systemd {
    /// The parent of its PID 1.
    boot: Child,
    init: String,
    directory: Directory,
}

impl Systemd {
    #[track_caller]
    fn boot() -> Self {
        let directory = Directory::new("systemd");
        let path = directory.path();
        for below in ["bin", "etc/default", "units/system", "units/user"] {
            fs::create_dir_all(path.join(below)).unwrap();
        }
        let binary = std::env::var("DEVCONTAINERD_STATIC_BIN");
        let binary =
            binary.expect("DEVCONTAINERD_STATIC_BIN names the binary that `make static` makes");
        fs::copy(binary, path.join("bin/devcontainerd")).unwrap();
        copy_files(Path::new(UNITS), &path.join("units/system"));
        copy_files(&Path::new(UNITS).join("user"), &path.join("units/user"));
        let variables = format!(
            "PATH={}\nDOCKER_HOST=unix:///run/engine.sock\n",
            std::env::var("PATH").unwrap()
        );
        fs::write(path.join("etc/default/devcontainerd"), variables).unwrap();
        let log = fs::File::create(path.join("log")).unwrap();
        let mut boot = Command::new(BOOT);
        boot.arg(path)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        let mut boot = boot.spawn().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", boot.id());
        let init = eventually("it boots", || {
            if let Some(status) = boot.try_wait().unwrap() {
                let log = fs::read_to_string(path.join("log")).unwrap_or_default();
                panic!("it ended with {status}: {log}");
            }
            let child = fs::read_to_string(&children).unwrap_or_default();
            let child = child.trim().to_owned();
            let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
            (name.trim() == "systemd").then_some(child)
        });
        let systemd = Self {
            boot,
            init,
            directory,
        };
        eventually("it runs", || {
            let state = systemd.sh("systemctl is-system-running || :");
            ["running", "degraded"]
                .contains(&state.as_str())
                .then_some(())
        });
        systemd
    }

    /// Runs shell code in it, as root. Returns whether it succeeds, and what it prints.
    fn try_sh(&self, code: &str) -> (bool, String) {
        let enter = ["-m", "-p", "-i", "-u", "-n", "-C", "-t", &self.init];
        let output = Command::new("nsenter")
            .args(enter)
            .args(["--", "sh", "-ec", code])
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said).trim_end().to_owned();
        (output.status.success(), said)
    }

    #[track_caller]
    fn sh(&self, code: &str) -> String {
        let (succeeded, said) = self.try_sh(code);
        let journal = || self.try_sh("journalctl --no-pager -n 40").1;
        assert!(succeeded, "{code}: {said}\n{}", journal());
        said
    }

    /// Runs shell code in it, as the user, with what a session has in its environment.
    #[track_caller]
    fn sh_of_user(&self, code: &str) -> String {
        let environment = format!("XDG_RUNTIME_DIR=/run/user/{DEV} USER=dev");
        self.sh(&format!(
            "runuser -u dev -- env {environment} sh -ec '{code}'"
        ))
    }

    #[track_caller]
    fn property(&self, name: &str) -> String {
        self.sh(&format!(
            "systemctl show {SERVICE} --value --property {name}"
        ))
    }

    #[track_caller]
    fn json(&self, path: &str) -> Value {
        let answer = self.sh(&format!("curl -sS localhost:3382{path}"));
        serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{path}: {e}: {answer}"))
    }

    /// Begins a request, whose status is in a file when it has ended.
    #[track_caller]
    fn begin_request(&self, arguments: &str, file: &str) {
        let request = "curl -sS -o /dev/null -w %{http_code}";
        self.sh(&format!("{request} {arguments} >/run/{file} 2>&1 &"));
    }

    fn answer(&self, file: &str) -> Option<String> {
        let status = self.sh(&format!("cat /run/{file} 2>/dev/null || :"));
        (!status.is_empty()).then_some(status)
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (_, journal) = self.try_sh("journalctl --no-pager -n 60 -u 'devcontainerd*'");
            eprintln!("the journal:\n{journal}");
        }
        // Its PID 1 ends with it, and with that all the others.
        let _ = self.boot.kill();
        let _ = self.boot.wait();
        let cgroup = fs::read_to_string(self.directory.path().join("cgroup"));
        let cgroup = cgroup.unwrap_or_default();
        let is_removed = || {
            let remove = ["-depth", "-type", "d", "-exec", "rmdir", "{}", "+"];
            let mut find = Command::new("find");
            find.arg(cgroup.trim()).args(remove).stderr(Stdio::null());
            let _ = find.status();
            (!Path::new(cgroup.trim()).exists()).then_some(())
        };
        eventually("its processes have ended", is_removed);
    }
}

fn copy_files(from: &Path, to: &Path) {
    for file in fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        if file.file_type().unwrap().is_file() {
            fs::copy(file.path(), to.join(file.file_name())).unwrap();
        }
    }
}

/// A workspace of the user.
fn workspace(test: &str, fields: Value) -> Workspace {
    let workspace = Workspace::new(test, fields);
    let config = workspace.config();
    for path in [workspace.folder(), config.parent().unwrap(), &config] {
        chown(path, Some(DEV), Some(DEV)).unwrap();
        let mode = if path.is_dir() { 0o755 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    workspace
}

/// A Dockerfile to build, and an `initializeCommand` that waits where there is a file `hold`.
fn building(test: &str) -> Workspace {
    let hold = "echo held >initialized; while [ -e hold ]; do sleep 0.05; done";
    let workspace = workspace(
        test,
        json!({"image": null, "build": {"dockerfile": "Dockerfile"}, "initializeCommand": hold}),
    );
    let config = workspace.read().replace("\"image\": null,", "");
    workspace.write(&config);
    let dockerfile = format!("FROM {}\nRUN touch /built\n", crate::engine::IMAGE);
    fs::write(workspace.config().with_file_name("Dockerfile"), dockerfile).unwrap();
    workspace
}

#[test]
fn a_service_of_the_system_starts_by_its_socket_builds_reloads_restarts_and_stops() {
    let systemd = Systemd::boot();
    let workspace = building("system");
    let name = &workspace.name;
    systemd.sh("systemctl enable --now devcontainerd@dev.socket");
    assert_eq!(systemd.property("ActiveState"), "inactive");
    assert_eq!(systemd.json("/readyz")["status"], "ready");
    assert_eq!(systemd.property("ActiveState"), "active");
    assert_eq!(systemd.property("Type"), "notify-reload");
    assert_eq!(systemd.property("User"), "dev");
    let serves = "serves http://127.0.0.1:3382 unix:/run/devcontainerd/dev.sock; ";
    eventually("its status is told", || {
        systemd
            .property("StatusText")
            .starts_with(serves)
            .then_some(())
    });

    // A build, and the words of the user, who is told no address.
    let folder = workspace.shown();
    let body = json!({"workspace_folder": folder});
    let post = "curl -sSf -H \"Content-Type: application/json\" -o /dev/null";
    systemd.sh(&format!("{post} -d '{body}' localhost:3382/devcontainers"));
    systemd.sh_of_user(&format!("devcontainerd start {name}"));
    assert!(systemd.sh_of_user("devcontainerd ls").contains("running"));
    let id = systemd.json(&format!("/devcontainers/{name}"))["container"]["id"].clone();
    systemd.sh_of_user(&format!("devcontainerd exec {name} -- test -e /built"));
    let state = systemd
        .sh("stat -c '%U %a' /var/lib/devcontainerd/dev /var/lib/devcontainerd/dev/state.json");
    assert_eq!(state, "dev 700\ndev 600");

    let pid = systemd.property("MainPID");
    systemd.sh(&format!("systemctl reload {SERVICE}"));
    assert_eq!(systemd.property("MainPID"), pid);
    let journal = format!("journalctl -u {SERVICE} --no-pager");
    let lines = systemd.sh(&format!("{journal} -p info -o cat --output-fields MESSAGE"));
    assert!(lines.contains("the manifest was read again"), "{lines}");
    let warnings = systemd.sh(&format!("{journal} -p warning -o cat"));
    assert!(!warnings.contains(" INFO "), "{warnings}");

    // A restart lets the operation end, while requests wait at the socket.
    let hold = workspace.folder().join("hold");
    fs::write(&hold, "").unwrap();
    fs::remove_file(workspace.folder().join("initialized")).unwrap();
    systemd.begin_request(
        &format!("-X POST localhost:3382/devcontainers/{name}/recreate?wait=true"),
        "recreate",
    );
    eventually("it initializes", || {
        workspace
            .folder()
            .join("initialized")
            .exists()
            .then_some(())
    });
    systemd.sh(&format!("systemctl restart --no-block {SERVICE}"));
    eventually("it stops", || {
        (systemd.property("StatusText") == "stops; operations: 1 running").then_some(())
    });
    systemd.begin_request("localhost:3382/healthz", "next");
    fs::remove_file(&hold).unwrap();
    assert_eq!(
        eventually("it is recreated", || systemd.answer("recreate")),
        "204"
    );
    assert_eq!(
        eventually("the next daemon answers", || systemd.answer("next")),
        "200"
    );
    assert_ne!(systemd.property("MainPID"), pid);
    let shown = systemd.json(&format!("/devcontainers/{name}"));
    assert_eq!(shown["job"]["state"], "succeeded", "{shown}");
    assert_ne!(shown["container"]["id"], id);
    assert_eq!(shown["dirty"], false);

    systemd.sh(&format!(
        "systemctl stop {SERVICE} devcontainerd@dev.socket"
    ));
    assert_eq!(systemd.property("Result"), "success");
    assert_eq!(systemd.sh("ls /run/devcontainerd"), "");
}

#[test]
fn a_watchdog_restarts_a_daemon_that_does_nothing_any_more() {
    let systemd = Systemd::boot();
    systemd.sh(
        "mkdir /etc/systemd/system/devcontainerd@.service.d
         printf '[Service]\\nWatchdogSec=1\\nTimeoutAbortSec=1\\n' >/etc/systemd/system/devcontainerd@.service.d/short.conf
         systemctl daemon-reload
         systemctl start devcontainerd@dev.service",
    );
    let pid = systemd.property("MainPID");
    let fed = || {
        systemd
            .property("WatchdogTimestampMonotonic")
            .parse::<u64>()
            .unwrap()
    };
    let first = fed();
    eventually("it is fed for longer than it waits", || {
        (fed() > first + 2_000_000).then_some(())
    });
    assert_eq!(systemd.property("MainPID"), pid);
    systemd.sh(&format!("kill -STOP {pid}"));
    eventually("it is restarted", || {
        let now = systemd.property("MainPID");
        (now != pid && now != "0" && systemd.property("ActiveState") == "active").then_some(())
    });
    assert_eq!(systemd.json("/healthz")["status"], "ok");
    assert_eq!(systemd.property("NRestarts"), "1");
}

#[test]
fn a_service_of_a_user_starts_by_its_socket() {
    let systemd = Systemd::boot();
    systemd.sh("mkdir /home/dev/.config
         cp /etc/default/devcontainerd /home/dev/.config/devcontainerd.env
         chown -R dev /home/dev/.config
         loginctl enable-linger dev");
    let state = "systemctl --user is-system-running || :";
    eventually("the user's manager runs", || {
        let (_, state) = systemd.try_sh(&format!(
            "runuser -u dev -- env XDG_RUNTIME_DIR=/run/user/{DEV} {state}"
        ));
        (state == "running").then_some(())
    });
    systemd.sh_of_user("systemctl --user --now enable devcontainerd.socket");
    let listed = systemd.sh_of_user("devcontainerd ls --json");
    assert!(listed.contains("\"devcontainers\":["), "{listed}");
    let show = "systemctl --user show devcontainerd.service --value --property";
    assert_eq!(systemd.sh_of_user(&format!("{show} ActiveState")), "active");
    let serves = format!("serves http://127.0.0.1:3382 unix:/run/user/{DEV}/devcontainerd.sock; ");
    eventually("its status is told", || {
        let status = systemd.sh_of_user(&format!("{show} StatusText"));
        status.starts_with(&serves).then_some(())
    });
    systemd.sh_of_user("systemctl --user reload devcontainerd.service");
    systemd.sh_of_user("systemctl --user stop devcontainerd.service devcontainerd.socket");
    assert_eq!(systemd.sh_of_user(&format!("{show} Result")), "success");
}
