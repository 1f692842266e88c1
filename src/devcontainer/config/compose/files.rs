//! The files of a compose project: compose files, and those that define variables for them.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::dotenv;
use super::interpolation::Lookup;
use super::node::Node;
use super::yaml;
use super::{Kind, Read};

/// How many bytes the files may have together.
const MAX_TEXT: usize = 1 << 20;
/// The mend of a file that is not understood.
pub(super) const CORRECT: &str = "correct it to have all inputs compared";

pub(super) struct Files<'a> {
    read: Read<'a>,
    /// The documents of each compose file; `None` where there is no such file.
    known: HashMap<PathBuf, Option<Rc<[Node]>>>,
    text: usize,
    /// The reasons why something is not read or not followed, for people.
    pub(super) problems: Vec<String>,
}

/// The reason why a file has no text is among the problems.
struct Noted;

impl<'a> Files<'a> {
    pub(super) fn new(read: Read<'a>) -> Self {
        Self {
            read,
            known: HashMap::new(),
            text: 0,
            problems: Vec::new(),
        }
    }

    /// Notes a problem with a file.
    pub(super) fn problem(&mut self, file: &Path, why: impl fmt::Display) {
        self.problems.push(format!("{}: {why}", file.display()));
    }

    /// The text of a file; `None` where there is no such file. What is wrong with it is noted.
    fn text(&mut self, file: &Path, kind: Kind) -> Result<Option<String>, Noted> {
        let text = (self.read)(file, kind).map_err(|reason| {
            self.problems.push(reason);
            Noted
        })?;
        self.text += text.as_ref().map_or(0, String::len);
        if self.text > MAX_TEXT {
            let limit = MAX_TEXT >> 10;
            self.problem(
                file,
                format_args!(
                    "with it, the files of the compose project are larger than {limit} KiB, so that what it names is not \
                     compared; make them smaller"
                ),
            );
            return Err(Noted);
        }
        Ok(text)
    }

    /// The documents of a compose file: none where it is not understood. `None` where there is no such file.
    pub(super) fn documents(&mut self, file: &Path) -> Option<Rc<[Node]>> {
        if let Some(known) = self.known.get(file) {
            return known.clone();
        }
        let documents = match self.text(file, Kind::Compose) {
            Ok(None) => None,
            Ok(Some(text)) => match yaml::documents(&text) {
                Ok(documents) => Some(documents.into()),
                Err(why) => {
                    self.problem(file, format_args!("{why}; {CORRECT}"));
                    Some(Rc::from([]))
                }
            },
            Err(Noted) => Some(Rc::from([])),
        };
        self.known.insert(file.to_path_buf(), documents.clone());
        documents
    }

    /// The variables that files define. Where a file is missing, this is a problem unless `may_be_absent`.
    pub(super) fn variables(
        &mut self,
        files: &[PathBuf],
        may_be_absent: bool,
        outer: Lookup<'_>,
    ) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        for file in files {
            let text = match self.text(file, Kind::Env) {
                Ok(Some(text)) => text,
                Ok(None) if may_be_absent => continue,
                Ok(None) => {
                    self.problem(
                        file,
                        "it does not exist, and compose is told to read variables from it; create it",
                    );
                    continue;
                }
                Err(Noted) => continue,
            };
            let known = |name: &str| outer(name).or_else(|| values.get(name).cloned());
            let evaluated = dotenv::parse(&text).and_then(|lines| dotenv::evaluate(lines, &known));
            match evaluated {
                Ok(more) => values.extend(more),
                Err(why) => self.problem(file, format_args!("{why}; {CORRECT}")),
            }
        }
        values
    }
}
