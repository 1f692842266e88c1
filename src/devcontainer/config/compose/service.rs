//! Services, and which of them a dev container uses.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Project;
use super::build::Build;
use super::merge::{
    self, ADDITIONAL_CONTEXTS, BUILD, DEPENDS_ON, LINKS, NAMESPACES, PROFILES, VOLUMES_FROM,
};
use super::node::Node;
use crate::model::compose::ComposeSetup;

/// A service.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Service {
    /// How its image is built, where it is.
    pub build: Option<Build>,
    /// The files of variables and of labels of its container.
    pub env_files: Vec<EnvFile>,
    /// The services that are built or started with it.
    needs: BTreeSet<String>,
    /// The profiles one of which starts it; it is always started where it has none.
    profiles: Vec<String>,
}

/// A file of variables or labels of a container.
#[derive(Debug, PartialEq, Eq)]
pub struct EnvFile {
    /// Its path.
    pub path: PathBuf,
    /// True if compose refuses a project without it.
    pub is_required: bool,
    /// True if values are all bytes of a line, also quotes and what looks like a comment.
    pub is_raw: bool,
}

impl Service {
    pub(super) fn of(service: &Node) -> Self {
        let part = |key: &str| service.map().and_then(|service| service.get(key));
        let files = |key: &str| part(key).map_or(&[][..], Node::items);
        let env_files = files(merge::ENV_FILE)
            .iter()
            .chain(files(merge::LABEL_FILE));
        let env_file = |file: &Node| {
            let part = |key: &str| file.map().and_then(|file| file.get(key));
            let path = part(merge::PATH).unwrap_or(file).text()?;
            Some(EnvFile {
                path: path.into(),
                is_required: part("required").and_then(Node::text) != Some("false"),
                is_raw: part("format").and_then(Node::text) == Some("raw"),
            })
        };
        Self {
            build: part(merge::BUILD).and_then(Build::of),
            env_files: env_files.filter_map(env_file).collect(),
            needs: needs(&part),
            profiles: texts(part(PROFILES)).map(str::to_owned).collect(),
        }
    }
}

/// The services that a service with these parts needs.
fn needs<'a>(part: &impl Fn(&str) -> Option<&'a Node>) -> BTreeSet<String> {
    let before_colon = |text: &'a str| text.split(':').next().unwrap_or_default();
    let linked = [LINKS, VOLUMES_FROM]
        .into_iter()
        .flat_map(|key| texts(part(key)));
    let contexts = part(BUILD)
        .and_then(Node::map)
        .and_then(|build| build.get(ADDITIONAL_CONTEXTS));
    let contexts = contexts.and_then(Node::map).into_iter().flatten();
    let of_service = NAMESPACES
        .into_iter()
        .filter_map(|key| part(key)?.text())
        .chain(contexts.filter_map(|(_, context)| context.text()));
    texts(part(DEPENDS_ON))
        .chain(linked.map(before_colon))
        .chain(of_service.filter_map(|text| text.strip_prefix("service:")))
        .map(str::to_owned)
        .collect()
}

fn texts(node: Option<&Node>) -> impl Iterator<Item = &str> {
    node.map_or(&[][..], Node::items)
        .iter()
        .filter_map(Node::text)
}

impl Project {
    /// Returns the names of the services that are built and started with a dev container of this setup: those that it
    /// names, or else all without a profile or with an active one, and those that these need.
    pub fn used(&self, setup: &ComposeSetup) -> BTreeSet<String> {
        let is_active = |profile: &String| self.profiles.contains(profile);
        let is_all = self.profiles.iter().any(|profile| profile == "*");
        let is_started = |service: &Service| {
            is_all || service.profiles.is_empty() || service.profiles.iter().any(is_active)
        };
        let named = setup.service.iter().chain(&setup.run_services);
        let mut left: Vec<String> = named.map(|name| name.to_string()).collect();
        if setup.run_services.is_empty() {
            let started = self
                .services
                .iter()
                .filter(|(_, service)| is_started(service));
            left.extend(started.map(|(name, _)| name.clone()));
        }
        let mut used = BTreeSet::new();
        while let Some(name) = left.pop() {
            if let Some(service) = self.services.get(&name)
                && used.insert(name)
            {
                left.extend(service.needs.iter().cloned());
            }
        }
        used
    }
}
