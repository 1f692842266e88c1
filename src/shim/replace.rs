//! `docker run` of a new dev container, in parts: if docker refuses to create it, no original is stopped.

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::{Command, ExitCode, Stdio};
use std::thread;

use super::{Error, Plan, argv, check_daemon, exit_code};
use crate::docker::Client;

/// The outcome of `docker create`.
enum Created {
    /// The id of the new container.
    Container(String),
    /// docker has failed, and has said why.
    Refused(ExitCode),
}

impl Plan {
    /// Creates the new container, parks and stops the originals, and starts the new one.
    pub(super) fn replace(&self, run: &[OsString]) -> Result<ExitCode, Error> {
        check_daemon()?;
        let docker = self.client();
        let labelled = argv::with_label(run, &self.operation);
        let create = argv::without_flags_of_run(&labelled);
        let created = if argv::has_name(&labelled) {
            // It may be the name of an original.
            self.park_originals(&docker)?;
            self.create(&create)?
        } else {
            thread::scope(|scope| {
                let parking = scope.spawn(|| self.park_originals(&docker));
                let created = self.create(&create);
                parking.join().unwrap_or(Err(Error::Panicked))?;
                created
            })?
        };
        match created {
            Created::Container(id) => {
                self.stop_originals(&docker)?;
                self.start(&id)
            }
            Created::Refused(code) => Ok(code),
        }
    }

    fn create(&self, arguments: &[OsString]) -> Result<Created, Error> {
        let created = Command::new(&self.docker)
            .arg("create")
            .args(arguments)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .map_err(|e| Error::cannot_run(&self.docker, e))?;
        if !created.status.success() {
            return Ok(Created::Refused(exit_code(created.status)));
        }
        // A pull may print before the id.
        let printed = String::from_utf8_lossy(&created.stdout);
        let id = printed.split_whitespace().last().unwrap_or_default();
        Ok(Created::Container(id.to_owned()))
    }

    /// Frees the names of the originals. This comes before anything else is done to them: the new names say how to
    /// restore them. An original that is gone is in the way of nothing.
    fn park_originals(&self, docker: &Client<'_>) -> Result<(), Error> {
        for original in &self.replaces {
            docker
                .park(original, &self.operation)
                .map_err(Error::NotRenamed)?;
        }
        Ok(())
    }

    /// Frees the ports of the originals.
    fn stop_originals(&self, docker: &Client<'_>) -> Result<(), Error> {
        check_daemon()?;
        let line = docker
            .stop_parked(&self.replaces)
            .map_err(Error::NotStopped)?;
        if !self.replaces.is_empty() {
            let _ = writeln!(io::stderr(), "{line}");
        }
        Ok(())
    }

    /// Starts the new container, and hands on what it prints for as long as it runs: to the CLI, `run` has failed when
    /// it ends. `start --attach` would do that, too, but would hand on signals that are meant for this process.
    fn start(&self, id: &str) -> Result<ExitCode, Error> {
        check_daemon()?;
        let docker = |arguments: [&str; 2]| {
            let mut command = Command::new(&self.docker);
            command.args(arguments).arg(id).stdin(Stdio::null());
            command
        };
        let cannot_run = |e| Error::cannot_run(&self.docker, e);
        let started = docker(["start", "--"])
            .stdout(Stdio::null())
            .status()
            .map_err(cannot_run)?;
        if !started.success() {
            return Ok(exit_code(started));
        }
        let logs = docker(["logs", "--follow"]).status().map_err(cannot_run)?;
        if !logs.success() {
            // Some log drivers cannot be read.
            let mut wait = docker(["wait", "--"]);
            wait.stdout(Stdio::null()).status().map_err(cannot_run)?;
        }
        Ok(ExitCode::FAILURE)
    }
}
