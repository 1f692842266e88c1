//! The nodes of a document.

use std::collections::BTreeMap;

/// How many bytes of text count as one node.
const TEXT_OF_NODE: usize = 32;

/// A node of a document, with aliases and merge keys replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Null,
    /// A number or a boolean, as compose prints it.
    Typed(String),
    Text(String),
    List(Vec<Node>),
    Map(Map),
    Tagged(Tag, Box<Node>),
}

pub(super) type Map = BTreeMap<String, Node>;

/// A tag that says how a node is merged with that of an earlier file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tag {
    /// It removes the other one.
    Reset,
    /// It replaces the other one.
    Override,
}

impl Node {
    /// The text of a scalar.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Typed(text) | Self::Text(text) => Some(text),
            Self::Tagged(Tag::Override, inner) => inner.text(),
            _ => None,
        }
    }

    pub(super) fn map(&self) -> Option<&Map> {
        match self {
            Self::Map(map) => Some(map),
            Self::Tagged(Tag::Override, inner) => inner.map(),
            _ => None,
        }
    }

    /// The items of a list, or a single node that stands for a list of one.
    pub(super) fn items(&self) -> &[Node] {
        match self {
            Self::Null | Self::Tagged(Tag::Reset, _) => &[],
            Self::List(items) => items,
            Self::Tagged(Tag::Override, inner) => inner.items(),
            one => std::slice::from_ref(one),
        }
    }

    /// Its size: how many nodes it consists of, and one more for each [`TEXT_OF_NODE`] bytes of text.
    pub(super) fn size(&self) -> usize {
        1 + match self {
            Self::Null => 0,
            Self::Typed(text) | Self::Text(text) => size_of_text(text),
            Self::List(items) => items.iter().map(Self::size).sum(),
            Self::Map(map) => {
                let sizes = map
                    .iter()
                    .map(|(key, value)| size_of_text(key) + value.size());
                sizes.sum()
            }
            Self::Tagged(_, inner) => inner.size(),
        }
    }

    /// How many collections are nested in it, with itself.
    pub(super) fn depth(&self) -> usize {
        match self {
            Self::Null | Self::Typed(_) | Self::Text(_) => 0,
            Self::List(items) => 1 + items.iter().map(Self::depth).max().unwrap_or(0),
            Self::Map(map) => 1 + map.values().map(Self::depth).max().unwrap_or(0),
            Self::Tagged(_, inner) => inner.depth(),
        }
    }
}

fn size_of_text(text: &str) -> usize {
    text.len() / TEXT_OF_NODE
}
