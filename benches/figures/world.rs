//! Containers on the engine and workspace folders on disk, which are removed at the end of the benchmark.

use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use std::{fs, thread};

use crate::report::milliseconds;
use crate::run;

pub(crate) const IMAGE: &str = "devcontainerd-base:latest";
/// The number of docker commands that run at once.
const WORKERS: usize = 4;

pub(crate) struct World {
    root: PathBuf,
    /// The prefix of the names of workspace folders.
    prefix: &'static str,
    containers: Vec<String>,
}

impl World {
    /// Creates dev containers: folders with a configuration, and containers with their labels.
    pub(crate) fn new(prefix: &'static str, devcontainers: usize) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("devcontainerd-bench-{}-{number}", std::process::id());
        let root = std::env::temp_dir().canonicalize().unwrap().join(name);
        let mut world = Self {
            root,
            prefix,
            containers: Vec::new(),
        };
        let labels = (0..devcontainers).map(|number| {
            let folder = world.workspace(&world.name(number));
            let config = world.config(number);
            vec![
                format!("devcontainer.local_folder={}", folder.display()),
                format!("devcontainer.config_file={}", config.display()),
                r#"devcontainer.metadata=[{"remoteUser":"dev"}]"#.into(),
            ]
        });
        world.create(labels.collect());
        world
    }

    /// Adds containers that are not dev containers until there are `count`.
    pub(crate) fn fill(&mut self, count: usize) {
        let labels = (self.containers.len()..count).map(|number| {
            vec![
                format!("com.docker.compose.project=project{}", number / 4),
                format!("com.docker.compose.service=service{}", number % 4),
                "org.opencontainers.image.source=https://example.com/image".into(),
            ]
        });
        self.create(labels.collect());
    }

    /// Returns the name of a dev container.
    pub(crate) fn name(&self, number: usize) -> String {
        format!("{}{number}", self.prefix)
    }

    pub(crate) fn folder(&self, number: usize) -> PathBuf {
        self.root.join(self.name(number))
    }

    pub(crate) fn config(&self, number: usize) -> PathBuf {
        self.folder(number).join(".devcontainer/devcontainer.json")
    }

    /// Creates a folder with a configuration, without a container.
    pub(crate) fn workspace(&self, name: &str) -> PathBuf {
        let folder = self.root.join(name);
        fs::create_dir_all(folder.join(".devcontainer")).unwrap();
        let config = folder.join(".devcontainer/devcontainer.json");
        fs::write(config, format!(r#"{{"image": "{IMAGE}"}}"#)).unwrap();
        folder
    }

    /// Lists and inspects all containers, as a program that polls docker does. Returns the time in milliseconds.
    pub(crate) fn poll(&self) -> f64 {
        let begun = Instant::now();
        let listed = run("docker", &["ps", "--all", "--quiet", "--no-trunc"]);
        let ids = listed.lines();
        run(
            "docker",
            &["inspect"].into_iter().chain(ids).collect::<Vec<_>>(),
        );
        milliseconds(begun.elapsed())
    }

    /// Creates a container for each list of labels.
    fn create(&mut self, labels: Vec<Vec<String>>) {
        let create = |labels: &Vec<String>| {
            let mut arguments = vec!["create"];
            arguments.extend(labels.iter().flat_map(|label| ["--label", label]));
            arguments.push(IMAGE);
            run("docker", &arguments).trim().to_owned()
        };
        self.containers.extend(in_parallel(&labels, create));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let batches: Vec<&[String]> = self.containers.chunks(50).collect();
        in_parallel(&batches, |batch| remove(batch.iter().map(String::as_str)));
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Recreates the container of a folder with the devcontainer CLI alone.
pub(crate) fn up(folder: &Path) {
    let mut command = Command::new("devcontainer");
    command.args(["up", "--log-format", "json", "--remove-existing-container"]);
    command.arg("--workspace-folder").arg(folder);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    let mut cli = command.process_group(0).spawn().unwrap();
    assert!(cli.wait().unwrap().success(), "{command:?}");
    // The CLI leaves a `docker run` client in its group.
    let group = format!("-{}", cli.id());
    let _ = Command::new("kill")
        .args(["-s", "KILL", "--", &group])
        .status();
}

pub(crate) fn remove_containers_of(folder: &Path) {
    let filter = format!("label=devcontainer.local_folder={}", folder.display());
    remove(run("docker", &["ps", "--all", "--quiet", "--filter", &filter]).lines());
}

fn remove<'a>(containers: impl Iterator<Item = &'a str>) {
    let arguments = ["rm", "--force", "--volumes"].into_iter().chain(containers);
    run("docker", &arguments.collect::<Vec<_>>());
}

fn in_parallel<T: Sync, R: Send>(all: &[T], each: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let each = &each;
    thread::scope(|scope| {
        let share = all.len().div_ceil(WORKERS).max(1);
        let work = |part: &[T]| part.iter().map(each).collect();
        let threads: Vec<_> = all
            .chunks(share)
            .map(|part| scope.spawn(move || work(part)))
            .collect();
        let results = threads.into_iter().map(|thread| thread.join().unwrap());
        results.flat_map(|part: Vec<R>| part).collect()
    })
}
