//! What `make install`, `dist`, `deb` and `feature` make of the static binary, which `make test` has built.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::common::Sandbox;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const BUILT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/static/devcontainerd");
const VERSION: &str = env!("CARGO_PKG_VERSION");

fn output(command: &mut Command) -> Output {
    // Those of cargo would reach the cargo that the scripts run.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_PKG")) {
        command.env_remove(name);
    }
    command.current_dir(ROOT).output().unwrap()
}

/// Runs shell code in the repository, and returns what it prints.
#[track_caller]
fn sh(code: &str, environment: &[(&str, &Path)]) -> String {
    let mut command = Command::new("sh");
    let output = output(
        command
            .args(["-ec", code])
            .envs(environment.iter().copied()),
    );
    assert!(output.status.success(), "{code}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The files below a directory, relative to it.
fn files(directory: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut left = vec![directory.to_owned()];
    while let Some(one) = left.pop() {
        for entry in fs::read_dir(&one).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                left.push(path);
            } else {
                found.insert(path.strip_prefix(directory).unwrap().to_owned());
            }
        }
    }
    found
}

/// The names and versions of the crates that are linked into the binary.
fn linked() -> BTreeSet<String> {
    let tree = sh(
        "cargo tree --locked --target \"$(uname -m)-unknown-linux-musl\" -e normal,no-proc-macro --prefix none --format '{p}'",
        &[],
    );
    let crates = tree.lines().filter_map(|line| {
        let mut words = line.split(' ');
        Some(format!(
            "{}-{}",
            words.next()?,
            words.next()?.strip_prefix('v')?
        ))
    });
    crates
        .filter(|one| !one.starts_with("devcontainerd-"))
        .collect()
}

/// Checks the description of what is in the binary against `Cargo.lock` and the crates that are linked.
fn check_description(text: &str, linked: &BTreeSet<String>) {
    let lock = fs::read_to_string(Path::new(ROOT).join("Cargo.lock")).unwrap();
    let described: Value = serde_json::from_str(text).unwrap();
    assert_eq!(
        (&described["bomFormat"], &described["specVersion"]),
        (&"CycloneDX".into(), &"1.5".into())
    );
    let own = &described["metadata"]["component"];
    assert_eq!(own["version"], VERSION);
    let binary = sh(&format!("sha256sum {BUILT}"), &[]);
    assert!(binary.starts_with(own["hashes"][0]["content"].as_str().unwrap()));
    let mut refs = BTreeSet::from([own["bom-ref"].clone().to_string()]);
    let mut crates = BTreeSet::new();
    for component in described["components"].as_array().unwrap() {
        let [name, version, purl] =
            ["name", "version", "purl"].map(|field| component[field].as_str().unwrap());
        assert!(component["licenses"][0]["expression"].is_string(), "{name}");
        refs.insert(component["bom-ref"].to_string());
        if ["rust-std", "musl"].contains(&name) {
            continue;
        }
        assert_eq!(purl, format!("pkg:cargo/{name}@{version}"));
        let hash = component["hashes"][0]["content"].as_str().unwrap();
        let entry = format!("name = \"{name}\"\nversion = \"{version}\"\n");
        let entry = lock
            .split("[[package]]\n")
            .find(|one| one.starts_with(&entry));
        let checksum = format!("checksum = \"{hash}\"");
        assert!(
            entry.is_some_and(|entry| entry.contains(&checksum)),
            "{name}"
        );
        crates.insert(format!("{name}-{version}"));
    }
    assert_eq!(crates, *linked);
    let dependencies = described["dependencies"].as_array().unwrap();
    let of: BTreeSet<String> = dependencies
        .iter()
        .map(|one| one["ref"].to_string())
        .collect();
    assert_eq!(of, refs);
    let on = dependencies
        .iter()
        .flat_map(|one| one["dependsOn"].as_array().unwrap());
    let on: BTreeSet<String> = on.map(Value::to_string).collect();
    assert!(on.is_subset(&refs));
    assert_eq!(on.len() + 1, refs.len(), "all is needed by something");
}

/// The command in `docs/install.md` that begins with `beginning`.
fn documented(beginning: &str) -> String {
    let text = fs::read_to_string(Path::new(ROOT).join("docs/install.md")).unwrap();
    let blocks = text.split("\n```sh\n").skip(1);
    let mut lines = blocks.flat_map(|block| block.split("\n```").next().unwrap().lines());
    let line = lines.find(|line| line.starts_with(beginning));
    let line = line.unwrap_or_else(|| panic!("docs/install.md has no command {beginning}"));
    line.split(" #").next().unwrap().trim_end().to_owned()
}

#[test]
fn make_install_lays_out_all_below_its_prefix_and_uninstall_removes_it() {
    let sandbox = Sandbox::new();
    let root = sandbox.path("root");
    // Licenses are collected first, because the installation below has no cargo, as under sudo.
    let stage = sandbox.path("stage");
    sh("scripts/stage.sh \"$STAGE\"", &[("STAGE", &stage)]);
    let make = |command: &str| {
        let command = format!("export PATH=/usr/sbin:/usr/bin:/sbin:/bin; {command}");
        sh(&command, &[])
    };
    let install = documented("make install DESTDIR=");
    let (make_install, _) = install.split_once(" DESTDIR=").unwrap();
    let to = format!("DESTDIR={} PREFIX=/opt/dev", root.display());
    let foreign = root.join("opt/dev/bin/other");
    fs::create_dir_all(foreign.parent().unwrap()).unwrap();
    fs::write(&foreign, "").unwrap();
    make(&format!("{make_install} {to}"));
    make(&format!("{make_install} {to}")); // over itself

    let prefix = root.join("opt/dev");
    let binary = prefix.join("bin/devcontainerd");
    assert_eq!(fs::read(&binary).unwrap(), fs::read(BUILT).unwrap());
    assert_eq!(
        fs::metadata(&binary).unwrap().permissions().mode() & 0o7777,
        0o755
    );
    for (path, words) in [
        ("share/man/man1/devcontainerd.1", "help --man"),
        (
            "share/bash-completion/completions/devcontainerd",
            "completions bash",
        ),
        ("share/zsh/site-functions/_devcontainerd", "completions zsh"),
        (
            "share/fish/vendor_completions.d/devcontainerd.fish",
            "completions fish",
        ),
    ] {
        let text = fs::read_to_string(prefix.join(path)).unwrap();
        assert_eq!(text, sh(&format!("{BUILT} {words}"), &[]), "{path}");
    }
    let units = Path::new(ROOT).join("packaging/systemd");
    let installed = prefix.join("lib/systemd");
    for (from, to) in [(units.clone(), "system"), (units.join("user"), "user")] {
        let entries = fs::read_dir(from).into_iter().flatten();
        let entries = entries.map(|entry| entry.unwrap().path());
        for unit in entries.filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "service" || extension == "socket")
        }) {
            let text =
                fs::read_to_string(installed.join(to).join(unit.file_name().unwrap())).unwrap();
            for line in text.lines().filter(|line| line.starts_with("ExecStart=")) {
                assert!(line.contains("/opt/dev/bin/devcontainerd"), "{line}");
            }
        }
    }

    let about = prefix.join("share/doc/devcontainerd");
    let linked = linked();
    for one in linked
        .iter()
        .map(String::as_str)
        .chain(["rust-std", "musl"])
    {
        let licenses = fs::read_dir(about.join("licenses")).unwrap();
        let mut names = licenses.map(|entry| entry.unwrap().path());
        let named = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(one);
        let directory = names
            .find(named)
            .unwrap_or_else(|| panic!("{one} has no license"));
        assert!(!files(&directory).is_empty(), "{one}");
    }
    for name in ["LICENSE-MIT", "README.md", "docs/install.md"] {
        assert!(about.join(name).exists(), "{name}");
    }
    check_description(
        &fs::read_to_string(about.join("devcontainerd.cdx.json")).unwrap(),
        &linked,
    );

    make(&format!("make uninstall {to}"));
    assert_eq!(files(&root), BTreeSet::from(["opt/dev/bin/other".into()]));
    let refused = output(Command::new("sh").args(["-c", "PREFIX=usr scripts/install.sh install"]));
    assert_eq!(
        refused.status.code(),
        Some(2),
        "a prefix that is not absolute"
    );
}

#[test]
fn the_archive_the_package_and_the_feature_have_what_they_need_and_the_same_bytes_twice() {
    let sandbox = Sandbox::new();
    let [dist, again] = ["dist", "again"].map(|name| sandbox.path(name));
    let arch = std::env::consts::ARCH;
    let pack = |kinds: &str, dist: &Path| {
        let code = format!("scripts/dist.sh --built {kinds}");
        sh(&code, &[("ARCHITECTURES", Path::new(arch)), ("DIST", dist)]);
    };
    pack("tar deb feature", &dist);
    pack("tar", &again); // at another time of day
    let archive = format!("devcontainerd-{VERSION}-{arch}.tar.gz");
    assert!(fs::read(dist.join(&archive)).unwrap() == fs::read(again.join(&archive)).unwrap());

    let listed = sh(
        &format!("tar --utc -tvzf \"$DIST/{archive}\""),
        &[("DIST", &dist)],
    );
    let time = sh("date -u -d \"@$(scripts/epoch.sh)\" '+%Y-%m-%d %H:%M'", &[]);
    let mut names = Vec::new();
    for line in listed.lines() {
        assert!(line.contains(" 0/0 "), "{line}");
        assert!(line.contains(time.trim()), "{line}");
        names.push(line.rsplit(' ').next().unwrap());
    }
    assert!(names.iter().map(Path::new).is_sorted());
    for path in [
        "bin/devcontainerd",
        "share/man/man1/devcontainerd.1",
        "share/doc/devcontainerd/LICENSE-MIT",
    ] {
        let path = format!("devcontainerd-{VERSION}-{arch}/{path}");
        assert!(names.contains(&&*path), "{path}");
    }
    check_description(
        &fs::read_to_string(dist.join(format!("devcontainerd-{VERSION}-{arch}.cdx.json"))).unwrap(),
        &linked(),
    );
    // As the documentation says, but elsewhere.
    let check = documented("sha256sum --check");
    let prefix = sandbox.path("local");
    fs::create_dir(&prefix).unwrap();
    let unpack = documented("sudo tar -xzf ")
        .replace("sudo ", "")
        .replace("x86_64", arch);
    let unpack = unpack.replace("/usr/local", prefix.to_str().unwrap());
    sh(
        &format!("cd \"$DIST\"; {check}; {unpack}"),
        &[("DIST", &dist)],
    );
    let unpacked = prefix.join("bin/devcontainerd");
    assert!(fs::read(unpacked).unwrap() == fs::read(BUILT).unwrap());
    check_deb(&dist);
    check_feature(&dist);
}

fn check_deb(dist: &Path) {
    let package = "\"$DIST\"/devcontainerd_*_$(dpkg --print-architecture).deb";
    let shown = |code: &str| sh(&format!("{code} {package}"), &[("DIST", dist)]);
    assert!(shown("dpkg-deb --field").contains(&format!("Version: {VERSION}-")));
    let scripts = shown("dpkg-deb --ctrl-tarfile");
    for name in ["preinst", "postinst", "prerm", "postrm"] {
        assert!(!scripts.contains(name), "the package has a {name}");
    }
    let contents = shown("dpkg-deb --contents");
    for path in [
        "./usr/bin/devcontainerd",
        "./usr/share/man/man1/devcontainerd.1.gz",
        "./usr/share/zsh/vendor-completions/_devcontainerd",
        "./usr/share/doc/devcontainerd/copyright",
        "./usr/share/doc/devcontainerd/changelog.Debian.gz",
    ] {
        assert!(contents.lines().any(|line| line.ends_with(path)), "{path}");
    }
    for line in contents.lines() {
        assert!(line.contains(" root/root "), "{line}");
        assert!(!line.contains(" ./etc"), "nothing is enabled: {line}");
    }
    let copyright = shown(
        "show() { dpkg-deb --fsys-tarfile \"$1\" | tar -xO ./usr/share/doc/devcontainerd/copyright; }; show",
    );
    for one in linked() {
        assert!(copyright.contains(&format!("\n{one}/")), "{one}");
    }
    // It is missing where packages of Debian are.
    if Command::new("lintian").arg("--version").output().is_ok() {
        assert_eq!(shown("lintian --allow-root --fail-on error,warning"), "");
    }
}

fn check_feature(dist: &Path) {
    let from = Path::new(ROOT).join("packaging/feature/src/devcontainerd");
    let described = fs::read_to_string(from.join("devcontainer-feature.json")).unwrap();
    let described: Value = serde_json::from_str(&described).unwrap();
    assert_eq!(described["version"], VERSION);
    assert_eq!(described["id"], "devcontainerd");
    let install = fs::read_to_string(from.join("install.sh")).unwrap();
    for option in described["options"].as_object().unwrap().keys() {
        let variable = format!("${{{}:-", option.to_uppercase());
        assert!(install.contains(&variable), "{option}");
    }
    let entrypoint = described["entrypoint"].as_str().unwrap();
    assert_eq!(entrypoint, "/usr/local/share/devcontainerd/entrypoint.sh");
    let folder = dist.join("feature/devcontainerd");
    let listed = sh(
        "tar -tzf \"$DIST/devcontainer-feature-devcontainerd.tgz\"",
        &[("DIST", dist)],
    );
    let binary = format!("devcontainerd-{}", std::env::consts::ARCH);
    for name in [
        "devcontainer-feature.json",
        "install.sh",
        "entrypoint.sh",
        "LICENSE-MIT",
        &binary,
    ] {
        assert!(
            listed.lines().any(|line| line == format!("./{name}")),
            "{name}"
        );
        assert!(folder.join(name).exists(), "{name}");
    }
}

/// The commit may be an earlier one, where something has been committed since the build.
#[test]
fn the_static_binary_names_the_commit_that_it_was_built_from() {
    let said = sh(&format!("{BUILT} --version"), &[]);
    let rest = said.strip_prefix(&format!("devcontainerd {VERSION} ("));
    let rest = rest.and_then(|rest| rest.strip_suffix(")\n"));
    let (commit, day) = rest.and_then(|rest| rest.split_once(' ')).expect(&said);
    let commit = commit.trim_end_matches("-dirty");
    assert_eq!(commit.len(), 12, "{said}");
    let expected = format!(
        "git merge-base --is-ancestor {commit} HEAD; date -u -d @$(git log -1 --format=%ct {commit}) +%F"
    );
    assert_eq!(day, sh(&expected, &[]).trim());
}
