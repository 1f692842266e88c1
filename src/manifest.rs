//! The manifest: dev containers that are known before any container runs.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use uuid::Uuid;

use crate::model::location::Predefined;

/// What is larger is no manifest.
const MAX_SIZE: u64 = 4 << 20;

/// What a manifest says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Manifest {
    /// In its order.
    pub devcontainers: Vec<Predefined>,
    /// What does not fit together, but can be lived with.
    pub errors: Vec<String>,
}

/// A manifest that cannot be used: which, why, and what would be right.
#[derive(Debug)]
pub struct ManifestError(String);

impl fmt::Display for ManifestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ManifestError {}

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    devcontainers: Vec<Entry>,
    #[serde(default)]
    scripts: Option<Vec<Script>>,
}

#[derive(Deserialize)]
struct Entry {
    id: Option<Uuid>,
    name: Option<String>,
    workspace_folder: String,
    config_path: Option<String>,
}

#[derive(Deserialize)]
struct Script {
    id: Uuid,
    log_source_id: Uuid,
}

impl Manifest {
    /// Reads the manifest at `path`.
    pub fn read(path: &Path) -> Result<Self, ManifestError> {
        let shown = path.display();
        let error = |why: String| ManifestError(format!("manifest {shown}: {why}"));
        let metadata = std::fs::metadata(path).map_err(|e| error(e.to_string()))?;
        if !metadata.is_file() || metadata.len() > MAX_SIZE {
            return Err(error(format!(
                "it is not a file of at most {} MiB",
                MAX_SIZE >> 20
            )));
        }
        let content = std::fs::read(path).map_err(|e| error(e.to_string()))?;
        Self::parse(&content, &|name| std::env::var(name).ok()).map_err(error)
    }

    /// Reads a manifest's content; `variable` looks up the environment.
    fn parse(content: &[u8], variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, String> {
        let right = r#"it should be {"devcontainers":[{"workspace_folder":"…"}]}"#;
        // serde would take a list for the fields in their order.
        if !content.trim_ascii_start().starts_with(b"{") {
            return Err(format!("it is no JSON object; {right}"));
        }
        let file: File = serde_json::from_slice(content).map_err(|e| format!("{e}; {right}"))?;
        let mut manifest = Self::default();
        let scripts = file.scripts.as_deref().unwrap_or_default();
        for (index, entry) in file.devcontainers.iter().enumerate() {
            let devcontainer = entry.resolve(scripts, variable);
            let devcontainer = devcontainer.map_err(|e| format!("devcontainers[{index}]: {e}"))?;
            let taken =
                |earlier: &Predefined| earlier.id.is_some() && earlier.id == devcontainer.id;
            if manifest.devcontainers.iter().any(taken) {
                return Err(format!("devcontainers[{index}]: its id is used twice"));
            }
            if file.scripts.is_some() && devcontainer.log_source.is_none() {
                manifest.errors.push(format!(
                    "no script has the id of dev container {}; its log goes to the fallback source",
                    devcontainer.folder.display()
                ));
            }
            manifest.devcontainers.push(devcontainer);
        }
        for script in scripts {
            if !file
                .devcontainers
                .iter()
                .any(|entry| entry.id == Some(script.id))
            {
                manifest.errors.push(format!(
                    "script {} has the id of no dev container",
                    script.id
                ));
            }
        }
        Ok(manifest)
    }
}

impl Entry {
    fn resolve(
        &self,
        scripts: &[Script],
        variable: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Predefined, String> {
        let folder = PathBuf::from(expand(&self.workspace_folder, variable)?);
        if !folder.is_absolute() {
            return Err(format!(
                "workspace_folder {:?} is not an absolute path",
                self.workspace_folder
            ));
        }
        let config = match self.config_path.as_deref() {
            None | Some("") => None,
            Some(config) => Some(folder.join(expand(config, variable)?)),
        };
        let name = self.name.clone().filter(|name| !name.is_empty());
        let script = scripts.iter().find(|script| Some(script.id) == self.id);
        Ok(Predefined {
            id: self.id,
            name,
            folder,
            config,
            log_source: script.map(|script| script.log_source_id),
        })
    }
}

/// Replaces a leading `~` by `$HOME`, and `$NAME` and `${NAME}` by the variable's value.
/// A variable that is not set is an error: the path would be another one.
pub fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> Result<String, String> {
    let get = |name: &str| {
        variable(name).ok_or_else(|| format!("{text:?} needs ${name}, which is not set"))
    };
    let mut expanded = String::new();
    let mut rest = text;
    if let Some(after) = text.strip_prefix('~')
        && (after.is_empty() || after.starts_with('/'))
    {
        expanded.push_str(&get("HOME")?);
        rest = after;
    }
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        let (name, behind) = match after.strip_prefix('{') {
            Some(braced) => braced
                .split_once('}')
                .ok_or_else(|| format!("{text:?} has a {{ without a }}"))?,
            None => {
                let is_name = |c: char| c == '_' || c.is_ascii_alphanumeric();
                after.split_at(after.find(|c| !is_name(c)).unwrap_or(after.len()))
            }
        };
        match name {
            "" => expanded.push('$'),
            name => expanded.push_str(&get(name)?),
        }
        rest = behind;
    }
    expanded.push_str(rest);
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "11111111-1111-4111-8111-111111111111";
    const OTHER: &str = "22222222-2222-4222-8222-222222222222";

    fn environment(name: &str) -> Option<String> {
        match name {
            "HOME" => Some("/home/me".into()),
            "PROJECTS" => Some("/projects".into()),
            _ => None,
        }
    }

    fn parse(text: &str) -> Result<Manifest, String> {
        Manifest::parse(text.as_bytes(), &environment)
    }

    #[test]
    fn paths_are_expanded_and_a_relative_config_is_below_its_folder() {
        for (text, expected) in [
            ("~", "/home/me"),
            ("~/x", "/home/me/x"),
            ("$PROJECTS/x", "/projects/x"),
            ("/a/${PROJECTS}b", "/a//projectsb"),
            ("/a$", "/a$"),
            ("/a~/$$", "/a~/$$"),
            ("~other/x", "~other/x"),
        ] {
            assert_eq!(
                expand(text, &environment).as_deref(),
                Ok(expected),
                "{text}"
            );
        }
        let manifest = parse(
            r#"{"devcontainers":[{"workspace_folder":"~/w","config_path":".devcontainer/py/devcontainer.json"},
                {"workspace_folder":"/w","config_path":"$PROJECTS/c.json"},{"workspace_folder":"/v","config_path":""}]}"#,
        )
        .unwrap();
        let configs: Vec<_> = manifest
            .devcontainers
            .into_iter()
            .map(|d| d.config)
            .collect();
        assert_eq!(
            configs,
            [
                Some("/home/me/w/.devcontainer/py/devcontainer.json".into()),
                Some("/projects/c.json".into()),
                None
            ]
        );
    }

    #[test]
    fn a_script_gives_the_log_source_and_one_without_is_an_error_in_the_log() {
        let manifest = parse(&format!(
            r#"{{"devcontainers":[{{"id":"{ID}","name":"n","workspace_folder":"/w"}},{{"workspace_folder":"/v"}}],
                "scripts":[{{"id":"{ID}","log_source_id":"{OTHER}"}},{{"id":"{OTHER}","log_source_id":"{ID}"}}]}}"#
        ))
        .unwrap();
        assert_eq!(
            manifest.devcontainers[0].log_source.unwrap().to_string(),
            OTHER
        );
        assert_eq!(
            manifest.errors,
            [
                "no script has the id of dev container /v; its log goes to the fallback source",
                &format!("script {OTHER} has the id of no dev container")
            ]
        );
        let without = parse(r#"{"devcontainers":[{"workspace_folder":"/v"}]}"#).unwrap();
        assert!(without.errors.is_empty());
    }

    #[test]
    fn a_bad_manifest_says_what_is_wrong() {
        for (text, expected) in [
            ("", "it should be"),
            ("[]", "it should be"),
            (r#"{"devcontainers":[{}]}"#, "workspace_folder"),
            (
                r#"{"devcontainers":[{"workspace_folder":"w"}]}"#,
                "devcontainers[0]: workspace_folder \"w\" is not an absolute path",
            ),
            (
                r#"{"devcontainers":[{"workspace_folder":"$NONE/w"}]}"#,
                "needs $NONE, which is not set",
            ),
            (
                r#"{"devcontainers":[{"workspace_folder":"${HOME"}]}"#,
                "a { without a }",
            ),
            (
                r#"{"devcontainers":[{"workspace_folder":"/w","id":"x"}]}"#,
                "UUID",
            ),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
        let twice = format!(
            r#"{{"devcontainers":[{{"id":"{ID}","workspace_folder":"/w"}},{{"id":"{ID}","workspace_folder":"/v"}}]}}"#
        );
        assert!(parse(&twice).unwrap_err().contains("used twice"));
    }
}
