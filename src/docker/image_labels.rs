//! The labels of the images of dev containers, which listings need to tell a container's own labels from those of its
//! image (P23).

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::client::Client;
use super::command::{Runner, plain_id};
use super::error::Error;
use super::inspect::info::Read;
use super::inspect::own_labels::ImageLabels;
use super::inspector::BATCH;

/// The labels of images that containers have. The labels of an image never change, so each is inspected once.
#[derive(Default)]
pub(super) struct KnownImages {
    /// By image id; `None` for an image that is gone.
    labels: HashMap<String, Option<ImageLabels>>,
}

impl KnownImages {
    /// Finds which labels of these containers count for nothing. Inspects images that are not known yet, until
    /// `deadline`. Where docker does not answer for one, the labels are believed, with a warning.
    pub(super) fn judge<'a>(
        &mut self,
        docker: Runner<'_>,
        read: impl Iterator<Item = &'a mut Read>,
        deadline: Instant,
    ) {
        let read: Vec<&mut Read> = read.filter(|read| read.image.is_some()).collect();
        let failure = self.learn(docker, &read, deadline).err();
        for read in read {
            let image = read.image.as_ref().and_then(|id| self.labels.get(id));
            let Some(info) = &mut read.info else { continue };
            match image {
                Some(image) => {
                    let foreign = ImageLabels::foreign(image.as_ref(), |key| info.labels.get(key));
                    info.foreign_labels = foreign.into();
                }
                None => {
                    let why = failure.as_ref().map(Error::to_string).unwrap_or_default();
                    read.is_doubtful = true;
                    read.warnings.push(format!(
                        "the image of container {} cannot be inspected, so its labels are taken to be its own: {why}",
                        info.name
                    ));
                }
            }
        }
    }

    fn learn(
        &mut self,
        docker: Runner<'_>,
        read: &[&mut Read],
        deadline: Instant,
    ) -> Result<(), Error> {
        let images = read.iter().filter_map(|read| read.image.as_ref());
        let new: BTreeSet<&String> = images.filter(|id| !self.labels.contains_key(*id)).collect();
        let new: Vec<String> = new.into_iter().cloned().collect();
        let client = Client {
            program: docker.program,
            deadline,
            abort: docker.abort.first().copied(),
            operation: None,
            thorough: false,
            socket: None,
        };
        for ids in new.chunks(BATCH) {
            let mut found: Vec<(String, ImageLabels)> = client.inspect_images(ids)?;
            for id in ids {
                let position = found
                    .iter()
                    .position(|(one, _)| plain_id(one) == plain_id(id));
                let labels = position.map(|at| found.swap_remove(at).1);
                self.labels.insert(id.clone(), labels);
            }
        }
        Ok(())
    }

    /// Forgets the images that no container has any more.
    pub(super) fn retain(&mut self, is_used: impl Fn(&str) -> bool) {
        self.labels.retain(|id, _| is_used(id));
    }
}
