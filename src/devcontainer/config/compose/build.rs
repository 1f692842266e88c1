//! The `build` section of a service: <https://docs.docker.com/reference/compose-file/build/>.

use std::path::{Path, PathBuf};

use super::interpolation::Lookup;
use super::merge::{ADDITIONAL_CONTEXTS, ARGS, BUILD, CONTEXT, is_remote};
use super::node::{Map, Node};
pub use crate::model::build::{Build, Dockerfile};
use crate::model::location::normal;

const DEFAULT_DOCKERFILE: &str = "Dockerfile";

impl Build {
    /// The build that a complete `build` section describes.
    pub(super) fn of(section: &Node) -> Option<Self> {
        let section = section.map()?;
        let text = |key: &str| section.get(key).and_then(Node::text);
        let context = text(CONTEXT).unwrap_or_default();
        let context = (!is_remote(context)).then(|| normal(Path::new(context)));
        let dockerfile = match (text("dockerfile_inline"), &context) {
            (Some(inline), _) => Dockerfile::Inline(inline.to_owned()),
            (None, None) => Dockerfile::Remote,
            (None, Some(context)) => {
                let path = text("dockerfile").unwrap_or(DEFAULT_DOCKERFILE);
                Dockerfile::File(normal(&context.join(path)))
            }
        };
        let ignore_file = match &dockerfile {
            Dockerfile::File(path) => {
                let mut path = path.clone().into_os_string();
                path.push(".dockerignore");
                Some(path.into())
            }
            Dockerfile::Inline(_) | Dockerfile::Remote => None,
        };
        let args = section.get(ARGS).and_then(Node::map);
        let args = args.into_iter().flatten().filter_map(|(name, value)| {
            let value = value.text()?.to_owned();
            Some((name.clone(), value))
        });
        let contexts = section.get(ADDITIONAL_CONTEXTS).and_then(Node::map);
        let contexts = contexts.into_iter().flatten().filter_map(|(name, path)| {
            let path = path.text().filter(|path| !is_remote(path))?;
            Some((name.to_ascii_lowercase(), PathBuf::from(path)))
        });
        Some(Self {
            contexts: contexts.collect(),
            context,
            target: text("target").map(str::to_owned),
            args: args.collect(),
            ignore_file,
            ..Self::new(dockerfile)
        })
    }
}

/// Gives the build of a service the default context, which is the directory of its project, and arguments without a
/// value that of the variable with their name.
pub(super) fn complete(service: &mut Node, directory: &Path, variables: Lookup<'_>) {
    let Node::Map(service) = service else { return };
    let Some(Node::Map(build)) = service.get_mut(BUILD) else {
        return;
    };
    let default = || Node::Text(directory.display().to_string());
    build.entry(CONTEXT.to_owned()).or_insert_with(default);
    let args: Option<&mut Map> = match build.get_mut(ARGS) {
        Some(Node::Map(args)) => Some(args),
        _ => None,
    };
    for (name, value) in args.into_iter().flatten() {
        if *value == Node::Null
            && let Some(known) = variables(name)
        {
            *value = Node::Text(known);
        }
    }
}
