//! A recreate that fails, and a daemon that is killed, checked from the beginning to the end.

use serde_json::json;

use super::stage::Stage;
use super::{After, Cause, FAILED, KEPT, Killed};
use crate::common::eventually;
use crate::engine::unique;
use crate::workspace::{Live, container_of};

pub(super) fn check_cause(cause: &Cause) {
    let folder = unique(match cause.cause.contains("equals sign") {
        true => "keep=it",
        false => "keep",
    });
    let stage = Stage::named(&folder);
    stage.make_old();
    let daemon = (cause.arrange)(&stage).start();
    for running in [true, false] {
        let old = stage.only_container();
        stage.set_running(&old, running);
        let before = stage.facts(&old);
        let shown_before = stage.workspace.devcontainer(&daemon);
        assert_eq!(container_of(&shown_before), old);

        let path = format!("{}?wait", stage.workspace.recreate());
        let waiting = Live::send(&daemon, "POST", &path);
        (cause.meanwhile)(&stage);
        let failed = waiting.finish();
        let case = format!("{}, running: {running}: {failed:?}", cause.cause);
        failed.assert_error(500, FAILED, "");
        let detail = failed.json()["detail"].clone();
        let said = detail.as_str().unwrap();
        // The answer comes after the end, so that a second look is not needed.
        let one = stage.workspace.devcontainer(&daemon);
        match cause.after {
            After::Replaced => stage.assert_replaced(&old),
            after => stage.assert_kept(&before, after, &case),
        }
        stage.assert_no_process(&daemon);
        assert_eq!(one["error"], detail, "{case}: {one:#}");
        assert_eq!(one["job"]["kind"], "recreate", "{case}");
        assert_eq!(one["job"]["state"], "failed", "{case}");
        assert_eq!(one["id"], shown_before["id"], "{case}");
        assert_eq!(one["name"], shown_before["name"], "{case}");
        for text in cause.says {
            assert!(said.contains(text), "{text:?} is not said: {case}");
        }
        if cause.after == After::Replaced {
            assert!(!said.contains(KEPT), "{case}");
            assert_eq!(container_of(&one), stage.only_container(), "{case}");
            assert_eq!(one["status"], "running", "{case}: {one:#}");
            continue;
        }
        if cause.after != After::Refused {
            assert!(said.contains(KEPT), "{KEPT:?} is not said: {case}");
            assert!(said.contains(&stage.name), "the container's name: {case}");
        }
        assert_eq!(container_of(&one), old, "{case}");
        assert_eq!(one["container"]["name"], *stage.name, "{case}");
        assert_eq!(one["running"], running, "{case}: {one:#}");
        assert_eq!(one["status"] == "running", running, "{case}: {one:#}");
    }
}

pub(super) fn check_killed_with_and_without_state(killed: &Killed) {
    for has_state in [true, false] {
        let stage = Stage::new();
        check_killed(&stage, killed, has_state);
    }
}

fn check_killed(stage: &Stage, killed: &Killed, has_state: bool) {
    let case = format!("killed during {}, state: {has_state}", killed.during);
    stage.make_old();
    let old = stage.only_container();
    stage.set_running(&old, killed.running);
    let before = stage.facts(&old);
    let builder = || {
        let daemon = (killed.arrange)(stage);
        let state = stage.path("state");
        match has_state {
            true => daemon.args(&format!("--state-dir {}", state.display())),
            false => daemon,
        }
    };
    let mut first = builder().start();
    stage.workspace.devcontainer(&first);
    let begun = first.post(&stage.workspace.recreate());
    assert_eq!(begun.status, 202, "{case}: {begun:?}");
    (killed.reached)(stage);
    first.signal("KILL");
    first.wait();

    let second = builder().start();
    // There has been no request yet.
    stage.assert_no_process(&second);
    if killed.after == After::Replaced {
        let only = || stage.workspace.containers().len() == 1;
        eventually("the old one is removed", || only().then_some(()));
        stage.assert_replaced(&old);
    } else {
        eventually(&format!("it is as before: {case}"), || {
            let now = stage.try_facts(&old)?;
            let as_before = now.same == before.same && stage.workspace.containers() == [&*old];
            as_before.then_some(())
        });
        stage.assert_kept(&before, killed.after, &case);
    }
    let only = stage.only_container();
    let one = stage.workspace.wait_for(&second, "the end shows", |one| {
        let listed = one["container"]["id"] == *only;
        listed && one["job"]["state"] != "running"
    });
    if killed.after != After::Replaced {
        assert_eq!(one["container"]["name"], *stage.name, "{case}: {one:#}");
    }
    if has_state {
        let interrupted = stage.workspace.wait_for(&second, "interrupted", |one| {
            one["job"]["state"] == "interrupted"
        });
        assert_eq!(
            interrupted["job"]["kind"], "recreate",
            "{case}: {interrupted:#}"
        );
        if killed.after != After::Replaced {
            stage.workspace.wait_for(&second, KEPT, |one| {
                one["error"]
                    .as_str()
                    .is_some_and(|error| error.contains(KEPT))
            });
        }
    }
    // It can be recreated, as its name is free again.
    drop(second);
    stage.let_go();
    stage.configure(json!({}), &[]);
    let third = stage.daemon().start();
    stage.workspace.devcontainer(&third);
    let again = third.post(&format!("{}?wait", stage.workspace.recreate()));
    assert_eq!(again.status, 204, "{case}: {again:?}");
    stage.assert_replaced(&only);
}
