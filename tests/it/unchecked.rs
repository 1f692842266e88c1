//! What cannot be compared is not clean: `unchecked` says why.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use crate::common::{BINARY, Daemon, DaemonBuilder, Sandbox, sh};
use serde_json::{Value, json};

/// Returns what the only dev container says is not compared, which has a container and is not dirty.
#[track_caller]
fn unchecked(daemon: &Daemon) -> String {
    let one = daemon.devcontainer();
    assert_eq!(one["dirty"], false, "{one}");
    assert_eq!(one["changes"], serde_json::json!([]), "{one}");
    assert!(one.get("container").is_some(), "{one}");
    let unchecked = one.get("unchecked").and_then(Value::as_str);
    unchecked.unwrap_or_default().to_owned()
}

/// Writes a file that is older than every container.
fn write_old(sandbox: &Sandbox, relative: &str, content: &str) {
    let path = sandbox.write(relative, content);
    let touch = format!("touch -d 2001-01-01 '{}'", path.display());
    sh(path.parent().unwrap(), &touch);
}

/// Starts a daemon with a container that has these labels.
fn labelled(sandbox: &Sandbox, folder: &str, config: Option<&str>) -> Daemon {
    let container = sandbox.container(1);
    let container = container.label("devcontainer.local_folder", folder);
    match config {
        Some(config) => container.label("devcontainer.config_file", config),
        None => container,
    }
    .save();
    sandbox.daemon().start()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_folder_that_the_daemon_cannot_see_is_not_clean() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("work/app");
    sandbox.devcontainer_of(1, &folder);
    let daemon = sandbox.daemon().start();
    let expected = format!(
        "the workspace folder {} is not an existing directory that the daemon can see; where the daemon runs in a \
         container, mount the folder there at the same path",
        folder.display()
    );
    assert_eq!(unchecked(&daemon), expected);
    let one = daemon.json("/devcontainers/app");
    assert_eq!(one["unchecked"], expected);
    // It is mounted later.
    write_old(&sandbox, "work/app/.devcontainer/devcontainer.json", "{}");
    assert_eq!(unchecked(&daemon), "");
    fs::rename(&folder, sandbox.path("away")).unwrap();
    let one = daemon.devcontainer();
    assert_eq!(one["dirty"], true);
    let said = one["unchecked"].as_str().unwrap();
    assert!(said.contains("does not exist"), "{said}");
    sandbox.remove_container(1);
    fs::rename(sandbox.path("away"), &folder).unwrap();
    let builder = sandbox
        .daemon()
        .arg("--devcontainer-folder")
        .arg(text(&folder));
    let one = builder.start().devcontainer();
    assert_eq!((one.get("unchecked"), one.get("container")), (None, None));
}

#[test]
fn labels_that_are_no_paths_of_this_system_are_not_clean() {
    let sandbox = Sandbox::new();
    for (folder, mend) in [
        (
            r"\\wsl.localhost\Other\home\me\w",
            "run the daemon in the WSL distribution that has the folder",
        ),
        (
            r"\\wsl$\Other\home\me\w",
            "run the daemon in the WSL distribution that has the folder",
        ),
        (r"c:\Users\me\w", "keep the folder in a WSL distribution"),
        ("w", "name the folder from the root on"),
    ] {
        let config = format!(r"{folder}\.devcontainer\devcontainer.json");
        let daemon = labelled(&sandbox, folder, Some(&config));
        let unchecked = unchecked(&daemon);
        let expected = format!("the workspace folder {folder} is not an absolute path; ");
        assert!(
            unchecked.starts_with(&expected) && unchecked.contains(mend),
            "{unchecked}"
        );
    }
}

#[test]
fn a_configuration_that_may_not_be_looked_at_is_not_clean() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("work/app");
    let outside = sandbox.write("outside/devcontainer.json", "{}");
    fs::create_dir(&folder).unwrap();
    symlink(outside.parent().unwrap(), folder.join(".devcontainer")).unwrap();
    let config = sandbox.config("app");
    let daemon = labelled(&sandbox, text(&folder), Some(text(&config)));
    let said = unchecked(&daemon);
    let expected = format!(
        "the config {} is not below the workspace folder {}; to allow it, name both in a manifest",
        outside.display(),
        folder.display()
    );
    assert_eq!(said, expected);
    // The mend helps.
    write_old(&sandbox, "outside/devcontainer.json", "{}");
    let manifest = json!({"devcontainers": [{"workspace_folder": folder, "config_path": config}]});
    let manifest = sandbox.write("manifest.json", &manifest.to_string());
    let named = sandbox
        .daemon()
        .arg("--manifest")
        .arg(text(&manifest))
        .start();
    assert_eq!(unchecked(&named), "");
    drop((daemon, named));
    let up = sandbox.workspace("other").join("../other");
    let daemon = labelled(&sandbox, text(&up), None);
    assert!(unchecked(&daemon).contains("leads upwards with `..`"));
}

#[test]
fn p18_a_folder_outside_of_the_workspace_roots_is_not_looked_at_and_not_clean() {
    let sandbox = Sandbox::with_app();
    let root = sandbox.path("work/other");
    fs::create_dir(&root).unwrap();
    let daemon = sandbox
        .daemon()
        .arg("--workspace-root")
        .arg(text(&root))
        .start();
    let expected = format!(
        "the workspace folder {} is not below a --workspace-root; add one to allow it",
        sandbox.path("work/app").display()
    );
    assert_eq!(unchecked(&daemon), expected);
}

#[test]
fn a_configuration_that_is_not_there_is_not_clean() {
    let sandbox = Sandbox::new();
    let folder = sandbox.path("work/app");
    fs::create_dir(&folder).unwrap();
    let daemon = labelled(&sandbox, text(&folder), None);
    let expected = "has no configuration in a place where the devcontainer CLI looks for it";
    assert!(unchecked(&daemon).contains(expected));
    let config = folder.join("dev.json");
    let daemon = labelled(&sandbox, text(&folder), Some(text(&config)));
    let expected = format!(
        "the configuration {} does not exist, so that what it names is not compared",
        config.display()
    );
    assert_eq!(unchecked(&daemon), expected);
    assert_eq!(unchecked(&daemon), expected, "also where nothing is new");
    write_old(&sandbox, "work/app/dev.json", "{}");
    assert_eq!(unchecked(&daemon), "");
}

#[test]
fn inputs_above_the_limits_are_not_clean() {
    let sandbox = Sandbox::with_app();
    let config = "work/app/.devcontainer/devcontainer.json";
    let large = format!("{{\"dockerFile\": \"D\"}}{}", " ".repeat(1 << 20));
    write_old(&sandbox, config, &large);
    let daemon = sandbox.daemon().start();
    let said = unchecked(&daemon);
    assert!(
        said.contains("devcontainer.json is larger than 1 MiB"),
        "{said}"
    );
    assert_eq!(unchecked(&daemon), said, "also where nothing is new");
    drop(daemon);

    write_old(&sandbox, config, r#"{"dockerComposeFile": "c.yml"}"#);
    write_old(
        &sandbox,
        "work/app/.devcontainer/c.yml",
        &"#\n".repeat(150_000),
    );
    let daemon = Sandbox::daemon(&sandbox)
        .env("XDG_STATE_HOME", text(&sandbox.path("state2")))
        .start();
    let said = unchecked(&daemon);
    assert!(said.contains("c.yml is larger than 256 KiB"), "{said}");
    drop(daemon);

    write_old(&sandbox, config, r#"{"features": {"./f": {}}}"#);
    for number in 0..1000 {
        write_old(
            &sandbox,
            &format!("work/app/.devcontainer/f/{number:03}"),
            "",
        );
    }
    let daemon = Sandbox::daemon(&sandbox)
        .env("XDG_STATE_HOME", text(&sandbox.path("state3")))
        .start();
    let said = unchecked(&daemon);
    assert!(said.contains("names more than 1000 files"), "{said}");
}

#[test]
fn inputs_that_cannot_be_read_or_are_missing_are_not_clean() {
    let sandbox = Sandbox::with_app();
    let features = r#"{"dockerFile": "D", "features": {"./f": {}, "./none": {}}}"#;
    write_old(
        &sandbox,
        "work/app/.devcontainer/devcontainer.json",
        features,
    );
    write_old(&sandbox, "work/app/.devcontainer/f/install.sh", "");
    write_old(&sandbox, "work/app/.devcontainer/D", "FROM x");
    let dockerfile = sandbox.path("work/app/.devcontainer/D");
    let forbid = |mode| fs::set_permissions(&dockerfile, fs::Permissions::from_mode(mode)).unwrap();
    forbid(0o000);
    let daemon = unprivileged(&sandbox).start();
    let folder = sandbox.path("work/app/.devcontainer");
    let expected = format!(
        "{0}/none, which the configuration names, does not exist",
        folder.display()
    );
    let unreadable = format!(
        "{}/D cannot be read; it must be a file that the user of the daemon may read",
        folder.display()
    );
    assert_eq!(unchecked(&daemon), format!("{unreadable}; {expected}"));
    forbid(0o600);
    assert_eq!(unchecked(&daemon), expected);
}

#[test]
fn a_configuration_that_cannot_be_parsed_is_not_clean() {
    let sandbox = Sandbox::with_app();
    write_old(
        &sandbox,
        "work/app/.devcontainer/devcontainer.json",
        "FROM x",
    );
    let daemon = sandbox.daemon().start();
    for _ in 0..2 {
        let said = unchecked(&daemon);
        assert!(
            said.contains("cannot be parsed, so that what it names is not compared"),
            "{said}"
        );
    }
}

/// A daemon whose file permissions count, also where root runs the tests.
fn unprivileged(sandbox: &Sandbox) -> DaemonBuilder {
    let builder = match fs::metadata("/proc/self").unwrap().uid() {
        0 => DaemonBuilder::of("setpriv")
            .args("--bounding-set=-dac_override,-dac_read_search")
            .arg(BINARY),
        _ => DaemonBuilder::of(BINARY),
    };
    sandbox.daemon_of(builder)
}

#[test]
fn a_path_of_windows_into_this_wsl_distribution_is_a_path_in_it() {
    let sandbox = Sandbox::new();
    let folder = sandbox.workspace("app");
    let windows = format!(
        r"\\wsl.localhost\ubuntu{}",
        text(&folder).replace('/', r"\")
    );
    let config = sandbox.config("app");
    for config in [
        text(&config).to_owned(),
        format!(r"{windows}\.devcontainer\devcontainer.json"),
    ] {
        sandbox
            .container(1)
            .label("devcontainer.local_folder", &windows)
            .label("devcontainer.config_file", &config)
            .save();
        let daemon = sandbox.daemon().env("WSL_DISTRO_NAME", "Ubuntu").start();
        assert_eq!(unchecked(&daemon), "");
        let one = daemon.devcontainer();
        assert_eq!(one["workspace_folder"], text(&folder));
        assert_eq!(one["config_path"], text(&sandbox.config("app")));
        sandbox.write(
            "work/app/.devcontainer/devcontainer.json",
            r#"{"image": "new"}"#,
        );
        assert_eq!(daemon.devcontainer()["dirty"], true);
        // The CLI finds the container by its labels, and gives them to the new one.
        assert_eq!(daemon.recreate("app").status, 204);
        let calls = sandbox.read("calls/devcontainer");
        let labels = format!(
            "--id-label devcontainer.local_folder={windows} --id-label devcontainer.config_file={config} --remove"
        );
        assert!(calls.contains(&labels), "{calls}");
        let given = format!(
            "up --log-format json --workspace-folder {}",
            folder.display()
        );
        assert!(calls.lines().last().unwrap().starts_with(&given), "{calls}");
        let one = daemon.devcontainer();
        let container = &one["container"];
        assert_eq!(
            (&one["dirty"], &container["name"]),
            (&json!(false), &json!("made"))
        );
        let label = &container["labels"]["devcontainer.local_folder"];
        assert_eq!(*label, windows);
        assert_eq!(sandbox.calls("devcontainer", "up"), 1);
        fs::remove_file(sandbox.path("calls/devcontainer")).unwrap();
        sandbox.workspace("app");
        for file in fs::read_dir(sandbox.path("containers")).unwrap().flatten() {
            fs::remove_file(file.path()).unwrap();
        }
    }
}

#[test]
fn the_log_does_not_say_that_what_is_unchecked_matches() {
    let sandbox = Sandbox::with_app();
    sandbox.write(
        "work/app/.devcontainer/devcontainer.json",
        r#"{"dockerFile": "none"}"#,
    );
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    assert_eq!(daemon.devcontainer()["dirty"], true);
    daemon.log.wait_for("app no longer matches");
    sandbox.remove_container(1);
    sandbox.devcontainer_made(2, &sandbox.path("work/app"), "2100-01-01T00:00:00Z");
    assert!(unchecked(&daemon).contains("/none, which the configuration names, does not exist"));
    let lines = daemon.log.lines();
    let matches = |line: &&String| line.contains("app matches its configuration");
    assert_eq!(lines.iter().find(matches), None);
}
