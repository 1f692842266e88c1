//! JSON, one value a line.

use serde::Serialize;

/// `value` as one line of JSON.
pub fn to_line<T: Serialize>(value: &T) -> Vec<u8> {
    // Our types have text keys and no failing parts: there is no way for this to fail.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}
