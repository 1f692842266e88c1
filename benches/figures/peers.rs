//! Other servers that answer the same request, each in a process of its own.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use crate::common::eventually;
use crate::cpu_time_of;
use crate::stand_in::{FLOOR, own_path};

/// A server for comparison, which is ended when this is dropped.
pub(crate) struct Peer {
    pub(crate) what: &'static str,
    pub(crate) address: String,
    child: Child,
    /// Its processes with their children.
    pids: Vec<u32>,
}

impl Peer {
    /// A server that does nothing but answer with these bytes.
    pub(crate) fn floor(answer: &Path) -> Self {
        let mut command = Command::new(own_path());
        command.arg(FLOOR).arg(answer);
        Self::that_prints_its_address("bare server", command)
    }

    /// nginx, which serves `body` as a file from `directory`, if it is installed.
    pub(crate) fn nginx(directory: &Path, body: &[u8]) -> Option<Self> {
        let program = found("nginx")?;
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = free.local_addr().unwrap().to_string();
        drop(free);
        let at = directory.display();
        fs::write(directory.join("index.html"), body).unwrap();
        let config = directory.join("nginx.conf");
        let text = format!(
            "daemon off; worker_processes auto; pid {at}/nginx.pid; error_log {at}/nginx.log; user root;
             events {{ worker_connections 1024; }}
             http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 100000000; default_type application/json;
               open_file_cache max=10; client_body_temp_path {at}; proxy_temp_path {at}; fastcgi_temp_path {at};
               uwsgi_temp_path {at}; scgi_temp_path {at};
               server {{ listen {address}; root {at}; }} }}"
        );
        fs::write(&config, text).unwrap();
        let mut command = Command::new(program);
        command.arg("-c").arg(&config).arg("-p").arg(directory);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let mut peer = Self {
            what: "nginx",
            address,
            pids: Vec::new(),
            child: child.unwrap(),
        };
        eventually("nginx answers", || TcpStream::connect(&peer.address).ok());
        peer.pids = children_of(peer.child.id());
        Some(peer)
    }

    /// A Go server that does the same job as the daemon, if Go is installed. It keeps the log of `logged`, a command of sh.
    pub(crate) fn go(docker: &Path, logged: &str) -> Option<Self> {
        let mut command = Command::new(built_go_server()?);
        command.arg(docker).arg(logged);
        Some(Self::that_prints_its_address("Go server", command))
    }

    fn that_prints_its_address(what: &'static str, mut command: Command) -> Self {
        let spawned = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
        let mut child = spawned.unwrap();
        let mut address = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut address).unwrap();
        Self {
            what,
            address: address.trim().to_owned(),
            pids: vec![child.id()],
            child,
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn cpu_time(&self) -> Duration {
        let pids = self.pids.iter();
        pids.map(|pid| cpu_time_of(&pid.to_string())).sum()
    }

    /// Returns its resident memory in kB.
    pub(crate) fn memory(&self) -> f64 {
        let resident = |pid: &u32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let number = line.unwrap().trim().split(' ').next().unwrap();
            number.parse::<f64>().unwrap()
        };
        self.pids.iter().map(resident).sum()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .arg(self.child.id().to_string())
            .status();
        let _ = self.child.wait();
    }
}

/// Builds the Go server once. Returns its path, or `None` where Go is not installed.
pub(crate) fn built_go_server() -> Option<PathBuf> {
    let go = found("go")?;
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peer/main.go");
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-server");
    let mut command = Command::new(go);
    command.args(["build", "-o"]).arg(&target).arg(source);
    command.env("GO111MODULE", "off").env("CGO_ENABLED", "0");
    let built = command.status().is_ok_and(|status| status.success());
    if !built {
        eprintln!("figures: the Go server cannot be built, and is left out");
    }
    built.then_some(target)
}

/// Returns the path of an installed program.
pub(crate) fn found(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let directories = env::split_paths(&path).chain(["/usr/sbin".into()]);
    let mut places = directories.map(|directory| directory.join(program));
    places.find(|place| place.is_file())
}

fn children_of(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let listed = eventually("workers run", || {
        let listed = fs::read_to_string(&path).ok()?;
        (!listed.trim().is_empty()).then_some(listed)
    });
    listed
        .split_whitespace()
        .map(|pid| pid.parse().unwrap())
        .collect()
}
