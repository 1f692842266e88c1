//! The containers of a stage, as docker has them, and its processes.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::stage::Stage;
use super::{After, OPERATION};
use crate::common::{Daemon, eventually};
use crate::engine::try_docker;

/// The output of `docker inspect` for a container.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) id: String,
    pub(crate) running: bool,
    /// The fields that must not change.
    pub(crate) same: Value,
    /// The fields that change when the container is stopped and started.
    pub(crate) started: Value,
}

/// The processes on this machine, including those of containers, whose command line has `text`.
pub(crate) fn processes_with(text: &str) -> Vec<u32> {
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

/// The facts of a container, if it is there. `host` are docker's flags for its engine.
pub(crate) fn facts_of(host: &[&str], id: &str) -> Option<Facts> {
    let output = try_docker(&[host, &["inspect", "--type", "container", id][..]].concat());
    let all: Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = all.get(0)?;
    let state = &all["State"];
    let network = &all["NetworkSettings"];
    let mut mounts = all["Mounts"].as_array().unwrap().clone();
    mounts.sort_by_key(|mount| mount["Destination"].to_string());
    let networks = network["Networks"].as_object().unwrap().iter();
    let networks: Value = networks
        .map(|(name, network)| {
            // The default network resolves no names. Current engines list those all the same that a rename has set.
            let has_names = name != "bridge";
            let names = has_names.then(|| sorted(&network["DNSNames"]));
            json!([name, sorted(&network["Aliases"]), names])
        })
        .collect();
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

fn sorted(names: &Value) -> Vec<String> {
    let names = names.as_array().into_iter().flatten();
    let mut names: Vec<String> = names.map(Value::to_string).collect();
    names.sort();
    names
}

impl Stage {
    /// The id of the only container of the dev container.
    #[track_caller]
    pub(super) fn only_container(&self) -> String {
        let all = self.containers();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    }

    pub(super) fn containers(&self) -> Vec<String> {
        let filter = format!("label={}", self.workspace.label());
        let found = self.docker(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter]);
        found.lines().map(str::to_owned).collect()
    }

    pub(super) fn set_running(&self, id: &str, running: bool) {
        if !running {
            self.docker(&["stop", id]);
        }
    }

    #[track_caller]
    pub(super) fn facts(&self, id: &str) -> Facts {
        self.try_facts(id).expect("the container is there")
    }

    pub(super) fn try_facts(&self, id: &str) -> Option<Facts> {
        facts_of(&self.host(), id)
    }

    /// The content of the file in the volume, as it is served on the published port.
    pub(super) fn served(&self) -> Option<String> {
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
    pub(super) fn wait_until_served(&self) {
        let served = eventually("it is served", || self.served());
        assert_eq!(served, self.name);
    }

    /// Asserts that the only container is the old one, as it was.
    #[track_caller]
    pub(super) fn assert_kept(&self, before: &Facts, after: After, case: &str) {
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
    pub(super) fn assert_replaced(&self, old: &str) {
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
    pub(super) fn assert_no_half_made(&self, expected: &[&str]) {
        let filters = [&self.workspace.label(), OPERATION].map(|label| format!("label={label}"));
        let arguments = ["ps", "--all", "--quiet", "--no-trunc"];
        let more = ["--filter", &filters[0], "--filter", &filters[1]];
        let made = self.docker(&[&arguments[..], &more].concat());
        let made: Vec<&str> = made.lines().collect();
        assert_eq!(made, expected);
    }

    /// The processes other than this one that work in the folder, or have it on their command line or in their
    /// environment.
    pub(super) fn processes(&self) -> Vec<u32> {
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
    pub(super) fn assert_no_process(&self, daemon: &Daemon) {
        eventually("no process is left", || {
            let left = self.processes();
            left.iter().all(|pid| *pid == daemon.pid()).then_some(())
        });
    }
}
