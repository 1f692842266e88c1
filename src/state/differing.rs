//! The part in which two lists differ.

use crate::model::shared_list::common_ends;

/// Returns what is left of two lists without the items that they have in common at their beginning and at their end.
pub(super) fn differing<'a, T>(
    before: &'a [T],
    after: &'a [T],
    is_same: impl Fn(&T, &T) -> bool,
) -> (&'a [T], &'a [T]) {
    let lengths = (before.len(), after.len());
    let (begin, end) = common_ends(before.iter(), after.iter(), lengths, is_same);
    (
        before.get(begin..lengths.0 - end).unwrap_or_default(),
        after.get(begin..lengths.1 - end).unwrap_or_default(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(before: &str, after: &str, expected: (&str, &str)) {
        let (before, after) = (before.as_bytes(), after.as_bytes());
        let (one, other) = differing(before, after, |a, b| a == b);
        assert_eq!((one, other), (expected.0.as_bytes(), expected.1.as_bytes()));
    }

    #[test]
    fn what_lists_have_in_common_at_both_ends_is_left_out() {
        check("", "", ("", ""));
        check("abc", "abc", ("", ""));
        check("abc", "axc", ("b", "x"));
        check("abc", "ac", ("b", ""));
        check("ac", "abc", ("", "b"));
        check("abcd", "xbcy", ("abcd", "xbcy"));
        check("", "ab", ("", "ab"));
        check("aa", "aaa", ("", "a"));
        check("ab", "ba", ("ab", "ba"));
    }
}
