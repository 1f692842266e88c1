//! Reads the files of a compose project, with those that they extend and include.

use std::path::{Path, PathBuf};

use super::build::complete;
use super::files::{CORRECT, Files};
use super::interpolation::{InterpolationError, Lookup, interpolate};
use super::merge::{
    BUILD, DEPENDS_ON, ENV_FILE, LABEL_FILE, LINKS, NAMESPACES, PATH, PROFILES, VOLUMES_FROM,
    absolute, apply_tags, is_remote, merge_service, merge_services, resolve_paths,
};
use super::node::{Map, Node};

/// How many files may be read, where one counts each time that it is extended or included.
const MAX_LOADS: usize = 500;
/// How much may be made of all files together, as sizes of nodes ([`Node::size`]).
const MAX_WORK: usize = 2_000_000;
/// How many services may extend one another.
const MAX_CHAIN: usize = 100;

const EXTENDS: &str = "extends";
/// The parts of a service that are of interest.
const PARTS: [&str; 11] = [
    BUILD,
    ENV_FILE,
    LABEL_FILE,
    EXTENDS,
    DEPENDS_ON,
    LINKS,
    VOLUMES_FROM,
    PROFILES,
    NAMESPACES[0],
    NAMESPACES[1],
    NAMESPACES[2],
];

pub(super) struct Loader<'a> {
    pub(super) files: Files<'a>,
    home: PathBuf,
    loads: usize,
    work: usize,
}

/// A compose file with its variables replaced.
#[derive(Default)]
struct Prepared {
    services: Map,
    includes: Vec<Node>,
}

/// Services that extend one another by name.
struct Scope<'a> {
    file: &'a Path,
    /// The directory that paths of these services are relative to.
    directory: &'a Path,
    services: &'a Map,
    variables: Lookup<'a>,
}

/// A limit of the reading is exceeded.
pub(super) struct TooMuch;

impl<'a> Loader<'a> {
    pub(super) fn new(files: Files<'a>, home: PathBuf) -> Self {
        Self {
            files,
            home,
            loads: 0,
            work: 0,
        }
    }

    fn spend(&mut self, work: usize) -> Result<(), TooMuch> {
        self.work = self.work.saturating_add(work);
        if self.work > MAX_WORK {
            return Err(TooMuch);
        }
        Ok(())
    }

    /// The services of these files, of which later ones come before earlier ones. Paths are relative to `directory`, and
    /// absolute in the result. `above` are the files that include these.
    pub(super) fn services(
        &mut self,
        files: &[PathBuf],
        directory: &Path,
        variables: Lookup<'_>,
        above: &[PathBuf],
    ) -> Result<Map, TooMuch> {
        let mut services = Map::new();
        for file in files {
            self.loads += 1;
            if self.loads > MAX_LOADS {
                return Err(TooMuch);
            }
            let above = [above, std::slice::from_ref(file)].concat();
            let documents = self.files.documents(file);
            for document in documents.iter().flat_map(|documents| documents.iter()) {
                let prepared = self.prepare(document, file, variables)?;
                apply_tags(&mut services, &prepared.services);
                let mut own = Map::new();
                for include in &prepared.includes {
                    let included = self.included(include, directory, variables, &above)?;
                    merge_services(&mut own, included);
                }
                merge_services(&mut own, prepared.services);
                let scope = Scope {
                    file,
                    directory,
                    services: &own,
                    variables,
                };
                for name in own.keys() {
                    let service = self.extended(name, &scope, &mut Vec::new())?;
                    self.spend(service.size())?;
                    merge_services(&mut services, Map::from([(name.clone(), service)]));
                }
            }
        }
        Ok(services)
    }

    /// Replaces variables in the parts of a document that are of interest.
    fn prepare(
        &mut self,
        document: &Node,
        file: &Path,
        variables: Lookup<'_>,
    ) -> Result<Prepared, TooMuch> {
        let mut prepared = Prepared::default();
        let Some(document) = document.map() else {
            self.files
                .problem(file, format_args!("it is not a mapping; {CORRECT}"));
            return Ok(prepared);
        };
        for include in document.get("include").map_or(&[][..], Node::items) {
            prepared
                .includes
                .extend(self.replaced(include, file, variables)?);
        }
        let services = document.get("services").and_then(Node::map);
        for (name, service) in services.into_iter().flatten() {
            let mut parts = Map::new();
            for part in PARTS {
                if let Some(node) = service.map().and_then(|service| service.get(part))
                    && let Some(node) = self.replaced(node, file, variables)?
                {
                    parts.insert(part.to_owned(), node);
                }
            }
            let parts = Node::Map(parts);
            let service = match service {
                Node::Tagged(tag, _) => Node::Tagged(*tag, Box::new(parts)),
                _ => parts,
            };
            prepared.services.insert(name.clone(), service);
        }
        Ok(prepared)
    }

    /// A copy of `node` with its variables replaced; `None` where that fails, which is a problem.
    fn replaced(
        &mut self,
        node: &Node,
        file: &Path,
        variables: Lookup<'_>,
    ) -> Result<Option<Node>, TooMuch> {
        let replaced = interpolated(node, variables);
        match replaced {
            Ok(node) => {
                self.spend(node.size())?;
                Ok(Some(node))
            }
            Err(why) => {
                let mend = "set it in the environment of devcontainerd or in .env";
                let mend = match why {
                    InterpolationError::Required { .. } => mend,
                    _ => CORRECT,
                };
                self.files.problem(file, format_args!("{why}; {mend}"));
                Ok(None)
            }
        }
    }

    /// A service of `scope` with what it extends. `chain` are the services that extend it.
    fn extended(
        &mut self,
        name: &str,
        scope: &Scope<'_>,
        chain: &mut Vec<(PathBuf, String)>,
    ) -> Result<Node, TooMuch> {
        let Some(Node::Map(service)) = scope.services.get(name) else {
            let why = format_args!("it extends the service `{name}`, which it does not have");
            self.files.problem(scope.file, why);
            return Ok(Node::Map(Map::new()));
        };
        let mut service = service.clone();
        self.spend(1 + service.values().map(Node::size).sum::<usize>())?;
        resolve_paths(&mut service, scope.directory, &self.home);
        let Some(extends) = service.remove(EXTENDS) else {
            return Ok(merge_service(None, Node::Map(service)));
        };
        let link = (scope.file.to_path_buf(), name.to_owned());
        if chain.contains(&link) || chain.len() >= MAX_CHAIN {
            let why = format_args!(
                "the service `{name}` extends itself, or others more than {MAX_CHAIN} deep"
            );
            self.files.problem(scope.file, why);
            return Ok(merge_service(None, Node::Map(service)));
        }
        chain.push(link);
        let base = self.base(&extends, scope, chain)?;
        chain.pop();
        self.spend(base.as_ref().map_or(0, Node::size))?;
        let base = base.map(|base| merge_service(None, base));
        Ok(merge_service(base, Node::Map(service)))
    }

    /// The service that `extends` names.
    fn base(
        &mut self,
        extends: &Node,
        scope: &Scope<'_>,
        chain: &mut Vec<(PathBuf, String)>,
    ) -> Result<Option<Node>, TooMuch> {
        let part = |key: &str| {
            extends
                .map()
                .and_then(|map| map.get(key))
                .and_then(Node::text)
        };
        let Some(name) = extends.text().or_else(|| part("service")) else {
            self.files.problem(
                scope.file,
                "it has an `extends` without the name of a service",
            );
            return Ok(None);
        };
        let Some(path) = part("file") else {
            return self.extended(name, scope, chain).map(Some);
        };
        if is_remote(path) {
            self.not_followed(scope.file, "extends", path);
            return Ok(None);
        }
        let file = PathBuf::from(absolute(path, scope.directory, &self.home));
        let Some(services) = self.services_of(&file, scope)? else {
            return Ok(None);
        };
        let scope = Scope {
            file: &file,
            directory: file.parent().unwrap_or(&file),
            services: &services,
            variables: scope.variables,
        };
        self.extended(name, &scope, chain).map(Some)
    }

    /// The services of a file that is extended from `scope`; `None` where there is no such file.
    fn services_of(&mut self, file: &Path, scope: &Scope<'_>) -> Result<Option<Map>, TooMuch> {
        self.loads += 1;
        if self.loads > MAX_LOADS {
            return Err(TooMuch);
        }
        let Some(documents) = self.files.documents(file) else {
            self.missing(scope.file, "extends a service of", file);
            return Ok(None);
        };
        let mut services = Map::new();
        for document in documents.iter() {
            let prepared = self.prepare(document, file, scope.variables)?;
            merge_services(&mut services, prepared.services);
        }
        Ok(Some(services))
    }

    /// The services that an item of `include` names.
    fn included(
        &mut self,
        include: &Node,
        directory: &Path,
        variables: Lookup<'_>,
        above: &[PathBuf],
    ) -> Result<Map, TooMuch> {
        let home = self.home.clone();
        let here = above.last().cloned().unwrap_or_default();
        let part = |key: &str| include.map().and_then(|map| map.get(key));
        let texts = |node: Option<&Node>| -> Vec<String> {
            let items = node.map_or(&[][..], Node::items).iter();
            items.filter_map(Node::text).map(str::to_owned).collect()
        };
        let paths = match include.text() {
            Some(path) => vec![path.to_owned()],
            None => texts(part(PATH)),
        };
        if let Some(remote) = paths.iter().find(|path| is_remote(path)) {
            self.not_followed(&here, "includes", remote);
            return Ok(Map::new());
        }
        let files: Vec<PathBuf> = paths
            .iter()
            .map(|path| absolute(path, directory, &home).into())
            .collect();
        let Some(first) = files.first() else {
            self.files
                .problem(&here, "it has an `include` without a path");
            return Ok(Map::new());
        };
        if above.contains(first) {
            self.files.problem(
                &here,
                format_args!("it includes {}, which includes it", first.display()),
            );
            return Ok(Map::new());
        }
        for file in &files {
            if self.files.documents(file).is_none() {
                self.missing(&here, "includes", file);
            }
        }
        let own_directory = match part("project_directory").and_then(Node::text) {
            Some(path) => absolute(path, directory, &home).into(),
            None => first.parent().unwrap_or(first).to_path_buf(),
        };
        let named: Vec<PathBuf> = texts(part(ENV_FILE))
            .iter()
            .filter(|path| *path != "/dev/null")
            .map(|path| absolute(path, directory, &home).into())
            .collect();
        let values = match part(ENV_FILE).map_or(&[][..], Node::items) {
            [] => self
                .files
                .variables(&[own_directory.join(".env")], true, variables),
            _ => self.files.variables(&named, false, variables),
        };
        let variables = |name: &str| variables(name).or_else(|| values.get(name).cloned());
        let mut services = self.services(&files, &own_directory, &variables, above)?;
        for service in services.values_mut() {
            complete(service, &own_directory, &variables);
        }
        Ok(services)
    }

    fn missing(&mut self, file: &Path, verb: &str, what: &Path) {
        let what = what.display();
        self.files.problem(
            file,
            format_args!("it {verb} {what}, which does not exist; create that file"),
        );
    }

    fn not_followed(&mut self, file: &Path, verb: &str, what: &str) {
        let why = format_args!(
            "it {verb} {what}, which is not on this machine and is not compared; copy it here"
        );
        self.files.problem(file, why);
    }
}

fn interpolated(node: &Node, variables: Lookup<'_>) -> Result<Node, InterpolationError> {
    Ok(match node {
        Node::Null | Node::Typed(_) => node.clone(),
        Node::Text(text) => Node::Text(interpolate(text, variables)?),
        Node::List(items) => {
            let items = items.iter().map(|item| interpolated(item, variables));
            Node::List(items.collect::<Result<_, _>>()?)
        }
        Node::Map(map) => {
            let pairs = map
                .iter()
                .map(|(key, value)| Ok((key.clone(), interpolated(value, variables)?)));
            Node::Map(pairs.collect::<Result<_, _>>()?)
        }
        Node::Tagged(tag, inner) => Node::Tagged(*tag, Box::new(interpolated(inner, variables)?)),
    })
}
