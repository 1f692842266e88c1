//! YAML as compose reads it, in bounded time and memory.

use std::collections::HashMap;
use std::fmt;

use saphyr_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag as YamlTag};

use super::node::{Map, Node, Tag};
use super::scalar::{scalar, tag_of, tagged};

/// How deeply collections may be nested.
const MAX_DEPTH: usize = 64;
/// The size of a file ([`Node::size`]) where its aliases are replaced by what they stand for.
const MAX_SIZE: usize = 100_000;

/// The key that stands for the keys of other mappings.
const MERGE_KEY: &str = "<<";

/// The reason why a file is not understood.
#[derive(Debug)]
pub(super) enum YamlError {
    Invalid(ScanError),
    DuplicateKey(String),
    /// A key is a collection.
    OddKey,
    /// An alias stands in what it names, or names nothing.
    OddAlias,
    /// The value of a merge key is not a mapping.
    OddMerge,
    TooDeep,
    TooLarge,
}

impl fmt::Display for YamlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid(error) => write!(f, "it is not valid YAML: {error}"),
            Self::DuplicateKey(key) => write!(f, "it has the key `{key}` twice in one mapping"),
            Self::OddKey => f.write_str("it has a key that is a list or a mapping"),
            Self::OddAlias => f.write_str("it has an alias that stands in what it names"),
            Self::OddMerge => f.write_str("the value of its `<<` is not a mapping"),
            Self::TooDeep => write!(f, "it is nested more than {MAX_DEPTH} deep"),
            Self::TooLarge => write!(
                f,
                "it is too large where its aliases are replaced by what they stand for"
            ),
        }
    }
}

/// Reads all documents of a file. An empty one is left out.
pub(super) fn documents(text: &str) -> Result<Vec<Node>, YamlError> {
    let mut builder = Builder::default();
    for event in Parser::new_from_str(text) {
        let (event, _): (Event<'_>, Span) = event.map_err(YamlError::Invalid)?;
        builder.take(event)?;
    }
    Ok(builder.documents)
}

/// Builds nodes of events. Nothing is recursive, so that the stack does not depend on the file.
#[derive(Default)]
struct Builder {
    documents: Vec<Node>,
    open: Vec<Open>,
    anchors: HashMap<usize, Node>,
    size: usize,
}

/// A collection whose end has not come.
struct Open {
    anchor: usize,
    tag: Option<Tag>,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Map {
        own: Map,
        /// The mappings of merge keys.
        merged: Vec<Map>,
        /// The key whose value comes next.
        key: Option<Key>,
    },
}

enum Key {
    Merge,
    Named(String),
}

impl Builder {
    fn take(&mut self, event: Event<'_>) -> Result<(), YamlError> {
        match event {
            Event::DocumentStart(_) => self.anchors.clear(),
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).ok_or(YamlError::OddAlias)?;
                let (size, depth) = (node.size(), node.depth());
                self.count(size)?;
                if self.open.len() + depth > MAX_DEPTH {
                    return Err(YamlError::TooDeep);
                }
                let copy = self.anchors.get(&anchor).cloned();
                self.add(copy.unwrap_or(Node::Null), false)?;
            }
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain;
                let node = scalar(&text, is_plain, tag.as_deref());
                self.count(node.size())?;
                self.note(anchor, &node)?;
                self.add(node, is_plain)?;
            }
            Event::SequenceStart(anchor, tag) => {
                self.open(anchor, tag.as_deref(), Content::List(Vec::new()))?;
            }
            Event::MappingStart(anchor, tag) => {
                let content = Content::Map {
                    own: Map::new(),
                    merged: Vec::new(),
                    key: None,
                };
                self.open(anchor, tag.as_deref(), content)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.close()?,
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
        }
        Ok(())
    }

    fn count(&mut self, size: usize) -> Result<(), YamlError> {
        self.size = self.size.saturating_add(size);
        if self.size > MAX_SIZE {
            return Err(YamlError::TooLarge);
        }
        Ok(())
    }

    fn open(
        &mut self,
        anchor: usize,
        tag: Option<&YamlTag>,
        content: Content,
    ) -> Result<(), YamlError> {
        self.count(1)?;
        if self.open.len() >= MAX_DEPTH {
            return Err(YamlError::TooDeep);
        }
        let tag = tag.and_then(tag_of);
        self.open.push(Open {
            anchor,
            tag,
            content,
        });
        Ok(())
    }

    fn close(&mut self) -> Result<(), YamlError> {
        let Some(open) = self.open.pop() else {
            return Ok(());
        };
        let node = match open.content {
            Content::List(items) => Node::List(items),
            Content::Map { own, merged, .. } => Node::Map(merge_keys(own, merged)),
        };
        let node = tagged(open.tag, node);
        self.note(open.anchor, &node)?;
        self.add(node, false)
    }

    /// Remembers what an anchor names; 0 is none.
    fn note(&mut self, anchor: usize, node: &Node) -> Result<(), YamlError> {
        if anchor != 0 {
            // A copy, as at an alias.
            self.count(node.size())?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(())
    }

    fn add(&mut self, node: Node, is_plain: bool) -> Result<(), YamlError> {
        match self.open.last_mut().map(|open| &mut open.content) {
            None if node == Node::Null => {}
            None => self.documents.push(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { own, merged, key }) => match key.take() {
                None => *key = Some(key_of(&node, is_plain)?),
                Some(Key::Merge) => add_merged(merged, node)?,
                Some(Key::Named(name)) => {
                    if own.contains_key(&name) {
                        return Err(YamlError::DuplicateKey(name));
                    }
                    own.insert(name, node);
                }
            },
        }
        Ok(())
    }
}

fn key_of(node: &Node, is_plain: bool) -> Result<Key, YamlError> {
    match node {
        Node::Text(text) if text == MERGE_KEY && is_plain => Ok(Key::Merge),
        Node::Text(text) | Node::Typed(text) => Ok(Key::Named(text.clone())),
        Node::Null => Ok(Key::Named(String::new())),
        _ => Err(YamlError::OddKey),
    }
}

fn add_merged(merged: &mut Vec<Map>, node: Node) -> Result<(), YamlError> {
    let nodes = match node {
        Node::List(nodes) => nodes,
        one => vec![one],
    };
    for node in nodes {
        match node {
            Node::Map(map) => merged.push(map),
            _ => return Err(YamlError::OddMerge),
        }
    }
    Ok(())
}

/// A mapping's own keys come before those of merge keys, and of these the first.
fn merge_keys(mut own: Map, merged: Vec<Map>) -> Map {
    for (key, value) in merged.into_iter().flatten() {
        own.entry(key).or_insert(value);
    }
    own
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    /// A short form of nodes: numbers and booleans after `#`.
    fn shown(node: &Node) -> String {
        match node {
            Node::Null => "null".to_owned(),
            Node::Typed(text) => format!("#{text}"),
            Node::Text(text) => text.clone(),
            Node::List(items) => {
                let items: Vec<String> = items.iter().map(shown).collect();
                format!("[{}]", items.join(","))
            }
            Node::Map(map) => {
                let pairs = map
                    .iter()
                    .map(|(key, value)| format!("{key}:{}", shown(value)));
                format!("{{{}}}", pairs.collect::<Vec<_>>().join(","))
            }
            Node::Tagged(tag, inner) => format!("!{tag:?} {}", shown(inner)),
        }
    }

    #[track_caller]
    pub(in super::super) fn check(text: &str, expected: &[&str]) {
        let found: Vec<String> = documents(text).unwrap().iter().map(shown).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn merge_keys_give_way_to_own_keys_and_earlier_ones() {
        check(
            "{x: &x {a: 1, b: 1, c: 1}, y: &y {a: 2, d: 2}, z: {b: 3, <<: [*y, *x]}}",
            &["{x:{a:#1,b:#1,c:#1},y:{a:#2,d:#2},z:{a:#2,b:#3,c:#1,d:#2}}"],
        );
        check("{'<<': {a: 1}}", &["{<<:{a:#1}}"]);
    }

    #[test]
    fn what_compose_refuses_is_an_error() {
        for (text, expected) in [
            ("a: 1\na: 2", "the key `a` twice"),
            ("{[a]: b}", "a list or a mapping"),
            ("a: &a [*a]", "an alias"),
            ("<<: a", "not a mapping"),
            ("a: *b", "not valid YAML"),
            ("a: [", "not valid YAML"),
            (&"[".repeat(MAX_DEPTH + 1), "nested"),
        ] {
            let error = match documents(text) {
                Err(error) => error.to_string(),
                Ok(found) => panic!("{text}: {found:?}"),
            };
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn p19_aliases_do_not_multiply_nodes_text_or_depth() {
        let mut wide = "a0: &a0 [x, x]\n".to_owned();
        let mut deep = "a0: &a0 [x]\n".to_owned();
        for level in 1..60 {
            let below = level - 1;
            wide += &format!("a{level}: &a{level} [*a{below}, *a{below}]\n");
            deep += &format!("a{level}: &a{level} [[*a{below}]]\n");
        }
        let long = format!(
            "a: &a {}\nb: [{}]",
            "x".repeat(100_000),
            "*a, ".repeat(30_000)
        );
        let begun = Instant::now();
        for text in [&wide, &long] {
            let error = documents(text).unwrap_err();
            assert!(matches!(error, YamlError::TooLarge), "{error}");
        }
        let error = documents(&deep).unwrap_err();
        assert!(matches!(error, YamlError::TooDeep), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }

    const PIECES: [&str; 40] = [
        "a",
        "b: ",
        "- ",
        "?",
        ":",
        ": ",
        "{",
        "}",
        "[",
        "]",
        ",",
        " ",
        "\n",
        "\n  ",
        "\n    ",
        "\t",
        "'",
        "\"",
        "|\n",
        ">-\n",
        "&a ",
        "*a ",
        "!t ",
        "!!str ",
        "!reset ",
        "---\n",
        "...\n",
        "%YAML 1.2\n",
        "#",
        "\r\n",
        "\u{feff}",
        "\\",
        "\\x41",
        "é",
        "<<: ",
        "<<: *a\n",
        "1.5",
        "0x",
        "~",
        "services:\n  a:\n    build: .\n",
    ];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3000))]

        #[test]
        fn p19_no_text_panics_or_takes_long(picks in proptest::collection::vec(0..PIECES.len(), 0..60)) {
            let text: String = picks.iter().map(|pick| PIECES[*pick]).collect();
            let begun = Instant::now();
            let _ = documents(&text);
            prop_assert!(begun.elapsed() < Duration::from_secs(2), "{text:?}");
        }
    }
}
