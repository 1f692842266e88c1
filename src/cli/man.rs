//! The manual page, in the language of man(7).

use super::flags::FLAGS;
use super::help::ABOUT;
use super::words::{DOCKER, Entry, NAMES, STATUSES, TOKEN, URL, WORDS, Word, serve};

/// Returns the page.
pub(super) fn page() -> String {
    let mut page = Page(format!(
        ".TH DEVCONTAINERD 1 \"\" \"devcontainerd {}\" \"User Commands\"\n",
        env!("CARGO_PKG_VERSION")
    ));
    page.section("NAME");
    page.0 += "devcontainerd \\- ";
    page.text("list dev containers, find those that no longer match their configuration, and recreate them");
    page.section("SYNOPSIS");
    for entry in WORDS {
        page.0 += ".br\n.B devcontainerd\n";
        page.text(&entry.usage());
    }
    page.section("DESCRIPTION");
    page.text(ABOUT);
    page.0 += ".PP\n";
    page.text(NAMES);
    page.section("WORDS");
    for entry in WORDS {
        page.word(entry);
    }
    page.section("FLAGS OF THE DAEMON");
    page.text(serve().about);
    for flag in FLAGS {
        page.item(&flag.usage(), &flag.meaning());
    }
    page.section("ENVIRONMENT");
    for flag in [&DOCKER, &TOKEN, &URL] {
        page.item(&flag.variable(), &format!("--{} of a word", flag.name));
    }
    page.item("NO_COLOR", "if it is not empty, nothing is coloured");
    page.section("EXIT STATUS");
    for (status, meaning) in STATUSES {
        page.item(status, meaning);
    }
    page.section("EXAMPLES");
    for (command, meaning) in WORDS.iter().flat_map(|entry| entry.examples) {
        page.item(command, meaning);
    }
    page.section("SEE ALSO");
    page.text("docker(1), curl(1)");
    page.0
}

/// A page that grows line by line.
struct Page(String);

impl Page {
    fn section(&mut self, name: &str) {
        self.0 += &format!(".SH {name}\n");
    }

    fn text(&mut self, text: &str) {
        self.0 += &escaped(text);
        self.0 += "\n";
    }

    /// Adds a term in bold, and its meaning.
    fn item(&mut self, term: &str, meaning: &str) {
        self.0 += &format!(".TP\n\\fB{}\\fR\n{}\n", escaped(term), escaped(meaning));
    }

    fn word(&mut self, entry: &Entry) {
        if entry.word == Word::Serve {
            return;
        }
        let meaning = format!("{}. {}", capitalized(entry.summary), entry.about);
        self.item(&entry.usage(), &meaning);
        if entry.all_flags().next().is_none() {
            return;
        }
        self.0 += ".RS\n";
        for flag in entry.all_flags() {
            self.item(&flag.usage(), flag.help);
        }
        self.0 += ".RE\n";
    }
}

fn capitalized(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

/// Escapes what roff takes for its own: backslashes, hyphens, and a dot or an apostrophe at the beginning of a line.
fn escaped(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ").replace('\\', "\\e");
    let text = text.replace('-', "\\-").replace('\'', "\\(aq");
    match text.starts_with('.') {
        true => format!("\\&{text}"),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_not_taken_for_requests() {
        assert_eq!(escaped(".TP a"), "\\&.TP a");
        assert_eq!(escaped("'s a-b\n c\\d"), "\\(aqs a\\-b c\\ed");
    }

    #[test]
    fn the_page_has_every_word_and_flag() {
        let page = page();
        for entry in WORDS {
            assert!(page.contains(&escaped(&entry.usage())), "{}", entry.name);
            for flag in entry.all_flags() {
                assert!(page.contains(&escaped(&flag.usage())), "{}", flag.name);
            }
        }
        for flag in FLAGS {
            assert!(page.contains(&escaped(&flag.usage())), "{}", flag.name);
        }
    }
}
