//! The files that `.dockerignore` keeps from a build:
//! <https://docs.docker.com/build/concepts/context/#dockerignore-files>.

use std::path::{Component, Path};

use super::glob::Glob;
use crate::model::location::normal;

/// The patterns of a file, in its order.
#[derive(Default)]
pub struct Ignored(Vec<(Glob, Effect)>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Ignore,
    /// After `!`
    Keep,
}

impl Ignored {
    /// Reads the content of a `.dockerignore` file.
    pub fn new(text: &str) -> Self {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self(lines.filter_map(|line| pattern(line.trim())).collect())
    }

    /// Returns about how many steps [`Ignored::includes`] takes for a path at most.
    pub fn cost(&self, path: &Path) -> usize {
        /// The steps that even a pattern takes which differs at once.
        const LEAST: usize = 16;
        let steps = path.as_os_str().len() + LEAST;
        self.0.len() * steps * path.components().count()
    }

    /// Returns whether the file at `path`, relative to the context, is ignored. The last pattern that matches it or a
    /// directory above it decides.
    pub fn includes(&self, path: &Path) -> bool {
        let above: Vec<String> = path
            .ancestors()
            .map(|path| path.to_string_lossy().into_owned())
            .filter(|path| !path.is_empty())
            .collect();
        let matching = |(glob, _): &&(Glob, Effect)| above.iter().any(|path| glob.matches(path));
        let last = self.0.iter().rev().find(matching);
        last.is_some_and(|(_, effect)| *effect == Effect::Ignore)
    }
}

fn pattern(line: &str) -> Option<(Glob, Effect)> {
    let (pattern, effect) = match line.strip_prefix('!') {
        Some(pattern) => (pattern.trim(), Effect::Keep),
        None => (line, Effect::Ignore),
    };
    if leads_out(pattern) {
        return None;
    }
    let pattern = normal(&Path::new("/").join(pattern));
    let pattern = pattern.to_str()?.strip_prefix('/')?;
    (!pattern.is_empty())
        .then(|| Glob::new(pattern))
        .flatten()
        .map(|glob| (glob, effect))
}

/// Returns whether a relative pattern names something outside of the context.
fn leads_out(pattern: &str) -> bool {
    let mut depth = 0_i64;
    let mut parts = Path::new(pattern).components();
    let leads_above = parts.any(|part| {
        depth += match part {
            Component::ParentDir => -1,
            Component::Normal(_) => 1,
            _ => 0,
        };
        depth < 0
    });
    leads_above && !pattern.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_pattern_that_matches_decides() {
        for (text, ignored, kept) in [
            ("", &[][..], &["a"][..]),
            ("a.txt", &["a.txt", "a.txt/b"], &["b/a.txt", "a_txt"]),
            ("/a.txt\n./b/../c", &["a.txt", "c"], &["b"]),
            ("# a\n#b\n c \n\n", &["c"], &["a", "b", "#b"]),
            ("*", &["a", "a/b"], &[]),
            ("*\n!a", &["b"], &["a", "a/b"]),
            ("*\n! a/b\r\n", &["a", "a/c"], &["a/b", "a/b/c"]),
            ("!a\na", &["a"], &[]),
            (
                "**/*.txt\n!x/**",
                &["a.txt", "a/b.txt"],
                &["x/a.txt", "a.md"],
            ),
            ("a/*", &["a/b", "a/b/c"], &["a"]),
            (".\n/\n!\n..", &[], &["a"]),
            ("../a\nb/../../c\n/../d", &["d"], &["a", "c"]),
            ("**.md\n!k.md", &["README.md", "a/b.md"], &["k.md"]),
            ("[\nb", &["b"], &["a"]),
            ("\u{feff}a", &["a"], &[]),
        ] {
            let patterns = Ignored::new(text);
            for path in ignored {
                assert!(patterns.includes(Path::new(path)), "{text:?} and {path}");
            }
            for path in kept {
                assert!(!patterns.includes(Path::new(path)), "{text:?} and {path}");
            }
        }
    }
}
