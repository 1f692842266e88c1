//! The rule for labels that a container has from its image alone: they count for nothing (P18, P23).
//!
//! A container has all labels of its image, and `docker commit` copies those of a container into an image. One that the
//! image has with the same value does not show that anybody gave it to the container.

use std::collections::BTreeMap;

use super::{Image, Inspected};
use crate::docker::command::plain_id;
use crate::model::labels::{
    LABEL_COMPOSE_DEPENDS_ON, LABEL_COMPOSE_HASH, LABEL_COMPOSE_NUMBER, LABEL_COMPOSE_PROJECT,
    LABEL_COMPOSE_SERVICE, LABEL_COMPOSE_WORKING_DIR, LABEL_CONFIG, LABEL_FOLDER, LABEL_OPERATION,
    LABEL_TEST_RUN,
};

/// Labels that compose gives to containers. Images that it builds have the first two.
const OF_COMPOSE: [&str; 4] = [
    LABEL_COMPOSE_PROJECT,
    LABEL_COMPOSE_SERVICE,
    LABEL_COMPOSE_NUMBER,
    LABEL_COMPOSE_HASH,
];
/// Labels that the CLI and the daemon give to a dev container.
const OF_DEVCONTAINER: [&str; 3] = [LABEL_FOLDER, LABEL_CONFIG, LABEL_OPERATION];
/// Labels that each stand for themselves.
const SINGLE: [&str; 4] = [
    LABEL_COMPOSE_WORKING_DIR,
    LABEL_COMPOSE_DEPENDS_ON,
    LABEL_OPERATION,
    LABEL_TEST_RUN,
];

/// The labels of an image that a container may have from there.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::docker) struct ImageLabels(BTreeMap<&'static str, String>);

impl From<Image> for ImageLabels {
    fn from(image: Image) -> Self {
        let mut labels = image.config.labels;
        let judged = OF_COMPOSE.into_iter().chain(OF_DEVCONTAINER).chain(SINGLE);
        Self(
            judged
                .filter_map(|key| Some((key, labels.remove(key)?)))
                .collect(),
        )
    }
}

impl ImageLabels {
    /// Returns those of a container's labels that count for nothing. `image` are the labels of its image. An image that
    /// is gone proves nothing about a dev container.
    pub(in crate::docker) fn foreign<'a>(
        image: Option<&Self>,
        label: impl Fn(&str) -> Option<&'a str>,
    ) -> Vec<&'static str> {
        let is_own = |key: &&'static str| {
            let own = label(key);
            own.is_some() && image.is_some_and(|Self(all)| all.get(key).map(String::as_str) != own)
        };
        let mut foreign = Vec::new();
        if !OF_COMPOSE.iter().any(is_own) {
            foreign.push(LABEL_COMPOSE_PROJECT);
        }
        foreign.extend(
            [LABEL_COMPOSE_WORKING_DIR, LABEL_COMPOSE_DEPENDS_ON]
                .iter()
                .filter(|key| !is_own(key)),
        );
        if image.is_some() {
            if !OF_DEVCONTAINER.iter().any(is_own) {
                foreign.extend([LABEL_FOLDER, LABEL_CONFIG]);
            }
            foreign.extend(
                [LABEL_OPERATION, LABEL_TEST_RUN]
                    .iter()
                    .filter(|key| !is_own(key)),
            );
        }
        foreign.retain(|key| label(key).is_some());
        foreign
    }
}

impl Inspected {
    /// Returns the id of its image, if it has labels by which it is a dev container or was made by an operation.
    pub(super) fn image_of_devcontainer(&self) -> Option<&str> {
        self.image_if_any(&OF_DEVCONTAINER)
    }

    /// Returns the id of its image, if it has labels that may come from there.
    pub(in crate::docker) fn image_to_compare(&self) -> Option<&str> {
        self.image_of_devcontainer()
            .or_else(|| self.image_if_any(&[LABEL_COMPOSE_PROJECT]))
    }

    fn image_if_any(&self, keys: &[&str]) -> Option<&str> {
        let is_labelled = keys.iter().any(|key| self.config.labels.contains_key(*key));
        (is_labelled && !self.image.is_empty()).then_some(&*self.image)
    }

    /// Forgets the labels that count for nothing.
    pub(in crate::docker) fn forget_labels_of_image(&mut self, images: &[(String, ImageLabels)]) {
        let is_its = |(id, _): &&(String, ImageLabels)| plain_id(id) == plain_id(&self.image);
        let image = images.iter().find(is_its).map(|(_, labels)| labels);
        let labels = &self.config.labels;
        let foreign = ImageLabels::foreign(image, |key| labels.get(key).map(String::as_str));
        self.config
            .labels
            .retain(|key, _| !foreign.contains(&key.as_str()));
    }
}
