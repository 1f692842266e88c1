//! P12: a daemon that is killed at any moment of a recreate, again and again, loses no container, and leaves none with
//! another name than before.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::common::{eventually, operation_processes};
use crate::engine::{Directory, daemon, docker, unique};
use crate::keeping::stage::free_port;
use crate::project::Project;
use crate::random::Random;
use crate::workspace::{Workspace, container_of};

/// How often each daemon is killed, unless `DEVCONTAINERD_KILLS` gives another number.
const KILLS: usize = 3;

/// The containers with a label, as name and state, sorted.
fn containers(label: &str) -> Vec<String> {
    let filter = format!("label={label}");
    let format = "{{.Names}} {{.State}}";
    let all = ["ps", "--all", "--filter", &filter, "--format", format];
    let mut lines: Vec<String> = docker(&all).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Kills daemons at random moments of a recreate. `label` is that of all containers that it concerns.
fn kill_again_and_again(workspace: &Workspace, label: &str) {
    let mut random = Random::new();
    let kills = std::env::var("DEVCONTAINERD_KILLS").ok();
    let kills = kills.map_or(KILLS, |kills| kills.parse().unwrap());
    let state = Directory::new("kills-state");
    let state = format!("--state-dir {}", state.path().display());
    let start = || daemon().args(&state).start();
    let before = containers(label);
    let first = start();
    let name = workspace.devcontainer(&first)["name"].clone();
    let whole = Instant::now();
    let made = first.post(&format!("{}?wait", workspace.recreate()));
    assert_eq!(made.status, 204, "{made:?}");
    let whole = whole.elapsed();
    drop(first);
    assert_eq!(containers(label), before);
    let (mut kept, mut replaced) = (0, 0);
    for kill in 0..kills {
        let mut first = start();
        let old = container_of(&workspace.devcontainer(&first));
        let moment = random.within(0..whole.as_millis() as u64);
        let begun = first.post(&workspace.recreate());
        assert_eq!(begun.status, 202, "{begun:?}");
        // Any moment will do.
        thread::sleep(Duration::from_millis(moment));
        first.signal("KILL");
        first.wait();
        let again = start();
        eventually("all is as before", || {
            let is_over = operation_processes(first.pid()).is_empty();
            (is_over && containers(label) == before).then_some(())
        });
        let one = workspace.wait_for(&again, "it has ended", |one| {
            one["job"]["state"] != "running" && one["status"] == "running"
        });
        assert_eq!(containers(label), before, "kill {kill}: {one:#}");
        assert_eq!(one["name"], name, "kill {kill}: {one:#}");
        assert_eq!([container_of(&one)], *workspace.containers(), "kill {kill}");
        match container_of(&one) == old {
            true => kept += 1,
            false => replaced += 1,
        }
    }
    println!("{kills} kills: {kept} kept the old container, {replaced} have the new one");
}

#[test]
fn p12_a_plain_dev_container_outlives_any_kill() {
    let name = unique("outlives");
    let workspace = Workspace::new("kills", json!({"runArgs": ["--name", name]}));
    workspace.up();
    kill_again_and_again(&workspace, &workspace.label());
    assert_eq!(containers(&workspace.label()), [format!("{name} running")]);
}

#[test]
fn p12_the_services_of_a_compose_project_outlive_any_kill() {
    let (project, _) = Project::up("kills-compose", free_port());
    kill_again_and_again(&project.workspace, &project.label());
    assert_eq!(containers(&project.label()).len(), 2);
    project.assert_data_is_there();
}
