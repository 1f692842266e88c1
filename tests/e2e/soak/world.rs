//! The engine with its containers, the daemon, what is done to them, and what has to hold.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::clients::Clients;
use crate::common::mirror::{Mirror, by_id};
use crate::common::{Daemon, DaemonBuilder, Stopwatch, eventually, operation_processes, zombies};
use crate::engine::{Directory, IMAGE, PrivateEngine, docker, try_docker, unique};
use crate::project::SERVE;
use crate::random::Random;
use crate::workspace::Workspace;

/// The most containers beside those of dev containers.
const MOST_CONTAINERS: usize = 12;
/// Things that are done before a harm, and after it.
const ACTIONS: u64 = 4;
/// The most that a daemon may use while no client but a mirror is connected, in kB, and in numbers.
const MOST_MEMORY: u64 = 20_000;
const MOST_THREADS: u64 = 8;
const MOST_DESCRIPTORS: usize = 40;
/// How much more than at the first quiet point may be used at any later one, in kB, also by a daemon that was started
/// after a kill. The logs of both dev containers are part of that.
const GROWTH: u64 = 2_000;

/// The name of the daemon's Unix socket, in the state directory.
const SOCKET: &str = "socket";

/// What is done to the engine or the daemon.
#[derive(Clone, Copy, Debug)]
pub(super) enum Harm {
    None,
    Freeze,
    RestartEngine,
    KillDaemon,
}

pub(super) const HARMS: &[Harm] = &[
    Harm::None,
    Harm::Freeze,
    Harm::KillDaemon,
    Harm::RestartEngine,
];

/// A dev container.
struct Devcontainer {
    workspace: Workspace,
    /// Writes the configuration with this number.
    write: fn(&Workspace, u64),
    /// The number that is in the configuration.
    number: u64,
    /// Its name for the daemon.
    name: Value,
    /// The names of its containers.
    containers: BTreeSet<String>,
}

pub(super) struct World {
    // In the order in which they end.
    mirror: Option<Mirror>,
    daemon: Daemon,
    /// Daemons that were killed.
    dead: Vec<Daemon>,
    devcontainers: Vec<Devcontainer>,
    /// The names of the other containers.
    others: BTreeSet<String>,
    engine: PrivateEngine,
    state: Directory,
    /// The memory at the first quiet point, in kB.
    memory: Option<u64>,
}

fn write_plain(workspace: &Workspace, number: u64) {
    let name = format!("{}-container", workspace.name);
    workspace.configure(json!({
        "runArgs": ["--name", name],
        "containerEnv": {"NUMBER": number.to_string()},
        "postCreateCommand": "echo made",
    }));
}

fn write_compose(workspace: &Workspace, number: u64) {
    let serve = json!(["sh", "-c", SERVE]);
    let file = json!({
        "version": "3.7",
        "services": {
            "dev": {"image": IMAGE, "command": serve, "environment": {"NUMBER": number.to_string()}, "depends_on": ["db"]},
            "db": {"image": IMAGE, "command": serve, "volumes": ["data:/data"]},
        },
        "volumes": {"data": {}},
    });
    let path = workspace.config().with_file_name("compose.yml");
    // A reader finds the one or the other.
    let new = path.with_extension("new");
    std::fs::write(&new, file.to_string()).unwrap();
    std::fs::rename(new, path).unwrap();
    let config =
        json!({"dockerComposeFile": "compose.yml", "service": "dev", "workspaceFolder": "/"});
    workspace.write(&config.to_string());
}

fn start(host: &str, state: &Path) -> Daemon {
    let binary = std::env::var("DEVCONTAINERD_STATIC_BIN").ok();
    let builder = binary.map_or_else(DaemonBuilder::new, |binary| DaemonBuilder::of(&binary));
    let state = state.display();
    let listen = format!("--listen 127.0.0.1:0 --listen unix:{state}/{SOCKET}");
    let arguments = format!("--state-dir {state} {listen}");
    builder.args(&arguments).env("DOCKER_HOST", host).start()
}

impl World {
    pub(super) fn new() -> Self {
        let engine = PrivateEngine::start("soak");
        let state = Directory::new("soak-state");
        let write = [write_plain as fn(&Workspace, u64), write_compose];
        let mut devcontainers: Vec<Devcontainer> =
            write.map(|write| made(write, &engine.host)).into();
        let daemon = start(&engine.host, state.path());
        for one in &mut devcontainers {
            one.name = one.workspace.devcontainer(&daemon)["name"].clone();
        }
        Self {
            mirror: Some(Mirror::of(&daemon)),
            daemon,
            dead: Vec::new(),
            devcontainers,
            others: BTreeSet::new(),
            engine,
            state,
            memory: None,
        }
    }

    pub(super) fn address(&self) -> String {
        self.daemon.address.clone()
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.state.path().join(SOCKET)
    }

    /// The names of the dev containers.
    pub(super) fn names(&self) -> Vec<String> {
        let names = self.devcontainers.iter().map(|one| one.name.as_str());
        names.map(|name| name.unwrap().to_owned()).collect()
    }

    #[track_caller]
    fn docker(&self, arguments: &[&str]) -> String {
        docker(&[&["--host", &self.engine.host], arguments].concat())
    }

    /// Changes containers and configurations, and begins operations.
    pub(super) fn act(&mut self, random: &mut Random) {
        for _ in 0..random.within(1..ACTIONS) {
            self.change_a_container(random);
        }
        for one in &mut self.devcontainers {
            let path = format!("/devcontainers/{}", one.workspace.name);
            if random.within(0..6) == 0 {
                self.daemon.post(&format!("{path}/cancel"));
            }
            // What the CLI reads of an edit during an operation is not known.
            if one.workspace.devcontainer(&self.daemon)["job"]["state"] != "running" {
                // Sometimes the number stays, or is one that was there before.
                one.number = random.within(0..4);
                (one.write)(&one.workspace, one.number);
            }
            let operation =
                random.one_of(&["", "stop", "start", "recreate", "recreate", "recreate"]);
            if !operation.is_empty() {
                let begun = self.daemon.post(&format!("{path}/{operation}")).status;
                assert!(
                    [202, 409, 500, 503].contains(&begun),
                    "{operation}: {begun}"
                );
            }
        }
    }

    fn change_a_container(&mut self, random: &mut Random) {
        let others = self.others.clone();
        let all: Vec<&str> = others.iter().map(String::as_str).collect();
        let new = unique("soak");
        if all.len() < 3 || (all.len() < MOST_CONTAINERS && random.within(0..3) == 0) {
            let how = random.one_of(&["run --detach", "create", "run --detach --rm"]);
            let mut arguments: Vec<&str> = how.split(' ').collect();
            let keeps = !arguments.contains(&"--rm");
            let program = if keeps { SERVE } else { "exit 3" };
            arguments.extend(["--name", &new, IMAGE, "sh", "-c", program]);
            self.docker(&arguments);
            if keeps {
                self.others.insert(new);
            }
            return;
        }
        let name = random.one_of(&all);
        match random.within(0..3) {
            0 => {
                self.docker(&["rm", "--force", "--volumes", name]);
                self.others.remove(name);
            }
            1 => {
                self.docker(&["rename", name, &new]);
                self.others.remove(name);
                self.others.insert(new);
            }
            _ => {
                // Not every verb is for every state.
                let verb = random.one_of(&[
                    "start",
                    "pause",
                    "unpause",
                    "kill",
                    "stop --time 0",
                    "restart --time 0",
                ]);
                let host = ["--host", &self.engine.host];
                let verb: Vec<&str> = verb.split(' ').collect();
                try_docker(&[&host[..], &verb, &[name]].concat());
            }
        }
    }

    pub(super) fn harm(&mut self, harm: Harm, random: &mut Random, clients: &Clients) {
        // It is to come at any moment of what was begun.
        let moment = Duration::from_millis(random.within(0..2000));
        thread::sleep(moment);
        match harm {
            Harm::None => {}
            Harm::Freeze => {
                self.engine.signal("STOP");
                thread::sleep(moment + moment);
                self.engine.signal("CONT");
            }
            Harm::RestartEngine => {
                self.engine.signal(random.one_of(&["TERM", "KILL"]));
                self.engine.restart();
            }
            Harm::KillDaemon => {
                self.mirror = None;
                self.daemon.signal("KILL");
                self.daemon.wait();
                let new = start(&self.engine.host, self.state.path());
                clients.use_address(new.address.clone());
                let dead = std::mem::replace(&mut self.daemon, new);
                self.dead.push(dead);
            }
        }
    }

    /// Waits until all operations have ended, and checks everything.
    pub(super) fn check(&mut self, clients: &Clients, when: &str) {
        let quiet = Stopwatch::start();
        eventually(&format!("docker can be asked, {when}"), || {
            let answer = self.daemon.get("/");
            (answer.status == 200 && !answer.headers.contains_key("age")).then_some(())
        });
        for one in &self.devcontainers {
            let what = format!("{} has ended, {when}", one.workspace.name);
            one.workspace
                .wait_for(&self.daemon, &what, |one| one["job"]["state"] != "running");
        }
        let expected = self.expected_names();
        eventually(&format!("the containers are {expected:?}, {when}"), || {
            let truth = self.truth();
            let names: BTreeSet<&str> = truth.values().map(|(name, _)| name.as_str()).collect();
            (names.len() == expected.len() && expected.iter().all(|name| names.contains(&**name)))
                .then_some(())
        });
        clients.quiet(|| {
            self.check_mirror(when);
            self.check_devcontainers(when);
            self.check_usage(when);
        });
        println!("{when}: quiet after {:?}", quiet.by_the_clock());
    }

    fn expected_names(&self) -> BTreeSet<String> {
        let own = self.devcontainers.iter().flat_map(|one| &one.containers);
        own.chain(&self.others).cloned().collect()
    }

    /// The names and states of all containers by id, as docker has them.
    fn truth(&self) -> BTreeMap<String, (String, String)> {
        let format = "{{.ID}} {{.Names}} {{.State}}";
        let lines = self.docker(&["ps", "--all", "--no-trunc", "--format", format]);
        let lines = lines.lines().map(|line| {
            let words: Vec<&str> = line.split(' ').collect();
            (
                words[0].to_owned(),
                (words[1].to_owned(), words[2].to_owned()),
            )
        });
        lines.collect()
    }

    fn check_mirror(&mut self, when: &str) {
        let daemon = &self.daemon;
        let mut mirror = self.mirror.take().unwrap_or_else(|| Mirror::of(daemon));
        let truth = self.truth();
        mirror.until(&format!("what docker says, {when}"), |mirror| {
            (shown(&mirror.containers) == truth).then_some(())
        });
        mirror.catch_up(daemon);
        assert_eq!(
            shown(&by_id(&daemon.json("/")["containers"])),
            truth,
            "{when}"
        );
        self.mirror = Some(mirror);
    }

    fn check_devcontainers(&self, when: &str) {
        for devcontainer in &self.devcontainers {
            let one = devcontainer.workspace.devcontainer(&self.daemon);
            assert_eq!(one["name"], devcontainer.name, "{when}: {one:#}");
            let id = one["container"]["id"].as_str();
            let id = id.unwrap_or_else(|| panic!("it has no container, {when}: {one:#}"));
            let environment = self.docker(&["inspect", "--format", "{{json .Config.Env}}", id]);
            let number = format!("\"NUMBER={}\"", devcontainer.number);
            if !environment.contains(&number) {
                assert_eq!(
                    one["dirty"], true,
                    "{when}: {environment}, not {number}: {one:#}"
                );
            }
        }
    }

    fn check_usage(&mut self, when: &str) {
        let daemon = &self.daemon;
        eventually(
            &format!("threads and descriptors are given back, {when}"),
            || {
                let is_little =
                    daemon.threads() <= MOST_THREADS && daemon.descriptors() <= MOST_DESCRIPTORS;
                is_little.then_some(())
            },
        );
        eventually(&format!("no process is left, {when}"), || {
            let all = self.dead.iter().chain([daemon]);
            let left = all.map(|one| operation_processes(one.pid()).len());
            (left.sum::<usize>() == 0 && zombies(daemon.pid()).is_empty()).then_some(())
        });
        let memory = daemon.status("VmRSS");
        let first = *self.memory.get_or_insert(memory);
        println!(
            "{when}: {memory} kB, {} threads, {} descriptors, {} containers",
            daemon.threads(),
            daemon.descriptors(),
            self.expected_names().len()
        );
        assert!(
            memory <= MOST_MEMORY && memory <= first + GROWTH,
            "{first} kB, then {memory} kB, {when}"
        );
        let log = daemon.log.lines();
        assert!(
            !log.iter().any(|line| line.contains("panicked")),
            "{log:#?}"
        );
    }
}

/// The names and states of containers by id, as the daemon has them.
fn shown(containers: &BTreeMap<String, Value>) -> BTreeMap<String, (String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let one = |one: &Value| {
        let status = text(&one["status"]);
        let status = status.split([' ', ':']).next().unwrap().to_owned();
        (text(&one["id"]), (text(&one["name"]), status))
    };
    containers.values().map(one).collect()
}

/// A dev container that the CLI has made.
fn made(write: fn(&Workspace, u64), host: &str) -> Devcontainer {
    let workspace = Workspace::new("soak", json!({}));
    write(&workspace, 0);
    let before = container_names(host);
    workspace.up_with(&[("DOCKER_HOST", host)]);
    let containers = &container_names(host) - &before;
    Devcontainer {
        workspace,
        write,
        number: 0,
        name: Value::Null,
        containers,
    }
}

fn container_names(host: &str) -> BTreeSet<String> {
    let names = docker(&["--host", host, "ps", "--all", "--format", "{{.Names}}"]);
    names.lines().map(str::to_owned).collect()
}
