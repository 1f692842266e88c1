//! Paths as JSON text, including those that are not UTF-8.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Marks a path that is not UTF-8: its bytes follow in hexadecimal digits. No path contains this character.
const NOT_UTF_8: char = '\0';

/// The text of a path: itself, or its bytes in hexadecimal digits where it is not UTF-8.
pub fn path_to_text(path: &Path) -> String {
    if let Some(text) = path.to_str() {
        return text.to_owned();
    }
    let mut text = NOT_UTF_8.to_string();
    for byte in path.as_os_str().as_bytes() {
        text.push_str(&format!("{byte:02x}"));
    }
    text
}

/// The path of a text that [`path_to_text`] made.
pub fn path_from_text(text: &str) -> PathBuf {
    let Some(digits) = text.strip_prefix(NOT_UTF_8) else {
        return text.into();
    };
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    OsString::from_vec(pairs.map_while(byte).collect()).into()
}

/// For `#[serde(with)]` on a path.
pub mod required {
    use super::*;

    /// Writes a path as text.
    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&path_to_text(path))
    }

    /// Reads a path from text.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        String::deserialize(from).map(|text| path_from_text(&text))
    }
}

/// For `#[serde(with)]` on an optional path.
pub mod optional {
    use super::*;

    /// Writes a path as text, or null.
    pub fn serialize<S: Serializer>(
        path: &Option<PathBuf>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        path.as_deref().map(path_to_text).serialize(serializer)
    }

    /// Reads a path from text, or null.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
        let text: Option<String> = Option::deserialize(from)?;
        Ok(text.map(|text| path_from_text(&text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_survives_as_text() {
        for (bytes, text) in [
            (&b"/w/\xc3\xa9"[..], "/w/\u{e9}"),
            (b"/w/\xff\x0a", "\u{0}2f772fff0a"),
            (b"", ""),
        ] {
            let path = PathBuf::from(OsString::from_vec(bytes.to_vec()));
            assert_eq!(path_to_text(&path), text);
            assert_eq!(path_from_text(text), path);
        }
    }
}
