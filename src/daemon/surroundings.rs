//! What is around the daemon: the container that it runs in, where the engine is outside of that and mounts workspace folders
//! by its own paths.
//!
//! Advice is given only where the engine itself lists that container. So there is none on a host, and none where an
//! engine runs inside of the container.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::mounts::Mounts;
use super::shared::Shared;
use crate::base::event::{Event, Value};
use crate::cli::Config;
use crate::model::container::{ContainerInfo, Mount};
use crate::process::programs::Programs;
use crate::state::{KnownPlace, State, View};

/// The files that an engine mounts into each container, from a directory that is named after its id.
const ENGINE_FILES: [&str; 3] = ["/etc/hostname", "/etc/hosts", "/etc/resolv.conf"];
/// Docker Desktop shows paths of the user's machine below one of these.
const DESKTOP: [&str; 2] = ["/host_mnt", "/run/desktop/mnt/host"];
/// The pieces of advice that the log has at most.
const MAX_LOGGED: usize = 64;

/// The container that the daemon runs in, if it runs in one, as this process sees it.
pub struct Surroundings {
    /// Docker and the devcontainer CLI.
    pub programs: Arc<Programs>,
    /// Ids, or beginnings of ids, of which one may be the own container's.
    ids: Vec<String>,
    here: Mounts,
    /// The directories of `--workspace-root` and `--discover`.
    roots: Vec<PathBuf>,
    state_dir: Option<PathBuf>,
    logged: Mutex<HashSet<String>>,
}

/// Where the engine has what is at a path of this process.
#[derive(Debug, PartialEq)]
enum Seen {
    /// At the same path.
    Same,
    /// At this path.
    At(PathBuf),
    /// In a volume, or a file system in memory.
    Volume(String),
    /// In the container only, with which it goes away.
    Inside,
    /// That is not known.
    Unknown,
}

impl Surroundings {
    /// Reads what the kernel shows of the own container. Dev containers are below the directories of `config`.
    pub fn read(config: &Config, programs: Arc<Programs>) -> Self {
        let mountinfo = fs::read("/proc/self/mountinfo").unwrap_or_default();
        let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let roots = [&*config.workspace_roots, &*config.discover].concat();
        Self {
            programs,
            ..Self::of(&mountinfo, hostname.trim(), roots, config.state_dir.clone())
        }
    }

    fn of(
        mountinfo: &[u8],
        hostname: &str,
        roots: Vec<PathBuf>,
        state_dir: Option<PathBuf>,
    ) -> Self {
        let mounts = Mounts::parse(mountinfo);
        let mut ids = mounts.names_of(&ENGINE_FILES.map(Path::new), |name| is_hex(name, 64));
        // By default, the name of the host is the beginning of the id.
        ids.extend(is_hex(hostname, 12).then(|| hostname.to_owned()));
        Self {
            programs: Arc::new(Programs::new(None, None)),
            ids,
            here: mounts,
            roots,
            state_dir,
            logged: Mutex::default(),
        }
    }

    /// Finds the own container among those of the engine.
    pub fn own<'a>(
        &self,
        mut containers: &mut dyn Iterator<Item = &'a ContainerInfo>,
    ) -> Option<&'a ContainerInfo> {
        let is_own =
            |one: &&ContainerInfo| one.running && self.ids.iter().any(|id| one.id.starts_with(id));
        Iterator::find(&mut containers, is_own)
    }

    /// Logs advice that the log does not have, after a listing of all containers.
    pub(super) fn report(&self, shared: &Shared, view: &View) {
        for text in self.of_view(shared, view) {
            let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
            if logged.len() < MAX_LOGGED && logged.insert(text.clone()) {
                Event::Advice.log(&[("reason", Value::Text(&text))]);
            }
        }
    }

    /// Returns the advice about what a view shows.
    pub fn of_view(&self, shared: &Shared, view: &View) -> Vec<String> {
        if self.ids.is_empty() {
            return Vec::new();
        }
        let own = self.own(&mut view.containers.iter().map(|one| &*one.info));
        own.map_or_else(Vec::new, |own| {
            self.advice(own, &shared.read(State::places))
        })
    }

    /// Returns all that is wrong for an engine which has `own` as the container of this process, with the mends.
    pub fn advice(&self, own: &ContainerInfo, places: &[KnownPlace]) -> Vec<String> {
        let places = places
            .iter()
            .filter(|one| one.container.as_ref() != Some(&own.id));
        let of_places = places.filter_map(|place| self.of_place(own, place));
        let of_roots = self.roots.iter().filter_map(|root| {
            // Only parts of it may be the engine's.
            let has_mount = own
                .mounts
                .iter()
                .any(|one| Path::new(&*one.destination).starts_with(root));
            (!has_mount)
                .then(|| mend(root, &self.seen(own, root)))
                .flatten()
        });
        let mut all: Vec<String> = of_places.chain(of_roots).collect();
        all.dedup();
        all.extend(
            self.state_dir
                .as_deref()
                .and_then(|directory| self.of_state(own, directory)),
        );
        all
    }

    fn of_place(&self, own: &ContainerInfo, place: &KnownPlace) -> Option<String> {
        if !place.exists {
            // The engine's path, which leads here by another one.
            let mut mounts = own.mounts.iter().filter(|one| one.kind == "bind");
            let found = mounts.find_map(|one| {
                let source = source(one)?;
                let is_other = source != Path::new(&*one.destination);
                // Everything is below the root, also a folder that is simply gone.
                let is_around = source.parent().is_some() && place.folder.starts_with(source);
                (is_other && is_around).then_some((source, &one.destination))
            });
            return found.map(|(source, destination)| {
                format!(
                    "workspace {}: the engine's {} is {destination} in the daemon's container; mount it at the same path there",
                    place.folder.display(),
                    source.display()
                )
            });
        }
        // One that has been made has shown that it can be mounted.
        if place.container.is_some() {
            return None;
        }
        // The CLI may get either path.
        let seen = self.seen(own, &place.folder);
        let text = mend(&place.folder, &seen)?;
        mend(&place.resolved, &self.seen(own, &place.resolved)).map(|_| text)
    }

    fn of_state(&self, own: &ContainerInfo, directory: &Path) -> Option<String> {
        let kind = match self.seen(own, directory) {
            Seen::Inside => "in the daemon's container",
            Seen::Volume(name) if name == "tmpfs" => "in memory",
            _ => return None,
        };
        Some(format!(
            "state directory {}: it is {kind}, and lost with that, while the engine keeps the dev containers; mount a volume there, or choose another directory with --state-dir",
            directory.display()
        ))
    }

    fn seen(&self, own: &ContainerInfo, path: &Path) -> Seen {
        let Some(point) = self.here.point_around(path) else {
            return Seen::Unknown;
        };
        let mount = own
            .mounts
            .iter()
            .find(|one| Path::new(&*one.destination) == point);
        match mount {
            None if point.parent().is_none() => Seen::Inside,
            // It was mounted by someone else.
            None => Seen::Unknown,
            Some(mount) if mount.kind != "bind" => {
                Seen::Volume(mount.name.as_deref().unwrap_or(&mount.kind).to_owned())
            }
            Some(mount) => match (source(mount), path.strip_prefix(point)) {
                (Some(source), _) if source == point => Seen::Same,
                (Some(source), Ok(rest)) => Seen::At(source.join(rest)),
                _ => Seen::Unknown,
            },
        }
    }
}

/// Returns what is wrong with a folder that the engine is to mount, and the mend.
fn mend(folder: &Path, seen: &Seen) -> Option<String> {
    let shown = folder.display();
    let (is, mend) = match seen {
        Seen::Same | Seen::Unknown => return None,
        Seen::At(path) => (
            format!("at {}", path.display()),
            "mount that at the same path in the daemon's container".to_owned(),
        ),
        Seen::Volume(name) => (
            format!("in the volume {name}"),
            "mount a directory of the engine's machine at the same path, or name the volume in workspaceMount".to_owned(),
        ),
        Seen::Inside => (
            "nowhere: it is in the daemon's container only".to_owned(),
            "mount a directory of the engine's machine at the same path".to_owned(),
        ),
    };
    Some(format!(
        "workspace {shown}: the engine would mount it by this path, and has it {is}; {mend}"
    ))
}

/// Returns the path of the engine's machine that is mounted.
fn source(mount: &Mount) -> Option<&Path> {
    let source = mount.source.as_deref()?;
    let plain = DESKTOP
        .iter()
        .find_map(|desktop| source.strip_prefix(desktop));
    let plain = plain.filter(|rest| rest.starts_with('/'));
    Some(Path::new(plain.unwrap_or(source)))
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn mountinfo(points: &[&str]) -> String {
        let mut text = format!(
            "1 0 0:50 / / rw - overlay overlay rw,upperdir=/x\n\
             2 1 8:1 /var/lib/docker/containers/{ID}/hostname /etc/hostname rw - ext4 /dev/sda1 rw\n"
        );
        for point in points {
            text += &format!("3 1 8:1 /any {point} rw - ext4 /dev/sda1 rw\n");
        }
        text
    }

    fn container(mounts: Vec<Mount>) -> ContainerInfo {
        ContainerInfo {
            id: ID.to_owned(),
            running: true,
            mounts: mounts.into_iter().collect(),
            ..ContainerInfo::named("daemon")
        }
    }

    fn mount(kind: &'static str, name: &str, destination: &str) -> Mount {
        Mount {
            kind: kind.into(),
            name: (!name.is_empty()).then(|| name.into()),
            ..Mount::bind("/var/lib/docker/volumes/x/_data", destination)
        }
    }

    fn place(folder: &str) -> KnownPlace {
        KnownPlace {
            folder: folder.into(),
            resolved: folder.into(),
            exists: true,
            container: None,
        }
    }

    /// The advice about a daemon's container with these mounts, each with a point here.
    fn advice(
        mounts: Vec<Mount>,
        places: &[KnownPlace],
        roots: &[&str],
        state: &str,
    ) -> Vec<String> {
        let points: Vec<&str> = mounts.iter().map(|one| &*one.destination).collect();
        let roots = roots.iter().map(PathBuf::from).collect();
        let around = Surroundings::of(
            mountinfo(&points).as_bytes(),
            "host",
            roots,
            Some(state.into()),
        );
        let own = container(mounts.clone());
        let other = ContainerInfo::named("other");
        let found = around.own(&mut [&other, &own].into_iter());
        around.advice(found.unwrap(), places)
    }

    #[test]
    fn a_folder_at_the_same_path_and_a_state_directory_on_a_volume_are_right() {
        let mounts = || {
            vec![
                Mount::bind("/home/me", "/home/me"),
                mount("volume", "v", "/state"),
            ]
        };
        let none: [String; 0] = [];
        assert_eq!(
            advice(
                mounts(),
                &[place("/home/me/app")],
                &["/home/me"],
                "/state/d"
            ),
            none
        );
        assert_eq!(
            advice(mounts(), &[], &["/home"], "/home/me/.local"),
            none,
            "a root above"
        );
        let desktop = vec![
            Mount::bind("/host_mnt/home/me", "/home/me"),
            Mount::bind("/run/desktop/mnt/host/c/w", "/c/w"),
        ];
        assert_eq!(
            advice(
                desktop,
                &[place("/home/me/app"), place("/c/w")],
                &[],
                "/c/w"
            ),
            none
        );
    }

    #[test]
    fn each_wrong_way_is_named_with_its_mend() {
        for (mounts, folder, expected) in [
            (
                vec![Mount::bind("/srv/me", "/work")],
                "/work/app",
                "has it at /srv/me/app; mount that at the same path",
            ),
            (
                vec![mount("volume", "ws", "/work")],
                "/work/app",
                "has it in the volume ws; mount a directory",
            ),
            (
                vec![mount("tmpfs", "", "/work")],
                "/work/app",
                "has it in the volume tmpfs",
            ),
            (
                vec![],
                "/work/app",
                "has it nowhere: it is in the daemon's container only; mount a directory",
            ),
        ] {
            let mut with_state = mounts.clone();
            with_state.push(mount("volume", "v", "/state"));
            for (places, roots) in [(vec![place(folder)], vec![]), (vec![], vec![folder])] {
                let found = advice(with_state.clone(), &places, &roots, "/state");
                assert_eq!(found.len(), 1, "{found:?}");
                assert!(found[0].starts_with("workspace /work/app: "), "{found:?}");
                assert!(found[0].contains(expected), "{found:?}");
            }
        }
        let gone = KnownPlace {
            exists: false,
            ..place("/srv/me/app")
        };
        let found = advice(vec![Mount::bind("/srv/me", "/work")], &[gone], &[], "/work");
        assert_eq!(
            found,
            [
                "workspace /srv/me/app: the engine's /srv/me is /work in the daemon's container; mount it at the same path there"
            ]
        );
        for (mounts, kind) in [
            (vec![], "in the daemon's container"),
            (vec![mount("tmpfs", "", "/s")], "in memory"),
        ] {
            let found = advice(mounts, &[], &[], "/s/d");
            assert_eq!(found.len(), 1);
            assert!(
                found[0].starts_with(&format!("state directory /s/d: it is {kind}, and lost")),
                "{found:?}"
            );
        }
    }

    #[test]
    fn nothing_is_said_where_it_is_not_known_to_be_wrong() {
        let none: [String; 0] = [];
        let made = KnownPlace {
            container: Some("c".into()),
            ..place("/work/app")
        };
        assert_eq!(
            advice(vec![Mount::bind("/srv", "/work")], &[made], &[], "/work"),
            none,
            "it was made"
        );
        let own = KnownPlace {
            exists: false,
            container: Some(ID.into()),
            ..place("/srv/app")
        };
        assert_eq!(
            advice(vec![Mount::bind("/srv", "/work")], &[own], &[], "/work"),
            none,
            "itself"
        );
        let linked = KnownPlace {
            resolved: "/home/me/app".into(),
            ..place("/work/app")
        };
        let mounts = vec![Mount::bind("/home/me", "/home/me")];
        assert_eq!(
            advice(mounts, &[linked], &[], "/home/me"),
            none,
            "one of both paths is right"
        );
        let elsewhere = KnownPlace {
            exists: false,
            ..place("/opt/app")
        };
        assert_eq!(
            advice(
                vec![Mount::bind("/srv", "/work")],
                &[elsewhere],
                &[],
                "/work"
            ),
            none
        );
        // A mount that the engine does not know of, as another program made it in the container.
        let around = Surroundings::of(
            mountinfo(&["/work"]).as_bytes(),
            "host",
            Vec::new(),
            Some("/work".into()),
        );
        assert_eq!(
            around.advice(&container(Vec::new()), &[place("/work/app")]),
            none
        );
    }

    #[test]
    fn the_own_container_is_found_by_what_the_engine_mounts_and_by_the_host_name() {
        let of = |mountinfo: &str, hostname| {
            Surroundings::of(mountinfo.as_bytes(), hostname, Vec::new(), None)
        };
        let own = container(Vec::new());
        let host = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n";
        let podman = format!(
            "1 0 0:5 /containers/overlay-containers/{ID}/userdata/hosts /etc/hosts rw - tmpfs tmpfs rw\n"
        );
        for (mounts, hostname, is_found) in [
            (mountinfo(&[]), "host", true),
            (podman, "host", true),
            (host.into(), &ID[..12], true),
            (host.into(), "host", false),
            (host.into(), "0123456789", false),
        ] {
            let found = of(&mounts, hostname).own(&mut [&own].into_iter()).is_some();
            assert_eq!(found, is_found, "{mounts}{hostname}");
        }
    }
}
