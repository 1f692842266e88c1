//! P12: when a recreate fails before the new container runs, the old one is there again, as it was.
//!
//! The old container is one that the real CLI made: it has a name, an extra label, a published port and a named volume,
//! and its own command serves a file of the volume on the port. The whole output of `docker inspect` must stay the
//! same. Together, the two tables here are the table in docs/operations.md.

mod cases;
mod checks;
pub(crate) mod facts;
pub(crate) mod held;
pub(crate) mod stage;

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use serde_json::json;

use self::checks::{check_cause, check_killed_with_and_without_state};
use self::facts::processes_with;
use self::stage::{Stage, free_port, publish};
use crate::common::{DaemonBuilder, eventually};
use crate::engine::IMAGE;
use crate::workspace::WAITING_HOOK;

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
        says: &["unknown flag: --no-such-flag"],
        arrange: |stage| stage.fails_with(json!({}), &["--no-such-flag"]),
        meanwhile: nothing,
    },
    p12_a_port_that_is_taken: Cause {
        cause: "a published port belongs to another container",
        after: After::Restored,
        says: &["port is already allocated"],
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
        says: &["/dev/no-such-device"],
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
        says: &["postCreateCommand", "the new container runs, and the old one is gone"],
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
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, failures) = text.split_once("\n## When it fails\n").unwrap();
    let lines = failures.lines().filter(|line| line.starts_with('|'));
    let found: String = lines.map(|line| format!("{line}\n")).collect();
    let expected = table() + &crate::compose_failures::table();
    assert!(
        found == expected,
        "docs/operations.md should have\n{expected}"
    );
}
