//! The process of a daemon, from its command line to its end.

use std::fs;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use super::process::{kill, operation_processes, send, zombies};
use super::wait::Log;
use super::{Stopwatch, eventually};

pub const BINARY: &str = env!("CARGO_BIN_EXE_devcontainerd");

/// The limit after which a daemon has to have ended that was signalled to stop: 15 s by the SPEC, and some slack.
const ENDS_WITHIN: Duration = Duration::from_secs(20);

/// The command line and the environment of a daemon.
pub struct DaemonBuilder {
    command: Command,
    listens: bool,
}

impl DaemonBuilder {
    /// A daemon without stand-ins and with the environment of the tests.
    pub fn new() -> Self {
        Self::of(BINARY)
    }

    /// A program that becomes a daemon.
    pub fn of(binary: &str) -> Self {
        let mut command = Command::new(binary);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // No directory can be made below a file, not even by root, so that daemons do not share one.
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

    /// Adds no address, so that it listens on its default ones.
    pub fn listening_by_default(mut self) -> Self {
        self.listens = true;
        self
    }

    /// Gives it two descriptors, as its standard input and output, among which it has a socket that listens.
    pub fn inheriting(mut self, first: OwnedFd, second: OwnedFd) -> Self {
        self.listens = true;
        self.command.stdin(first).stdout(second);
        self
    }

    /// Runs it to its end and returns its status and its standard error. A daemon that starts instead listens on a free
    /// port, and is killed.
    #[track_caller]
    pub fn run(mut self) -> (ExitStatus, String) {
        let variable = "DEVCONTAINERD_LISTEN";
        if !self.listens && self.command.get_envs().all(|(name, _)| name != variable) {
            self.command.env(variable, "127.0.0.1:0");
        }
        let mut child = self.command.spawn().unwrap();
        let waiting = Stopwatch::start();
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break status,
                None if !waiting.is_too_long() => std::thread::sleep(Duration::from_millis(2)),
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
        // The log may be JSON.
        let address = address.split('"').next().unwrap_or_default().to_owned();
        Daemon {
            child,
            address,
            log,
        }
    }
}

/// A running daemon, which ends when it is dropped. A test that has passed so far also fails where the daemon does not
/// end by itself, or leaves a process of an operation behind (P16).
pub struct Daemon {
    child: Child,
    /// `127.0.0.1:PORT`
    pub address: String,
    pub log: Log,
}

impl Daemon {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-s", signal, &pid]).status();
        assert!(sent.unwrap().success());
    }

    /// Stops all its threads until it is signalled to continue. The kernel stops each of them a little later.
    pub fn pause(&self) {
        self.signal("STOP");
        let tasks = format!("/proc/{}/task", self.pid());
        eventually("the daemon is stopped", || {
            let stats = fs::read_dir(&tasks).unwrap().map(|task| {
                let stat = fs::read_to_string(task.unwrap().path().join("stat"));
                stat.unwrap_or_default()
            });
            // The state follows the name, which is in parentheses (proc_pid_stat(5)).
            let mut states = stats.filter_map(|stat| Some(stat.rsplit_once(") ")?.1.to_owned()));
            states.all(|state| state.starts_with('T')).then_some(())
        });
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        eventually("the daemon ends", || self.child.try_wait().unwrap())
    }

    /// The number of lines of its log with this text.
    pub fn log_count(&self, text: &str) -> usize {
        let lines = self.log.lines();
        lines.iter().filter(|line| line.contains(text)).count()
    }
}

impl Daemon {
    /// Signals it to end, unless the test has ended it. An error tells how it does not end as it should.
    fn end(&mut self) -> Result<(), String> {
        let pid = self.pid();
        if !matches!(self.child.try_wait(), Ok(None)) {
            return self.left_nothing();
        }
        let mut left = zombies(pid);
        let reaping = Stopwatch::start();
        while !left.is_empty() && reaping.elapsed() < ENDS_WITHIN {
            std::thread::sleep(Duration::from_millis(5));
            left = zombies(pid);
        }
        let ending = Stopwatch::start();
        let mut signals = 0;
        while self.child.try_wait().unwrap().is_none() {
            // The second signal makes it end its operations at once.
            if signals < 2 && ending.by_the_clock() >= signals * Duration::from_millis(50) {
                send(pid, Signal::TERM);
                signals += 1;
            }
            if ending.elapsed() > ENDS_WITHIN {
                return Err(format!("it did not end within {ENDS_WITHIN:?} of a TERM"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        if !left.is_empty() {
            return Err(format!("it left zombies: {left:?}"));
        }
        self.left_nothing()
    }

    /// An error where it has ended by itself and processes of its operations live.
    fn left_nothing(&mut self) -> Result<(), String> {
        let status = self.child.try_wait().unwrap();
        let left = operation_processes(self.pid());
        // A killed daemon could not clean up.
        match status.and_then(|status| status.code()) {
            Some(0) if !left.is_empty() => {
                Err(format!("processes of its operations live: {left:?}"))
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let panicking = std::thread::panicking();
        let mut left = self.children();
        let ended = if panicking { Ok(()) } else { self.end() };
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
            panic!("the daemon does not end as it should: {wrong}");
        }
    }
}
