//! The stages of a Dockerfile, and what each takes from the context.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::Source;
use super::flags::{Mount, flags};
use super::lines::{Instruction, begins_heredoc, parted};
use super::words::{Value, expand, split};
use crate::model::build::Build;

/// How many stages and `ONBUILD` instructions are followed, and how many variables each stage may have.
const MAX_STAGES: usize = 100;
const MAX_TRIGGERS: usize = 100;
const MAX_VARIABLES: usize = 1000;

/// The stages, in their order.
pub(super) struct Stages {
    stages: Vec<Stage>,
    are_too_many: bool,
}

/// A stage, with what is known after its last instruction.
#[derive(Clone, Default)]
pub(super) struct Stage {
    /// In small letters.
    name: Option<String>,
    /// The names and numbers of stages that it is made from.
    from: BTreeSet<String>,
    variables: Variables,
    /// The instructions of `ONBUILD`.
    triggers: Vec<String>,
    /// The files that it takes from the context.
    pub(super) sources: BTreeSet<Source>,
    /// Why other sources are not known.
    pub(super) unknown: BTreeSet<String>,
}

/// The variables at one place of a Dockerfile.
#[derive(Clone, Default)]
struct Variables {
    args: BTreeMap<String, Value>,
    /// These go before arguments.
    env: BTreeMap<String, Value>,
    /// True if an image that is not known may set others.
    has_more: bool,
}

impl Variables {
    fn value(&self, name: &str) -> Value {
        match self.env.get(name).or_else(|| self.args.get(name)) {
            Some(value) => value.clone(),
            None if self.has_more => Value::Unknown,
            None => Value::Unset,
        }
    }
}

/// Reads instructions one after the other.
struct Reader<'a> {
    escape: char,
    build: &'a Build,
    /// The arguments before the first stage.
    global: Variables,
    stages: Vec<Stage>,
    triggers: usize,
    are_too_many: bool,
}

impl Stages {
    pub(super) fn new(instructions: &[Instruction], escape: char, build: &Build) -> Self {
        let mut reader = Reader {
            escape,
            build,
            global: Variables::default(),
            stages: Vec::new(),
            triggers: 0,
            are_too_many: false,
        };
        for Instruction { keyword, rest } in instructions {
            if keyword == "FROM" && reader.stages.len() == MAX_STAGES {
                return Self {
                    stages: reader.stages,
                    are_too_many: true,
                };
            }
            reader.read(keyword, rest);
        }
        Self {
            stages: reader.stages,
            are_too_many: reader.are_too_many,
        }
    }

    pub(super) fn are_too_many(&self) -> bool {
        self.are_too_many
    }

    /// The stages that `target`, or else the last one, needs.
    pub(super) fn needed(&self, target: Option<&str>) -> impl Iterator<Item = &Stage> {
        let last = self.stages.len().checked_sub(1);
        let target = match target {
            Some(target) => self.index(target),
            None => last,
        };
        let mut needed: BTreeSet<usize> = target.into_iter().collect();
        // A stage is made from earlier ones only.
        for index in (0..self.stages.len()).rev() {
            let stage = self.stages.get(index).filter(|_| needed.contains(&index));
            let from = stage.into_iter().flat_map(|stage| &stage.from);
            let from: Vec<usize> = from.filter_map(|name| self.index(name)).collect();
            needed.extend(from.into_iter().filter(|other| *other < index));
        }
        needed
            .into_iter()
            .filter_map(|index| self.stages.get(index))
    }

    fn index(&self, name: &str) -> Option<usize> {
        let name = name.to_ascii_lowercase();
        let is_it = |stage: &Stage| stage.name.as_ref() == Some(&name);
        let by_name = self.stages.iter().rposition(is_it);
        by_name.or_else(|| name.parse().ok())
    }
}

impl Reader<'_> {
    fn read(&mut self, keyword: &str, rest: &str) {
        match keyword {
            "FROM" => self.from(rest),
            "ARG" => self.arg(rest),
            "ENV" => self.env(rest),
            "ADD" | "COPY" => self.copy(rest),
            "RUN" => self.run(rest),
            "ONBUILD" => self.on_build(rest),
            _ => {}
        }
    }

    fn from(&mut self, rest: &str) {
        let mut words = rest
            .split_whitespace()
            .filter(|word| !word.starts_with("--"));
        let base = words.next().unwrap_or_default();
        let lookup = |name: &str| match self.global.args.get(name) {
            Some(value) => value.clone(),
            None => platform(name).map_or(Value::Unset, Value::Set),
        };
        let base = expand(base, self.escape, &lookup);
        let is_named = words
            .next()
            .is_some_and(|word| word.eq_ignore_ascii_case("as"));
        let name = words.next().filter(|_| is_named);
        let base = base.unwrap_or_default().to_ascii_lowercase();
        let known = self
            .stages
            .iter()
            .rfind(|stage| stage.name.as_ref() == Some(&base));
        let mut variables = known
            .map(|stage| stage.variables.clone())
            .unwrap_or_default();
        variables.has_more |= known.is_none() && base != "scratch";
        let triggers = known.map(|stage| stage.triggers.clone());
        self.stages.push(Stage {
            name: name.map(str::to_ascii_lowercase),
            from: [base].into(),
            variables,
            ..Stage::default()
        });
        for trigger in triggers.into_iter().flatten() {
            let (keyword, rest) = parted(&trigger);
            self.read(&keyword, rest);
        }
    }

    /// `ONBUILD`: an instruction of the stages that are made from this one.
    fn on_build(&mut self, rest: &str) {
        let (keyword, _) = parted(rest);
        if matches!(&*keyword, "FROM" | "ONBUILD") {
            return;
        }
        self.triggers += 1;
        self.are_too_many |= self.triggers > MAX_TRIGGERS;
        if let Some(stage) = self.stages.last_mut().filter(|_| !self.are_too_many) {
            stage.triggers.push(rest.to_owned());
        }
    }

    fn arg(&mut self, rest: &str) {
        let mut values = Vec::new();
        for word in split(rest, self.escape) {
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => (name, Some(default)),
                None => (&*word, None),
            };
            let given = self.build.args.get(name);
            let given = given.map(|value| Value::Set(Rc::from(&**value)));
            let default = || default.map(|default| self.value(default));
            let stage = self.stages.last();
            let before = || match stage {
                Some(_) => self.global.args.get(name).cloned(),
                None => None,
            };
            let value = given
                .or_else(default)
                .or_else(before)
                .or_else(|| platform(name).map(Value::Set))
                .or_else(|| stage?.variables.args.get(name).cloned())
                .unwrap_or(Value::Unset);
            match stage {
                // All values of one instruction have the variables before it.
                Some(_) => values.push((name.to_owned(), value)),
                None => set(&mut self.global.args, name, value),
            }
        }
        for (name, value) in values {
            set(&mut self.variables().args, &name, value);
        }
    }

    fn env(&mut self, rest: &str) {
        let words = split(rest, self.escape);
        let is_old = words.first().is_some_and(|word| !word.contains('='));
        let pairs: Vec<(String, String)> = if is_old {
            let (name, value) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
            vec![(name.to_owned(), value.trim().to_owned())]
        } else {
            let pairs = words.iter().filter_map(|word| word.split_once('='));
            pairs
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect()
        };
        // All values of one instruction have the variables before it.
        let pairs: Vec<_> = pairs
            .into_iter()
            .map(|(name, value)| (name, self.value(&value)))
            .collect();
        for (name, value) in pairs {
            set(&mut self.variables().env, &name, value);
        }
    }

    /// `COPY` and `ADD`: the last word is the destination.
    fn copy(&mut self, rest: &str) {
        let (flags, rest) = flags(rest, self.escape);
        let from = flags.iter().find_map(|flag| flag.strip_prefix("--from="));
        let context = from.and_then(|from| self.context(from));
        if let (Some(from), None) = (from, &context) {
            return self.is_made_from(from);
        }
        let excluded = flags
            .iter()
            .filter_map(|flag| flag.strip_prefix("--exclude="));
        let excluded: Vec<String> = excluded
            .filter_map(|pattern| self.expand(pattern))
            .collect();
        // The rest after a list is left out.
        let list = serde_json::Deserializer::from_slice(rest.as_bytes())
            .into_iter()
            .next();
        let mut words = match list {
            Some(Ok(words)) => words,
            _ => rest
                .split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>(),
        };
        words.pop();
        for word in words.iter().filter(|word| !begins_heredoc(word)) {
            self.source(word, |path| Source {
                context: context.clone(),
                is_pattern: path.contains(['*', '?', '[']),
                path,
                excluded: excluded.clone(),
            });
        }
    }

    /// `RUN` with mounts.
    fn run(&mut self, rest: &str) {
        let (flags, _) = flags(rest, self.escape);
        for mount in flags
            .iter()
            .filter_map(|flag| flag.strip_prefix("--mount="))
        {
            let mount = Mount::new(mount);
            let from = mount.get("from").filter(|from| !from.is_empty());
            let context = from.and_then(|from| self.context(from));
            if let (Some(from), None) = (from, &context) {
                self.is_made_from(from);
            } else if mount.is_bind()
                && let Some(source) = mount.get("source")
            {
                self.source(source, |path| Source {
                    context,
                    path,
                    is_pattern: false,
                    excluded: Vec::new(),
                });
            }
        }
    }

    fn source(&mut self, word: &str, source: impl FnOnce(String) -> Source) {
        let expanded = self.expand(word);
        let Some(stage) = self.stages.last_mut() else {
            return;
        };
        match expanded {
            Some(path) if is_remote(&path) => {}
            Some(path) => {
                stage.sources.insert(source(path));
            }
            None => {
                let problem = format!(
                    "it copies {word}, of which a variable is set by an image or is too long, so that this is not \
                     compared; set the variable with ARG or ENV"
                );
                stage.unknown.insert(problem);
            }
        }
    }

    /// The named context that `--from` means. It goes before a stage with its name.
    fn context(&self, from: &str) -> Option<String> {
        let name = self.expand(from)?.to_ascii_lowercase();
        self.build.contexts.contains_key(&name).then_some(name)
    }

    fn is_made_from(&mut self, name: &str) {
        let name = self.expand(name);
        if let (Some(stage), Some(name)) = (self.stages.last_mut(), name) {
            stage.from.insert(name);
        }
    }

    fn variables(&mut self) -> &mut Variables {
        match self.stages.last_mut() {
            Some(stage) => &mut stage.variables,
            None => &mut self.global,
        }
    }

    fn expand(&self, word: &str) -> Option<String> {
        let stage = self.stages.last().map(|stage| &stage.variables);
        let variables = stage.unwrap_or(&self.global);
        expand(word, self.escape, &|name| variables.value(name))
    }

    fn value(&self, word: &str) -> Value {
        let expanded = self.expand(word);
        expanded.map_or(Value::Unknown, |text| Value::Set(text.into()))
    }
}

fn set(variables: &mut BTreeMap<String, Value>, name: &str, value: Value) {
    if variables.len() < MAX_VARIABLES || variables.contains_key(name) {
        variables.insert(name.to_owned(), value);
    }
}

/// Returns whether a source is not in the context.
pub(in crate::devcontainer::config) fn is_remote(source: &str) -> bool {
    source.contains("://") || source.starts_with("git@")
}

/// The arguments that BuildKit sets, where the build is for this machine.
fn platform(name: &str) -> Option<Rc<str>> {
    let name = name
        .strip_prefix("TARGET")
        .or_else(|| name.strip_prefix("BUILD"))?;
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    Some(match name {
        "PLATFORM" => format!("linux/{architecture}").into(),
        "OS" => "linux".into(),
        "ARCH" => architecture.into(),
        "VARIANT" => "".into(),
        _ => return None,
    })
}
