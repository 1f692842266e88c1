//! The plan of the source tree: each module imports only modules on floors below its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The floors, the lowest first. Modules on one floor do not know each other.
const FLOORS: [&[&str]; 9] = [
    &["base"],
    &["model"],
    &["process", "client"],
    &["docker", "state", "devcontainer", "manifest", "cli"],
    &["proxy", "shim", "store", "words"],
    &["daemon"],
    &["http"],
    &["serve"],
    &["lib", "main", "fuzz"],
];

/// Imports between modules, with the files that have them.
type Imports = BTreeMap<(String, String), BTreeSet<PathBuf>>;

/// A source file, and its module path below the crate: `["docker", "inspect"]`.
pub(super) struct Source {
    pub(super) file: PathBuf,
    module: Vec<String>,
    pub(super) text: String,
}

pub(super) fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut directories = vec![root.clone()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let relative = path.strip_prefix(&root).unwrap().with_extension("");
                let parts = relative.iter().map(|part| part.to_str().unwrap());
                found.push(Source {
                    module: parts
                        .filter(|part| *part != "mod")
                        .map(str::to_owned)
                        .collect(),
                    text: fs::read_to_string(&path).unwrap(),
                    file: relative,
                });
            }
        }
    }
    // Unit tests may use whatever helps them.
    found.retain(|source| !source.module.iter().any(|part| part == "tests"));
    found
}

/// Returns the code without comments, and without the unit tests at its end.
fn code(text: &str) -> String {
    let (tested, _) = text
        .split_once("#[cfg(test)]\nmod tests {")
        .unwrap_or((text, ""));
    let lines = tested.lines().map(|line| match line.trim_start() {
        comment if comment.starts_with("//") => "",
        _ => line.split(" // ").next().unwrap_or_default(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Returns the top-level modules that a source names: by `crate::…`, by `super::…`, or by the name of the library.
fn named_modules(source: &Source) -> BTreeSet<String> {
    let code = code(&source.text);
    let mut named = BTreeSet::new();
    for (prefix, depth) in [("crate::", 0), ("devcontainerd::", 0)] {
        named.extend(paths_after(&code, prefix, depth));
    }
    // `super` leaves the module's own directory when it is as deep as the module itself.
    let depth = source.module.len();
    named.extend(paths_after(&code, &"super::".repeat(depth), depth));
    named.retain(|name| FLOORS.iter().any(|floor| floor.contains(&name.as_str())));
    named
}

/// Returns the identifiers after each occurrence of a prefix, a list in braces included.
fn paths_after(code: &str, prefix: &str, depth: usize) -> Vec<String> {
    if prefix.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (at, _) in code.match_indices(prefix) {
        let before = code[..at].chars().next_back();
        // A longer chain of `super::` is found by its own depth.
        let continues = before.is_some_and(|c| c == ':' || c == '_' || c.is_alphanumeric());
        if continues && !(depth > 0 && code[..at].ends_with("super::")) {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(list) => found.extend(top_level_names(list)),
            None => found.push(identifier(rest)),
        }
    }
    found
}

/// Returns the first identifier of each element of a list in braces.
fn top_level_names(list: &str) -> Vec<String> {
    let (mut depth, mut names, mut begins) = (0, Vec::new(), true);
    for (at, character) in list.char_indices() {
        match character {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => begins = true,
            c if begins && (c == '_' || c.is_alphabetic()) => {
                names.push(identifier(&list[at..]));
                begins = false;
            }
            _ => {}
        }
    }
    names
}

fn identifier(text: &str) -> String {
    let is_part = |c: &char| *c == '_' || c.is_alphanumeric();
    text.chars().take_while(is_part).collect()
}

fn imports(sources: &[Source]) -> Imports {
    let mut imports = Imports::new();
    for source in sources {
        let own = &source.module[0];
        for named in named_modules(source) {
            if named != *own {
                let import = imports.entry((own.clone(), named)).or_default();
                import.insert(source.file.clone());
            }
        }
    }
    imports
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// Returns a line for each import that breaks a rule.
fn violations(imports: &Imports) -> Vec<String> {
    let mut violations = Vec::new();
    for ((from, to), files) in imports {
        let why = match (floor(from), floor(to)) {
            (None, _) => format!("{from} has no floor: add it to FLOORS"),
            (Some(own), Some(other)) if own == other => format!("{from} imports {to} sideways"),
            (Some(own), Some(other)) if own < other => format!("{from} imports {to} upwards"),
            _ => continue,
        };
        violations.push(format!("{why} in {files:?}"));
    }
    violations.extend(circle(imports).map(|circle| format!("a circle: {}", circle.join(" → "))));
    violations
}

/// Returns a circle of imports, if there is one.
fn circle(imports: &Imports) -> Option<Vec<String>> {
    fn visit(imports: &Imports, at: &str, path: &mut Vec<String>) -> bool {
        if path.iter().any(|seen| seen == at) {
            path.push(at.to_owned());
            return true;
        }
        path.push(at.to_owned());
        let next = imports.keys().filter(|(from, _)| from == at);
        for (_, to) in next {
            if visit(imports, to, path) {
                return true;
            }
        }
        path.pop();
        false
    }
    imports.keys().find_map(|(from, _)| {
        let mut path = Vec::new();
        visit(imports, from, &mut path).then_some(path)
    })
}

#[test]
fn modules_import_only_modules_on_floors_below() {
    let sources = sources();
    assert!(sources.len() > 50, "the sources were not found");
    let broken = violations(&imports(&sources));
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Checks the checker: a tree that breaks a rule is found out.
#[test]
fn a_circle_and_imports_upwards_and_sideways_are_found() {
    let source = |module: &[&str], text: &str| Source {
        file: module.iter().collect(),
        module: module.iter().map(|part| (*part).to_owned()).collect(),
        text: text.to_owned(),
    };
    for (module, text, expected) in [
        (
            &["model", "api"][..],
            "use crate::state::View;",
            "model imports state upwards",
        ),
        (
            &["docker"],
            "use crate::{base::time, state};",
            "docker imports state sideways",
        ),
        (
            &["state", "view"],
            "use super::super::http::Answer;",
            "state imports http upwards",
        ),
        (
            &["base", "time"],
            "fn f() { crate::http::f() }",
            "base imports http upwards",
        ),
        (&["attic"], "use crate::base::time;", "attic has no floor"),
        (
            &["model"],
            "#[cfg(test)]\nmod tests;\nuse crate::state::View;",
            "model imports state upwards",
        ),
    ] {
        let broken = violations(&imports(&[source(module, text)]));
        assert!(
            broken.iter().any(|line| line.contains(expected)),
            "{broken:?}"
        );
    }
    let circular = [
        source(&["docker"], "use crate::state::View;"),
        source(&["state"], "use crate::docker::Client;"),
    ];
    let broken = violations(&imports(&circular));
    assert!(
        broken
            .iter()
            .any(|line| line.contains("a circle: docker → state → docker"))
    );
    for (module, text) in [
        (
            &["daemon", "shared"][..],
            "use crate::state::State; // not crate::http",
        ),
        (
            &["state", "view"],
            "use super::operation::Activity;\nuse crate::model::api::Status;",
        ),
        (&["main"], "use devcontainerd::serve;"),
    ] {
        let broken = violations(&imports(&[source(module, text)]));
        assert!(broken.is_empty(), "{broken:?}");
    }
}

/// Words that stand for I/O, a clock, a lock or a log. Methods of `Path` that ask the disk are among them.
const IMPURE: [&str; 22] = [
    "Instant::now",
    "Timestamp::now",
    "SystemTime",
    ".elapsed()",
    "Mutex",
    "RwLock",
    "Condvar",
    "Atomic",
    "OnceLock",
    "RefCell",
    "fs::",
    "io::",
    "env::",
    "process::",
    "thread::",
    "log::",
    "serde_json",
    ".exists()",
    ".is_dir()",
    ".is_file()",
    "metadata()",
    ".canonicalize(",
];

/// Returns the impure words of a source, and its imports from parts of `base` that do more than compute.
fn impurities(source: &Source) -> Vec<String> {
    let code = code(&source.text);
    let words = IMPURE.into_iter().filter(|word| code.contains(word));
    let bases = paths_after(&code, "crate::base::", 0);
    let parts = bases
        .iter()
        .filter(|part| !["time", "path_text"].contains(&part.as_str()));
    let standard = paths_after(&code, "std::", 0);
    let modules = standard.iter().filter(|module| {
        ["fs", "io", "env", "net", "process", "thread", "cell"].contains(&module.as_str())
    });
    let found = words
        .map(str::to_owned)
        .chain(parts.chain(modules).cloned());
    found
        .map(|what| format!("{what} in {}", source.file.display()))
        .collect()
}

/// The state takes facts and answers questions. It has no I/O, no clock, no lock and no log of its own.
#[test]
fn the_state_is_pure() {
    let sources = sources();
    let state = sources.iter().filter(|source| source.module[0] == "state");
    let found: Vec<String> = state.flat_map(impurities).collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
    for text in [
        "use std::{fmt, fs};",
        "use crate::base::notify::Notifier;",
        "#[cfg(test)]\nmod tests;\nfn f() { Instant::now(); }",
        "fn f(path: &Path) -> bool { path.exists() }",
    ] {
        let source = Source {
            file: "state/x".into(),
            module: vec!["state".into(), "x".into()],
            text: text.to_owned(),
        };
        assert!(!impurities(&source).is_empty(), "{text}");
    }
}

/// `scripts/test.sh` leaves out modules by their names, which libtest also finds at the end of longer ones.
#[test]
fn no_module_of_e2e_tests_has_a_name_that_ends_with_another() {
    let main = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/main.rs");
    let main = fs::read_to_string(main).unwrap();
    let declared = main.lines().filter_map(|line| line.strip_prefix("mod "));
    let modules: Vec<&str> = declared.filter_map(|name| name.strip_suffix(';')).collect();
    assert!(modules.len() > 20, "{modules:?}");
    for module in &modules {
        let is_end = |other: &&&str| other != &module && module.ends_with(**other);
        assert_eq!(modules.iter().find(is_end), None, "{module}");
    }
}
