//! Compose projects, as compose reads their files: <https://docs.docker.com/reference/compose-file/>.

mod build;
mod call;
mod dotenv;
mod files;
mod interpolation;
mod loader;
mod merge;
mod node;
mod scalar;
mod service;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub use self::build::{Build, Dockerfile};
pub use self::call::{Call, normalized, value_in};
pub use self::dotenv::canonical as canonical_env_file;

pub use self::service::{EnvFile, Service};
pub use crate::model::compose::ComposeSetup;

use self::build::complete;
use self::files::Files;
use self::loader::Loader;
use super::substitute::Environment;

/// The language of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A compose file.
    Compose,
    /// A file of variables for compose files.
    Env,
}

/// Reads a file: its text, or `None` where there is no such file. The error is a reason for people.
pub type Read<'a> = &'a mut dyn FnMut(&Path, Kind) -> Result<Option<String>, String>;

/// A compose project.
#[derive(Debug, Default)]
pub struct Project {
    /// Its name for compose, where the command line gives none.
    pub name: String,
    /// True if a compose file has a name for it.
    pub is_named: bool,
    /// Its services by their names.
    pub services: BTreeMap<String, Service>,
    /// The profiles that are active.
    pub profiles: Vec<String>,
    /// Compose files that it needs and that do not exist.
    pub missing: Vec<PathBuf>,
    /// The reasons why something is not read or not followed, for people.
    pub problems: Vec<String>,
}

/// Reads the project that compose is called for.
pub fn read(call: &Call, environment: Environment<'_>, read: Read<'_>) -> Project {
    let directory = call.directory();
    if directory.to_str().is_none() {
        let path = directory.display();
        return Project {
            problems: vec![format!(
                "{path}: its path is not UTF-8, so that its compose files are not followed; rename it"
            )],
            ..Project::default()
        };
    }
    let home = environment("HOME").map(PathBuf::from).unwrap_or_default();
    let mut loader = Loader::new(Files::new(read), home);
    let outer = |name: &str| call.variable(name, environment);
    let (files, may_be_absent) = call.env_files(environment);
    let values = loader.files.variables(&files, may_be_absent, &outer);
    let known = |name: &str| outer(name).or_else(|| values.get(name).cloned());
    let (name, is_named) = call.name(&mut loader.files, &known);
    let variables = |variable: &str| match variable {
        "COMPOSE_PROJECT_NAME" => Some(name.clone()),
        _ => known(variable),
    };
    let services = loader.services(&call.files, &directory, &variables, &[]);
    let missing = call
        .required_files()
        .filter(|file| loader.files.documents(file).is_none());
    let missing = missing.map(Path::to_path_buf).collect();
    let mut problems = loader.files.problems;
    let mut services = services.unwrap_or_else(|_| {
        let path = directory.display();
        problems.push(format!(
            "{path}: its compose files name more than is followed; split the project"
        ));
        BTreeMap::new()
    });
    for service in services.values_mut() {
        complete(service, &directory, &variables);
    }
    let services = services
        .into_iter()
        .map(|(name, service)| (name, Service::of(&service)));
    let profiles = variables("COMPOSE_PROFILES").unwrap_or_default();
    Project {
        name: name.clone(),
        is_named,
        services: services.collect(),
        profiles: profiles.split(',').map(str::to_owned).collect(),
        missing,
        problems,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, Instant};

    /// Reads the project of `/w/c.yml`, where files with these names have these texts.
    fn project(files: &[(&str, &str)]) -> Project {
        let environment = |_: &str| None;
        let files: BTreeMap<PathBuf, &str> = files
            .iter()
            .map(|(name, text)| (Path::new("/w").join(name), *text))
            .collect();
        let look = &mut |path: &Path, _| Ok(files.get(path).map(|text| (*text).to_owned()));
        let call = Call::new(Path::new("/w"), &["/w/c.yml".into()], &environment, look);
        read(&call, &environment, look)
    }

    #[test]
    fn p19_work_is_bounded_where_files_name_one_another_over_and_over() {
        let begun = Instant::now();
        let doubled: String = (1..60)
            .map(|level| {
                format!("  - path: [x.yml, c{level}.yml]\n    project_directory: d{level}\n")
            })
            .collect();
        let includes = format!("include:\n{doubled}");
        let names: Vec<String> = (1..60).map(|level| format!("c{level}.yml")).collect();
        let mut files = vec![("c.yml", includes.as_str()), ("x.yml", "services: {}")];
        files.extend(names.iter().map(|name| (name.as_str(), includes.as_str())));
        let found = project(&files);
        assert!(!found.problems.is_empty());
        let long: Vec<String> = (0..5000).map(|number| format!("e{number}")).collect();
        let mut chain = format!("services:\n  s0: {{env_file: [{}]}}\n", long.join(","));
        for number in 1..5000 {
            let below = number - 1;
            chain += &format!("  s{number}: {{extends: s{below}, env_file: e}}\n");
        }
        let found = project(&[("c.yml", &chain)]);
        assert!(!found.problems.is_empty());
        let variables = format!("A0={}\n", "x".repeat(1000))
            + &(1..200)
                .map(|n| format!("A{n}=$A{0}$A{0}\n", n - 1))
                .collect::<String>();
        let found = project(&[("c.yml", "services: {}"), (".env", &variables)]);
        assert!(!found.problems.is_empty());
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{:?}",
            begun.elapsed()
        );
    }

    const FILE: &str = "name: n\ninclude: [d.yml, {path: [d.yml], env_file: e}]\nx-a: &a {context: '${X:-a}', args: [A]}\nservices:\n  a:\n    \
                        build: {<<: *a, target: t}\n    env_file: [e, {path: f}]\n  b: {extends: {file: d.yml, service: d}}\n  c: {extends: a}\n";
    const PIECES: [&str; 16] = [
        "*a",
        "&a ",
        "{",
        "}",
        "[",
        "]",
        "\n",
        "  ",
        ": ",
        "- ",
        "${X",
        "}",
        "!reset ",
        "c.yml",
        "extends: ",
        "include: ",
    ];

    proptest! {
        #[test]
        fn p19_no_mutation_panics_or_takes_long(
            edits in proptest::collection::vec((0..FILE.len(), 0..8usize, 0..PIECES.len()), 0..8)
        ) {
            let mut text = FILE.to_owned();
            for (at, length, piece) in edits {
                let at = at.min(text.len());
                let end = (at + length).min(text.len());
                text.replace_range(at..end, PIECES[piece]);
            }
            let begun = Instant::now();
            let included = "services: {d: {build: d, extends: {file: c.yml, service: a}}}";
            let _ = project(&[("c.yml", &text), ("d.yml", included), ("e", "A=$B"), (".env", &text)]);
            prop_assert!(begun.elapsed() < Duration::from_secs(2), "{text:?}");
        }
    }
}
