//! The body of a request for a dev container to be listed.

use serde::Deserialize;

use super::errors::Error;
use super::request::Request;

/// A dev container that a client asks for.
#[derive(Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AddRequest {
    /// An absolute path.
    pub(super) workspace_folder: String,
    /// Relative to the workspace folder, or absolute. Without one, the folder has a single configuration.
    pub(super) config_path: Option<String>,
}

impl AddRequest {
    /// Reads the body of a request.
    pub(super) fn parse(request: &Request<'_>) -> Result<Self, Error> {
        let kind = request.content_type.unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim_ascii();
        if !kind.eq_ignore_ascii_case("application/json") {
            return Err(Error::ContentType(kind.to_owned()));
        }
        // serde accepts an array in place of an object.
        if !request.body.trim_ascii_start().starts_with(b"{") {
            return Err(Error::Body("the body is not a JSON object".to_owned()));
        }
        let parsed = serde_json::from_slice(request.body);
        let parsed: Self = parsed.map_err(|error| Error::Body(error.to_string()))?;
        if !parsed.workspace_folder.starts_with('/') {
            let folder = &parsed.workspace_folder;
            let why = format!("workspace_folder {folder:?} is not an absolute path");
            return Err(Error::Body(why));
        }
        Ok(parsed)
    }
}
