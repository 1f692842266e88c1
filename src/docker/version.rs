//! The version of the engine.

use super::client::Client;
use super::error::Error;

/// Podman that needs no engine has no version of a server.
const FORMAT: &str = "{{if .Server}}{{.Server.Version}}{{else}}{{.Client.Version}}{{end}}";

impl Client<'_> {
    /// Returns the version of the engine, or of podman that is its own.
    pub fn version(&self) -> Result<String, Error> {
        let output = self.run(&["version", "--format", FORMAT])?;
        Ok(output.lines().into_iter().next().unwrap_or_default())
    }
}
