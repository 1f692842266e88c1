//! JSON with comments, and its fingerprint: <https://containers.dev/implementors/json_reference/>.

use serde_json::{Number, Value};
use uuid::Uuid;

use crate::devcontainer::fingerprint::fingerprint_of_meaning;

/// The property that tells editors how to complete. The CLI ignores it; every other property goes into the container,
/// into its labels, or into what an editor shows of it.
const SCHEMA: &str = "$schema";

/// Parses JSON with comments; `None` where it is invalid or nested too deeply.
pub fn parse(content: &[u8]) -> Option<Value> {
    serde_json::from_slice(&strip_comments(content)).ok()
}

/// A fingerprint of the meaning of a configuration: comments, spacing and the order of keys do not change it.
pub fn fingerprint(config: &Value) -> Uuid {
    let mut canonical = config.clone();
    if let Some(object) = canonical.as_object_mut() {
        object.remove(SCHEMA);
    }
    normalize_numbers(&mut canonical);
    // serde_json keeps objects sorted by key, so that equal values print alike.
    fingerprint_of_meaning(&canonical.to_string())
}

/// Writes `3000.0` and `3e3` as `3000`, which JavaScript, and so the CLI, takes for one number.
fn normalize_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            let whole = number
                .as_f64()
                .filter(|n| n.fract() == 0.0 && n.abs() < 9e15);
            if let Some(whole) = whole.filter(|_| number.is_f64()) {
                *number = Number::from(whole as i64);
            }
        }
        Value::Array(values) => values.iter_mut().for_each(normalize_numbers),
        Value::Object(object) => object.values_mut().for_each(normalize_numbers),
        _ => {}
    }
}

/// The part of the text that a byte belongs to.
#[derive(Clone, Copy)]
enum Inside {
    Plain,
    String,
    LineComment,
    BlockComment,
}

/// Turns JSON with comments into JSON: removes the byte order mark, comments, and a comma before a closing bracket.
fn strip_comments(content: &[u8]) -> Vec<u8> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut plain = PlainJson {
        bytes: Vec::with_capacity(content.len()),
        comma: None,
    };
    let mut inside = Inside::Plain;
    let mut bytes = content.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match (inside, byte, bytes.peek()) {
            (Inside::String, b'\\', _) => {
                plain.bytes.push(byte);
                plain.bytes.extend(bytes.next());
            }
            // The CLI accepts a tab in a string; JSON requires the escape.
            (Inside::String, b'\t', _) => plain.bytes.extend(b"\\t"),
            (Inside::String, _, _) => {
                plain.bytes.push(byte);
                if byte == b'"' {
                    inside = Inside::Plain;
                }
            }
            (Inside::LineComment, b'\n' | b'\r', _) => {
                plain.bytes.push(byte);
                inside = Inside::Plain;
            }
            (Inside::BlockComment, b'*', Some(b'/')) => {
                bytes.next();
                plain.bytes.push(b' ');
                inside = Inside::Plain;
            }
            (Inside::LineComment | Inside::BlockComment, _, _) => {}
            (Inside::Plain, b'/', Some(b'/')) => inside = Inside::LineComment,
            (Inside::Plain, b'/', Some(b'*')) => {
                bytes.next();
                inside = Inside::BlockComment;
            }
            (Inside::Plain, _, _) => {
                if byte == b'"' {
                    inside = Inside::String;
                }
                plain.push(byte);
            }
        }
    }
    plain.bytes
}

/// JSON without comments, as far as it is written.
struct PlainJson {
    bytes: Vec<u8>,
    /// The position of a comma that only space and comments follow.
    comma: Option<usize>,
}

impl PlainJson {
    /// Adds a byte that is neither in a string nor in a comment.
    fn push(&mut self, byte: u8) {
        match byte {
            b',' => self.comma = Some(self.bytes.len()),
            b'}' | b']' => {
                let superfluous = self.comma.take();
                if let Some(comma) = superfluous.and_then(|at| self.bytes.get_mut(at)) {
                    *comma = b' ';
                }
            }
            _ if byte.is_ascii_whitespace() => {}
            _ => self.comma = None,
        }
        self.bytes.push(byte);
    }
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
    fn every_other_difference_counts() {
        different(r#"{"image":"x"}"#, r#"{"image":"y"}"#);
        different(r#"{"a":["x","y"]}"#, r#"{"a":["y","x"]}"#);
        different(r#"{"a":1}"#, r#"{"a":"1"}"#);
        different(r#"{"a":"b"}"#, r#"{"a":"b","c":null}"#);
    }

    #[test]
    fn a_comment_in_a_string_is_text() {
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
    fn a_tab_in_a_string_is_a_tab() {
        same("{\"a\":\"b\tc\"}", r#"{"a":"b\tc"}"#);
    }

    #[test]
    fn p5_the_schema_does_not_count() {
        same(r#"{"image":"x","$schema":"y"}"#, r#"{"image":"x"}"#);
        different(r#"{"a":{"$schema":"y"}}"#, r#"{"a":{}}"#);
    }

    #[test]
    fn invalid_json_is_none() {
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        // A comment separates its neighbours.
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
