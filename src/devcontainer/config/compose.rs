//! Which Dockerfiles a compose file names (<https://docs.docker.com/reference/compose-file/build/>).
//!
//! No more of YAML is read than people write for that: nested mappings by their indentation, plain and quoted words, and
//! a mapping in braces. Of what is written in another way (aliases, `extends`, other files that are included) nothing is
//! known; JSON is read whole.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::model::location::{MAX_PATH, normal};

const DEFAULT: &str = "Dockerfile";

/// What builds the image of a service.
#[derive(Debug, Default, PartialEq, Eq)]
struct Build {
    /// Where it is built.
    context: Option<String>,
    /// Relative to that.
    dockerfile: Option<String>,
    /// It stands in the compose file itself.
    inline: bool,
}

/// The Dockerfiles that the services in `content` are built from. `directory` is that of the first compose file. Variables
/// are asked of `environment`; where one is not known, neither is the Dockerfile.
pub fn dockerfiles(
    content: &[u8],
    directory: &Path,
    environment: &dyn Fn(&str) -> Option<OsString>,
) -> Vec<PathBuf> {
    let text = String::from_utf8_lossy(content);
    let builds = match serde_json::from_str(&text) {
        Ok(json) => builds_of_json(&json),
        Err(_) => builds_of_yaml(&text),
    };
    let path = |build: Build| {
        let value = |text: Option<String>, default: &str| {
            substitute(text.as_deref().unwrap_or(default), environment)
        };
        let context = value(build.context, ".")?;
        let dockerfile = value(build.dockerfile, DEFAULT)?;
        let is_remote = context.contains("://") || context.starts_with("git@");
        let path = directory.join(context).join(dockerfile);
        (!is_remote && !build.inline).then(|| normal(&path))
    };
    builds.into_iter().filter_map(path).collect()
}

fn builds_of_json(file: &Value) -> Vec<Build> {
    let services = file.get("services").and_then(Value::as_object);
    let services = services.into_iter().flat_map(|services| services.values());
    let builds = services.filter_map(|service| service.get("build"));
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let build = |build: &Value| Build {
        context: text(Some(build)).or_else(|| text(build.get("context"))),
        dockerfile: text(build.get("dockerfile")),
        inline: build.get("dockerfile_inline").is_some(),
    };
    builds.map(build).collect()
}

fn builds_of_yaml(text: &str) -> Vec<Build> {
    let mut builds: Vec<Build> = Vec::new();
    // The keys above, each with its indentation.
    let mut above: Vec<(usize, &str)> = Vec::new();
    for line in text.lines().map(without_comment) {
        let indented = line.trim_start_matches(' ');
        let indentation = line.len() - indented.len();
        let Some((key, value)) = key_and_value(indented) else {
            continue;
        };
        above.retain(|(other, _)| *other < indentation);
        above.push((indentation, key));
        let mut path = above.iter().map(|(_, key)| *key);
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

/// What stands after `build:`: nothing, a context, or a mapping in braces.
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
        // An anchor names what follows.
        None if value.is_empty() || value.starts_with('&') => {}
        None => build.context = Some(word(value).to_owned()),
    }
    build
}

impl Build {
    fn set(&mut self, key: &str, value: &str) {
        match key {
            "context" => self.context = Some(word(value).to_owned()),
            "dockerfile" => self.dockerfile = Some(word(value).to_owned()),
            "dockerfile_inline" => self.inline = true,
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

/// A comment begins at the line's begin or after a space, and not in quotes.
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

/// Fills in `$NAME`, `${NAME}` and `${NAME:-default}`. `None` where one is not known.
fn substitute(text: &str, environment: &dyn Fn(&str) -> Option<OsString>) -> Option<String> {
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

    /// One service with this after its name.
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
    fn several_services_and_what_stands_around_them() {
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
    fn json_is_yaml() {
        check(
            r#"{"services": {"a": {"build": ".."}, "b": {"build": {"context": ".", "dockerfile": "D"}}, "c": {"image": "x"}}}"#,
            &["/w/Dockerfile", "/w/.devcontainer/D"],
        );
    }

    #[test]
    fn variables_are_filled_in_and_what_is_not_known_is_left_out() {
        check_service("    build: ../$NAME/x", &["/w/value/x/Dockerfile"]);
        check_service("    build: ../${NAME}", &["/w/value/Dockerfile"]);
        check_service("    build: ../${NONE:-d}${NONE-e}", &["/w/de/Dockerfile"]);
        check_service("    build: ../$$x", &["/w/$x/Dockerfile"]);
        check_service("    build: ../${NONE}", &[]);
        check_service("    build: $NONE", &[]);
    }

    #[test]
    fn what_is_built_elsewhere_or_from_the_file_itself_names_none() {
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
