//! The instructions of a Dockerfile: <https://docs.docker.com/reference/dockerfile/#format>.

use super::words;

/// An instruction, on however many lines.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Instruction {
    /// In capitals.
    pub(super) keyword: String,
    /// The text after the keyword, without heredocs.
    pub(super) rest: String,
}

/// The instructions of a Dockerfile, and the character that escapes in it.
pub(super) fn instructions(text: &str) -> (Vec<Instruction>, char) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let escape = escape_of(text);
    let mut instructions = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if is_left_out(line) {
            continue;
        }
        let whole = joined(line.trim_start(), &mut lines, escape);
        let (keyword, rest) = parted(&whole);
        // `ONBUILD` carries another instruction.
        let (carried, arguments) = match &*keyword {
            "ONBUILD" => parted(rest),
            _ => (keyword.clone(), rest),
        };
        if matches!(&*carried, "ADD" | "COPY" | "RUN") {
            let words = words::split(arguments, escape);
            for heredoc in words.iter().filter_map(|word| Heredoc::of(word)) {
                // The lines of a heredoc are none of the Dockerfile.
                let _ = lines.by_ref().find(|line| heredoc.is_end(line));
            }
        }
        let rest = rest.to_owned();
        instructions.push(Instruction { keyword, rest });
    }
    (instructions, escape)
}

/// The keyword of an instruction, in capitals, and what follows.
pub(super) fn parted(instruction: &str) -> (String, &str) {
    let (keyword, rest) = match instruction.split_once(char::is_whitespace) {
        Some((keyword, rest)) => (keyword, rest.trim()),
        None => (instruction, ""),
    };
    (keyword.to_ascii_uppercase(), rest)
}

/// Returns whether a line is empty or a comment.
fn is_left_out(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

/// A line with those that continue it. Empty lines and comments between them are left out.
fn joined<'a>(line: &'a str, lines: &mut impl Iterator<Item = &'a str>, escape: char) -> String {
    let mut whole = String::new();
    let mut line = line;
    while let Some(continued) = continued(line, escape) {
        whole.push_str(continued);
        match lines.find(|line| !is_left_out(line)) {
            Some(next) => line = next,
            None => return whole,
        }
    }
    whole.push_str(line);
    whole
}

/// A line that the next one continues, without its last character. An escaped escape is none.
fn continued(line: &str, escape: char) -> Option<&str> {
    let before = line.trim_end_matches([' ', '\t']).strip_suffix(escape)?;
    (!before.ends_with(escape)).then_some(before)
}

/// The character that a comment like `# escape=x`, before everything else, chooses.
fn escape_of(text: &str) -> char {
    for line in text.lines() {
        let directive = line.trim_start().strip_prefix('#');
        let Some((key, value)) = directive.and_then(|line| line.split_once('=')) else {
            break;
        };
        let key = key.trim();
        if key.is_empty() || !key.chars().all(|c| c.is_ascii_alphanumeric()) {
            break;
        }
        if key.eq_ignore_ascii_case("escape") && value.trim() == "`" {
            return '`';
        }
    }
    '\\'
}

/// The name that ends a heredoc.
struct Heredoc {
    name: String,
    /// True after `<<-`: tabs before the lines do not count.
    is_indented: bool,
}

impl Heredoc {
    /// The heredoc that a word like `<<EOF` begins.
    fn of(word: &str) -> Option<Self> {
        let name = word
            .trim_start_matches(|c: char| c.is_ascii_digit())
            .strip_prefix("<<")?;
        let (name, is_indented) = match name.strip_prefix('-') {
            Some(name) => (name, true),
            None => (name, false),
        };
        let is_name = !name.is_empty() && !name.contains('<');
        is_name.then(|| Self {
            name: words::unquoted(name),
            is_indented,
        })
    }

    fn is_end(&self, line: &str) -> bool {
        let line = if self.is_indented {
            line.trim_start_matches('\t')
        } else {
            line
        };
        line == self.name
    }
}

/// Returns whether a word begins a heredoc.
pub(super) fn begins_heredoc(word: &str) -> bool {
    Heredoc::of(word).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &[(&str, &str)]) {
        let (found, _) = instructions(text);
        let found: Vec<(&str, &str)> = found.iter().map(|i| (&*i.keyword, &*i.rest)).collect();
        assert_eq!(found, expected, "{text:?}");
    }

    #[test]
    fn lines_are_joined() {
        check(
            "from x\n\n # c\nCOPY a b",
            &[("FROM", "x"), ("COPY", "a b")],
        );
        check("COPY a \\\n  b \\ \n# c\n\n c", &[("COPY", "a   b  c")]);
        check("COPY a \\\\\nRUN x", &[("COPY", "a \\\\"), ("RUN", "x")]);
        check("COPY a \\", &[("COPY", "a")]);
        check(
            "\u{feff}\tCOPY a\r\nEXPOSE",
            &[("COPY", "a"), ("EXPOSE", "")],
        );
    }

    #[test]
    fn a_directive_chooses_the_escape() {
        check(
            "# escape=`\nCOPY a `\n b\\\nRUN x",
            &[("COPY", "a  b\\"), ("RUN", "x")],
        );
        check("#syntax=a/b\n#  Escape = ` \nCOPY a`\nb", &[("COPY", "ab")]);
        check(
            "# x\n# escape=`\nCOPY a`\nRUN b",
            &[("COPY", "a`"), ("RUN", "b")],
        );
    }

    #[test]
    fn heredocs_are_left_out() {
        check(
            "RUN cat <<EOF <<-'X Y'\nCOPY a b\nEOF\n\tCOPY c d\n\tX Y\nCOPY e f",
            &[("RUN", "cat <<EOF <<-'X Y'"), ("COPY", "e f")],
        );
        check(
            "COPY <<\"A\" <<-B c /x/\nCOPY d e\nA\nCOPY d e\n\tB\nCOPY f g",
            &[("COPY", "<<\"A\" <<-B c /x/"), ("COPY", "f g")],
        );
        check(
            "RUN cat <<<x\nCOPY a b",
            &[("RUN", "cat <<<x"), ("COPY", "a b")],
        );
        check(
            "ONBUILD RUN <<EOF\nCOPY a b\nEOF\nonbuild  copy <<A /x\nCOPY a b\nA\nCOPY c d",
            &[
                ("ONBUILD", "RUN <<EOF"),
                ("ONBUILD", "copy <<A /x"),
                ("COPY", "c d"),
            ],
        );
        check("ENV A=<<B\nCOPY a b", &[("ENV", "A=<<B"), ("COPY", "a b")]);
    }
}
