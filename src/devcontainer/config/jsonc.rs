//! `devcontainer.json`: where it is, and what of it counts.
//!
//! It is JSON with comments: <https://containers.dev/implementors/json_reference/>.

use std::path::{Path, PathBuf};

use serde_json::{Number, Value};
use uuid::Uuid;

use super::file::read_config;
use crate::devcontainer::fingerprint::fingerprint_of_meaning;

/// Where a configuration is looked for, in this order: <https://containers.dev/implementors/spec/>.
const SEARCH_ORDER: [&str; 2] = [".devcontainer/devcontainer.json", ".devcontainer.json"];

/// What editors complete by. The CLI reads it no more than a comment; every other property goes into the container,
/// its labels, or what an editor shows of it.
const SCHEMA: &str = "$schema";

/// The configuration of `folder` when none is named.
pub fn find(folder: &Path) -> Option<PathBuf> {
    candidates(folder).find(|path| path.is_file())
}

/// Where it may be, the first place first.
pub fn candidates(folder: &Path) -> impl Iterator<Item = PathBuf> {
    SEARCH_ORDER.iter().map(|relative| folder.join(relative))
}

/// What a configuration says. `None`: it is no JSON, even with comments, or too deeply nested.
pub fn parse(content: &[u8]) -> Option<Value> {
    serde_json::from_slice(&strip_comments(content)).ok()
}

/// A fingerprint of what a configuration says: the same whatever its comments, spacing and key order are.
pub fn fingerprint(config: &Value) -> Uuid {
    let mut said = config.clone();
    if let Some(object) = said.as_object_mut() {
        object.remove(SCHEMA);
    }
    write_numbers_alike(&mut said);
    // serde_json keeps objects sorted by key, so that equal values print alike.
    fingerprint_of_meaning(&said.to_string())
}

/// To the CLI, as to JavaScript, `3000`, `3000.0` and `3e3` are one number.
fn write_numbers_alike(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let whole = number
                .as_f64()
                .filter(|n| n.fract() == 0.0 && n.abs() < 9e15);
            if let (true, Some(whole)) = (number.is_f64(), whole) {
                *number = Number::from(whole as i64);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(write_numbers_alike),
        Value::Object(object) => object.values_mut().for_each(write_numbers_alike),
        _ => {}
    }
}

/// The service that a dev container is, where its configuration names compose files
/// (<https://containers.dev/implementors/json_reference/#compose-specific>). `None` also where it cannot be read.
pub fn compose_service(config: &Path) -> Option<String> {
    let (content, _) = read_config(config).ok()?;
    let config = parse(&content?)?;
    config.get("dockerComposeFile")?;
    Some(config.get("service")?.as_str()?.to_owned())
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
            // The CLI takes them for what they are; JSON wants them written in another way.
            (Inside::Text, b'\t', _) => plain.extend(b"\\t"),
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

    fn fingerprint_of(text: &str) -> Option<Uuid> {
        parse(text.as_bytes()).map(|config| fingerprint(&config))
    }

    #[track_caller]
    fn same(a: &str, b: &str) {
        assert!(fingerprint_of(a).is_some(), "{a}");
        assert_eq!(fingerprint_of(a), fingerprint_of(b), "{a} and {b}");
    }

    #[track_caller]
    fn different(a: &str, b: &str) {
        assert!(fingerprint_of(a).is_some(), "{a}");
        assert_ne!(fingerprint_of(a), fingerprint_of(b), "{a} and {b}");
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
    fn p5_a_number_is_the_same_however_it_is_written() {
        same(r#"{"a":[3000, -1, 0.5]}"#, r#"{"a":[3e3, -1.0, 5e-1]}"#);
        different(r#"{"a":3000}"#, r#"{"a":3001}"#);
        different(r#"{"a":1e300}"#, r#"{"a":1e301}"#);
    }

    #[test]
    fn a_tab_in_a_text_is_a_tab() {
        same("{\"a\":\"b\tc\"}", r#"{"a":"b\tc"}"#);
    }

    #[test]
    fn p5_the_schema_is_for_editors_and_does_not_count() {
        same(r#"{"image":"x","$schema":"y"}"#, r#"{"image":"x"}"#);
        different(r#"{"a":{"$schema":"y"}}"#, r#"{"a":{}}"#);
    }

    #[test]
    fn what_is_no_json_says_nothing() {
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        // A comment does not join what it stands between.
        for text in [
            "",
            "{",
            r#"{"image": "x", "name": "#,
            "{\"a\":1/**/2}",
            &deep,
        ] {
            assert_eq!(fingerprint_of(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_content_panics(content: Vec<u8>) {
            let _ = parse(&content).map(|config| fingerprint(&config));
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
