//! The configuration of the daemon.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use super::places;
use crate::base::listen_fds;
use crate::base::logging::LogFormat;
use crate::model::allow_uid::AllowUid;
use crate::model::listen::ListenAddress;
use crate::model::up_arg::UpArg;
use crate::process::Priority;

/// The address without `--listen`.
const DEFAULT_ADDRESS: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 3382);

/// The configuration of the daemon. The values are valid, but nothing that they name need exist.
#[derive(Debug, PartialEq)]
pub struct Config {
    /// The addresses to listen on. There is at least one, or a service manager has opened sockets.
    pub listen: Vec<ListenAddress>,
    /// A unix socket to listen on besides, if that can be done: where programs look for the daemon.
    pub runtime_socket: Option<PathBuf>,
    /// The addresses at which only the metrics and the health of the daemon are served.
    pub metrics_listen: Vec<ListenAddress>,
    /// The docker or podman program. If it is `None`, it is found on `PATH`.
    pub docker: Option<PathBuf>,
    /// The devcontainer CLI. If it is `None`, it is found on `PATH`.
    pub devcontainer: Option<PathBuf>,
    /// The file with predefined dev containers.
    pub manifest: Option<PathBuf>,
    /// The absolute workspace folders of more predefined dev containers.
    pub devcontainer_folders: Vec<PathBuf>,
    /// The absolute directories below which dev containers are searched for.
    pub discover: Vec<PathBuf>,
    /// The absolute folders below which dev containers may be operated on. If it is empty, all may be.
    pub workspace_roots: Vec<PathBuf>,
    /// The state directory, or `None` if there is no home directory either.
    pub state_dir: Option<PathBuf>,
    /// The maximum age of the container list while no events are followed.
    pub cache_duration: Duration,
    /// The time limit of one listing.
    pub list_timeout: Duration,
    /// True if `docker events` may be run.
    pub events: bool,
    /// The time limit of one operation.
    pub job_timeout: Duration,
    /// The time that running operations get to end when the daemon stops.
    pub drain_timeout: Duration,
    /// The number of operations that may run the devcontainer CLI at once, at least 1. If it is `None`, it is the number
    /// of cores, and at least 2.
    pub max_operations: Option<usize>,
    /// The additional arguments of every `devcontainer up`.
    pub up_args: Vec<UpArg>,
    /// The `Host` names that are accepted besides `localhost` and loopback addresses.
    pub allow_hosts: Vec<String>,
    /// The users whose connections are served besides those of the daemon's own user and of root.
    pub allow_uids: Vec<AllowUid>,
    /// The file with the token that requests need. If it is `None`, they need none.
    pub token_file: Option<PathBuf>,
    /// The program that receives the logs of operations, with its arguments.
    pub log_sink: Option<Vec<OsString>>,
    /// The priority of the programs that the daemon runs.
    pub child_priority: Priority,
    /// The least severe level in the daemon's own log.
    pub log_level: LevelFilter,
    /// The format of the daemon's own log.
    pub log_format: LogFormat,
}

impl Default for Config {
    /// Returns the defaults that do not depend on the environment, with neither an address nor a state directory.
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            runtime_socket: None,
            metrics_listen: Vec::new(),
            docker: None,
            devcontainer: None,
            manifest: None,
            devcontainer_folders: Vec::new(),
            discover: Vec::new(),
            workspace_roots: Vec::new(),
            state_dir: None,
            cache_duration: Duration::from_secs(10),
            list_timeout: Duration::from_secs(5),
            events: true,
            job_timeout: Duration::from_secs(3600),
            drain_timeout: Duration::from_secs(10),
            max_operations: None,
            up_args: Vec::new(),
            allow_hosts: Vec::new(),
            allow_uids: Vec::new(),
            token_file: None,
            log_sink: None,
            child_priority: Priority::default(),
            log_level: LevelFilter::Info,
            log_format: LogFormat::Text,
        }
    }
}

impl Config {
    /// Sets the address and the state directory where they have not been set. `environment` looks up a variable.
    pub(super) fn complete(&mut self, environment: &dyn Fn(&str) -> Option<OsString>) {
        if self.listen.is_empty() && !listen_fds::are_given(environment) {
            self.listen.push(ListenAddress::Tcp(DEFAULT_ADDRESS));
            self.runtime_socket = places::runtime_socket(environment);
        }
        if self.state_dir.is_none() {
            self.state_dir = places::state_dir(environment);
        }
    }
}
