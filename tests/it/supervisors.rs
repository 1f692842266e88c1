//! What is in `packaging` for service managers, with the real ones (`scripts/setup.sh test` installs them). The units are
//! run by a real systemd in `tests/e2e/systemd.rs`.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::lifecycle::WAIT;
use crate::common::{BINARY, Sandbox, eventually};

const PACKAGING: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/packaging");

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(PACKAGING).join(file)).unwrap()
}

/// Runs a program of a service manager.
fn run(program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    command.env("XDG_RUNTIME_DIR", "/tmp").args(arguments);
    let output = command.output();
    output.unwrap_or_else(|e| panic!("{program} (scripts/setup.sh test installs it): {e}"))
}

fn text(output: &Output) -> String {
    let all = [&*output.stdout, &*output.stderr].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// Copies the units, with the path of the binary in place of its name, which systemd looks for. Returns their paths.
fn units(sandbox: &Sandbox, directory: &str) -> Vec<String> {
    let from = Path::new(PACKAGING).join(directory);
    let files = fs::read_dir(from).unwrap().flatten();
    let units = files.filter(|file| file.file_type().unwrap().is_file());
    let copies = units.map(|unit| {
        let name = unit.file_name().into_string().unwrap();
        let text = read(&format!("{directory}/{name}"));
        let has_name = text.matches("\nExecStart=devcontainerd\n").count();
        assert_eq!(has_name, usize::from(name.ends_with(".service")), "{name}");
        let text = text.replace("=devcontainerd\n", &format!("={BINARY}\n"));
        let copy = sandbox.write(&format!("{directory}/{name}"), &text);
        copy.display().to_string()
    });
    copies.collect()
}

fn systemd_version() -> u32 {
    let said = text(&run("systemd-analyze", &["--version"]));
    let version = said.split_whitespace().nth(1);
    version.and_then(|text| text.parse().ok()).unwrap()
}

#[test]
fn systemd_has_nothing_to_say_against_the_units() {
    let sandbox = Sandbox::new();
    for (manager, directory) in [("--system", "systemd"), ("--user", "systemd/user")] {
        let units = units(&sandbox, directory);
        assert_eq!(units.len(), 2, "{units:?}");
        let mut arguments = vec![manager, "verify", "--man=no"];
        arguments.extend(units.iter().map(String::as_str));
        let verified = run("systemd-analyze", &arguments);
        let said = text(&verified);
        // The type is there twice for these versions.
        let is_known =
            |line: &&str| systemd_version() >= 253 || !line.ends_with("ignoring: notify-reload");
        let said: Vec<&str> = said.lines().filter(is_known).collect();
        assert!(verified.status.success() && said.is_empty(), "{said:?}");
    }
}

#[test]
fn the_sandbox_is_as_the_documentation_says() {
    let sandbox = Sandbox::new();
    let units = units(&sandbox, "systemd");
    let service = units
        .iter()
        .find(|unit| unit.ends_with(".service"))
        .unwrap();
    let security = ["security", "--offline=true", "--no-pager", service];
    let said = text(&run("systemd-analyze", &security));
    let level = said.lines().find(|line| line.contains("exposure level"));
    let level = level.unwrap_or_else(|| panic!("{said}"));
    let score = level.split(": ").nth(1).unwrap().split(' ').next().unwrap();
    let documented = include_str!("../../docs/install.md").replace('\n', " ");
    let documented = documented.split_whitespace().collect::<Vec<_>>().join(" ");
    match systemd_version() {
        257 => assert!(documented.contains(&format!("gives it {score} (OK) with systemd 257"))),
        252 => assert!(documented.contains(&format!("{score} with systemd 252"))),
        _ => assert!(score.parse::<f64>().unwrap() <= 4.2, "{level}"),
    }
}

/// A service manager with a daemon, in a sandbox with the dev container `app`, whose operations wait for `$R/go`.
struct Supervisor {
    sandbox: Sandbox,
    process: Child,
}

impl Supervisor {
    fn start(sandbox: Sandbox, program: &str, arguments: &[&str]) -> Self {
        sandbox.devcontainer(&format!("echo up >>$R/ups; {WAIT}"));
        let path = format!("{}:/usr/bin:/bin:/usr/sbin", sandbox.path("bin").display());
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("PATH", path)
            .env("XDG_STATE_HOME", sandbox.state_home())
            .env("DEVCONTAINERD_NO_EVENTS", "true")
            .stdin(Stdio::null())
            .stdout(fs::File::create(sandbox.path("manager.log")).unwrap())
            .stderr(fs::File::create(sandbox.path("daemon.log")).unwrap());
        let process = command.spawn();
        let process = process
            .unwrap_or_else(|e| panic!("{program} (scripts/setup.sh test installs it): {e}"));
        Self { sandbox, process }
    }

    /// Asks the daemon by a word of its own, and waits for an operation that runs until `stop` has begun.
    fn stop_during_operation(&self, stop: impl FnOnce() -> Child) {
        let socket = format!("unix:{}", self.sandbox.path("d.sock").display());
        let word = |arguments: &[&str]| {
            let mut command = Command::new(BINARY);
            command.args(arguments).args(["--url", &socket]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command
        };
        let listed = word(&["ls", "--quiet"]).output().unwrap();
        assert_eq!(text(&listed), "app\n");
        let recreate = word(&["recreate", "app"]).spawn().unwrap();
        eventually("the CLI runs", || {
            self.sandbox.path("waits").exists().then_some(())
        });
        let mut stop = stop();
        eventually("the daemon drains", || {
            let log = self.sandbox.read("daemon.log");
            log.contains("they get up to").then_some(())
        });
        self.sandbox.write("go", "");
        let ended = recreate.wait_with_output().unwrap();
        assert!(ended.status.success(), "{}", text(&ended));
        assert!(stop.wait().unwrap().success());
        assert!(!self.sandbox.path("d.sock").exists());
        assert_eq!(self.sandbox.read("ups"), "up\n");
    }
}

impl Drop for Supervisor {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!(
                "{}\n{}",
                self.sandbox.read("manager.log"),
                self.sandbox.read("daemon.log")
            );
        }
        let pid = self.process.id().to_string();
        let _ = Command::new("kill").args(["-s", "TERM", &pid]).status();
        let _ = self.process.wait();
    }
}

/// The daemon with a socket in the sandbox.
fn command(sandbox: &Sandbox) -> String {
    format!(
        "{BINARY} --listen unix:{}",
        sandbox.path("d.sock").display()
    )
}

#[test]
fn supervisord_lets_operations_end() {
    let sandbox = Sandbox::with_app();
    let home = sandbox.path("").display().to_string();
    let program = read("supervisord/devcontainerd.conf")
        .replace(
            "command=devcontainerd\n",
            &format!("command={}\n", command(&sandbox)),
        )
        .replace("user=dev\n", "")
        .replace(
            "/var/log/supervisor/devcontainerd.log",
            &sandbox.path("daemon.log").display().to_string(),
        )
        .replace("/home/dev", home.trim_end_matches('/'));
    let control = sandbox.path("control");
    let control = control.display();
    let main = format!(
        "[unix_http_server]\nfile={control}\n[supervisord]\nnodaemon=true\nlogfile=/dev/null\nlogfile_maxbytes=0\n\
         pidfile={home}/pid\n[rpcinterface:supervisor]\n\
         supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
         [supervisorctl]\nserverurl=unix://{control}\n{program}"
    );
    let main = sandbox
        .write("supervisord.conf", &main)
        .display()
        .to_string();
    let supervisor = Supervisor::start(sandbox, "supervisord", &["-c", &main]);
    let control = |arguments: &[&str]| run("supervisorctl", &[&["-c", &*main], arguments].concat());
    eventually("the daemon runs", || {
        let socket = supervisor.sandbox.path("d.sock").exists();
        (socket && text(&control(&["status"])).contains("RUNNING")).then_some(())
    });
    supervisor.stop_during_operation(|| {
        let mut stop = Command::new("supervisorctl");
        stop.args(["-c", &main, "stop", "devcontainerd"])
            .stdout(Stdio::null());
        stop.spawn().unwrap()
    });
    assert!(text(&control(&["status"])).contains("STOPPED"));
}

#[test]
fn s6_knows_when_the_daemon_is_ready_and_lets_operations_end() {
    let sandbox = Sandbox::with_app();
    let home = sandbox.path("").display().to_string();
    let own = command(&sandbox);
    let check = format!(
        "{BINARY} healthcheck --url unix:{}",
        sandbox.path("d.sock").display()
    );
    for file in ["run", "data/check", "notification-fd", "timeout-kill"] {
        let text = read(&format!("s6/devcontainerd/{file}"))
            .replace("s6-setuidgid dev devcontainerd", &own)
            .replace("devcontainerd healthcheck", &check)
            .replace("/home/dev", &home);
        let copy = sandbox.write(&format!("scan/devcontainerd/{file}"), &text);
        let mode = if text.starts_with("#!") { 0o755 } else { 0o644 };
        fs::set_permissions(copy, fs::Permissions::from_mode(mode)).unwrap();
    }
    let scan = sandbox.path("scan");
    let service: PathBuf = scan.join("devcontainerd");
    let service = service.to_str().unwrap();
    let supervisor = Supervisor::start(sandbox, "s6-svscan", &[scan.to_str().unwrap()]);
    eventually("it is supervised", || {
        run("s6-svok", &[service]).status.success().then_some(())
    });
    let ready = run("s6-svwait", &["-U", "-t", "60000", service]);
    assert!(ready.status.success(), "{}", text(&ready));
    let stat = text(&run("s6-svstat", &["-o", "ready", service]));
    assert_eq!(stat.trim(), "true");
    supervisor.stop_during_operation(|| {
        let stop = Command::new("s6-svc")
            .args(["-wD", "-T", "60000", "-d", service])
            .spawn();
        stop.unwrap()
    });
    let _ = run("s6-svscanctl", &["-t", scan.to_str().unwrap()]);
}
