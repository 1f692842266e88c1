//! JSON, one value a line.

use serde::Serialize;
use serde_json::Value;

/// Encodes `value` as one line of JSON that ends with a line feed.
pub fn to_line<T: Serialize>(value: &T) -> Vec<u8> {
    let mut line = Vec::with_capacity(128);
    write_line(value, &mut line);
    line
}

/// Encodes `value` as text. `Value` has a `Display` for that, which takes two more copies of the encoder.
pub fn to_text(value: &Value) -> String {
    let line = to_line(value);
    String::from_utf8_lossy(line.trim_ascii_end()).into_owned()
}

/// Encodes an object as a line of JSON, with more fields before its own: `fields` is their text, with a comma at the end.
pub fn to_line_after<T: Serialize>(fields: &str, object: &T) -> Vec<u8> {
    let mut line = Vec::with_capacity(512);
    write_line(object, &mut line);
    // The object begins with a brace, and is never empty.
    line.splice(1..1, fields.bytes());
    line
}

/// Adds `value` to `out` as one line of JSON that ends with a line feed.
pub fn write_line<T: Serialize>(value: &T, out: &mut Vec<u8>) {
    let begin = out.len();
    // Encoding fails only for keys that are not text and for values that fail by themselves: no wire type has either.
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(begin);
    }
    out.push(b'\n');
}
