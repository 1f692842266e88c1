//! How services of several files are put together:
//! <https://docs.docker.com/reference/compose-file/merge/>.

use std::path::Path;

use super::node::{Map, Node, Tag};
use crate::model::location::normal;

pub(super) const BUILD: &str = "build";
pub(super) const CONTEXT: &str = "context";
pub(super) const ENV_FILE: &str = "env_file";
pub(super) const LABEL_FILE: &str = "label_file";
pub(super) const PATH: &str = "path";
pub(super) const ARGS: &str = "args";
pub(super) const ADDITIONAL_CONTEXTS: &str = "additional_contexts";
pub(super) const DEPENDS_ON: &str = "depends_on";
pub(super) const LINKS: &str = "links";
pub(super) const VOLUMES_FROM: &str = "volumes_from";
pub(super) const PROFILES: &str = "profiles";
/// The parts that may be the namespace of another service.
pub(super) const NAMESPACES: [&str; 3] = ["network_mode", "ipc", "pid"];

/// Adds the services of `over` to those of `base`, before which they come.
pub(super) fn merge_services(base: &mut Map, over: Map) {
    for (name, service) in over {
        let before = base.remove(&name);
        let merged = match service {
            Node::Tagged(Tag::Reset, _) => continue,
            Node::Tagged(Tag::Override, service) => merge_service(None, *service),
            service => merge_service(before, service),
        };
        base.insert(name, merged);
    }
}

/// Removes from `base` what tags of `over` reset or override.
pub(super) fn apply_tags(base: &mut Map, over: &Map) {
    for (key, node) in over {
        match (node, base.get_mut(key)) {
            (Node::Tagged(..), _) => {
                base.remove(key);
            }
            (Node::Map(over), Some(Node::Map(base))) => apply_tags(base, over),
            _ => {}
        }
    }
}

/// Puts two services together.
pub(super) fn merge_service(base: Option<Node>, over: Node) -> Node {
    let mut merged = match base {
        Some(Node::Map(map)) => map,
        _ => Map::new(),
    };
    let Node::Map(over) = over else {
        return Node::Map(merged);
    };
    merge_map(&mut merged, over, &|key, before, after| match key {
        BUILD => merge_build(before, after),
        ENV_FILE | LABEL_FILE => {
            let mut files = before.map(into_items).unwrap_or_default();
            files.extend(into_items(after));
            Node::List(files)
        }
        DEPENDS_ON | LINKS | VOLUMES_FROM | PROFILES => {
            let mut names = before.map(into_names).unwrap_or_default();
            names.extend(into_names(after));
            Node::List(names)
        }
        _ => after,
    });
    Node::Map(merged)
}

/// Adds the values of `over` to `base` as their tags say, and those without one with `merge`.
fn merge_map(base: &mut Map, over: Map, merge: &dyn Fn(&str, Option<Node>, Node) -> Node) {
    for (key, after) in over {
        let before = base.remove(&key);
        let merged = match after {
            Node::Tagged(Tag::Reset, _) => continue,
            Node::Tagged(Tag::Override, after) => Some(merge(&key, None, *after)),
            Node::Null => before,
            after => Some(merge(&key, before, after)),
        };
        if let Some(merged) = merged {
            base.insert(key, merged);
        }
    }
}

fn merge_build(base: Option<Node>, over: Node) -> Node {
    let mut merged = base.map(into_build).unwrap_or_default();
    merge_map(&mut merged, into_build(over), &|key, before, after| {
        if key != ARGS && key != ADDITIONAL_CONTEXTS {
            return after;
        }
        let mut args = before.map(into_args).unwrap_or_default();
        args.extend(into_args(after));
        Node::Map(args)
    });
    Node::Map(merged)
}

/// A `build` as a mapping: a text is its context.
fn into_build(build: Node) -> Map {
    match build {
        Node::Map(map) => map,
        Node::Text(context) | Node::Typed(context) => {
            Map::from([(CONTEXT.to_owned(), Node::Text(context))])
        }
        _ => Map::new(),
    }
}

/// Build arguments or named contexts as a mapping: they may be a list of `NAME=value` and `NAME`.
fn into_args(args: Node) -> Map {
    match args {
        Node::Map(map) => map,
        list => {
            let pairs =
                list.items()
                    .iter()
                    .filter_map(Node::text)
                    .map(|pair| match pair.split_once('=') {
                        Some((name, value)) => (name.to_owned(), Node::Text(value.to_owned())),
                        None => (pair.to_owned(), Node::Null),
                    });
            pairs.collect()
        }
    }
}

/// The names in a list, or those that a mapping has values for.
fn into_names(node: Node) -> Vec<Node> {
    match node {
        Node::Map(map) => map.into_keys().map(Node::Text).collect(),
        other => into_items(other),
    }
}

fn into_items(node: Node) -> Vec<Node> {
    match node {
        Node::List(items) => items,
        one => one.items().to_vec(),
    }
}

/// Makes the paths of a service absolute: they are relative to `directory`.
pub(super) fn resolve_paths(service: &mut Map, directory: &Path, home: &Path) {
    let resolve = |path: &mut String| *path = absolute(path, directory, home);
    let context = |node: &mut Node| match untagged(node) {
        Node::Text(context) if !is_remote(context) => resolve(context),
        _ => {}
    };
    match service.get_mut(BUILD).map(untagged) {
        Some(Node::Map(build)) => {
            build.get_mut(CONTEXT).into_iter().for_each(&context);
            if let Some(contexts) = build.get_mut(ADDITIONAL_CONTEXTS).map(untagged) {
                let mut named = into_args(std::mem::replace(contexts, Node::Null));
                named.values_mut().for_each(&context);
                *contexts = Node::Map(named);
            }
        }
        Some(build) => context(build),
        None => {}
    }
    let file = |node: &mut Node| match node {
        Node::Text(path) => resolve(path),
        Node::Map(file) => {
            if let Some(Node::Text(path)) = file.get_mut(PATH) {
                resolve(path);
            }
        }
        _ => {}
    };
    for key in [ENV_FILE, LABEL_FILE] {
        match service.get_mut(key).map(untagged) {
            Some(Node::List(files)) => files.iter_mut().for_each(file),
            Some(one) => file(one),
            None => {}
        }
    }
}

fn untagged(node: &mut Node) -> &mut Node {
    match node {
        Node::Tagged(_, inner) => inner,
        node => node,
    }
}

/// A path as compose finds it.
pub(super) fn absolute(path: &str, directory: &Path, home: &Path) -> String {
    let path = match path.strip_prefix('~') {
        Some(below) => home.join(below.trim_start_matches('/')),
        None => directory.join(path),
    };
    normal(&path).display().to_string()
}

/// Returns whether compose takes this for something that is not on this machine.
pub(super) fn is_remote(path: &str) -> bool {
    path.contains("://")
        || ["git@", "github.com/", "service:"]
            .iter()
            .any(|begin| path.starts_with(begin))
}
