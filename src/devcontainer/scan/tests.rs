//! What is found on disk.

use std::path::Path;
use std::time::{Duration, Instant};

use super::*;
use crate::base::test_dir::TestDir;
use crate::model::inputs::MAX_INPUTS;

const CONFIG: &str = "w/.devcontainer/devcontainer.json";

fn site(dir: &TestDir) -> Arc<CliPaths> {
    Arc::new(CliPaths {
        folder: dir.path().join("w"),
        config: dir.path().join(CONFIG),
    })
}

fn look(dir: &TestDir, before: Option<&Inputs>) -> Option<Inputs> {
    scan(&site(dir), before, &ForceReread::default())
}

/// What each input holds, by its name.
fn contents(inputs: &Inputs) -> Vec<(String, Content)> {
    let named = inputs.named();
    named
        .map(|(name, input)| (name.display().to_string(), input.content))
        .collect()
}

fn names(inputs: &Inputs) -> Vec<String> {
    contents(inputs).into_iter().map(|(name, _)| name).collect()
}

fn config(dir: &TestDir) -> Content {
    contents(&look(dir, None).unwrap())[0].1
}

/// Looks until all is old enough to be trusted without being read.
fn settled(dir: &TestDir) -> Inputs {
    let begun = Instant::now();
    let is_settled = |input: &Input| input.stamp.is_none_or(|stamp| stamp.settled);
    let mut inputs = look(dir, None).unwrap();
    while !inputs.items.iter().all(is_settled) {
        assert!(begun.elapsed() < Duration::from_secs(10), "never settles");
        inputs = look(dir, Some(&inputs)).unwrap_or(inputs);
    }
    inputs
}

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
fn what_is_no_json_counts_as_it_stands() {
    let dir = TestDir::new();
    dir.write(CONFIG, "{");
    let before = config(&dir);
    dir.write(CONFIG, "{ ");
    assert_ne!(config(&dir), before);
    dir.write(CONFIG, "{");
    assert_eq!(config(&dir), before);
}

#[test]
fn a_second_look_at_settled_files_finds_nothing_new() {
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
        let changed = look(&dir, Some(&inputs));
        assert!(changed.is_some(), "{input}");
    }
}

#[test]
fn p5_every_edit_is_seen_by_the_next_look_however_fast_they_come() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"dockerFile":"D"}"#);
    for path in [CONFIG, "w/.devcontainer/D"] {
        let mut inputs = look(&dir, None).unwrap();
        for number in 0..1000 {
            // Of equal length, and often within one step of the clock of the file system.
            let text = format!("{:04}", number + 1000);
            dir.write(path, &text);
            inputs = look(&dir, Some(&inputs)).unwrap_or(inputs);
            let fresh = look(&dir, None).unwrap();
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
fn what_the_configuration_names_is_found_anew_when_it_changes() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"dockerFile":"../Dockerfile"}"#);
    let one = look(&dir, None).unwrap();
    let dockerfile = ("../Dockerfile".to_owned(), Content::Absent);
    assert!(contents(&one).contains(&dockerfile), "it is awaited");
    assert_eq!(
        one.path_of(Path::new("../Dockerfile")),
        dir.path().join("w/Dockerfile")
    );
    dir.write(CONFIG, r#"{"dockerComposeFile":["a.yml","b.yml","a.yml"]}"#);
    let two = look(&dir, Some(&one)).unwrap();
    assert_eq!(
        names(&two),
        ["", "devcontainer-lock.json", "a.yml", "b.yml"]
    );
    dir.write(CONFIG, "{");
    let broken = look(&dir, Some(&two)).unwrap();
    assert_eq!(names(&broken), ["", "devcontainer-lock.json"]);
}

#[test]
fn what_compose_files_name_is_found_anew_when_they_change() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"dockerComposeFile":["../a.yml","b.yml"]}"#);
    dir.write("w/a.yml", "services:\n  app:\n    build: .devcontainer\n");
    let both = dir.write("w/.devcontainer/b.yml", "services:\n  db:\n    build: db\n");
    let first = look(&dir, None).unwrap();
    let all = [
        "",
        "devcontainer-lock.json",
        "../a.yml",
        "Dockerfile",
        "b.yml",
        "../db/Dockerfile",
    ];
    assert_eq!(names(&first), all);
    dir.write("w/.devcontainer/Dockerfile", "FROM x");
    let second = look(&dir, Some(&first)).unwrap();
    assert_ne!(contents(&second), contents(&first));
    std::fs::remove_file(both).unwrap();
    let third = look(&dir, Some(&second)).unwrap();
    assert_eq!(names(&third), all[..5]);
}

#[test]
fn another_place_is_looked_at_anew() {
    let dir = TestDir::new();
    dir.write(CONFIG, "{}");
    let inputs = settled(&dir);
    let hidden = Arc::new(CliPaths {
        config: dir.write("w/.devcontainer.json", "{}"),
        ..(*site(&dir)).clone()
    });
    let there = scan(&hidden, Some(&inputs), &ForceReread::default()).unwrap();
    assert_eq!(names(&there), ["", ".devcontainer-lock.json"]);
}

#[test]
fn whatever_is_in_the_place_of_a_file() {
    let dir = TestDir::new();
    let path = dir.path().join(CONFIG);
    assert_eq!(config(&dir), Content::Absent);
    let below = dir.write("w/.devcontainer", "a file");
    assert_eq!(config(&dir), Content::Absent);
    std::fs::remove_file(below).unwrap();
    std::fs::create_dir_all(&path).unwrap();
    assert_eq!(config(&dir), Content::Unreadable);
    std::fs::remove_dir(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    assert_eq!(config(&dir), Content::Unreadable);
    let inputs = look(&dir, None).unwrap();
    assert_eq!(look(&dir, Some(&inputs)), None, "nothing new about it");
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
fn a_link_is_what_it_leads_to() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"image":"x"}"#);
    let plain = config(&dir);
    let path = dir.path().join(CONFIG);
    std::fs::rename(&path, dir.path().join("target")).unwrap();
    std::os::unix::fs::symlink("../../target", &path).unwrap();
    assert_eq!(config(&dir), plain);
    let inputs = settled(&dir);
    dir.write("target", r#"{"image":"y"}"#);
    assert_ne!(contents(&look(&dir, Some(&inputs)).unwrap())[0].1, plain);
}

#[test]
fn a_file_of_100_mb_is_compared_by_content() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"dockerFile":"D"}"#);
    let write = |last: u8| {
        use std::io::Write;
        let path = dir.path().join("w/.devcontainer/D");
        let mut file = std::fs::File::create(path).unwrap();
        for _ in 0..100 {
            file.write_all(&[b'x'; 1 << 20]).unwrap();
        }
        file.write_all(&[last]).unwrap();
    };
    write(1);
    let one = look(&dir, None).unwrap();
    write(2);
    let two = look(&dir, Some(&one)).unwrap();
    write(1);
    let three = look(&dir, Some(&two)).unwrap();
    assert_ne!(contents(&one), contents(&two));
    assert_eq!(contents(&one), contents(&three));
}

#[test]
fn a_configuration_far_too_large_is_one_that_says_nothing() {
    let dir = TestDir::new();
    let large = |end: &str| {
        format!(
            "{{\"dockerFile\":\"D\"}}{}{end}",
            " ".repeat(crate::devcontainer::config::file::MAX_CONFIG as usize)
        )
    };
    dir.write(CONFIG, &large("a"));
    let inputs = look(&dir, None).unwrap();
    assert_eq!(names(&inputs), ["", "devcontainer-lock.json"]);
    dir.write(CONFIG, &large("b"));
    assert_ne!(contents(&look(&dir, None).unwrap()), contents(&inputs));
    dir.write(CONFIG, &large("a"));
    assert_eq!(contents(&look(&dir, None).unwrap()), contents(&inputs));
}

#[test]
fn the_files_of_a_feature_are_bounded_and_counted_in_order() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"features":{"./f":{}}}"#);
    let feature = dir.path().join("w/.devcontainer/f");
    std::fs::create_dir(&feature).unwrap();
    // Beside the configuration, the lock file, and the directory.
    for number in 0..MAX_INPUTS - 3 {
        std::fs::write(feature.join(format!("{number:04}")), "").unwrap();
    }
    let full = look(&dir, None).unwrap();
    assert!(!full.truncated);
    assert_eq!(names(&full).len(), MAX_INPUTS);
    for more in ["aaa", "bbb"] {
        std::fs::write(feature.join(more), "").unwrap();
    }
    let over = look(&dir, None).unwrap();
    assert!(over.truncated);
    assert_eq!(names(&over), names(&full));
    for number in 0..20_000 {
        std::fs::write(feature.join(format!("z{number}")), "").unwrap();
    }
    assert_eq!(names(&look(&dir, None).unwrap()), names(&full));
}

#[test]
fn directories_in_a_feature_are_followed_so_deep_and_not_in_circles() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"features":{"./f":{}}}"#);
    dir.write("w/.devcontainer/f/x/y", "");
    let feature = dir.path().join("w/.devcontainer/f");
    let plain = look(&dir, None).unwrap();
    std::os::unix::fs::symlink(".", feature.join("circle")).unwrap();
    std::os::unix::fs::symlink("..", feature.join("x/above")).unwrap();
    let circle = look(&dir, None).unwrap();
    assert!(!circle.truncated);
    assert_eq!(names(&circle), names(&plain));
    dir.write(&format!("w/.devcontainer/f/{}y", "x/".repeat(15)), "");
    assert!(!look(&dir, None).unwrap().truncated);
    dir.write(&format!("w/.devcontainer/f/{}y", "x/".repeat(16)), "");
    assert!(look(&dir, None).unwrap().truncated);
}

#[test]
fn so_many_references_are_followed() {
    let dir = TestDir::new();
    let begun = Instant::now();
    let files: Vec<String> = (0..60_000).map(|number| number.to_string()).collect();
    let config = serde_json::json!({ "dockerComposeFile": files });
    dir.write(CONFIG, &config.to_string());
    let inputs = look(&dir, None).unwrap();
    assert!(inputs.truncated && names(&inputs).len() < 50);
    let features: std::collections::BTreeMap<String, u8> =
        files.iter().map(|file| (format!("./{file}"), 0)).collect();
    dir.write(
        CONFIG,
        &serde_json::json!({ "features": features }).to_string(),
    );
    let inputs = look(&dir, None).unwrap();
    assert!(inputs.truncated);
    assert_eq!(names(&inputs).len(), MAX_INPUTS);
    // Each is read again by another name.
    dir.write("w/.devcontainer/c/c", &"services: #".repeat(20_000));
    for number in 0..100 {
        let link = dir.path().join(format!("w/.devcontainer/l{number}"));
        std::os::unix::fs::symlink("c", link).unwrap();
    }
    let files: Vec<String> = (0..100).map(|number| format!("l{number}/c")).collect();
    dir.write(
        CONFIG,
        &serde_json::json!({ "dockerComposeFile": files }).to_string(),
    );
    assert!(look(&dir, None).unwrap().truncated);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn what_has_no_size_is_not_read_for_ever() {
    let dir = TestDir::new();
    let begun = Instant::now();
    for endless in ["/proc/self/pagemap", "/proc/self/mem"] {
        let config = serde_json::json!({ "dockerFile": endless });
        dir.write(CONFIG, &config.to_string());
        let inputs = look(&dir, None).unwrap();
        assert_eq!(names(&inputs)[2], endless);
    }
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn what_is_no_path_is_no_input() {
    let dir = TestDir::new();
    for odd in [
        "a\0b",
        &"a/".repeat(3000),
        &"${localWorkspaceFolder}".repeat(100_000),
    ] {
        let config = serde_json::json!({ "dockerFile": odd });
        dir.write(CONFIG, &config.to_string());
        assert_eq!(names(&look(&dir, None).unwrap()).len(), 2);
    }
}

#[test]
fn an_input_outside_of_the_folder_is_called_by_its_path() {
    let dir = TestDir::new();
    let outside = dir.write("outside/D", "");
    let config = serde_json::json!({ "dockerFile": outside });
    dir.write(CONFIG, &config.to_string());
    let shown = outside.display().to_string();
    assert_eq!(names(&look(&dir, None).unwrap())[2], shown);
    std::os::unix::fs::symlink("w", dir.path().join("deeper")).unwrap();
    let site = Arc::new(CliPaths {
        folder: dir.path().join("deeper"),
        config: dir.path().join("deeper/.devcontainer/devcontainer.json"),
    });
    let linked = scan(&site, None, &ForceReread::default()).unwrap();
    assert_eq!(names(&linked)[2], shown);
    assert_eq!(linked.path_of(&outside), outside);
}

#[test]
fn of_far_too_much_to_read_what_is_large_is_told_by_size_and_time() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"features":{"./f":{}}}"#);
    dir.write("w/.devcontainer/f/small", "1");
    let large = dir.write("w/.devcontainer/f/large", "");
    let large = std::fs::File::options().write(true).open(large).unwrap();
    large.set_len(1 << 30).unwrap();
    let begun = Instant::now();
    let one = look(&dir, None).unwrap();
    assert!(
        begun.elapsed() < Duration::from_secs(1),
        "{:?}",
        begun.elapsed()
    );
    dir.write("w/.devcontainer/f/small", "2");
    let two = look(&dir, Some(&one)).unwrap();
    let differing = || {
        contents(&one)
            .into_iter()
            .zip(contents(&two))
            .filter(|(a, b)| a != b)
    };
    assert_eq!(differing().count(), 1, "the small one");
    large.set_len(1 << 20).unwrap();
    let by_content = look(&dir, Some(&two)).unwrap();
    assert_eq!(contents(&by_content), contents(&look(&dir, None).unwrap()));
}

#[test]
fn p5_an_error_that_says_nothing_of_the_file_leaves_what_is_known() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"dockerFile":"D"}"#);
    dir.write("w/.devcontainer/D", "1");
    let before = look(&dir, None).unwrap();
    // The limit is that of the whole process: other tests run in it, so this one is in a process of its own.
    if std::env::var_os("IN_ITS_OWN_PROCESS").is_none() {
        let this = "p5_an_error_that_says_nothing_of_the_file_leaves_what_is_known";
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
    dir_write_failing(&dir);
    let during = look(&dir, Some(&before));
    let first = look(&dir, None);
    setrlimit(Resource::Nofile, limit).unwrap();
    let during = during.unwrap_or(before.clone());
    assert_eq!(contents(&during), contents(&before));
    assert_eq!(first, None, "nothing can be said of it");
    let after = look(&dir, Some(&during)).unwrap();
    assert_eq!(contents(&after), contents(&look(&dir, None).unwrap()));
}

/// Changes a file's times, for which no descriptor is needed.
fn dir_write_failing(dir: &TestDir) {
    let path = dir.path().join("w/.devcontainer/D");
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
}

#[test]
fn p5_what_editors_put_beside_an_open_file_does_not_count() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"features":{"./f":{}}}"#);
    dir.write("w/.devcontainer/f/install.sh", "");
    let before = contents(&look(&dir, None).unwrap());
    for name in [
        ".install.sh.swp",
        ".x.swo",
        "4913",
        "install.sh~",
        ".#install.sh",
        "#install.sh#",
    ] {
        dir.write(&format!("w/.devcontainer/f/{name}"), "x");
    }
    assert_eq!(contents(&look(&dir, None).unwrap()), before);
    for name in ["a.swp", "sw", "#x", "x#", ".sw", "49131"] {
        let path = dir.write(&format!("w/.devcontainer/f/{name}"), "x");
        assert_ne!(contents(&look(&dir, None).unwrap()), before, "{name}");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_feature_may_be_anything() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"features":{"./f":{},"./none":{}}}"#);
    dir.write("w/.devcontainer/f", "a file");
    let found = contents(&look(&dir, None).unwrap());
    assert!(matches!(found[2].1, Content::Fingerprint(_)), "{found:?}");
    assert_eq!(found[3], ("none".to_owned(), Content::Absent));
}

#[test]
fn what_is_distrusted_is_read_though_it_looks_the_same() {
    let dir = TestDir::new();
    let path = dir.write(CONFIG, r#"{"image":"x"}"#);
    let settled = settled(&dir);
    // What a memory map does to a page that is dirty already: other content, the same times.
    let mut mistaken = settled.clone();
    mistaken.items[0].content = Content::Absent;
    assert_eq!(look(&dir, Some(&mistaken)), None);
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
        let found = scan(&site(&dir), Some(&mistaken), &force_reread);
        assert_eq!(found.as_ref(), Some(&settled));
    }
}
