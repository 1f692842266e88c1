//! Names that are spelled alike.

/// Characters of a name that are compared. Longer ones are no typing error.
const LONGEST: usize = 64;

/// Returns the name that is spelled most like `text`, if one differs in a third of its characters at most, or begins with it.
pub fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let close = names.filter_map(|name| Some((distance(text, name)?, name)));
    let (_, name) = close.min_by_key(|(distance, _)| *distance)?;
    Some(name)
}

/// Returns in how many characters two names differ, if they are alike. Two that are exchanged differ in one.
fn distance(text: &str, name: &str) -> Option<usize> {
    let (a, b): (Vec<char>, Vec<char>) = (text.chars().collect(), name.chars().collect());
    if a.is_empty() || a.len() > LONGEST || b.len() > LONGEST {
        return None;
    }
    if a.len() > 1 && name.starts_with(text) {
        return Some(1);
    }
    // The distances of the beginnings of `a` from those of `b`: the row before, and the one before that.
    let (mut before, mut last): (Vec<usize>, Vec<usize>) = (Vec::new(), (0..=b.len()).collect());
    for (i, x) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, y) in b.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            let mut least = at(&last, j) + usize::from(x != y);
            least = least.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let crossed = i > 0 && j > 0 && a.get(i - 1) == Some(y) && b.get(j - 1) == Some(x);
            if crossed {
                least = least.min(at(&before, j - 1) + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    let found = last.last().copied()?;
    (found <= (a.len().max(b.len()) / 3).max(1)).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_are_near() {
        let names = [
            "recreate",
            "start",
            "stop",
            "rm",
            "ls",
            "logs",
            "completions",
        ];
        for (text, expected) in [
            ("recrate", Some("recreate")),
            ("rcereate", Some("recreate")),
            ("strat", Some("start")),
            ("sotp", Some("stop")),
            ("sl", Some("ls")),
            ("log", Some("logs")),
            ("comp", Some("completions")),
            ("nope", None),
            ("", None),
            ("x", None),
            ("dockercompose", None),
        ] {
            assert_eq!(nearest(text, names.into_iter()), expected, "{text}");
        }
        let long = "x".repeat(1000);
        assert_eq!(nearest(&long, [&*long].into_iter()), None);
    }
}
