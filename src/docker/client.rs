//! Docker commands on single containers, each with a deadline.

use std::collections::BTreeSet;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::command::{Output, Runner, Tracking, is_id};
use super::error::Error;
use super::inspect::snapshot::Snapshot;
use super::inspect::{Image, Inspected};

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
}

impl Client<'_> {
    /// The ids of all containers, running or not, that have every one of these labels (`KEY=VALUE`).
    pub fn with_labels(&self, labels: &[String]) -> Result<Vec<String>, Error> {
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

    /// Reads those of `ids` that exist.
    ///
    /// # Errors
    ///
    /// Any of them cannot be read: an operation must not take a container for gone that it does not understand.
    pub fn inspect(&self, ids: &[String]) -> Result<Vec<Snapshot>, Error> {
        let mut found: Vec<Inspected> = self.inspect_as("container", ids)?;
        let images = found.iter().filter_map(Inspected::image_to_compare);
        let images: BTreeSet<&str> = images.collect();
        let images: Vec<String> = images.into_iter().map(str::to_owned).collect();
        if !images.is_empty() {
            let images: Vec<Image> = self.inspect_as("image", &images)?;
            for one in &mut found {
                one.forget_labels_of_image(&images);
            }
        }
        Ok(found.into_iter().map(Snapshot::from).collect())
    }

    fn inspect_as<T: for<'de> Deserialize<'de>>(
        &self,
        kind: &str,
        ids: &[String],
    ) -> Result<Vec<T>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut arguments = vec!["inspect", "--type", kind];
        arguments.extend(ids.iter().map(String::as_str));
        let output = self.runner().run(&arguments, self.deadline)?;
        if !output.succeeded() {
            // A container may have been removed since it was listed. The others are on standard output all the same.
            let error = output.failure();
            if !error.is_about_missing() {
                return Err(error);
            }
            if output.stdout.trim_ascii().is_empty() {
                return Ok(Vec::new());
            }
        }
        serde_json::from_slice(&output.stdout).map_err(|e| output.unreadable(e))
    }

    /// `docker stop`: TERM, and KILL after the container's own grace period.
    pub fn stop(&self, ids: &[&str]) -> Result<(), Error> {
        self.run_on("stop", &[], ids)
    }

    /// `docker start`.
    pub fn start(&self, id: &str) -> Result<(), Error> {
        self.run_on("start", &[], &[id])
    }

    /// `docker pause`.
    pub fn pause(&self, id: &str) -> Result<(), Error> {
        self.run_on("pause", &[], &[id])
    }

    /// `docker unpause`.
    pub fn unpause(&self, id: &str) -> Result<(), Error> {
        self.run_on("unpause", &[], &[id])
    }

    /// `docker rm --force`, which keeps volumes. It is no error if a container is gone already. One that docker is about
    /// to remove by itself (`--rm`) is waited for.
    pub fn remove(&self, ids: &[&str]) -> Result<(), Error> {
        match self.run_on("rm", &["--force"], ids) {
            Err(error) if error.is_about_missing() => Ok(()),
            Err(error) if error.is_about_removal() => self.wait_until_gone(ids),
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
        self.run(&["rename", id, name]).map(drop)
    }

    /// `docker network connect`.
    pub fn connect(&self, id: &str, network: &str) -> Result<(), Error> {
        self.run(&["network", "connect", network, id]).map(drop)
    }

    /// `docker network disconnect`.
    pub fn disconnect(&self, id: &str, network: &str) -> Result<(), Error> {
        self.run(&["network", "disconnect", network, id]).map(drop)
    }

    fn run_on(&self, verb: &str, flags: &[&str], ids: &[&str]) -> Result<(), Error> {
        if ids.is_empty() {
            return Ok(());
        }
        self.run(&[&[verb], flags, ids].concat()).map(drop)
    }

    fn run(&self, arguments: &[&str]) -> Result<Output, Error> {
        self.runner().run(arguments, self.deadline)?.checked()
    }

    fn runner(&self) -> Runner<'_> {
        Runner {
            program: self.program,
            abort: self.abort,
            tracking: match self.operation {
                Some(operation) if self.thorough => Tracking::Thorough(operation),
                Some(operation) => Tracking::Marked(operation),
                None => Tracking::Inherited,
            },
        }
    }
}
