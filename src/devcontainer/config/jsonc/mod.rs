//! JSON with comments, as tolerantly as the devcontainer CLI (0.89) reads it, and its fingerprint:
//! <https://containers.dev/implementors/json_reference/>.
//!
//! The CLI ignores the errors that its parser finds, so what counts is how that parser goes on after one. This module
//! goes on in the same way.

mod parser;
mod tokens;

use serde_json::{Number, Value};
use uuid::Uuid;

use crate::devcontainer::fingerprint::fingerprint_of_meaning;

/// The property that tells editors how to complete. The CLI ignores it; every other property goes into the container,
/// into its labels, or into what an editor shows of it.
const SCHEMA: &str = "$schema";

/// A UTF-16 code unit, the character of JavaScript.
type Unit = u16;

/// Reads the object of a configuration. What makes no sense in it or follows it is skipped. `None` where something else
/// stands in its place, where the CLI fails, too, or where values are nested too deeply.
pub fn parse(content: &[u8]) -> Option<Value> {
    let text: Vec<Unit> = String::from_utf8_lossy(content).encode_utf16().collect();
    parser::parse(&text).filter(Value::is_object)
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
        same(
            r#"{"a":22222001722586675415205660}"#,
            r#"{"a":2.2222001722586674e25}"#,
        );
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
    fn what_makes_no_sense_is_skipped() {
        for text in [
            r#"{"build":{"dockerfile":"D"} "mounts":["a" "b"]}"#,
            r#"{"build":{"dockerfile":"D"},,"mounts":["a",,"b"]}"#,
            "{\u{a0}\"build\":{\"dockerfile\":\"D\"}\u{a0},\u{3000}\"mounts\":[\"a\",\u{2028}\"b\"]}",
            r#"{"build":{"dockerfile":"\qD\u12"},"mounts":["a\x","b"]}"#,
            "{\"build\":{\"dockerfile\":\"D\n, 1},\"mounts\":[\"a\",\"b\n]}",
            r#"{"mounts":["a","b"],"build":{"dockerfile":"D""#,
            r#"{"build":{"dockerfile":"D"},"mounts":["a","b"]} {"image":"x"} and more"#,
            r#"{"build":{"dockerfile":"D",'name':1},"mounts":["a","b"],image:"x","name"}"#,
            r#"words {"build":{"dockerfile":"D"},"mounts":["a","b"]}"#,
        ] {
            same(r#"{"build":{"dockerfile":"D"},"mounts":["a","b"]}"#, text);
        }
        same("{\"a\":\"b\"}", "{\"a\":\"b\n}");
    }

    #[test]
    fn p5_the_fingerprint_of_earlier_versions_stays_valid() {
        let text = r#"{"image": "\u00e9", "n": [3e3, -1.50, 12345678901234567890, null]}"#;
        let canonical = r#"{"image":"é","n":[3000,-1.5,12345678901234567890,null]}"#;
        assert_eq!(
            fingerprint_of(text),
            Some(fingerprint_of_meaning(canonical))
        );
    }

    #[test]
    fn anything_but_an_object_is_none() {
        let deep = format!("{{\"a\":{}1{}}}", "[".repeat(10_000), "]".repeat(10_000));
        for text in [
            "",
            " // x",
            "[{}]",
            "\"text\" {}",
            ": {}",
            ", {}",
            "1 {}",
            "null",
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
        fn tokens_in_any_order_are_read(text in "[{}\\[\\],:\"\\\\/*tru0-9.eE+\n -]{0,40}") {
            let _ = parse(format!("{{{text}").as_bytes());
        }

        #[test]
        fn p5_plain_json_is_read_as_it_is(text in "[a-z\"\\\\/*, \n]{0,30}", number: i32) {
            let value = serde_json::json!({ "text": text, "list": [number, text], "empty": {} });
            let pretty = serde_json::to_string_pretty(&value).unwrap();
            prop_assert_eq!(parse(pretty.as_bytes()), Some(value));
        }
    }
}
