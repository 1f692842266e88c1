//! Paths by which Windows reaches the files of a WSL distribution.

use std::path::PathBuf;

/// The beginnings of such paths, before the name of the distribution.
const SHARES: [&str; 2] = [r"\\wsl.localhost\", r"\\wsl$\"];

/// Returns the path in this distribution that `text` means; `None` where `text` is no path of Windows into it.
pub fn path_in(distribution: Option<&str>, text: &str) -> Option<PathBuf> {
    let distribution = distribution.filter(|name| !name.is_empty())?;
    // Windows compares without regard to case.
    let below = SHARES.iter().find_map(|share| strip(text, share))?;
    let path = strip(below, distribution)?;
    let is_whole = path.is_empty() || path.starts_with('\\');
    is_whole.then(|| match path.replace('\\', "/") {
        root if root.is_empty() => "/".into(),
        path => path.into(),
    })
}

/// `text` without this beginning, whatever its case.
fn strip<'a>(text: &'a str, beginning: &str) -> Option<&'a str> {
    let (begin, rest) = text.split_at_checked(beginning.len())?;
    begin.eq_ignore_ascii_case(beginning).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn paths_into_this_distribution_are_mapped() {
        for (text, expected) in [
            (
                r"\\wsl.localhost\Ubuntu\home\me\my app",
                Some("/home/me/my app"),
            ),
            (r"\\wsl$\ubuntu\home", Some("/home")),
            (r"\\WSL.LOCALHOST\Ubuntu\a\..\b", Some("/a/../b")),
            (r"\\wsl.localhost\Ubuntu", Some("/")),
            (r"\\wsl.localhost\Ubuntu\", Some("/")),
            (r"\\wsl.localhost\Ubuntu-22.04\home", None),
            (r"\\wsl.localhost\Ubu", None),
            (r"\\wsl.localhost", None),
            (r"\\server\Ubuntu\home", None),
            (r"c:\Users\me", None),
            ("//wsl.localhost/Ubuntu/home", None),
            ("/home/me", None),
            ("", None),
            ("é", None),
        ] {
            let expected = expected.map(Path::new);
            assert_eq!(path_in(Some("Ubuntu"), text).as_deref(), expected, "{text}");
            assert_eq!(path_in(None, text), None, "{text}");
            assert_eq!(path_in(Some(""), text), None, "{text}");
        }
    }
}
