//! Finds and reads the inputs of a compose project.

use std::path::{Path, PathBuf};

use super::error::FileError;
use super::files::read_fingerprint;
use super::reason::Reason;
use super::scanner::{LARGE, Scanner};
use crate::devcontainer::config::compose::{self, Call, Dockerfile, Kind, canonical_env_file};
use crate::devcontainer::config::file::read_config;
use crate::devcontainer::fingerprint::{fingerprint_bytes, fingerprint_of_meaning};
use crate::model::compose::ComposeSetup;
use crate::model::inputs::{Content, Inputs, Stamp};

/// The size of the largest file of a compose project that is followed, in bytes.
pub(super) const MAX_COMPOSE: usize = 256 << 10;
/// How many files of a compose project are followed.
pub(super) const MAX_COMPOSE_FILES: usize = 100;
impl Scanner<'_> {
    /// Looks at the files of a compose project and at those that they name.
    pub(super) fn compose(&mut self, folder: &Path, setup: &ComposeSetup) {
        let environment = |name: &str| std::env::var_os(name);
        let call = Call::new(folder, &setup.files, &environment, &mut |path, kind| {
            self.text(path, kind)
        });
        let project = compose::read(&call, &environment, &mut |path, kind| self.text(path, kind));
        let mut env_files = Vec::new();
        let used = project.used(setup);
        let services = project.services.into_iter();
        for (name, service) in services.filter(|(name, _)| used.contains(name)) {
            if let Some(mut build) = service.build {
                // The CLI builds a Dockerfile of its own for the service that it works in.
                build
                    .ignore_file
                    .take_if(|_| setup.service.as_deref() == Some(&*name));
                self.build(&build);
                if let Dockerfile::File(path) = build.dockerfile {
                    self.required.push(path);
                }
            }
            env_files.extend(service.env_files);
        }
        // A file that is read in both ways is compared by all of its bytes.
        env_files.sort_by_key(|file| !file.is_raw);
        for file in env_files {
            if file.is_required {
                self.required.push(file.path.clone());
            }
            let kind = if file.is_raw {
                Kind::Compose
            } else {
                Kind::Env
            };
            self.env_file(file.path, kind);
        }
        for path in &project.missing {
            self.leave_unchecked(&Reason::Missing(path).to_string());
        }
        for problem in &project.problems {
            self.leave_unchecked(problem);
        }
    }

    /// Keeps inputs that are known already and were not found now, as what names them could not be read.
    pub(super) fn keep_known(&mut self) {
        let known = self.before.into_iter().flat_map(Inputs::items);
        for input in known {
            if self.is_new(&input.path) {
                self.others.push(input.clone());
            }
        }
    }

    /// The text of a file that names others, which becomes an input. The error is a reason for people.
    fn text(&mut self, path: &Path, kind: Kind) -> Result<Option<String>, String> {
        if !self.seen.contains(path) {
            self.compose_files += 1;
        }
        if self.compose_files > MAX_COMPOSE_FILES {
            self.is_truncated = true;
            return Err(Reason::BeyondCompose(path).to_string());
        }
        let (found, text) = match read_named(path, kind) {
            Ok((content, stamp, text)) => (Ok((content, stamp)), text.map(Some)),
            Err(FileError::Absent) => (Err(FileError::Absent), Ok(None)),
            Err(FileError::Unreadable) => {
                let reason = Reason::Unreadable(path).to_string();
                (Err(FileError::Unreadable), Err(reason))
            }
            Err(error) => {
                self.is_inconclusive = true;
                (Err(error), Err(Reason::Unclear(path).to_string()))
            }
        };
        if self.is_new(path) {
            let input = self.input(path.to_path_buf(), found).naming_others();
            self.others.push(input);
        }
        text
    }

    /// Looks at a file of variables of a container. It is always read, as it may have been compared in another way.
    fn env_file(&mut self, path: PathBuf, kind: Kind) {
        if self.is_new(&path) {
            let found = read_named(&path, kind).map(|(content, stamp, _)| (content, stamp));
            let input = self.input(path, found);
            self.others.push(input);
        }
    }
}

/// Reads a file of a compose project: its content, its stamp, and its text, or the reason why there is none.
fn read_named(
    path: &Path,
    kind: Kind,
) -> Result<(Content, Stamp, Result<String, String>), FileError> {
    let (content, stamp) = read_config(path)?;
    let Some(content) = content else {
        let (fingerprint, _) = read_fingerprint(path, LARGE)?;
        let reason = Reason::LargeCompose(path).to_string();
        return Ok((Content::Fingerprint(fingerprint), stamp, Err(reason)));
    };
    let mut fingerprint = fingerprint_bytes(&content);
    let text = if content.len() > MAX_COMPOSE {
        Err(Reason::LargeCompose(path).to_string())
    } else {
        String::from_utf8(content).map_err(|_| Reason::NotUtf8(path).to_string())
    };
    if let (Ok(text), Kind::Env) = (&text, kind)
        && let Some(canonical) = canonical_env_file(text)
    {
        fingerprint = fingerprint_of_meaning(&canonical);
    }
    Ok((Content::Fingerprint(fingerprint), stamp, text))
}
