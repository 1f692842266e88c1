//! Cases that are no row of a table: engines that fail, several daemons, and containers that are not like the others.

use serde_json::json;

use super::stage::{Engine, SERVING, Stage, Volume, build_image};
use super::{After, FAILED, KEPT};
use crate::common::{Daemon, DaemonBuilder, eventually};
use crate::engine::{PrivateEngine, unique};
use crate::workspace::{Live, WAITING_HOOK, container_of};

/// The engine is killed while the old container is renamed and stopped, and comes back.
#[test]
fn p12_an_engine_that_is_killed_in_the_middle() {
    check_killed_engine(Stage::held_before_starting, Stage::wait_until_held, |_| {});
}

/// The engine is killed while the CLI is at work in the new container, which the engine stops when it comes back. The
/// operation has ended by then.
#[test]
fn p12_an_engine_that_is_killed_while_the_new_one_runs() {
    let arrange = |stage: &Stage| {
        let hook = WAITING_HOOK.replace("echo begun", "echo >/workspace/begun");
        stage.fails_with(json!({"postCreateCommand": hook}), &[])
    };
    check_killed_engine(arrange, Stage::wait_for_hook, |daemon| {
        daemon.log.wait_for("put back as soon as docker answers");
    });
}

/// Checks that the old container is as before when the engine is killed as soon as `reached` returns, and comes back
/// when `away` returns.
fn check_killed_engine(
    arrange: fn(&Stage) -> DaemonBuilder,
    reached: fn(&Stage),
    away: fn(&Daemon),
) {
    let mut engine = PrivateEngine::start("killed");
    build_image(&["--host", &engine.host]);
    let of = |engine: &PrivateEngine| Engine {
        host: Some(engine.host.clone()),
        directory: engine.directory().to_path_buf(),
    };
    let mut stage = Stage::on(&unique("keep"), of(&engine));
    stage.make_old();
    let old = stage.only_container();
    let before = stage.facts(&old);
    let daemon = arrange(&stage).env("DOCKER_HOST", &stage.gate()).start();
    stage.workspace.devcontainer(&daemon);
    assert_eq!(daemon.post(&stage.workspace.recreate()).status, 202);
    reached(&stage);
    engine.signal("KILL");
    stage.let_go();
    stage.wait_for_end();
    away(&daemon);
    engine.restart();
    stage.engine = of(&engine);
    stage.open_gate();
    assert!(stage.try_facts(&old).is_some(), "the engine has it still");
    // Only the daemon can start it: it has no restart policy, and was stopped when the engine was killed.
    eventually("it is as before", || {
        let _ = daemon.get("/");
        let now = stage.try_facts(&old)?;
        (now.same == before.same && stage.containers() == [&*old]).then_some(())
    });
    stage.assert_kept(&before, After::Restored, "killed engine");
    let one = stage.workspace.wait_for(&daemon, "the end shows", |one| {
        let error = one["error"].as_str().unwrap_or_default();
        one["container"]["id"] == *old && error.contains(KEPT)
    });
    assert_eq!(one["job"]["state"], "failed", "{one:#}");
    assert_eq!(one["status"], "running", "{one:#}");
}

/// docker cannot connect when the new container is to be run, nor when the old one is to be put back.
#[test]
fn p12_an_engine_that_is_away_when_the_old_one_shall_be_put_back() {
    let stage = Stage::new();
    stage.make_old();
    let old = stage.only_container();
    let before = stage.facts(&old);
    let daemon = stage
        .held_before_starting()
        .env("DOCKER_HOST", &stage.gate())
        .start();
    stage.workspace.devcontainer(&daemon);
    let path = format!("{}?wait", stage.workspace.recreate());
    let waiting = Live::send(&daemon, "POST", &path);
    stage.wait_until_held();
    let aside = stage.facts(&old);
    assert!(!aside.running, "{aside:#?}");
    let name = aside.same["Name"].as_str().unwrap();
    let suffix = name.strip_prefix(&format!("/{}.devcontainerd-", stage.name));
    let suffix = suffix.unwrap_or_else(|| panic!("set aside as {name}"));
    let (operation, state) = suffix.split_once('-').unwrap();
    let is_hex = operation.bytes().all(|b| b"0123456789abcdef".contains(&b));
    assert!(operation.len() == 16 && is_hex, "{name}");
    assert_eq!(state, "running", "{name}");

    stage.close_gate();
    stage.let_go();
    stage.wait_for_end();
    stage.open_gate();
    waiting.finish().assert_error(500, FAILED, "");
    eventually("it is as before", || {
        let _ = daemon.get("/");
        (stage.facts(&old).same == before.same).then_some(())
    });
    stage.assert_kept(&before, After::Restored, "gate");
    let one = stage.workspace.wait_for(&daemon, KEPT, |one| {
        one["error"]
            .as_str()
            .is_some_and(|error| error.contains(KEPT))
    });
    assert_eq!(one["job"]["state"], "failed", "{one:#}");
    assert_eq!(container_of(&one), old);
}

#[test]
fn p12_a_daemon_that_starts_leaves_the_operation_of_another_alone() {
    let stage = Stage::new();
    stage.make_old();
    let old = stage.only_container();
    let a = stage.held_before_starting().start();
    stage.workspace.devcontainer(&a);
    let path = format!("{}?wait", stage.workspace.recreate());
    let waiting = Live::send(&a, "POST", &path);
    stage.wait_until_held();
    let aside = stage.facts(&old);
    assert!(!aside.running, "{aside:#?}");

    let b = stage.daemon().start();
    for _ in 0..20 {
        assert_eq!(b.get("/").status, 200);
        let now = stage.facts(&old);
        assert_eq!(
            (now.same, now.started),
            (aside.same.clone(), aside.started.clone())
        );
    }
    let c = stage.daemon().start();
    assert_eq!(c.get("/devcontainers").status, 200);
    stage.let_go();
    let done = waiting.finish();
    assert_eq!(done.status, 204, "{done:?}");
    stage.assert_replaced(&old);
    for daemon in [&a, &b, &c] {
        let one = stage.workspace.devcontainer(daemon);
        assert_eq!(container_of(&one), stage.only_container());
        assert_eq!(one["status"], "running", "{one:#}");
    }
    // The end of a daemon does not end the container either.
    drop((b, c));
    stage.wait_until_served();
}

#[test]
fn p12_what_failed_can_be_mended_and_tried_again() {
    let stage = Stage::new();
    stage.make_old();
    let old = stage.only_container();
    let daemon = stage.fails_with(json!({}), &["--no-such-flag"]).start();
    stage.workspace.devcontainer(&daemon);
    let recreate = || daemon.post(&format!("{}?wait", stage.workspace.recreate()));
    for _ in 0..2 {
        recreate().assert_error(500, FAILED, KEPT);
        assert_eq!(stage.only_container(), old);
    }
    stage.configure(json!({}), &[]);
    let mended = recreate();
    assert_eq!(mended.status, 204, "{mended:?}");
    stage.assert_replaced(&old);
    let one = stage.workspace.devcontainer(&daemon);
    assert!(one.get("error").is_none(), "{one:#}");
    assert_eq!(one["dirty"], false, "{one:#}");
}

/// There are two containers with the same labels, as two `up` at once leave them.
#[test]
fn p12_p24_the_duplicate_that_is_named_is_kept_or_replaced_and_the_other_one_stays() {
    let stage = Stage::new();
    stage.make_old();
    let first = stage.only_container();
    let config = stage.workspace.config();
    let second = stage.docker(&[
        "run",
        "--detach",
        "--label",
        &stage.workspace.label(),
        "--label",
        &format!("devcontainer.config_file={}", config.display()),
        "--label",
        "devcontainer.metadata=[]",
        "--volume",
        &format!("{}:/data", stage.volume.0),
        SERVING,
    ]);
    let before = [stage.facts(&first), stage.facts(&second)];
    let daemon = stage.daemon().start();
    let used = container_of(&stage.workspace.devcontainer(&daemon));
    let recreate = || daemon.post(&format!("/devcontainers/container/{first}/recreate"));
    for (fields, run_args) in [
        (json!({"image": "localhost:1/no-such-image"}), &[][..]),
        (json!({}), &["--no-such-flag"]),
    ] {
        stage.configure(fields, run_args);
        recreate().assert_error(500, FAILED, KEPT);
        for facts in &before {
            assert_eq!(stage.facts(&facts.id).same, facts.same, "{run_args:?}");
        }
        assert_eq!(stage.containers().len(), 2);
        let one = stage.workspace.devcontainer(&daemon);
        assert_eq!(container_of(&one), used);
    }
    stage.configure(json!({}), &[]);
    let done = recreate();
    assert_eq!(done.status, 204, "{done:?}");
    let now = stage.facts(&second);
    assert_eq!((&now.same, now.running), (&before[1].same, true));
    let all = stage.containers();
    assert_eq!(all.len(), 2, "{all:?}");
    let new = all.iter().find(|id| **id != second).unwrap();
    assert_ne!(*new, first, "it is replaced");
    assert_eq!(stage.facts(new).same["Name"], before[0].same["Name"]);
}

/// The CLI derives it from the labels with which it finds the container. With another id, a volume that has it in its
/// name would be another volume.
#[test]
fn p12_the_id_of_the_dev_container_stays() {
    let stage = Stage::new();
    let mounts = json!({"mounts": [
        format!("source={}-${{devcontainerId}},target=/data,type=volume", stage.volume.0),
    ]});
    stage.configure(mounts.clone(), &[]);
    stage.make_old();
    let old = stage.only_container();
    let volume = |id: &str| {
        let mounts = stage.facts(id).same["mounts"].clone();
        let mounts = mounts.as_array().unwrap();
        let data = mounts.iter().find(|mount| mount["Destination"] == "/data");
        Volume(data.unwrap()["Name"].as_str().unwrap().to_owned())
    };
    let before = volume(&old);
    assert!(!before.0.ends_with('}'), "{}", before.0);
    let daemon = stage.daemon().start();
    stage.workspace.devcontainer(&daemon);
    let done = daemon.post(&format!("{}?wait", stage.workspace.recreate()));
    assert_eq!(done.status, 204, "{done:?}");
    stage.assert_replaced(&old);
    let new = stage.only_container();
    assert_eq!(volume(&new).0, before.0);
    // The volume must not be in use when it is removed.
    stage.docker(&["rm", "--force", &new]);
}

#[test]
fn p12_a_paused_one_is_paused_again() {
    let stage = Stage::new();
    stage.make_old();
    let old = stage.only_container();
    stage.docker(&["pause", &old]);
    let before = stage.facts(&old);
    assert_eq!(before.same["status"], "paused");
    let daemon = stage.daemon().start();
    stage.workspace.devcontainer(&daemon);
    for (fields, run_args) in [
        (json!({"image": "localhost:1/no-such-image"}), &[][..]),
        (json!({}), &["--no-such-flag"]),
    ] {
        stage.configure(fields, run_args);
        let failed = daemon.post(&format!("{}?wait", stage.workspace.recreate()));
        failed.assert_error(500, FAILED, KEPT);
        assert_eq!(stage.facts(&old).same, before.same, "{run_args:?}");
        assert_eq!(stage.only_container(), old);
    }
    stage.docker(&["unpause", &old]);
    stage.wait_until_served();
    // A paused container is replaced like any other.
    stage.docker(&["pause", &old]);
    stage.configure(json!({}), &[]);
    let done = daemon.post(&format!("{}?wait", stage.workspace.recreate()));
    assert_eq!(done.status, 204, "{done:?}");
    stage.assert_replaced(&old);
}

/// docker removes a container with `--rm` as soon as it is stopped.
#[test]
fn p12_one_that_is_removed_when_it_stops_is_kept_too() {
    let stage = Stage::new();
    stage.configure(json!({}), &["--rm"]);
    stage.make_old();
    let old = stage.only_container();
    let before = stage.facts(&old);
    assert_eq!(before.same["HostConfig"]["AutoRemove"], true);
    let daemon = stage.daemon().start();
    stage.workspace.devcontainer(&daemon);
    for (fields, run_args) in [
        (json!({"image": "localhost:1/no-such-image"}), &["--rm"][..]),
        (json!({}), &["--rm", "--no-such-flag"]),
    ] {
        stage.configure(fields, run_args);
        let failed = daemon.post(&format!("{}?wait", stage.workspace.recreate()));
        failed.assert_error(500, FAILED, KEPT);
        assert_eq!(stage.facts(&old).same, before.same, "{run_args:?}");
        assert_eq!(stage.only_container(), old);
        stage.wait_until_served();
    }
}
