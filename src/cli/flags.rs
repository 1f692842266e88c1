//! The flags of the daemon. A new flag needs a field and its default in [`Config`], a row in [`FLAGS`], its use in
//! `serve.rs`, and a row in `docs/configuration.md`.

use std::ffi::OsStr;

use super::config::Config;
use super::values::{
    Read, address, command, count, directory, host_name, log_format, log_level, path, program,
    seconds, up_argument, user, whole_number,
};

/// A flag of the daemon, which is also an environment variable.
pub(super) struct Flag {
    /// The name without dashes.
    pub(super) name: &'static str,
    pub(super) setting: Setting,
    /// The default for the help, or an empty text.
    pub(super) default: &'static str,
    /// The meaning for the help, in lines.
    pub(super) help: &'static str,
}

/// The values that a flag takes, and the field that they set.
#[derive(Clone, Copy)]
pub(super) enum Setting {
    /// No value; the variable takes true or false.
    Switch(fn(&mut Config, bool)),
    /// One value; the last one counts. The text is its placeholder in the help.
    Single(&'static str, SetValue),
    /// A value for each time that the flag is given; the variable separates them by commas.
    Repeatable(&'static str, SetValue),
    /// Like `Repeatable`, but the variable separates the values by white space, because they may have commas.
    Words(&'static str, SetValue),
}

type SetValue = fn(&mut Config, &OsStr) -> Read<()>;

impl Flag {
    /// Returns the name of the environment variable.
    pub(super) fn variable(&self) -> String {
        variable_of(self.name)
    }
}

/// Returns the environment variable of a flag with this name.
pub(super) fn variable_of(name: &str) -> String {
    let name = name.to_ascii_uppercase().replace('-', "_");
    format!("DEVCONTAINERD_{name}")
}

pub(super) const LISTEN: Flag = Flag {
    name: "listen",
    setting: Setting::Repeatable("ADDR", |c, v| push(&mut c.listen, address(v))),
    default: "127.0.0.1:3382",
    help: "HOST:PORT, [::1]:PORT or unix:/path",
};

pub(super) const TOKEN_FILE: Flag = Flag {
    name: "token-file",
    setting: Setting::Single("FILE", |c, v| put(&mut c.token_file, path(v))),
    default: "",
    help: "require the token in this file as Authorization: Bearer TOKEN",
};

pub(super) const FLAGS: &[Flag] = &[
    LISTEN,
    Flag {
        name: "metrics-listen",
        setting: Setting::Repeatable("ADDR", |c, v| push(&mut c.metrics_listen, address(v))),
        default: "",
        help: "serve only /metrics and /healthz here",
    },
    Flag {
        name: "docker",
        setting: Setting::Single("PATH", |c, v| put(&mut c.docker, program(v))),
        default: "found on PATH",
        help: "docker or podman",
    },
    Flag {
        name: "devcontainer",
        setting: Setting::Single("PATH", |c, v| put(&mut c.devcontainer, program(v))),
        default: "found on PATH",
        help: "devcontainer CLI",
    },
    Flag {
        name: "manifest",
        setting: Setting::Single("FILE", |c, v| put(&mut c.manifest, path(v))),
        default: "",
        help: "predefined dev containers, as JSON",
    },
    Flag {
        name: "devcontainer-folder",
        setting: Setting::Repeatable("DIR", |c, v| {
            push(&mut c.devcontainer_folders, directory(v))
        }),
        default: "",
        help: "workspace folder of one more predefined dev container",
    },
    Flag {
        name: "discover",
        setting: Setting::Repeatable("DIR", |c, v| push(&mut c.discover, directory(v))),
        default: "",
        help: "find dev containers by their configurations in folders up to\nthree levels below this one",
    },
    Flag {
        name: "workspace-root",
        setting: Setting::Repeatable("DIR", |c, v| push(&mut c.workspace_roots, directory(v))),
        default: "any folder",
        help: "operate only on folders below this one",
    },
    Flag {
        name: "state-dir",
        setting: Setting::Single("DIR", |c, v| put(&mut c.state_dir, path(v))),
        default: "$STATE_DIRECTORY, else $XDG_STATE_HOME/devcontainerd, else ~/.local/state/devcontainerd",
        help: "where operations and the inputs of containers are kept\nacross restarts",
    },
    Flag {
        name: "cache-duration",
        setting: Setting::Single("SECS", |c, v| set(&mut c.cache_duration, seconds(v, 0.0))),
        default: "10",
        help: "maximum age of the container list while no events are followed",
    },
    Flag {
        name: "list-timeout",
        setting: Setting::Single("SECS", |c, v| set(&mut c.list_timeout, seconds(v, 0.1))),
        default: "5",
        help: "time limit of each docker command of a listing",
    },
    Flag {
        name: "no-events",
        setting: Setting::Switch(|c, is_set| c.events = !is_set),
        default: "",
        help: "never run docker events, which takes about 25 MB",
    },
    Flag {
        name: "job-timeout",
        setting: Setting::Single("SECS", |c, v| set(&mut c.job_timeout, seconds(v, 0.1))),
        default: "3600",
        help: "time limit of one operation",
    },
    Flag {
        name: "drain-timeout",
        setting: Setting::Single("SECS", |c, v| set(&mut c.drain_timeout, seconds(v, 0.0))),
        default: "10",
        help: "how long running operations may go on when the daemon stops",
    },
    Flag {
        name: "max-operations",
        setting: Setting::Single("N", |c, v| put(&mut c.max_operations, count(v))),
        default: "the cores, at least 2",
        help: "how many recreates and starts run at once; more of them are\nqueued, first come, first served",
    },
    Flag {
        name: "up-arg",
        setting: Setting::Words("ARG", |c, v| push(&mut c.up_args, up_argument(v))),
        default: "",
        help: "additional argument of devcontainer up, such as\n--mount=type=bind,source=/a,target=/b",
    },
    Flag {
        name: "allow-host",
        setting: Setting::Repeatable("NAME", |c, v| push(&mut c.allow_hosts, host_name(v))),
        default: "",
        help: "additional Host name to accept",
    },
    Flag {
        name: "allow-uid",
        setting: Setting::Repeatable("UID", |c, v| push(&mut c.allow_uids, user(v))),
        default: "",
        help: "additional user whose connections are served, or any",
    },
    TOKEN_FILE,
    Flag {
        name: "log-sink",
        setting: Setting::Single("COMMAND", |c, v| put(&mut c.log_sink, command(v))),
        default: "",
        help: "program that receives the logs of operations as JSON lines on\n\
               its standard input; the words of COMMAND are separated by\n\
               spaces, and no shell is used",
    },
    Flag {
        name: "child-nice",
        setting: Setting::Single("N", |c, v| {
            put(&mut c.child_priority.nice, whole_number(v, -20, 19))
        }),
        default: "the daemon's",
        help: "niceness of the programs that the daemon runs, -20 to 19",
    },
    Flag {
        name: "child-oom-score-adj",
        setting: Setting::Single("N", |c, v| {
            put(
                &mut c.child_priority.oom_score_adj,
                whole_number(v, -1000, 1000),
            )
        }),
        default: "the daemon's",
        help: "their oom_score_adj, -1000 to 1000: how soon the kernel kills\n\
               them when memory is short",
    },
    Flag {
        name: "log-level",
        setting: Setting::Single("LEVEL", |c, v| set(&mut c.log_level, log_level(v))),
        default: "info",
        help: "error, warn, info, debug or trace",
    },
    Flag {
        name: "log-format",
        setting: Setting::Single("FORMAT", |c, v| set(&mut c.log_format, log_format(v))),
        default: "text",
        help: "text or json",
    },
];

fn set<T>(field: &mut T, value: Read<T>) -> Read<()> {
    *field = value?;
    Ok(())
}

fn put<T>(field: &mut Option<T>, value: Read<T>) -> Read<()> {
    *field = Some(value?);
    Ok(())
}

fn push<T>(field: &mut Vec<T>, value: Read<T>) -> Read<()> {
    field.push(value?);
    Ok(())
}

impl Flag {
    /// Returns the flag with the placeholder of its value.
    pub(super) fn usage(&self) -> String {
        match self.setting {
            Setting::Switch(_) => format!("--{}", self.name),
            Setting::Single(value, _)
            | Setting::Repeatable(value, _)
            | Setting::Words(value, _) => {
                format!("--{} {value}", self.name)
            }
        }
    }

    /// Returns the meaning with the default.
    pub(super) fn meaning(&self) -> String {
        let mut text = self.help.to_owned();
        if let Setting::Repeatable(..) | Setting::Words(..) = self.setting {
            text += "; repeatable";
        }
        if !self.default.is_empty() {
            text += &format!(" [{}]", self.default);
        }
        text
    }
}
