//! Contents: which edits are changes.

use super::*;

#[test]
fn p5_a_touch_or_the_same_content_again_is_no_change() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"image":"x"}"#);
    let before = config(&dir);
    dir.write(CONFIG, r#"{ "image": "x" } // a comment"#);
    assert_eq!(config(&dir), before);
    dir.write(CONFIG, r#"{"image":"y"}"#);
    assert_ne!(config(&dir), before);
    dir.write(CONFIG, r#"{"image":"x"}"#);
    assert_eq!(config(&dir), before);
}

#[test]
fn a_configuration_without_an_object_is_compared_byte_by_byte() {
    let dir = TestDir::new();
    dir.write(CONFIG, "[{}]");
    let before = config(&dir);
    dir.write(CONFIG, "[{} ]");
    assert_ne!(config(&dir), before);
    dir.write(CONFIG, "[{}]");
    assert_eq!(config(&dir), before);
}

#[test]
fn a_second_scan_of_settled_files_finds_only_changes() {
    let dir = TestDir::new();
    dir.write(
        CONFIG,
        r#"{"build":{"dockerfile":"D"},"features":{"./f":{}}}"#,
    );
    dir.write("w/.devcontainer/f/install.sh", "");
    let inputs = settled(&dir);
    let expected = ["", "devcontainer-lock.json", "D", "f", "f/install.sh"];
    assert_eq!(names(&inputs), expected);
    for input in ["f/install.sh", "D", "devcontainer-lock.json", "f/new"] {
        dir.write(&format!("w/.devcontainer/{input}"), "changed");
        let changed = scan_dir(&dir, Some(&inputs));
        assert!(changed.is_some(), "{input}");
    }
}

#[test]
fn p5_the_next_scan_sees_every_edit_however_fast_they_come() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"dockerFile":"D"}"#);
    for path in [CONFIG, "w/.devcontainer/D"] {
        let mut inputs = scan_dir(&dir, None).unwrap();
        for number in 0..1000 {
            // All have one length, and many fall into one step of the clock of the file system.
            let text = format!("{:04}", number + 1000);
            dir.write(path, &text);
            inputs = scan_dir(&dir, Some(&inputs)).unwrap_or(inputs);
            let fresh = scan_dir(&dir, None).unwrap();
            assert_eq!(
                contents(&inputs),
                contents(&fresh),
                "edit {number} of {path}"
            );
        }
        dir.write(CONFIG, r#"{"dockerFile":"D"}"#);
    }
}

#[test]
fn anything_may_be_in_the_place_of_a_file() {
    let dir = TestDir::new();
    let path = dir.path().join(CONFIG);
    assert_eq!(config(&dir), Content::Absent);
    let below = dir.write("w/.devcontainer", "a file");
    assert_eq!(config(&dir), Content::Absent);
    std::fs::remove_file(below).unwrap();
    std::fs::create_dir_all(&path).unwrap();
    assert_eq!(config(&dir), Content::Unreadable);
    std::fs::remove_dir(&path).unwrap();
    dir.pipe(CONFIG);
    assert_eq!(config(&dir), Content::Unreadable);
    let inputs = scan_dir(&dir, None).unwrap();
    assert_eq!(scan_dir(&dir, Some(&inputs)), None, "nothing new about it");
    for target in ["/dev/zero", "devcontainer.json", "/nonexistent/x"] {
        std::fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(target, &path).unwrap();
        let expected = match target {
            "/nonexistent/x" => Content::Absent,
            _ => Content::Unreadable,
        };
        assert_eq!(config(&dir), expected, "{target}");
    }
}

#[test]
fn a_symbolic_link_stands_for_its_target() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"image":"x"}"#);
    let plain = config(&dir);
    let path = dir.path().join(CONFIG);
    std::fs::rename(&path, dir.path().join("target")).unwrap();
    std::os::unix::fs::symlink("../../target", &path).unwrap();
    assert_eq!(config(&dir), plain);
    let inputs = settled(&dir);
    dir.write("target", r#"{"image":"y"}"#);
    assert_ne!(
        contents(&scan_dir(&dir, Some(&inputs)).unwrap())[0].1,
        plain
    );
}

#[test]
fn p5_an_inconclusive_error_leaves_the_content_as_known() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"dockerFile":"D"}"#);
    dir.write("w/.devcontainer/D", "1");
    let before = scan_dir(&dir, None).unwrap();
    // The limit is that of the whole process: other tests run in it, so this one is in a process of its own.
    if std::env::var_os("IN_ITS_OWN_PROCESS").is_none() {
        let this = "p5_an_inconclusive_error_leaves_the_content_as_known";
        let status = std::process::Command::new(std::env::current_exe().unwrap())
            .args([this, "--test-threads", "1"])
            .env("IN_ITS_OWN_PROCESS", "1")
            .output()
            .unwrap();
        assert!(
            status.status.success(),
            "{}",
            String::from_utf8_lossy(&status.stdout)
        );
        return;
    }
    let limit = getrlimit(Resource::Nofile);
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(3),
            ..limit
        },
    )
    .unwrap();
    change_times(&dir);
    let during = scan_dir(&dir, Some(&before));
    let first = scan(&paths(&dir), None, &ForceReread::default());
    setrlimit(Resource::Nofile, limit).unwrap();
    let during = during.unwrap_or(before.clone());
    assert_eq!(contents(&during), contents(&before));
    let error = first.unwrap_err().to_string();
    assert!(error.contains("cannot be read at the moment"), "{error}");
    let after = scan_dir(&dir, Some(&during)).unwrap();
    assert_eq!(contents(&after), contents(&scan_dir(&dir, None).unwrap()));
}

/// Changes a file's times, for which no descriptor is needed.
fn change_times(dir: &TestDir) {
    let path = dir.path().join("w/.devcontainer/D");
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

#[test]
fn a_forced_file_is_read_though_its_stamp_is_unchanged() {
    let dir = TestDir::new();
    let path = dir.write(CONFIG, r#"{"image":"x"}"#);
    let settled = settled(&dir);
    // A write by a memory map to a page that is dirty already changes the content and not the times.
    let mut items = settled.items().cloned();
    let mut config = items.next().unwrap();
    config.content = Content::Absent;
    let mistaken = Inputs::new(
        settled.paths().clone(),
        config.naming_others(),
        items.collect(),
        settled.references().clone(),
        settled.extent().clone(),
    );
    assert_eq!(scan_dir(&dir, Some(&mistaken)), None);
    for force_reread in [
        ForceReread {
            files: [crate::model::inputs::file_id(&path.metadata().unwrap())].into(),
            all: false,
        },
        ForceReread {
            all: true,
            ..ForceReread::default()
        },
    ] {
        let found = scan(&paths(&dir), Some(&mistaken), &force_reread).unwrap();
        assert_eq!(found.as_ref(), Some(&settled));
    }
}
