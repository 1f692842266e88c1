//! The documents for users: their links lead somewhere, and the messages that they quote are those of the program.

use std::fs;
use std::path::{Path, PathBuf};

use crate::structure::sources;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Messages of docker, the CLI, curl and the shell.
const OF_OTHERS: [&str; 5] = [
    "permission denied while trying to connect to the Docker daemon socket",
    "Cannot connect to the Docker daemon",
    "Empty reply from server",
    "not found",
    "node:",
];

fn documents() -> Vec<PathBuf> {
    let docs = fs::read_dir(Path::new(ROOT).join("docs")).unwrap();
    let docs = docs.map(|entry| entry.unwrap().path());
    let top =
        ["README.md", "ARCHITECTURE.md", "SECURITY.md"].map(|name| Path::new(ROOT).join(name));
    let all = docs.chain(top);
    all.filter(|path| path.extension().is_some_and(|extension| extension == "md"))
        .collect()
}

/// The text without blocks of code.
fn prose(text: &str) -> String {
    let outside = text.split("\n```").step_by(2);
    outside.collect::<Vec<_>>().join("\n")
}

/// The targets of all links.
fn links(text: &str) -> Vec<String> {
    let ends = text.split("](").skip(1);
    ends.filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()))
        .collect()
}

/// The name by which a heading can be linked to, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> Vec<String> {
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| anchor(line.trim_start_matches('#')))
        .collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    for document in documents() {
        let text = prose(&fs::read_to_string(&document).unwrap());
        for link in links(&text) {
            if link.starts_with("https://") {
                continue;
            }
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let target = match file {
                "" => document.clone(),
                file => document.parent().unwrap().join(file),
            };
            let found = fs::read_to_string(&target).unwrap_or_default();
            let has_heading =
                heading.is_empty() || anchors(&prose(&found)).contains(&heading.to_owned());
            if !target.exists() || !has_heading {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert_eq!(broken, [""; 0]);
}

#[test]
fn the_readme_is_short() {
    let text = fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    assert!(
        text.lines().count() <= 120,
        "it has {} lines",
        text.lines().count()
    );
}

/// The code of the program, with texts that go on in the next line joined.
fn program() -> String {
    let sources = sources();
    let texts = sources.iter().map(|source| source.text.as_str());
    let all = texts.collect::<Vec<_>>().join("\n");
    let mut joined = String::with_capacity(all.len());
    let mut parts = all.split("\\\n");
    joined.push_str(parts.next().unwrap_or_default());
    for part in parts {
        joined.push_str(part.trim_start());
    }
    joined
}

#[test]
fn the_messages_of_the_troubleshooting_page_are_those_of_the_program() {
    let page = fs::read_to_string(Path::new(ROOT).join("docs/troubleshooting.md")).unwrap();
    let program = program();
    let mut unknown = Vec::new();
    let rows = page.lines().filter(|line| line.starts_with("| "));
    for row in rows {
        let cell = row.trim_start_matches("| ").split(" | ").next().unwrap();
        let quoted = cell.split('`').skip(1).step_by(2);
        for part in quoted.flat_map(|message| message.split('…')) {
            let part = part.trim_matches([' ', ';', ':', '.', '(', ')']);
            let is_of_others = OF_OTHERS.iter().any(|message| message.contains(part));
            if part.len() > 3 && !is_of_others && !program.contains(part) {
                unknown.push(part.to_owned());
            }
        }
    }
    assert_eq!(unknown, [""; 0]);
}
