//! Readers of the values of flags. Their errors name the values that would be right.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use crate::base::logging::LogFormat;
use crate::model::allow_uid::AllowUid;
use crate::model::listen::ListenAddress;
use crate::model::up_arg::UpArg;

/// A value that was read, or the values that would be right.
pub(super) type Read<T> = Result<T, Cow<'static, str>>;

/// The maximum of a duration, in seconds. A greater one is taken for a typing error.
const MAX_SECONDS: f64 = 366.0 * 86_400.0;
/// The maximum number of operations that run at once. A greater one is taken for a typing error.
const MAX_COUNT: i32 = 1000;

/// Splits the variable of a repeatable flag at its commas.
pub(super) fn split(value: &OsStr) -> Vec<OsString> {
    let text = value.to_string_lossy();
    text.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(OsString::from)
        .collect()
}

/// Splits the variable of a flag whose values may have commas, at white space.
pub(super) fn split_words(value: &OsStr) -> Vec<OsString> {
    let text = value.to_string_lossy();
    text.split_whitespace().map(OsString::from).collect()
}

/// Reads an argument of `devcontainer up`.
pub(super) fn up_argument(value: &OsStr) -> Read<UpArg> {
    let text = value.to_str().ok_or("it is not text")?;
    UpArg::parse(text).map_err(|e| e.to_string().into())
}

/// Reads an address to listen on.
pub(super) fn address(value: &OsStr) -> Read<ListenAddress> {
    let text = value.to_str().ok_or("it is not text")?;
    ListenAddress::parse(text).map_err(|e| e.to_string().into())
}

/// Reads a path, which may be relative.
pub(super) fn path(value: &OsStr) -> Read<PathBuf> {
    if value.is_empty() {
        return Err("it should be a path".into());
    }
    Ok(PathBuf::from(value))
}

/// Reads the path of a directory and makes it absolute, relative to the working directory.
pub(super) fn directory(value: &OsStr) -> Read<PathBuf> {
    std::path::absolute(value).map_err(|_| "it should be the path of a directory".into())
}

/// Reads the path of a program, or its name on `PATH`.
pub(super) fn program(value: &OsStr) -> Read<PathBuf> {
    // A value that looks like a flag is a mistake, not the name of a program.
    if value.is_empty() || value.as_encoded_bytes().starts_with(b"-") {
        return Err("it should be the path or the name of a program".into());
    }
    Ok(PathBuf::from(value))
}

/// Reads a program and its arguments, separated by white space. There are no quotes.
pub(super) fn command(value: &OsStr) -> Read<Vec<OsString>> {
    let text = value.to_str().unwrap_or_default();
    let words: Vec<OsString> = text.split_whitespace().map(OsString::from).collect();
    if words.is_empty() {
        return Err("it should be a program and its arguments".into());
    }
    Ok(words)
}

/// Reads a host name.
pub(super) fn host_name(value: &OsStr) -> Read<String> {
    let is_part = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
    let is_name = |text: &&str| !text.is_empty() && text.bytes().all(is_part);
    let name = value.to_str().filter(is_name);
    Ok(name
        .ok_or("it should be a host name without a port")?
        .into())
}

/// Reads the number of a user, or `any`.
pub(super) fn user(value: &OsStr) -> Read<AllowUid> {
    let user = value.to_str().and_then(AllowUid::parse);
    user.ok_or_else(|| "it should be the number of a user, or any".into())
}

/// Reads the value of a switch's variable.
pub(super) fn truth(value: &OsStr) -> Read<bool> {
    match value.to_str() {
        Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        _ => Err("it should be true or false".into()),
    }
}

/// Reads a number of seconds from `least` to [`MAX_SECONDS`]. It may have a fraction.
pub(super) fn seconds(value: &OsStr, least: f64) -> Read<Duration> {
    let number: Option<f64> = value.to_str().and_then(|text| text.parse().ok());
    match number {
        Some(seconds) if (least..=MAX_SECONDS).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => {
            let right = format!("it should be a number of seconds from {least} to {MAX_SECONDS}");
            Err(right.into())
        }
    }
}

/// Reads a whole number from `least` to `most`.
pub(super) fn whole_number(value: &OsStr, least: i32, most: i32) -> Read<i32> {
    let number: Option<i32> = value.to_str().and_then(|text| text.parse().ok());
    match number {
        Some(number) if (least..=most).contains(&number) => Ok(number),
        _ => Err(format!("it should be a whole number from {least} to {most}").into()),
    }
}

/// Reads a number of things from 1 to [`MAX_COUNT`].
pub(super) fn count(value: &OsStr) -> Read<usize> {
    let number = whole_number(value, 1, MAX_COUNT)?;
    Ok(number.unsigned_abs() as usize)
}

/// Reads a level of the log.
pub(super) fn log_level(value: &OsStr) -> Read<LevelFilter> {
    let level: Option<LevelFilter> = value.to_str().and_then(|text| text.parse().ok());
    match level {
        None | Some(LevelFilter::Off) => {
            Err("it should be error, warn, info, debug or trace".into())
        }
        Some(level) => Ok(level),
    }
}

/// Reads a format of the log.
pub(super) fn log_format(value: &OsStr) -> Read<LogFormat> {
    match value.to_str() {
        Some("text") => Ok(LogFormat::Text),
        Some("json") => Ok(LogFormat::Json),
        _ => Err("it should be text or json".into()),
    }
}
