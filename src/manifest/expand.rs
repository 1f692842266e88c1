//! Variables in the paths of a manifest.

use std::fmt;

/// Looks up a variable of the environment.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// A path that cannot be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ExpandError {
    /// A variable is not set, so that the path would be another one.
    NotSet {
        /// The path as it is written.
        text: String,
        /// The variable.
        name: String,
    },
    /// A `${` in this path has no `}`.
    Unclosed(String),
}

impl fmt::Display for ExpandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSet { text, name } => write!(f, "{text:?} needs ${name}, which is not set"),
            Self::Unclosed(text) => write!(f, "{text:?} has an unclosed {{"),
        }
    }
}

impl std::error::Error for ExpandError {}

/// Replaces a leading `~` by `$HOME`, and `$NAME` and `${NAME}` by the value of the variable. A `$` without a name
/// stays.
///
/// # Errors
///
/// A variable is not set, or a `${` has no `}`.
pub(super) fn expand(text: &str, variable: Environment<'_>) -> Result<String, ExpandError> {
    let get = |name: &str| {
        variable(name).ok_or_else(|| ExpandError::NotSet {
            text: text.to_owned(),
            name: name.to_owned(),
        })
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
                .ok_or_else(|| ExpandError::Unclosed(text.to_owned()))?,
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

    fn environment(name: &str) -> Option<String> {
        match name {
            "HOME" => Some("/home/me".into()),
            "PROJECTS" => Some("/projects".into()),
            _ => None,
        }
    }

    #[test]
    fn home_and_variables_are_replaced() {
        for (text, expected) in [
            ("~", "/home/me"),
            ("~/x", "/home/me/x"),
            ("$PROJECTS/x", "/projects/x"),
            ("/a/${PROJECTS}b", "/a//projectsb"),
            ("/a$", "/a$"),
            ("/a~/$$", "/a~/$$"),
            ("~other/x", "~other/x"),
        ] {
            assert_eq!(expand(text, &environment).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn an_error_says_what_is_missing() {
        let error = |text| expand(text, &environment).unwrap_err().to_string();
        assert_eq!(
            error("$NONE/w"),
            "\"$NONE/w\" needs $NONE, which is not set"
        );
        assert_eq!(error("/w/${HOME"), "\"/w/${HOME\" has an unclosed {");
    }
}
