//! Paths as JSON text, those that are not UTF-8 included.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Before the bytes of a path that is no UTF-8, in hexadecimal digits: no path has one.
pub const NO_TEXT: char = '\0';

pub fn path_to_text(path: &Path) -> String {
    match path.to_str() {
        Some(text) => text.to_owned(),
        None => {
            let bytes = path.as_os_str().as_bytes().iter();
            bytes.fold(NO_TEXT.to_string(), |text, byte| {
                text + &format!("{byte:02x}")
            })
        }
    }
}

pub fn path_from_text(text: &str) -> PathBuf {
    let Some(digits) = text.strip_prefix(NO_TEXT) else {
        return text.into();
    };
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    OsString::from_vec(pairs.map_while(byte).collect()).into()
}

/// For `#[serde(with)]` on a path.
pub mod required {
    use super::{
        Deserialize, Deserializer, Path, PathBuf, Serializer, path_from_text, path_to_text,
    };

    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&path_to_text(path))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<PathBuf, D::Error> {
        String::deserialize(from).map(|text| path_from_text(&text))
    }
}

/// For `#[serde(with)]` on an optional path.
pub mod optional {
    use super::*;

    pub fn serialize<S: Serializer>(
        path: &Option<PathBuf>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        path.as_deref().map(path_to_text).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<PathBuf>, D::Error> {
        let text: Option<String> = Option::deserialize(from)?;
        Ok(text.map(|text| path_from_text(&text)))
    }
}
