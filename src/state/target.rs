//! The words by which an operation reaches a dev container (P25).
//!
//! A label is not trusted. It leads somewhere by links that anybody may have made, and may turn while the operation
//! runs. So the CLI gets the path without links where that means the same to it, and the labels beside it, by which it
//! finds the container.

use std::path::{Path, PathBuf};

use super::State;
use super::entry::Entry;
use super::ingest::id_labels;
use crate::model::ids::Key;
use crate::model::labels::IdLabels;
use crate::model::location::{Declared, Resolved, normal};

/// The place that an operation acts on, as it was listed, and the words for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The place as it was listed.
    pub listed: Resolved,
    /// The folder and the configuration as the CLI gets them.
    pub declared: Declared,
    /// The location that the labels of the container name, which has to lead to the same place; `None` without a
    /// container, or where its labels may not be followed.
    pub labelled: Option<Declared>,
    /// Those labels, where the CLI would not find the container by the words that it gets.
    pub labels: Option<IdLabels>,
}

/// Where a dev container is, as it was listed.
#[derive(Clone, Debug)]
pub struct KnownPlace {
    /// The workspace folder as it is written.
    pub folder: PathBuf,
    /// The workspace folder without symbolic links.
    pub resolved: PathBuf,
    /// True if the folder is an existing directory.
    pub exists: bool,
    /// The id of the container that is shown, if there is one.
    pub container: Option<String>,
}

impl State {
    /// Returns the target of an operation on a dev container, or on one of its containers. A spelling that may not be
    /// followed counts only if there is no other.
    pub fn target(&self, key: Key, container: Option<&str>) -> Option<Target> {
        let entry = self.fleet.get(key)?;
        let named = container.and_then(|id| entry.containers().find(|info| info.id == id));
        let info = named.or(entry.container.as_ref());
        let allows_up = entry.resolved.access.allows_up();
        let labelled = info.and_then(|info| self.label_address(info));
        let labelled =
            labelled.filter(|declared| !allows_up || declared.leading_upwards().is_none());
        let (folder, config) = entry.words(labelled.as_ref());
        let labels = info.and_then(|info| id_labels(info));
        let labels = labels.filter(|labels| {
            let folder_differs = Path::new(&labels.folder) != folder;
            let config_differs = |label: &String| Some(Path::new(label)) != config.as_deref();
            labelled.is_some()
                && (folder_differs || labels.config.as_ref().is_some_and(config_differs))
        });
        Some(Target {
            listed: entry.resolved.clone(),
            declared: Declared {
                folder,
                config,
                source: entry.source(),
            },
            labelled,
            labels,
        })
    }
}

impl State {
    /// Returns the name of a dev container, and its place as it was listed.
    pub fn identity(&self, key: Key) -> Option<(String, Resolved)> {
        let entry = self.fleet.get(key)?;
        Some((entry.name.clone(), entry.resolved.clone()))
    }

    /// Returns where all dev containers are.
    pub fn places(&self) -> Vec<KnownPlace> {
        let entries = self.fleet.entries.iter();
        let places = entries.map(|entry| KnownPlace {
            folder: entry.folder.clone(),
            resolved: entry.resolved.folder.clone(),
            exists: entry.resolved.folder_exists,
            container: entry.container.as_ref().map(|info| info.id.clone()),
        });
        places.collect()
    }
}

impl Entry {
    /// Returns the folder and the configuration as the CLI gets them, for a container that is labelled like this: the
    /// operator's own words, otherwise the path without links, otherwise those of the label.
    fn words(&self, labelled: Option<&Declared>) -> (PathBuf, Option<PathBuf>) {
        let place = &self.resolved;
        let written = labelled.map_or(&*self.folder, |labelled| &*labelled.folder);
        let folder = if self.predefined.is_some() {
            &*self.folder
        } else if place.access.allows_up() && self.may_be_plain(written) {
            &*place.folder
        } else {
            written
        };
        let own = self.predefined.as_ref();
        if let Some(config) = own.and_then(|predefined| predefined.config.clone()) {
            return (folder.to_path_buf(), Some(config));
        }
        let config = match labelled.and_then(|labelled| labelled.config.as_deref()) {
            Some(config) => Some((config, written)),
            None => place
                .config
                .as_deref()
                .map(|config| (config, &*self.folder)),
        };
        let config = config.map(|(config, base)| self.below(folder, config, base));
        (folder.to_path_buf(), config)
    }

    /// Returns whether the CLI may get the folder without links in place of `written`. It names the directory in the
    /// container and the compose project after the last part of the path, so that has to be the same, unless the dev
    /// container was known by the path without links, too.
    fn may_be_plain(&self, written: &Path) -> bool {
        let plain = &self.resolved.folder;
        let has_same_name = normal(written).file_name() == plain.file_name();
        normal(written) != *plain && (has_same_name || !self.is_linked())
    }

    /// Returns whether it is known by a path with links.
    pub(super) fn is_linked(&self) -> bool {
        normal(&self.folder) != self.resolved.folder
    }

    /// Returns a configuration that is written below `base` as one below `folder`, with the links in the folder, which the
    /// CLI does not resolve either. Where it is written otherwise, links are resolved.
    fn below(&self, folder: &Path, config: &Path, base: &Path) -> PathBuf {
        let (plain, base) = (normal(config), normal(base));
        if base == normal(folder) && plain.starts_with(&base) {
            return config.to_path_buf();
        }
        let place = &self.resolved;
        let resolved = || {
            let config = place.canonical_config.as_deref()?;
            config.strip_prefix(&place.folder).ok()
        };
        let relative = plain.strip_prefix(&base).ok().or_else(resolved);
        relative.map_or_else(|| config.to_path_buf(), |relative| folder.join(relative))
    }
}
