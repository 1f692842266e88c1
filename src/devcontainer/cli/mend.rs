//! Objects whose end was dropped, because the line was too long.

/// The longest escape in a JSON string, `\u1234`.
const MAX_ESCAPE: usize = 6;

/// Closes an object whose end was dropped: a long object is long by its last text. `None` where that makes nothing that
/// `is_whole`.
pub(super) fn mend(line: &str, is_whole: impl Fn(&str) -> bool) -> Option<String> {
    // The cut may be in the middle of an escape or of a character.
    let line = line.trim_end_matches(char::REPLACEMENT_CHARACTER);
    (0..MAX_ESCAPE)
        .filter_map(|cut| line.get(..line.len().checked_sub(cut)?))
        .map(|shorter| format!("{shorter}\"}}"))
        .find(|mended| is_whole(mended))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_whole(line: &str) -> bool {
        serde_json::from_str::<serde_json::Value>(line).is_ok()
    }

    #[test]
    fn a_cut_object_is_closed_wherever_the_cut_is() {
        let whole = r#"{"type":"text","text":"a\u00e9\\é"}"#;
        let from = whole.find("a\\").unwrap();
        for cut in from..whole.len() - 2 {
            let line = String::from_utf8_lossy(&whole.as_bytes()[..cut]);
            assert!(mend(&line, is_whole).is_some(), "{line}");
        }
        assert_eq!(mend(r#"{"text"#, is_whole), None);
    }
}
