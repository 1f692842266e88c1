//! A daemon under test: the real binary, in a directory of its own, on a port of its own.
//!
//! Unless a test brings the real ones, `docker` and `devcontainer` are shell scripts on its `PATH`. The docker one
//! lists a directory in which each container is a file; a test can run shell code before either of them.

#![allow(
    dead_code,
    unreachable_pub,
    missing_docs,
    reason = "each test program uses its own part"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant, SystemTime};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

pub mod client;
pub mod mirror;
pub mod usage;

/// Longer than anything takes, even on a busy machine. What waits that long has failed.
pub const LONG: Duration = Duration::from_secs(30);

/// A daemon that is told to stop has ended by then (SPEC: 15 s), on a busy machine, too.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// Most tests change what the stand-in lists, and tell nobody.
pub const NO_EVENTS: &str = "DEVCONTAINERD_NO_EVENTS";

/// The id of the image of all containers.
const IMAGE: &str = "sha256:0000";

pub const BINARY: &str = env!("CARGO_BIN_EXE_devcontainerd");

/// Waits until `condition` gives something.
#[track_caller]
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + LONG;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Runs shell code in a directory, with git as it is set up in its repository alone.
#[track_caller]
pub fn sh(directory: &Path, code: &str) {
    let output = Command::new("sh")
        .args(["-ec", code])
        .current_dir(directory)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "{code}: {output:?}");
}

/// A temporary directory with stand-ins for docker and devcontainer.
pub struct Sandbox {
    root: PathBuf,
}

impl Sandbox {
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("devcontainerd-test-{}-{number}", std::process::id());
        let root = std::env::temp_dir().canonicalize().unwrap().join(name);
        // Numbers of processes come again, and one that was killed left its directory.
        let _ = fs::remove_dir_all(&root);
        for below in ["bin", "containers", "images", "work", "calls"] {
            fs::create_dir_all(root.join(below)).unwrap();
        }
        let sandbox = Self { root };
        sandbox.write("events", "");
        sandbox.docker("");
        sandbox.devcontainer("");
        sandbox.image(&json!({}));
        sandbox
    }

    /// The image of all containers, with these labels.
    pub fn image(&self, labels: &Value) {
        let image = json!({"Id": IMAGE, "Config": {"Labels": labels}});
        self.write(&format!("images/{IMAGE}"), &image.to_string());
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    pub fn write(&self, relative: &str, content: &str) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    pub fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap_or_default()
    }

    /// A workspace folder with a configuration that is older than every container.
    pub fn workspace(&self, name: &str) -> PathBuf {
        let config = format!("work/{name}/.devcontainer/devcontainer.json");
        let config = self.write(&config, r#"{"image": "base"}"#);
        let config = fs::File::options().append(true).open(config).unwrap();
        let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        config.set_modified(old).unwrap();
        self.path(&format!("work/{name}"))
    }

    /// Its configuration.
    pub fn config(&self, name: &str) -> PathBuf {
        self.path(&format!("work/{name}/.devcontainer/devcontainer.json"))
    }

    fn script(&self, name: &str, code: &str) {
        let path = self.path(&format!("bin/{name}"));
        let root = self.root.display();
        // Written elsewhere and renamed: a running one is not disturbed.
        let new = self.path(&format!("bin/.{name}"));
        fs::write(&new, format!("#!/bin/sh\nR='{root}'\n{code}")).unwrap();
        fs::set_permissions(&new, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(new, path).unwrap();
    }

    /// Makes the docker stand-in, which runs `before` first; `$R` is the sandbox. It lists, inspects, starts, stops,
    /// pauses, renames and removes the files in `$R/containers`, each of which is what `docker inspect` says.
    pub fn docker(&self, before: &str) {
        let code = r#"
echo "$*" >>"$R/calls/docker"
BEFORE
cd "$R/containers" || exit 1
named() { # sets $id to the id of the one that is called $1
    if [ -f "$1" ]; then id="$1"; return 0; fi
    for id in *; do
        case "$id" in "$1"*) [ ${#1} -ge 12 ] && return 0 ;; esac
        grep -qF "\"Name\":\"/$1\"" "$id" 2>/dev/null && return 0
    done
    return 1
}
edit() { # $1: what sed shall do with the container $id
    sed "$1" "$id" >"$R/.docker.$$" && mv "$R/.docker.$$" "$id"
}
verb="$1"; shift
case "$verb" in
events) exec tail -n +1 -f "$R/events" ;;
ps)
    filters=
    while [ $# -gt 0 ]; do
        case "$1" in
        --filter) filters="$filters${2#label=}
"; shift ;;
        --filter=*) filters="$filters${1#--filter=label=}
" ;;
        esac
        shift
    done
    for id in *; do
        [ -f "$id" ] || continue
        if [ -z "$filters" ]; then echo "$id"; continue; fi
        printf '%s' "$filters" | {
            while read -r label; do
                case "$label" in
                *=*) grep -qF "\"${label%%=*}\":\"${label#*=}\"" "$id" || exit 1 ;;
                *) grep -qF "\"$label\":\"" "$id" || exit 1 ;;
                esac
            done
        } && echo "$id"
    done
    exit 0 ;;
inspect)
    status=0; separator=; printf '['
    case "$1 $2" in
    "--type image") cd "$R/images"; shift 2 ;;
    "--type container") shift 2 ;;
    esac
    for name in "$@"; do
        if named "$name"; then printf '%s' "$separator"; cat "$id"; separator=,
        else echo "Error: No such object: $name" >&2; status=1; fi
    done
    echo ']'; exit $status ;;
rename)
    named "$1" || { echo "Error response from daemon: No such container: $1" >&2; exit 1; }
    renamed="$id"
    if named "$2" && [ "$id" != "$renamed" ]; then
        echo "Error response from daemon: Conflict. The container name \"/$2\" is already in use" >&2; exit 1
    fi
    id="$renamed"; edit "s|\"Name\":\"/[^\"]*\"|\"Name\":\"/$2\"|"; exit 0 ;;
start|stop|pause|unpause|kill|rm)
    status=0
    while [ $# -gt 0 ]; do
        case "$1" in
        --time|--timeout|--signal|-t|-s) shift 2; continue ;;
        -*) shift; continue ;;
        esac
        if named "$1"; then
            case "$verb" in
            start|unpause) edit 's/"Running":false/"Running":true/; s/"Status":"[a-z]*"/"Status":"running"/' ;;
            pause) edit 's/"Status":"[a-z]*"/"Status":"paused"/' ;;
            stop|kill) edit 's/"Running":true/"Running":false/; s/"Status":"[a-z]*"/"Status":"exited"/' ;;
            rm) rm "$id" ;;
            esac
            echo "$1"
        elif [ "$verb" != rm ]; then
            echo "Error response from daemon: No such container: $1" >&2; status=1
        fi
        shift
    done
    exit $status ;;
esac
echo "unexpected: $verb $*" >&2; exit 64
"#;
        self.script("docker", &code.replace("BEFORE", before));
    }

    /// Makes the devcontainer stand-in, which runs `before` first and then starts the container of the folder, or makes
    /// or replaces it, as the real one does. `before` finds the folder in `$folder`, the config in `$config`, the id that it will make
    /// in `$id`, and may `exit`.
    pub fn devcontainer(&self, before: &str) {
        let code = r#"
echo "$*" >>"$R/calls/devcontainer"
verb="$1"
anew=
while [ $# -gt 0 ]; do
    case "$1" in
    --remove-existing-container) anew=1 ;;
    --workspace-folder) folder="$2"; shift ;;
    --config) config="$2"; shift ;;
    esac
    shift
done
id=$(printf '%064x' $(($(cat "$R/next" 2>/dev/null || echo 1000) + 1)))
BEFORE
[ "$verb" = up ] || { echo '{"outcome":"success"}'; exit 0; }
if [ ! "$anew" ] && old=$(grep -lF "\"devcontainer.local_folder\":\"$folder\"" "$R/containers"/*); then
    sed 's/"Running":false/"Running":true/; s/"Status":"[a-z]*"/"Status":"running"/' "$old" >"$R/.new"
    mv "$R/.new" "$old"
    echo "{\"outcome\":\"success\",\"containerId\":\"${old##*/}\"}"
    exit 0
fi
echo $((0x${id#000000000000000000000000000000000000000000000000})) >"$R/next"
for old in "$R/containers"/*; do
    grep -q "\"devcontainer.local_folder\":\"$folder\"" "$old" 2>/dev/null && rm "$old"
done
printf '{"Id":"%s","Created":"%s","Name":"/made","Config":{"Image":"base","Labels":{"devcontainer.local_folder":"%s","devcontainer.config_file":"%s"}},"State":{"Status":"running","Running":true}}' \
    "$id" "$(date -u +%Y-%m-%dT%H:%M:%S.%NZ)" "$folder" "$config" >"$R/.new"
mv "$R/.new" "$R/containers/$id"
echo '{"type":"text","level":3,"timestamp":1700000000000,"text":"made it"}' >&2
echo "{\"outcome\":\"success\",\"containerId\":\"$id\"}"
"#;
        self.script("devcontainer", &code.replace("BEFORE", before));
    }

    /// Puts a program of its own on the `PATH`; `$R` is the sandbox.
    pub fn program(&self, name: &str, code: &str) -> PathBuf {
        self.script(name, code);
        self.path("bin").join(name)
    }

    /// A `PATH` on which nothing is but the stand-ins and what they need.
    pub fn bare_path(&self) -> String {
        let tools = self.path("tools");
        fs::create_dir_all(&tools).unwrap();
        for tool in ["cat", "date", "grep", "mv", "rm", "sed", "sleep"] {
            let _ = std::os::unix::fs::symlink(format!("/usr/bin/{tool}"), tools.join(tool));
        }
        format!("{}:{}", self.path("bin").display(), tools.display())
    }

    /// Processes that were started in the sandbox, whoever is their parent now; the daemon and zombies are none.
    pub fn processes(&self) -> Vec<u32> {
        // With the slash: the name of one may begin as that of another.
        let root = format!("{}/", self.root.display());
        let root = root.as_bytes();
        let is_ours = |process: &Path| {
            let environment = fs::read(process.join("environ")).unwrap_or_default();
            let ours = environment.windows(root.len()).any(|part| part == root);
            ours && fs::read_link(process.join("exe")).is_ok_and(|exe| exe != Path::new(BINARY))
        };
        let all = fs::read_dir("/proc").unwrap().flatten();
        let ours = all.filter(|process| is_ours(&process.path()));
        ours.filter_map(|process| process.file_name().to_str()?.parse().ok())
            .collect()
    }

    /// How often a stand-in was called with a first argument that begins so.
    pub fn calls(&self, program: &str, beginning: &str) -> usize {
        let calls = self.read(&format!("calls/{program}"));
        calls
            .lines()
            .filter(|call| call.starts_with(beginning))
            .count()
    }

    /// Adds a container, or replaces it; `number` makes its id.
    pub fn container(&self, number: u32) -> ContainerFile<'_> {
        ContainerFile {
            sandbox: self,
            id: container_id(number),
            json: json!({
                "Id": container_id(number),
                "Created": "2020-01-01T00:00:00Z",
                "Name": format!("/box{number}"),
                "Image": IMAGE,
                "Config": {"Image": "base", "Labels": {}},
                "State": {"Status": "running", "Running": true},
            }),
        }
    }

    /// A running container of the dev container in `folder`, made from what is there.
    pub fn devcontainer_of(&self, number: u32, folder: &Path) {
        self.devcontainer_made(number, folder, "2020-01-01T00:00:00Z");
    }

    /// The same, made at this time.
    pub fn devcontainer_made(&self, number: u32, folder: &Path, time: &str) {
        let config = folder.join(".devcontainer/devcontainer.json");
        self.container(number)
            .label("devcontainer.local_folder", folder.to_str().unwrap())
            .label("devcontainer.config_file", config.to_str().unwrap())
            .created(time)
            .save();
    }

    pub fn remove_container(&self, number: u32) {
        fs::remove_file(self.path("containers").join(container_id(number))).unwrap();
    }

    /// A daemon with the stand-ins, not started yet.
    pub fn daemon(&self) -> DaemonBuilder {
        self.daemon_of(DaemonBuilder::new())
    }

    /// One that follows events: what a test changes, it has to tell ([`Sandbox::event`]).
    pub fn following_daemon(&self) -> DaemonBuilder {
        self.daemon().without_env(NO_EVENTS)
    }

    /// Tells an event of a container to whoever follows events, or will.
    pub fn event(&self, number: u32, action: &str) {
        let id = container_id(number);
        let event = json!({"Type": "container", "Action": action, "Actor": {"ID": id}});
        self.tell(&format!("{event}\n"));
    }

    /// Prints this where events are followed.
    pub fn tell(&self, text: &str) {
        let path = self.path("events");
        let mut events = fs::File::options().append(true).open(path).unwrap();
        events.write_all(text.as_bytes()).unwrap();
    }

    /// The same in namespaces of its own for users and mounts, in which it is root: `code` is run there before. Its
    /// limits below `/proc/sys/user` are its own, too.
    pub fn daemon_in_namespaces(&self, code: &str) -> DaemonBuilder {
        let builder = DaemonBuilder::of("unshare").args("--user --map-root-user --mount sh -c");
        let code = format!("set -e; {code}; exec \"$0\" \"$@\"");
        self.daemon_of(builder.arg(&code).arg(BINARY))
    }

    fn daemon_of(&self, builder: DaemonBuilder) -> DaemonBuilder {
        let path = format!("{}:/usr/bin:/bin", self.path("bin").display());
        builder
            .env("PATH", &path)
            .env(NO_EVENTS, "true")
            .env("XDG_STATE_HOME", self.state_home().to_str().unwrap())
    }

    /// Below it is the daemon's state directory.
    pub fn state_home(&self) -> PathBuf {
        self.path("state")
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        for pid in self.processes() {
            kill(pid);
        }
        let _ = fs::remove_dir_all(&self.root);
    }
}

pub fn container_id(number: u32) -> String {
    format!("{number:064x}")
}

pub struct ContainerFile<'a> {
    sandbox: &'a Sandbox,
    id: String,
    json: Value,
}

impl ContainerFile<'_> {
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.json["Config"]["Labels"][name] = value.into();
        self
    }

    pub fn created(mut self, time: &str) -> Self {
        self.json["Created"] = time.into();
        self
    }

    pub fn id(mut self, id: &str) -> Self {
        self.id = id.into();
        self.json["Id"] = id.into();
        self
    }

    /// Sets a field of what `docker inspect` says.
    pub fn set(mut self, key: &str, value: Value) -> Self {
        self.json[key] = value;
        self
    }

    pub fn save(self) {
        let new = self.sandbox.path(".container");
        fs::write(&new, self.json.to_string()).unwrap();
        fs::rename(new, self.sandbox.path("containers").join(self.id)).unwrap();
    }
}

pub struct DaemonBuilder {
    command: Command,
    listens: bool,
}

impl DaemonBuilder {
    /// One without stand-ins and with the environment of the tests.
    pub fn new() -> Self {
        Self::of(BINARY)
    }

    pub fn of(binary: &str) -> Self {
        let mut command = Command::new(binary);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Below a file there can be no directory, not even for root: no two share one.
            .env("XDG_STATE_HOME", "/dev/null");
        let listens = false;
        Self { command, listens }
    }

    /// Adds arguments, separated by spaces.
    pub fn args(self, arguments: &str) -> Self {
        arguments.split_whitespace().fold(self, Self::arg)
    }

    pub fn arg(mut self, argument: &str) -> Self {
        self.listens |= argument == "--listen";
        self.command.arg(argument);
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    pub fn without_env(mut self, name: &str) -> Self {
        self.command.env_remove(name);
        self
    }

    /// Runs it to its end: status, and what stands on standard error. One that starts after all does so on a free
    /// port, and is ended.
    #[track_caller]
    pub fn run(mut self) -> (ExitStatus, String) {
        let variable = "DEVCONTAINERD_LISTEN";
        if !self.listens && self.command.get_envs().all(|(name, _)| name != variable) {
            self.command.env(variable, "127.0.0.1:0");
        }
        let mut child = self.command.spawn().unwrap();
        let deadline = Instant::now() + LONG;
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(2)),
                None => {
                    child.kill().unwrap();
                    break child.wait().unwrap();
                }
            }
        };
        let mut said = String::new();
        child.stderr.unwrap().read_to_string(&mut said).unwrap();
        (status, said)
    }

    /// Starts it on a free port and waits until it listens.
    #[track_caller]
    pub fn start(mut self) -> Daemon {
        if !self.listens {
            self.command.args(["--listen", "127.0.0.1:0"]);
        }
        let mut child = self.command.spawn().unwrap();
        let log = Log::default();
        let stderr = child.stderr.take().unwrap();
        let collected = log.clone();
        std::thread::spawn(move || collected.collect(stderr));
        let first = log.wait_for("listening on ");
        let address = first.split("http://").nth(1).unwrap_or_default();
        let address = address.trim_end_matches(['"', '}']).to_owned();
        Daemon {
            child,
            address,
            log,
        }
    }
}

/// What a daemon writes on standard error.
#[derive(Clone, Default)]
pub struct Log(Arc<(Mutex<Vec<String>>, Condvar)>);

impl Log {
    fn collect(&self, stderr: impl Read) {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            self.0.0.lock().unwrap().push(line);
            self.0.1.notify_all();
        }
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.0.lock().unwrap().clone()
    }

    /// The first line with `text`; waits for it.
    #[track_caller]
    pub fn wait_for(&self, text: &str) -> String {
        let (lines, grown) = &*self.0;
        let (lines, _) = grown
            .wait_timeout_while(lines.lock().unwrap(), LONG, |lines| {
                !lines.iter().any(|line| line.contains(text))
            })
            .unwrap();
        let found = lines.iter().find(|line| line.contains(text)).cloned();
        // Whoever panics here must not hold the lock: the end of the daemon needs it.
        drop(lines);
        found.unwrap_or_else(|| panic!("never logged: {text}"))
    }
}

/// A running daemon; ended when it is dropped. A test that has passed until then also fails where the daemon does not
/// end by itself, or leaves something of an operation behind (P16).
pub struct Daemon {
    child: Child,
    /// `127.0.0.1:PORT`
    pub address: String,
    pub log: Log,
}

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Response {
    #[track_caller]
    pub fn json(&self) -> Value {
        let json = serde_json::from_str(&self.body);
        json.unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Status, message and whether the detail says this.
    #[track_caller]
    pub fn assert_error(&self, status: u16, message: &str, detail: &str) {
        let json = self.json();
        assert_eq!(
            (self.status, json["message"].as_str()),
            (status, Some(message)),
            "{self:?}"
        );
        let found = json["detail"].as_str().unwrap_or_default();
        assert!(found.contains(detail), "{found:?} does not say {detail:?}");
        assert_eq!(json.as_object().unwrap().len(), 2, "{self:?}");
        assert!(self.body.ends_with("}\n"), "one line: {self:?}");
    }
}

impl Daemon {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream.set_write_timeout(Some(LONG)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends bytes and reads until the daemon closes.
    pub fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // It may answer and close before it has read all of it.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[track_caller]
    pub fn request(&self, method: &str, path: &str, headers: &str) -> Response {
        let host = &self.address;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
        );
        parse(&self.raw(head.as_bytes()))
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path, "")
    }

    #[track_caller]
    pub fn post(&self, path: &str) -> Response {
        self.request("POST", path, "")
    }

    /// The JSON of a 200.
    #[track_caller]
    pub fn json(&self, path: &str) -> Value {
        let response = self.get(path);
        assert_eq!(response.status, 200, "{path}: {response:?}");
        response.json()
    }

    /// The only dev container.
    #[track_caller]
    pub fn devcontainer(&self) -> Value {
        let all = self.json("/devcontainers");
        let all = all["devcontainers"].as_array().unwrap();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    }

    #[track_caller]
    pub fn delete(&self, path: &str) -> Response {
        self.request("DELETE", path, "")
    }

    /// Recreates a dev container and waits for the end.
    #[track_caller]
    pub fn recreate(&self, name: &str) -> Response {
        self.post(&format!("/devcontainers/{name}/recreate?wait=true"))
    }

    /// Begins to recreate a dev container.
    #[track_caller]
    pub fn begin_recreate(&self, name: &str) {
        let response = self.post(&format!("/devcontainers/{name}/recreate"));
        assert_eq!(response.status, 202, "{response:?}");
    }

    /// The lines of the log of the running or last operation.
    #[track_caller]
    pub fn log_of(&self, name: &str) -> Vec<Value> {
        let response = self.get(&format!("/devcontainers/{name}/logs"));
        assert_eq!(response.status, 200, "{response:?}");
        let lines = response.body.lines();
        lines.map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the daemon ends", || self.child.try_wait().unwrap())
    }

    /// A line of /proc/PID/status, in its unit (kB for memory).
    pub fn status(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with(&format!("{name}:")))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    pub fn threads(&self) -> u64 {
        self.status("Threads")
    }

    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .unwrap()
            .count()
    }

    /// Runs shell code in the namespaces of a daemon that has its own ([`Sandbox::daemon_in_namespaces`]).
    #[track_caller]
    pub fn enter(&self, code: &str) {
        let pid = self.pid().to_string();
        let entered = Command::new("nsenter")
            .args(["--user", "--mount", "--target", &pid, "sh", "-ec", code])
            .status();
        assert!(entered.unwrap().success(), "{code}");
    }

    /// What inotify watches for it.
    pub fn watches(&self) -> usize {
        let fds = fs::read_dir(format!("/proc/{}/fdinfo", self.pid())).unwrap();
        let infos = fds.flatten();
        let infos = infos.filter_map(|fd| fs::read_to_string(fd.path()).ok());
        infos.map(|info| info.matches("inotify wd:").count()).sum()
    }

    /// How often its log has said this.
    pub fn said(&self, text: &str) -> usize {
        let lines = self.log.lines();
        lines.iter().filter(|line| line.contains(text)).count()
    }

    /// What has changed of the only dev container, as the first request is told: `[file name, change]`.
    #[track_caller]
    pub fn changes(&self) -> Value {
        let one = self.devcontainer();
        let changes = one["changes"].as_array().cloned().unwrap_or_default();
        assert_eq!(one["dirty"], !changes.is_empty(), "{one}");
        if let Some(container) = one.get("container") {
            assert_eq!(container["devcontainer_dirty"], one["dirty"]);
        }
        let short = |c: &Value| {
            let path = Path::new(c["path"].as_str().unwrap()).file_name().unwrap();
            json!([path.to_str().unwrap(), c["change"]])
        };
        changes.iter().map(short).collect()
    }

    /// The process that tells it of events.
    pub fn events_child(&self) -> Option<u32> {
        let is_it = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            line.contains("docker events ") || line.contains("tail -n +1 -f")
        };
        self.children().into_iter().find(is_it)
    }

    /// The same, once there is one.
    #[track_caller]
    pub fn follows(&self) -> u32 {
        eventually("events are followed", || self.events_child())
    }

    /// Processes whose ancestor it is, zombies included.
    pub fn children(&self) -> Vec<u32> {
        descendants(self.pid())
    }
}

impl Daemon {
    /// What is wrong with how it ends, which it is told to. One that a test has ended is not told.
    fn end(&mut self) -> Result<(), String> {
        let pid = self.pid();
        if !matches!(self.child.try_wait(), Ok(None)) {
            return self.left_nothing();
        }
        let mut left = zombies(pid);
        let reaped_by = Instant::now() + ENDS_WITHIN;
        while !left.is_empty() && Instant::now() < reaped_by {
            std::thread::sleep(Duration::from_millis(5));
            left = zombies(pid);
        }
        // The second one makes it end its operations at once.
        let begun = Instant::now();
        let mut told = 0;
        while self.child.try_wait().unwrap().is_none() {
            if told < 2 && begun.elapsed() >= told * Duration::from_millis(50) {
                send(pid, Signal::TERM);
                told += 1;
            }
            if begun.elapsed() > ENDS_WITHIN {
                return Err(format!("it did not end within {ENDS_WITHIN:?} of a TERM"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        if !left.is_empty() {
            return Err(format!("it left zombies: {left:?}"));
        }
        self.left_nothing()
    }

    /// One that was killed could not clean up.
    fn left_nothing(&mut self) -> Result<(), String> {
        let status = self.child.try_wait().unwrap();
        let left = operation_processes(self.pid());
        match status.and_then(|status| status.code()) {
            Some(0) if !left.is_empty() => Err(format!("of its operations, there lives: {left:?}")),
            _ => Ok(()),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let panicking = std::thread::panicking();
        let mut left = self.children();
        let ended = match panicking {
            true => Ok(()),
            false => self.end(),
        };
        left.retain(|_| ended.is_err() || panicking);
        left.extend(operation_processes(self.pid()).into_keys());
        let _ = self.child.kill();
        let _ = self.child.wait();
        for pid in left {
            kill(pid);
        }
        if panicking || ended.is_err() {
            eprintln!("the daemon's log:\n{}", self.log.lines().join("\n"));
        }
        if let Err(wrong) = ended {
            panic!("the daemon was told to end: {wrong}");
        }
    }
}

fn send(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let _ = pid.map(|pid| kill_process(pid, signal));
}

/// Processes of the operations of the daemon `pid`, whoever is their parent now, each with its command line.
pub fn operation_processes(pid: u32) -> BTreeMap<u32, String> {
    let variable = format!("DEVCONTAINERD_OPERATION={pid}:");
    let all = fs::read_dir("/proc").unwrap().flatten();
    let ours = all.filter_map(|process| {
        let id: u32 = process.file_name().to_str()?.parse().ok()?;
        let environment = fs::read(process.path().join("environ")).ok()?;
        let mut variables = environment.split(|byte| *byte == 0);
        let is_ours = |one: &[u8]| {
            let name = one.strip_prefix(variable.as_bytes());
            name.is_some_and(|name| !name.ends_with(b":events"))
        };
        let ours = variables.any(is_ours);
        let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        ours.then_some((id, line))
    });
    ours.collect()
}

/// Children of `pid` that have ended and wait for somebody to ask how.
pub fn zombies(pid: u32) -> Vec<u32> {
    let is_one = |child: &u32| {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        let state = stat.rsplit(')').next().unwrap_or_default();
        state.trim_start().starts_with('Z')
    };
    descendants(pid).into_iter().filter(is_one).collect()
}

pub fn kill(pid: u32) {
    send(pid, Signal::KILL);
}

/// All processes below `pid`.
pub fn descendants(pid: u32) -> Vec<u32> {
    let mut parents: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let child = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok());
        let parent = stat
            .rsplit(')')
            .next()
            .and_then(|rest| rest.split_whitespace().nth(1));
        if let (Some(child), Some(Ok(parent))) = (child, parent.map(str::parse)) {
            parents.entry(parent).or_default().push(child);
        }
    }
    let mut found = parents.remove(&pid).unwrap_or_default();
    let mut next = 0;
    while next < found.len() {
        found.extend(parents.remove(&found[next]).unwrap_or_default());
        next += 1;
    }
    found
}

/// Reads an answer; a chunked body is put together.
#[track_caller]
pub fn parse(answer: &str) -> Response {
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {answer:?}"));
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .unwrap();
    let headers: BTreeMap<String, String> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let chunked = headers
        .get("transfer-encoding")
        .is_some_and(|coding| coding == "chunked");
    Response {
        status: status.parse().unwrap(),
        headers,
        body: if chunked {
            dechunk(body)
        } else {
            body.to_owned()
        },
    }
}

fn dechunk(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        body.push_str(&after[..size]);
        rest = after[size..].strip_prefix("\r\n").unwrap();
        if size == 0 {
            break;
        }
    }
    body
}
