//! What an operation leaves behind: either its new container, or the old ones as they were.

use crate::base::sort::by_text;
use crate::docker::{Client, ClientError, Snapshot, is_id};
use crate::model::ids::OperationId;
use crate::model::labels::LABEL_OPERATION;
use crate::model::original::{Original, ParkedName, PriorState};

/// What became of the containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fate {
    /// The id of the new container, if it stays.
    pub made: Option<String>,
    /// Old ones that are there as they were: name, and whether it runs.
    pub kept: Vec<(String, bool)>,
    /// Names of old ones that are gone without a new one in their place, and what is left of them.
    pub lost: Vec<(String, &'static str)>,
    /// Whether one that was set aside is back.
    pub put_back: bool,
    /// What could not be put right, and why.
    pub troubles: Vec<String>,
}

/// How far old containers that were not set aside are put back into their old state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Also where something else stopped them while the operation ran.
    All,
    /// Only where the operation did something to them: much may have happened since.
    SetAside,
}

/// What is known of how an operation ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ending<'a> {
    /// Whether it did what it should.
    pub well: bool,
    /// The container that the CLI named as the one that it made.
    pub named: Option<&'a str>,
    /// Whether that was some time ago: much may have happened since.
    pub deferred: bool,
}

/// Settles what `operation` did, from what docker says now.
///
/// If a container that it made runs (or is there, where the operation ended well), the old ones that it set aside are
/// removed. Otherwise what it made is removed, and the old ones are started and named as they were. May be called again
/// after it failed, or was ended, at any point: the name, which says what is to be done, is put back last.
pub fn settle(
    docker: &Client<'_>,
    operation: &OperationId,
    originals: &[Original],
    ended: &Ending<'_>,
    touch: Touch,
) -> Result<Fate, ClientError> {
    // Only what has our label is ours to remove; the CLI also names a container that it only started.
    let named = ended
        .named
        .filter(|id| is_id(id) && originals.iter().all(|old| old.id != **id));
    let mut ids: Vec<String> = originals.iter().map(|old| old.id.clone()).collect();
    ids.extend(named.map(str::to_owned));
    let mut present = docker.inspect(&ids)?;
    let named = present.iter().position(|one| Some(&*one.old.id) == named);
    let named = named.map(|at| present.swap_remove(at));
    let made = match &named {
        // It is what was made.
        Some(_) if ended.well => Vec::new(),
        _ => made_by(docker, operation, originals, &present, touch)?,
    };
    let mut fate = Fate::default();
    let runs = |one: &&Snapshot| one.old.was != PriorState::Stopped && !one.restarting;
    let stays = named.iter().chain(&made).find(runs);
    let stays = stays.or(named.iter().chain(&made).next().filter(|_| ended.well));
    if stays.is_some() {
        fate.made = stays.map(|new| new.old.id.clone());
        remove_set_aside(docker, &present, &mut fate);
    } else if ended.deferred && made.iter().any(|new| new.has_run) {
        // Somebody may have worked in the new one, and stopped it since.
        let trouble = "both the old container and the new one are kept: the new one has run, but does not now";
        fate.troubles.push(trouble.to_owned());
    } else {
        // What comes and goes may hold a port. The rest goes when it is no more needed to tell what happened.
        let (again, rest): (Vec<&Snapshot>, Vec<&Snapshot>) =
            made.iter().partition(|one| one.restarting);
        remove_half_made(docker, &again, originals, &present, &mut fate);
        let revived = revive_all(
            docker, operation, originals, &present, &made, touch, &mut fate,
        );
        remove_half_made(docker, &rest, originals, &present, &mut fate);
        rename_all(docker, revived, &mut fate);
    }
    Ok(fate)
}

/// What the operation made: containers with our label, and those of the same services, as compose knows nothing of
/// labels of ours.
fn made_by(
    docker: &Client<'_>,
    operation: &OperationId,
    originals: &[Original],
    present: &[Snapshot],
    touch: Touch,
) -> Result<Vec<Snapshot>, ClientError> {
    let mut made = docker.with_labels(&[format!("{LABEL_OPERATION}={operation}")])?;
    let is_renamed = |one: &Snapshot| {
        originals
            .iter()
            .any(|o| o.id == one.old.id && o.name != one.old.name)
    };
    // Much later, a container of the same service is not the operation's.
    if touch == Touch::All || present.iter().any(is_renamed) {
        for service in originals.iter().filter_map(|old| old.compose.as_ref()) {
            made.extend(docker.with_labels(&service.labels())?);
        }
    }
    let mut made = by_text(made, |id| id.as_bytes().to_vec());
    made.dedup();
    made.retain(|id| originals.iter().all(|old| old.id != *id));
    let mut made = docker.inspect(&made)?;
    made.retain(|one| !one.one_off);
    Ok(made)
}

fn remove_half_made(
    docker: &Client<'_>,
    made: &[&Snapshot],
    originals: &[Original],
    present: &[Snapshot],
    fate: &mut Fate,
) {
    let is_gone = |old: &Original| !present.iter().any(|one| one.old.id == old.id);
    // Where compose removed the old one already, the new one has its volumes.
    if originals
        .iter()
        .any(|old| old.compose.is_some() && is_gone(old))
    {
        return;
    }
    for half in made {
        if let Err(e) = docker.remove(&[&half.old.id]) {
            let name = &half.old.name;
            fate.troubles.push(format!(
                "container {name}, which was half made, is still there: {e}"
            ));
        }
    }
}

fn remove_set_aside(docker: &Client<'_>, present: &[Snapshot], fate: &mut Fate) {
    let aside = present.iter().map(|one| &one.old);
    let aside = aside.filter(|old| ParkedName::parse(&old.name).is_some());
    let aside: Vec<&str> = aside.map(|old| old.id.as_str()).collect();
    if let Err(e) = docker.remove(&aside) {
        let trouble =
            format!("the old container, which is not needed any more, is still there: {e}");
        fate.troubles.push(trouble);
    }
}

/// An old container that does again what it did, its name now, and whether it is still to be renamed.
struct Revived<'a> {
    old: &'a Original,
    name_now: &'a str,
    renames: bool,
}

fn revive_all<'a>(
    docker: &Client<'_>,
    operation: &OperationId,
    originals: &'a [Original],
    present: &'a [Snapshot],
    made: &[Snapshot],
    touch: Touch,
    fate: &mut Fate,
) -> Vec<Revived<'a>> {
    let mut revived = Vec::new();
    for old in originals {
        let Some(now) = present.iter().find(|one| one.old.id == old.id) else {
            fate.lost.push((old.name.clone(), what_is_left_of(old)));
            continue;
        };
        let is_aside =
            ParkedName::parse(&now.old.name).is_some_and(|aside| aside.operation == *operation);
        let renames = is_aside || (old.compose.is_some() && now.old.name != old.name);
        if renames || touch == Touch::All {
            // It is stopped after the new one is made, and docker goes on with that when its client is ended.
            let may_be_stopping = !made.is_empty() && (is_aside || old.compose.is_some());
            if let Err(e) = revive(docker, old, now, may_be_stopping) {
                fate.troubles
                    .push(not_put_back(&old.name, &now.old.name, &e));
                continue;
            }
        }
        revived.push(Revived {
            old,
            name_now: &now.old.name,
            renames,
        });
    }
    revived
}

fn rename_all(docker: &Client<'_>, revived: Vec<Revived<'_>>, fate: &mut Fate) {
    for Revived {
        old,
        name_now,
        renames,
    } in revived
    {
        if renames && let Err(e) = docker.rename(&old.id, &old.name) {
            fate.troubles.push(not_put_back(&old.name, name_now, &e));
            continue;
        }
        fate.put_back |= renames;
        fate.kept
            .push((old.name.clone(), old.was == PriorState::Running));
    }
}

fn not_put_back(name: &str, name_now: &str, error: &ClientError) -> String {
    format!("container {name} is there, as {name_now}, but cannot be put back: {error}")
}

/// Lets an old container do again what it did.
fn revive(
    docker: &Client<'_>,
    old: &Original,
    now: &Snapshot,
    may_be_stopping: bool,
) -> Result<(), ClientError> {
    if now.old.removed_when_stopped {
        join_networks(docker, old, now)?;
    }
    match (old.was, now.old.was) {
        (PriorState::Stopped, _) => Ok(()),
        (PriorState::Running, PriorState::Paused) => docker.unpause(&old.id),
        (PriorState::Running, PriorState::Stopped) => docker.start(&old.id),
        (PriorState::Running, PriorState::Running)
            if may_be_stopping && !now.old.removed_when_stopped =>
        {
            docker.stop(&[&old.id])?;
            docker.start(&old.id)
        }
        (PriorState::Paused, PriorState::Running) => docker.pause(&old.id),
        (PriorState::Paused, PriorState::Stopped) => {
            docker.start(&old.id).and_then(|()| docker.pause(&old.id))
        }
        _ => Ok(()),
    }
}

fn join_networks(docker: &Client<'_>, old: &Original, now: &Snapshot) -> Result<(), ClientError> {
    let left = old.leaves_networks.iter();
    for network in left.filter(|network| !now.networks.contains(network)) {
        docker.network("connect", network, &old.id)?;
    }
    if !old.leaves_networks.is_empty() || !now.networks.is_empty() || !now.publishes {
        return Ok(());
    }
    // Which ones it left is not known any more. podman's own is called otherwise than docker's.
    let joined = docker.network("connect", &now.own_network, &old.id);
    joined.or_else(|e| match now.own_network.as_str() {
        "bridge" => docker.network("connect", "podman", &old.id),
        _ => Err(e),
    })
}

fn what_is_left_of(old: &Original) -> &'static str {
    match old.compose {
        Some(_) => {
            " (compose replaces containers in place); its volumes are kept, and the next recreate makes it anew"
        }
        None => ", and not by this operation; its named volumes are kept",
    }
}

impl Fate {
    /// What became of the old containers, for the people whose operation failed; `None` where there were none.
    pub fn summary(&self) -> Option<String> {
        let mut parts = Vec::new();
        if !self.kept.is_empty() && self.lost.is_empty() && self.troubles.is_empty() {
            parts.push("nothing was lost".to_owned());
        }
        for (name, runs) in &self.kept {
            let state = if *runs {
                "runs as before"
            } else {
                "is as it was"
            };
            parts.push(format!("container {name} {state}"));
        }
        for (name, left) in &self.lost {
            parts.push(format!("container {name} is gone{left}"));
        }
        parts.extend(self.troubles.iter().cloned());
        match (parts.is_empty(), parts.split_first()) {
            (false, Some((first, rest))) if !rest.is_empty() && first == "nothing was lost" => {
                Some(format!("{first}: {}", rest.join("; ")))
            }
            (false, _) => Some(parts.join("; ")),
            (true, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p12_a_summary_says_what_is_kept_and_what_is_not() {
        let mut fate = Fate::default();
        assert_eq!(fate.summary(), None);
        fate.kept = vec![("a".into(), true), ("b".into(), false)];
        let summary = fate.summary().unwrap();
        assert_eq!(
            summary,
            "nothing was lost: container a runs as before; container b is as it was"
        );
        fate.lost = vec![("c".into(), "")];
        let summary = fate.summary().unwrap();
        assert!(!summary.contains("nothing was lost"), "{summary}");
        assert!(summary.contains("container c is gone"), "{summary}");
    }
}
