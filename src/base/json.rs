//! JSON, one value a line.

use serde::Serialize;

/// Encodes `value` as one line of JSON that ends with a line feed.
pub fn to_line<T: Serialize>(value: &T) -> Vec<u8> {
    // Encoding fails only for keys that are not text and for values that fail by themselves: no wire type has either.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}
