//! Scalars and tags, as go-yaml resolves them for compose.

use saphyr_parser::Tag as YamlTag;

use super::node::{Node, Tag};

pub(super) fn tag_of(tag: &YamlTag) -> Option<Tag> {
    match (tag.handle.as_str(), tag.suffix.as_str()) {
        ("!", "reset") => Some(Tag::Reset),
        ("!", "override") => Some(Tag::Override),
        _ => None,
    }
}

pub(super) fn tagged(tag: Option<Tag>, node: Node) -> Node {
    match tag {
        Some(tag) => Node::Tagged(tag, Box::new(node)),
        None => node,
    }
}

pub(super) fn scalar(text: &str, is_plain: bool, tag: Option<&YamlTag>) -> Node {
    let is_text =
        !is_plain || tag.is_some_and(|tag| tag.is_yaml_core_schema() && tag.suffix == "str");
    let node = if is_text {
        Node::Text(text.to_owned())
    } else {
        plain(text)
    };
    tagged(tag.and_then(tag_of), node)
}

/// The meaning of a scalar without quotes, as go-yaml resolves it.
fn plain(text: &str) -> Node {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Node::Null,
        "true" | "True" | "TRUE" => Node::Typed("true".to_owned()),
        "false" | "False" | "FALSE" => Node::Typed("false".to_owned()),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Node::Typed("+Inf".to_owned()),
        "-.inf" | "-.Inf" | "-.INF" => Node::Typed("-Inf".to_owned()),
        ".nan" | ".NaN" | ".NAN" => Node::Typed("NaN".to_owned()),
        _ => match number(text) {
            Some(number) => Node::Typed(number),
            None => Node::Text(text.to_owned()),
        },
    }
}

/// A number as compose prints it.
fn number(text: &str) -> Option<String> {
    let is_number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.'));
    if !is_number {
        return None;
    }
    let plain = text.replace('_', "");
    let (sign, digits) = match plain.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let with_radix = |prefix: &str, radix: u32| {
        let digits = digits.strip_prefix(prefix)?;
        let is_unsigned = !digits.starts_with(['+', '-']);
        i64::from_str_radix(digits, radix)
            .ok()
            .filter(|_| is_unsigned)
    };
    let whole = with_radix("0x", 16)
        .or_else(|| with_radix("0o", 8))
        .or_else(|| with_radix("0b", 2))
        .or_else(|| with_radix("0", 8))
        .or_else(|| with_radix("", 10));
    if let Some(whole) = whole {
        return Some((sign * whole).to_string());
    }
    let is_decimal = digits
        .bytes()
        .all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
    let number: f64 = digits.parse().ok().filter(|_| is_decimal)?;
    number.is_finite().then(|| shown(sign as f64 * number))
}

/// A number as Go prints it.
fn shown(number: f64) -> String {
    let scientific = format!("{number:e}");
    let parts = scientific.split_once('e');
    let exponent = parts.and_then(|(digits, exponent)| Some((digits, exponent.parse().ok()?)));
    match exponent {
        Some((digits, exponent @ (..-4_i32 | 21..))) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{digits}e{sign}{:02}", exponent.abs())
        }
        _ => number.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use crate::devcontainer::config::compose::yaml::tests::check;

    #[test]
    fn scalars_mean_what_compose_takes_them_for() {
        for (text, expected) in [
            ("a", "a"),
            ("'1'", "1"),
            ("!!str 1", "1"),
            ("1", "#1"),
            ("-1_000", "#-1000"),
            ("0x1F", "#31"),
            ("0o17", "#15"),
            ("017", "#15"),
            ("089", "#89"),
            ("1.50", "#1.5"),
            ("1.0", "#1"),
            ("1e3", "#1000"),
            ("1e20", "#100000000000000000000"),
            ("-1e21", "#-1e+21"),
            ("12345678901234567890123", "#1.2345678901234568e+22"),
            ("0.0001", "#0.0001"),
            ("1e-7", "#1e-07"),
            ("1e400", "1e400"),
            ("[.inf, -.Inf, .NaN, .nano]", "[#+Inf,#-Inf,#NaN,.nano]"),
            (".5", "#0.5"),
            ("1.2.3", "1.2.3"),
            ("-", "[null]"),
            ("-x", "-x"),
            ("--1", "--1"),
            ("+-1", "+-1"),
            ("0x-1", "0x-1"),
            ("1e", "1e"),
            (".", "."),
            ("True", "#true"),
            ("yes", "yes"),
            ("2024-01-01", "2024-01-01"),
            ("a: ~", "{a:null}"),
            ("a:", "{a:null}"),
            ("!reset null", "!Reset null"),
            ("!override [a]", "!Override [a]"),
            ("!other a", "a"),
        ] {
            check(text, &[expected]);
        }
        check("", &[]);
        check("# c\n---\n---\na\n", &["a"]);
        check("\u{feff}a", &["a"]);
    }
}
