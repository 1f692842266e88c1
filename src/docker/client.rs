//! Docker commands on single containers, each with a deadline.

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::command::{Output, Runner, Tracking, is_id, plain_id};
use super::error::Error;
use super::inspect::own_labels::ImageLabels;
use super::inspect::snapshot::Snapshot;
use super::inspect::{Image, Inspected, Object};
use crate::model::container::RunState;
use crate::model::ids::OperationId;
use crate::model::original::ParkedName;

/// How often to look whether a container is gone.
const GONE_POLL_EVERY: Duration = Duration::from_millis(50);

/// Docker's command line.
#[derive(Clone, Copy)]
pub struct Client<'a> {
    /// docker or podman.
    pub program: &'a Path,
    /// When a command must have ended.
    pub deadline: Instant,
    /// Becomes readable when a command must end early.
    pub abort: Option<BorrowedFd<'a>>,
    /// The operation that the commands are part of. The processes of an operation need not name it.
    pub operation: Option<&'a str>,
    /// If true, processes that a command leaves behind are ended wherever they went, which takes some milliseconds for
    /// each command.
    pub thorough: bool,
    /// The socket of the engine, where it is known: the engine itself is asked then, and docker's client only about trouble.
    pub socket: Option<&'a Path>,
}

impl Client<'_> {
    /// The ids of all containers, running or not, that have every one of these labels (`KEY=VALUE`).
    pub fn with_labels(&self, labels: &[String]) -> Result<Vec<String>, Error> {
        if let Some(ids) = self.api_list(labels) {
            return Ok(ids);
        }
        let mut arguments = vec!["ps", "--all", "--quiet", "--no-trunc"];
        let filters = labels.iter().map(|label| format!("label={label}"));
        let filters: Vec<String> = filters.collect();
        for filter in &filters {
            arguments.extend(["--filter", filter]);
        }
        let mut ids = self.run(&arguments)?.lines();
        ids.retain(|line| is_id(line));
        Ok(ids)
    }

    /// The ids of the containers that an operation has parked.
    pub fn parked_by(&self, operation: &OperationId) -> Result<Vec<String>, Error> {
        let filter = format!("name={}", ParkedName::pattern(operation));
        let list = ["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter];
        let mut ids = self.run(&list)?.lines();
        ids.retain(|line| is_id(line));
        Ok(ids)
    }

    /// Reads those of `ids` that exist.
    ///
    /// # Errors
    ///
    /// Any of them cannot be read: an operation must not take a container for gone that it does not understand.
    pub fn inspect(&self, ids: &[String]) -> Result<Vec<Snapshot>, Error> {
        let mut found: Vec<Inspected> = self.inspect_as(ids)?;
        let images = found.iter().filter_map(Inspected::image_to_compare);
        let images: BTreeSet<&str> = images.collect();
        let images: Vec<String> = images.into_iter().map(str::to_owned).collect();
        if !images.is_empty() {
            let images = self.inspect_images(&images)?;
            for one in &mut found {
                one.forget_labels_of_image(&images);
            }
        }
        Ok(found.into_iter().map(Snapshot::from).collect())
    }

    /// Reads the labels of those of these images that exist.
    pub(super) fn inspect_images(
        &self,
        ids: &[String],
    ) -> Result<Vec<(String, ImageLabels)>, Error> {
        let images: Vec<Image> = self.inspect_as(ids)?;
        Ok(images.into_iter().map(Image::into_labels).collect())
    }

    pub(super) fn inspect_as<T: Object>(&self, ids: &[String]) -> Result<Vec<T>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.api_inspect(T::TYPE, ids);
        if let Some(found) = found.and_then(|json| serde_json::from_slice(&json).ok()) {
            return Ok(found);
        }
        let mut arguments = vec!["inspect", "--type", T::TYPE];
        arguments.extend(ids.iter().map(String::as_str));
        let output = self.runner().run(&arguments, self.deadline)?;
        if output.succeeded() {
            return serde_json::from_slice(&output.stdout).map_err(|e| output.unreadable(e));
        }
        // One may have been removed since it was listed. The others are on standard output all the same.
        let found: Vec<T> = match output.stdout.trim_ascii() {
            [] => Vec::new(),
            json => serde_json::from_slice(json).map_err(|_| output.failure())?,
        };
        let is_found = |id: &str| found.iter().any(|one| plain_id(one.id()) == plain_id(id));
        let ids = ids.iter().map(String::as_str);
        let missing: Vec<&str> = ids.filter(|id| !is_found(id)).collect();
        match self.existing(T::LIST, &missing) {
            Some(existing) if existing.is_empty() => Ok(found),
            _ => Err(output.failure()),
        }
    }

    /// `docker stop`: TERM, and KILL after the container's own grace period. It is no error if a container is gone.
    pub fn stop(&self, ids: &[&str]) -> Result<(), Error> {
        match ids {
            [id] if self.api_stop(id) => Ok(()),
            // docker stops several at once.
            _ => self.run_on_existing("stop", &[], ids),
        }
    }

    /// `docker start`.
    pub fn start(&self, id: &str) -> Result<(), Error> {
        self.run_on("start", id)
    }

    /// `docker pause`.
    pub fn pause(&self, id: &str) -> Result<(), Error> {
        self.run_on("pause", id)
    }

    /// `docker unpause`.
    pub fn unpause(&self, id: &str) -> Result<(), Error> {
        self.run_on("unpause", id)
    }

    /// `docker rm --force`, which keeps volumes. It is no error if a container is gone already. One that docker is about
    /// to remove by itself (`--rm`) is waited for.
    pub fn remove(&self, ids: &[&str]) -> Result<(), Error> {
        self.remove_with(&["--force"], "?force=1", ids)
    }

    /// `docker rm --force --volumes`, which removes the volumes that have no name, where no other container has them. It
    /// is no error if a container is gone already.
    pub fn remove_with_volumes(&self, ids: &[&str]) -> Result<(), Error> {
        self.remove_with(&["--force", "--volumes"], "?force=1&v=1", ids)
    }

    fn remove_with(&self, flags: &[&str], query: &str, ids: &[&str]) -> Result<(), Error> {
        if self.api_remove(ids, query) {
            return Ok(());
        }
        match self.run_on_existing("rm", flags, ids) {
            Err(Error::Failed { .. }) if self.are_being_removed(ids) => self.wait_until_gone(ids),
            result => result,
        }
    }

    /// Returns whether docker is at work to remove all of these that there are.
    fn are_being_removed(&self, ids: &[&str]) -> bool {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        let is_going = |one: &Snapshot| one.run_state == RunState::Other("removing".into());
        self.inspect(&ids)
            .is_ok_and(|found| found.iter().all(is_going))
    }

    /// Takes a failed command on the container `id` for done if the container is gone, which docker is asked only then.
    pub fn unless_gone(&self, id: &str, result: Result<(), Error>) -> Result<(), Error> {
        match result {
            Err(error @ Error::Failed { .. }) => match self.existing("ps", &[id]) {
                Some(existing) if existing.is_empty() => Ok(()),
                _ => Err(error),
            },
            result => result,
        }
    }

    fn wait_until_gone(&self, ids: &[&str]) -> Result<(), Error> {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        while !self.inspect(&ids)?.is_empty() {
            thread::sleep(GONE_POLL_EVERY);
        }
        Ok(())
    }

    /// `docker rename`.
    pub fn rename(&self, id: &str, name: &str) -> Result<(), Error> {
        if self.api_rename(id, name) {
            return Ok(());
        }
        self.run(&["rename", id, name]).map(drop)
    }

    /// `docker network connect`.
    pub fn connect(&self, id: &str, network: &str) -> Result<(), Error> {
        self.run(&["network", "connect", network, id]).map(drop)
    }

    /// Returns whether docker has a network of this name, or does not say.
    pub fn may_have_network(&self, network: &str) -> bool {
        let answer = self.run(&["network", "inspect", network]);
        !matches!(answer, Err(Error::Failed { .. }))
    }

    /// `docker network disconnect`.
    pub fn disconnect(&self, id: &str, network: &str) -> Result<(), Error> {
        self.run(&["network", "disconnect", network, id]).map(drop)
    }

    fn run_on(&self, verb: &str, id: &str) -> Result<(), Error> {
        self.run(&[verb, id]).map(drop)
    }

    /// Runs a command that prints the ids of the containers that it is done with. Those that are gone are no error.
    ///
    /// docker goes on with the others if one is gone. podman does nothing to them, and the `rm` of podman 4 succeeds all
    /// the same.
    fn run_on_existing(&self, verb: &str, flags: &[&str], ids: &[&str]) -> Result<(), Error> {
        let mut rest = ids.to_vec();
        while !rest.is_empty() {
            let arguments = [&[verb], flags, &rest].concat();
            let output = self.runner().run(&arguments, self.deadline)?;
            let done = output.lines();
            rest.retain(|id| !done.iter().any(|line| line == id));
            if output.succeeded() && rest.is_empty() {
                return Ok(());
            }
            match self.existing("ps", &rest) {
                Some(existing) if existing.len() < rest.len() => rest = existing,
                _ => return output.checked().map(drop),
            }
        }
        Ok(())
    }

    /// Those of `ids` that docker lists; `None` if it does not answer.
    fn existing<'b>(&self, list: &str, ids: &[&'b str]) -> Option<Vec<&'b str>> {
        if ids.is_empty() {
            return Some(Vec::new());
        }
        let (existing, _) = self.runner().list(list, self.deadline).ok()?;
        let ids = ids.iter().copied();
        Some(ids.filter(|id| existing.contains(plain_id(id))).collect())
    }

    pub(super) fn run(&self, arguments: &[&str]) -> Result<Output, Error> {
        self.runner().run(arguments, self.deadline)?.checked()
    }

    /// Runs docker with another `DOCKER_HOST`.
    pub(super) fn run_with_host(
        &self,
        arguments: &[&str],
        host: Option<&str>,
    ) -> Result<Output, Error> {
        let runner = Runner {
            host,
            ..self.runner()
        };
        runner.run(arguments, self.deadline)?.checked()
    }

    fn runner(&self) -> Runner<'_> {
        Runner {
            program: self.program,
            host: None,
            abort: self.abort.as_slice(),
            late: None,
            tracking: match self.operation {
                Some(operation) if self.thorough => Tracking::Thorough(operation),
                Some(operation) => Tracking::Marked(operation),
                None => Tracking::Inherited,
            },
        }
    }
}
