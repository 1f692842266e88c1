//! The Dockerfiles that a compose file names: <https://docs.docker.com/reference/compose-file/build/>.
//!
//! The usual forms of YAML are read: nested mappings by their indentation, plain and quoted scalars, and a mapping in
//! braces. Aliases, `extends` and included files are not followed. A compose file in JSON is read completely.

pub mod build;

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::substitute::Environment;
use crate::model::location::{MAX_PATH, normal};

const DEFAULT_CONTEXT: &str = ".";
const DEFAULT_DOCKERFILE: &str = "Dockerfile";

/// The `build` section of a service.
#[derive(Debug, Default, PartialEq, Eq)]
struct Build {
    /// A directory or URL.
    context: Option<String>,
    /// A path relative to the context.
    dockerfile: Option<String>,
    /// True if the Dockerfile is in the compose file itself.
    is_inline: bool,
}

/// Returns the Dockerfiles of all services in `content`. Contexts are relative to `directory`, that of the first
/// compose file. A Dockerfile with an unknown variable in its path is left out.
pub fn dockerfiles(content: &[u8], directory: &Path, environment: Environment<'_>) -> Vec<PathBuf> {
    let text = String::from_utf8_lossy(content);
    let builds = match serde_json::from_str(&text) {
        Ok(json) => builds_of_json(&json),
        Err(_) => builds_of_yaml(&text),
    };
    builds
        .into_iter()
        .filter_map(|build| build.dockerfile(directory, environment))
        .collect()
}

fn builds_of_json(file: &Value) -> Vec<Build> {
    let services = file.get("services").and_then(Value::as_object);
    let builds = services
        .into_iter()
        .flat_map(|services| services.values())
        .filter_map(|service| service.get("build"));
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let build = |build: &Value| Build {
        context: text(Some(build)).or_else(|| text(build.get("context"))),
        dockerfile: text(build.get("dockerfile")),
        is_inline: build.get("dockerfile_inline").is_some(),
    };
    builds.map(build).collect()
}

fn builds_of_yaml(text: &str) -> Vec<Build> {
    let mut builds: Vec<Build> = Vec::new();
    // The keys around the line, each with its indentation.
    let mut parents: Vec<(usize, &str)> = Vec::new();
    for line in text.lines().map(without_comment) {
        let indented = line.trim_start_matches(' ');
        let indentation = line.len() - indented.len();
        let Some((key, value)) = key_and_value(indented) else {
            continue;
        };
        parents.retain(|(other, _)| *other < indentation);
        parents.push((indentation, key));
        let mut path = parents.iter().map(|(_, key)| *key);
        let is_of_service = path.next() == Some("services") && path.next().is_some();
        if !is_of_service || path.next() != Some("build") {
            continue;
        }
        match (path.next(), path.next()) {
            (None, _) => builds.push(build_of(value)),
            (Some(key), None) => {
                if let Some(build) = builds.last_mut() {
                    build.set(key, value);
                }
            }
            _ => {}
        }
    }
    builds
}

/// The section with this value after `build:`: nothing, a context, or a mapping in braces.
fn build_of(value: &str) -> Build {
    let mut build = Build::default();
    let braced = value
        .strip_prefix('{')
        .and_then(|value| value.strip_suffix('}'));
    match braced {
        Some(braced) => {
            for (key, value) in braced
                .split(',')
                .filter_map(|part| key_and_value(part.trim()))
            {
                build.set(key, value);
            }
        }
        // The section follows, perhaps after an anchor.
        None if value.is_empty() || value.starts_with('&') => {}
        None => build.context = Some(word(value).to_owned()),
    }
    build
}

impl Build {
    fn dockerfile(self, directory: &Path, environment: Environment<'_>) -> Option<PathBuf> {
        let value = |text: Option<String>, default: &str| {
            substitute(text.as_deref().unwrap_or(default), environment)
        };
        let context = value(self.context, DEFAULT_CONTEXT)?;
        let dockerfile = value(self.dockerfile, DEFAULT_DOCKERFILE)?;
        let is_remote = context.contains("://") || context.starts_with("git@");
        let path = directory.join(context).join(dockerfile);
        (!is_remote && !self.is_inline).then(|| normal(&path))
    }

    fn set(&mut self, key: &str, value: &str) {
        match key {
            "context" => self.context = Some(word(value).to_owned()),
            "dockerfile" => self.dockerfile = Some(word(value).to_owned()),
            "dockerfile_inline" => self.is_inline = true,
            _ => {}
        }
    }
}

fn key_and_value(line: &str) -> Option<(&str, &str)> {
    let (key, value) = match line.split_once(": ") {
        Some(pair) => pair,
        None => (line.strip_suffix(':')?, ""),
    };
    Some((word(key), value.trim()))
}

/// A scalar without its quotes.
fn word(text: &str) -> &str {
    let text = text.trim();
    let quoted = |quote: char| text.strip_prefix(quote)?.strip_suffix(quote);
    quoted('"').or_else(|| quoted('\'')).unwrap_or(text)
}

/// `line` without a comment, which begins at the start of the line or after a space, and not in quotes.
fn without_comment(line: &str) -> &str {
    let mut quote = None;
    let mut before = ' ';
    for (at, character) in line.char_indices() {
        match (quote, character) {
            (None, '#') if before == ' ' => return line.get(..at).unwrap_or_default().trim_end(),
            (None, '"' | '\'') => quote = Some(character),
            (Some(open), _) if open == character => quote = None,
            _ => {}
        }
        before = character;
    }
    line.trim_end()
}

/// Replaces `$NAME`, `${NAME}` and `${NAME:-default}`
/// (<https://docs.docker.com/reference/compose-file/interpolation/>). `None` where a variable is unknown.
fn substitute(text: &str, environment: Environment<'_>) -> Option<String> {
    let value = |name: &str| environment(name).and_then(|value| value.into_string().ok());
    let mut done = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        if done.len() >= MAX_PATH {
            return None;
        }
        done.push_str(before);
        rest = if let Some(after) = after.strip_prefix('$') {
            done.push('$');
            after
        } else if let Some(after) = after.strip_prefix('{') {
            let (inside, after) = after.split_once('}')?;
            let (name, default) = match inside.split_once('-') {
                Some((name, default)) => (name.trim_end_matches(':'), Some(default)),
                None => (inside, None),
            };
            done.push_str(&value(name).or(default.map(str::to_owned))?);
            after
        } else {
            let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
            let (name, after) = after.split_at(after.find(is_end).unwrap_or(after.len()));
            done.push_str(&value(name)?);
            after
        };
    }
    done.push_str(rest);
    Some(done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[track_caller]
    fn check(file: &str, expected: &[&str]) {
        let environment = |name: &str| (name == "NAME").then(|| "value".into());
        let found = dockerfiles(file.as_bytes(), Path::new("/w/.devcontainer"), &environment);
        let expected: Vec<PathBuf> = expected.iter().map(PathBuf::from).collect();
        assert_eq!(found, expected, "{file}");
    }

    /// Checks a file with one service.
    #[track_caller]
    fn check_service(service: &str, expected: &[&str]) {
        check(&format!("services:\n  app:\n{service}\n"), expected);
    }

    #[test]
    fn the_dockerfile_of_a_service() {
        check_service("    image: x", &[]);
        check_service("    build: .", &["/w/.devcontainer/Dockerfile"]);
        check_service("    build: ..  # why", &["/w/Dockerfile"]);
        check_service("    build: '../a b'", &["/w/a b/Dockerfile"]);
        check_service("    build:\n      context: ..", &["/w/Dockerfile"]);
        check_service("    build:\n      dockerfile: D", &["/w/.devcontainer/D"]);
        check_service(
            "    build:\n      context: ..\n      args:\n        dockerfile: no\n      dockerfile: \".devcontainer/D\"\n    image: x",
            &["/w/.devcontainer/D"],
        );
        check_service("    build: { context: .., dockerfile: D }", &["/w/D"]);
        check_service("    build: &anchor\n      context: /c", &["/c/Dockerfile"]);
        check_service(
            "    build:\n      context: .\n      dockerfile: /d",
            &["/d"],
        );
    }

    #[test]
    fn several_services_among_other_sections() {
        check(
            "# first\nversion: '3'\nx-build:\n  build: no\nservices:\n\n  # one\n  one:\n    build: a\n    command: |\n      build: no\n  \
             'two':\n    depends_on: [one]\n    environment:\n      - build=no\n      - build: no\n    build:\n        context: b\nvolumes:\n  build: no\n",
            &[
                "/w/.devcontainer/a/Dockerfile",
                "/w/.devcontainer/b/Dockerfile",
            ],
        );
        check(
            "services:\n    one:\n        build: a\n",
            &["/w/.devcontainer/a/Dockerfile"],
        );
        check(
            "services:\r\n  one:\r\n    build: a\r\n",
            &["/w/.devcontainer/a/Dockerfile"],
        );
        check("build: no\nother:\n  app:\n    build: no\n", &[]);
    }

    #[test]
    fn json_is_read_too() {
        check(
            r#"{"services": {"a": {"build": ".."}, "b": {"build": {"context": ".", "dockerfile": "D"}}, "c": {"image": "x"}}}"#,
            &["/w/Dockerfile", "/w/.devcontainer/D"],
        );
    }

    #[test]
    fn variables_are_replaced_and_unknown_ones_leave_the_file_out() {
        check_service("    build: ../$NAME/x", &["/w/value/x/Dockerfile"]);
        check_service("    build: ../${NAME}", &["/w/value/Dockerfile"]);
        check_service("    build: ../${NONE:-d}${NONE-e}", &["/w/de/Dockerfile"]);
        check_service("    build: ../$$x", &["/w/$x/Dockerfile"]);
        check_service("    build: ../${NONE}", &[]);
        check_service("    build: $NONE", &[]);
    }

    #[test]
    fn remote_contexts_and_inline_dockerfiles_name_no_file() {
        check_service("    build: https://example.com/x.git", &[]);
        check_service("    build: git@example.com:x.git", &[]);
        check_service(
            "    build:\n      dockerfile_inline: |\n        FROM x",
            &[],
        );
        check(
            r#"{"services": {"a": {"build": {"dockerfile_inline": "FROM x"}}}}"#,
            &[],
        );
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[a-z${}:'\"#&\\- \n]{0,60}") {
            let file = format!("services:\n  a:\n    build: {text}");
            let _ = dockerfiles(file.as_bytes(), Path::new("/w"), &|_| None);
            let _ = dockerfiles(text.as_bytes(), Path::new("/w"), &|_| None);
        }
    }
}
