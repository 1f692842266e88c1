//! Finding the dev container that a word of the command line names.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

use serde_json::Value;

use super::Failure;
use super::devcontainer::Devcontainer;
use crate::base::similar::nearest;
use crate::base::text::{one_line, percent_encode};
use crate::base::within::within;
use crate::client::{Client, ClientError, Request};

/// The time for looking at folders, of which one may be on a file system that does not answer.
const LOOK: Duration = Duration::from_secs(5);
/// An id that no dev container has. A daemon says so only after it has made a new list.
const NOBODY: &str = "/devcontainers/00000000-0000-0000-0000-000000000000";

/// Returns all dev containers.
pub(super) fn all(client: &Client) -> Result<Vec<Devcontainer>, ClientError> {
    let mut answer = client.send(Request::get("/devcontainers"))?.json()?;
    Ok(take_all(&mut answer))
}

/// Takes the dev containers of an answer, or of an event.
pub(super) fn take_all(answer: &mut Value) -> Vec<Devcontainer> {
    match answer.get_mut("devcontainers").map(Value::take) {
        Some(Value::Array(all)) => all.into_iter().map(Devcontainer).collect(),
        _ => Vec::new(),
    }
}

/// Returns the dev container that `name` names: `.`, a folder with a slash in its path, or else a name or an id. A folder
/// in the working directory is found also without a slash, if no dev container has that name.
pub(super) fn find(client: &Client, name: &str) -> Result<Devcontainer, Failure> {
    if is_folder(name) {
        let found = by_folder(client, name)?;
        return found.ok_or_else(|| no_folder(name));
    }
    let path = format!("/devcontainers/{}", percent_encode(name));
    match client.send(Request::get(&path)) {
        Ok(answer) => Ok(Devcontainer(answer.json()?)),
        Err(error) if error.status() == Some(404) => {
            let found = if Path::new(name).is_dir() {
                by_folder(client, name)?
            } else {
                None
            };
            found.map_or_else(|| Err(no_name(client, name)), Ok)
        }
        Err(error) => Err(error.into()),
    }
}

/// Returns whether a name can only be that of a folder.
pub(super) fn is_folder(name: &str) -> bool {
    name == "." || name == ".." || name.contains('/')
}

fn no_folder(name: &str) -> Failure {
    Failure::NotThere(match name {
        "." => {
            "no dev container is in this folder or one above it; see devcontainerd ls".to_owned()
        }
        _ => format!("no dev container is in the folder {name}; see devcontainerd ls"),
    })
}

fn no_name(client: &Client, name: &str) -> Failure {
    let all = all(client).unwrap_or_default();
    let meant = nearest(name, all.iter().map(Devcontainer::name));
    Failure::NotThere(match meant {
        Some(meant) => format!("no dev container is called {name}; did you mean {meant}?"),
        None => format!("no dev container is called {name}; see devcontainerd ls"),
    })
}

/// Returns the dev container in a folder; for `.` also in the nearest folder above it that has one.
fn by_folder(client: &Client, folder: &str) -> Result<Option<Devcontainer>, Failure> {
    let wanted = Wanted::new(folder).map_err(|error| {
        let folder = one_line(folder);
        Failure::NotThere(format!("the folder {folder} cannot be found: {error}"))
    })?;
    if let Some(found) = wanted.choose(all(client)?)? {
        return Ok(Some(found));
    }
    // The list may be from before the container was made.
    let _ = client.send(Request::get(NOBODY));
    wanted.choose(all(client)?)
}

/// The folders in which a dev container is looked for, the nearest first.
struct Wanted(Vec<PathBuf>);

impl Wanted {
    fn new(folder: &str) -> std::io::Result<Self> {
        let spelled = std::path::absolute(folder)?;
        // A folder that is gone may still have a container.
        let real = fs::canonicalize(folder).unwrap_or_else(|_| spelled.clone());
        if folder != "." {
            return Ok(Self(vec![real, spelled]));
        }
        // The shell's spelling of the way here may be that of the dev container.
        let logical = env::var_os("PWD").map(PathBuf::from);
        let mut folders: Vec<PathBuf> = real.ancestors().map(Path::to_path_buf).collect();
        folders.extend(logical);
        Ok(Self(folders))
    }

    fn choose(&self, all: Vec<Devcontainer>) -> Result<Option<Devcontainer>, Failure> {
        let folders: Vec<PathBuf> = all.iter().map(|one| one.folder().into()).collect();
        let resolve = move || {
            let real = folders.into_iter().map(|folder| {
                let real = fs::canonicalize(&folder);
                real.unwrap_or(folder)
            });
            real.collect::<Vec<PathBuf>>()
        };
        let places = within(LOOK, resolve).map_err(|error| {
            Failure::Other(format!(
                "the folders of dev containers cannot be looked at: {error}"
            ))
        })?;
        for folder in &self.0 {
            let here = all.iter().zip(&places);
            let here =
                here.filter(|(one, place)| *place == folder || Path::new(one.folder()) == folder);
            let found: Vec<&Devcontainer> = here.map(|(one, _)| one).collect();
            match *found {
                [] => {}
                [one] => return Ok(Some(one.clone())),
                _ => return Err(several(folder, &found)),
            }
        }
        Ok(None)
    }
}

fn several(folder: &Path, found: &[&Devcontainer]) -> Failure {
    let names: Vec<&str> = found.iter().map(|one| one.name()).collect();
    Failure::Usage(format!(
        "the folder {} has several dev containers; give the name of one: {}",
        folder.display(),
        names.join(", ")
    ))
}
