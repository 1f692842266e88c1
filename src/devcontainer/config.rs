//! `devcontainer.json`: where it is, and what of it counts.
//!
//! It is JSON with comments: <https://containers.dev/implementors/json_reference/>.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;
use uuid::Uuid;

use super::inputs;

/// Where a configuration is looked for, in this order: <https://containers.dev/implementors/spec/>.
const SEARCH_ORDER: [&str; 2] = [".devcontainer/devcontainer.json", ".devcontainer.json"];

/// Fingerprints of contents are UUIDs of version 5 below this one.
const CONTENTS: Uuid = Uuid::from_u128(0x6c1d_22a1_6f0c_4b6e_9d5b_3e0f_0a8f_6d11);

/// The configuration of `folder` when none is named.
pub fn find(folder: &Path) -> Option<PathBuf> {
    let candidates = SEARCH_ORDER.iter().map(|relative| folder.join(relative));
    candidates.into_iter().find(|path| path.is_file())
}

/// A fingerprint of what a configuration says: the same whatever its comments, spacing and key order are. One that
/// is no JSON is taken as it stands.
pub fn fingerprint(content: &[u8]) -> Uuid {
    let parsed: Result<Value, _> = serde_json::from_slice(&strip_comments(content));
    match parsed {
        // serde_json keeps objects sorted by key, so that equal values print alike.
        Ok(value) => Uuid::new_v5(&CONTENTS, value.to_string().as_bytes()),
        Err(_) => fingerprint_bytes(content),
    }
}

/// The service that a dev container is, where its configuration names compose files
/// (<https://containers.dev/implementors/json_reference/#compose-specific>). `None` also where it cannot be read.
pub fn compose_service(config: &Path) -> Option<String> {
    let file = inputs::open(config).ok()?;
    let mut content = Vec::new();
    file.take(inputs::MAX_CONFIG)
        .read_to_end(&mut content)
        .ok()?;
    let config: Value = serde_json::from_slice(&strip_comments(&content)).ok()?;
    config.get("dockerComposeFile")?;
    Some(config.get("service")?.as_str()?.to_owned())
}

/// A fingerprint of content as it stands.
pub fn fingerprint_bytes(content: &[u8]) -> Uuid {
    let raw = Uuid::new_v5(&CONTENTS, b"as it stands");
    Uuid::new_v5(&raw, content)
}

/// What the scanner is in the middle of.
#[derive(Clone, Copy, PartialEq)]
enum Inside {
    Plain,
    Text,
    Line,
    Block,
}

/// JSON with comments to JSON: no byte order mark, no comments, no comma before a closing bracket.
fn strip_comments(content: &[u8]) -> Vec<u8> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut plain = Vec::with_capacity(content.len());
    let mut inside = Inside::Plain;
    // Where in `plain` a comma stands that only space and comments follow.
    let mut comma = None;
    let mut bytes = content.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (inside, byte, bytes.peek()) {
            (Inside::Text, b'\\', _) => {
                plain.push(byte);
                plain.extend(bytes.next());
            }
            (Inside::Text, _, _) => {
                plain.push(byte);
                if byte == b'"' {
                    inside = Inside::Plain;
                }
            }
            (Inside::Line, b'\n' | b'\r', _) => {
                plain.push(byte);
                inside = Inside::Plain;
            }
            (Inside::Block, b'*', Some(b'/')) => {
                bytes.next();
                plain.push(b' ');
                inside = Inside::Plain;
            }
            (Inside::Line | Inside::Block, _, _) => {}
            (Inside::Plain, b'/', Some(b'/')) => inside = Inside::Line,
            (Inside::Plain, b'/', Some(b'*')) => {
                bytes.next();
                inside = Inside::Block;
            }
            (Inside::Plain, _, _) => {
                match byte {
                    b'"' => inside = Inside::Text,
                    b'}' | b']' => {
                        if let Some(superfluous) = comma.and_then(|at: usize| plain.get_mut(at)) {
                            *superfluous = b' ';
                        }
                    }
                    _ => {}
                }
                comma = match byte {
                    b',' => Some(plain.len()),
                    _ if byte.is_ascii_whitespace() => comma,
                    _ => None,
                };
                plain.push(byte);
            }
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn same(a: &str, b: &str) {
        assert_eq!(
            fingerprint(a.as_bytes()),
            fingerprint(b.as_bytes()),
            "{a} and {b}"
        );
    }

    fn different(a: &str, b: &str) {
        assert_ne!(
            fingerprint(a.as_bytes()),
            fingerprint(b.as_bytes()),
            "{a} and {b}"
        );
    }

    #[test]
    fn p5_comments_spacing_key_order_bom_and_trailing_commas_do_not_count() {
        let plain = r#"{"image":"x","mounts":["a","b"]}"#;
        same(
            plain,
            "{ \"mounts\": [\"a\",\n\"b\"],\r\n\"image\" : \"x\" }\n",
        );
        same(
            plain,
            "\u{feff}{\"image\":\"x\",\"mounts\":[\"a\",\"b\",],}",
        );
        same(
            plain,
            "// first\n{/* one */\"image\"/**/:\"x\", // why\r\n\"mounts\":[\"a\",/* , */\"b\", // last\n],\n/* end */}\n// end",
        );
    }

    #[test]
    fn what_the_configuration_says_counts() {
        different(r#"{"image":"x"}"#, r#"{"image":"y"}"#);
        different(r#"{"a":["x","y"]}"#, r#"{"a":["y","x"]}"#);
        different(r#"{"a":1}"#, r#"{"a":"1"}"#);
        different(r#"{"a":"b"}"#, r#"{"a":"b","c":null}"#);
    }

    #[test]
    fn what_looks_like_a_comment_in_a_text_is_text() {
        different(r#"{"a":"http://x"}"#, r#"{"a":"http://y"}"#);
        different(r#"{"a":"/* x */"}"#, r#"{"a":"/* y */"}"#);
        different(r#"{"a":"\"// x"}"#, r#"{"a":"\"// y"}"#);
        different(r#"{"a":"x,]"}"#, r#"{"a":"x]"}"#);
        same(r#"{"a":"\\"/* x */}"#, r#"{"a":"\\"}"#);
    }

    #[test]
    fn what_is_no_json_counts_as_it_stands() {
        different("{", "{ ");
        different("", " ");
        different(r#"{"image": "x", "name": "#, r#"{"image": "x", "name": ""#);
        // A comment does not join what it stands between.
        different("{\"a\":1/**/2}", "{\"a\":12}");
        // Nested deeper than serde_json reads.
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        different(&deep, &format!("{deep} "));
    }

    proptest! {
        #[test]
        fn no_content_panics(content: Vec<u8>) {
            let _ = fingerprint(&content);
        }

        #[test]
        fn p5_plain_json_is_left_as_it_is(text in "[a-z\"\\\\/*, \n]{0,30}", number: i32) {
            let value = serde_json::json!({ "text": text, "list": [number, text], "empty": {} });
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            let read: Value = serde_json::from_slice(&strip_comments(pretty.as_bytes())).unwrap();
            prop_assert_eq!(read, value);
        }
    }
}
