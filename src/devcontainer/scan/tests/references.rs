//! The files that a configuration names.

use super::*;

#[test]
fn a_new_configuration_names_other_files() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"dockerFile":"../Dockerfile"}"#);
    let one = scan_dir(&dir, None).unwrap();
    let dockerfile = ("../Dockerfile".to_owned(), Content::Absent);
    assert!(contents(&one).contains(&dockerfile), "it is awaited");
    assert_eq!(
        one.path_of(Path::new("../Dockerfile")),
        dir.path().join("w/Dockerfile")
    );
    dir.write(CONFIG, r#"{"dockerComposeFile":["a.yml","b.yml","a.yml"]}"#);
    let two = scan_dir(&dir, Some(&one)).unwrap();
    let of_two = ["", "devcontainer-lock.json", ".env", "a.yml", "b.yml"];
    assert_eq!(names(&two), of_two);
    dir.write(CONFIG, "{");
    let broken = scan_dir(&dir, Some(&two)).unwrap();
    assert_eq!(names(&broken), ["", "devcontainer-lock.json"]);
}

#[test]
fn a_new_compose_file_names_other_files() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"dockerComposeFile":["../a.yml","b.yml"]}"#);
    dir.write("w/a.yml", "services:\n  app:\n    build: .devcontainer\n");
    let both = dir.write("w/.devcontainer/b.yml", "services:\n  db:\n    build: db\n");
    let first = scan_dir(&dir, None).unwrap();
    let all = [
        "",
        "devcontainer-lock.json",
        "../.env",
        "../a.yml",
        "b.yml",
        "Dockerfile",
        "../db/Dockerfile",
    ];
    assert_eq!(names(&first), all);
    dir.write("w/.devcontainer/Dockerfile", "FROM x");
    let second = scan_dir(&dir, Some(&first)).unwrap();
    assert_ne!(contents(&second), contents(&first));
    std::fs::remove_file(both).unwrap();
    let third = scan_dir(&dir, Some(&second)).unwrap();
    assert_eq!(names(&third), all[..6]);
}

#[test]
fn inputs_of_other_paths_are_not_reused() {
    let dir = TestDir::new();
    dir.write(CONFIG, "{}");
    let inputs = settled(&dir);
    let hidden = Arc::new(CliPaths {
        config: dir.write("w/.devcontainer.json", "{}"),
        ..(*paths(&dir)).clone()
    });
    let there = scan(&hidden, Some(&inputs), &ForceReread::default())
        .unwrap()
        .unwrap();
    assert_eq!(names(&there), ["", ".devcontainer-lock.json"]);
}

#[test]
fn directories_in_a_feature_are_followed_to_a_depth_and_not_in_circles() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"features":{"./f":{}}}"#);
    dir.write("w/.devcontainer/f/x/y", "");
    let feature = dir.path().join("w/.devcontainer/f");
    let plain = scan_dir(&dir, None).unwrap();
    std::os::unix::fs::symlink(".", feature.join("circle")).unwrap();
    std::os::unix::fs::symlink("..", feature.join("x/above")).unwrap();
    let circle = scan_dir(&dir, None).unwrap();
    assert!(!circle.extent().is_truncated);
    assert_eq!(names(&circle), names(&plain));
    dir.write(&format!("w/.devcontainer/f/{}y", "x/".repeat(15)), "");
    assert!(!scan_dir(&dir, None).unwrap().extent().is_truncated);
    dir.write(&format!("w/.devcontainer/f/{}y", "x/".repeat(16)), "");
    assert!(scan_dir(&dir, None).unwrap().extent().is_truncated);
}

#[test]
fn invalid_paths_are_no_inputs() {
    let dir = TestDir::new();
    for odd in [
        "a\0b",
        &"a/".repeat(3000),
        &"${localWorkspaceFolder}".repeat(100_000),
    ] {
        let config = serde_json::json!({ "dockerFile": odd });
        dir.write(CONFIG, &config.to_string());
        assert_eq!(names(&scan_dir(&dir, None).unwrap()).len(), 2);
    }
}

#[test]
fn the_name_of_an_input_outside_of_the_folder_is_its_path() {
    let dir = TestDir::new();
    let outside = dir.write("outside/D", "");
    let config = serde_json::json!({ "dockerFile": outside });
    dir.write(CONFIG, &config.to_string());
    let shown = outside.display().to_string();
    assert_eq!(names(&scan_dir(&dir, None).unwrap())[2], shown);
    std::os::unix::fs::symlink("w", dir.path().join("deeper")).unwrap();
    let paths = Arc::new(CliPaths {
        folder: dir.path().join("deeper"),
        config: dir.path().join("deeper/.devcontainer/devcontainer.json"),
    });
    let linked = scan(&paths, None, &ForceReread::default())
        .unwrap()
        .unwrap();
    assert_eq!(names(&linked)[2], shown);
    assert_eq!(linked.path_of(&outside), outside);
}

#[test]
fn p5_temporary_files_of_editors_do_not_count() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"features":{"./f":{}}}"#);
    dir.write("w/.devcontainer/f/install.sh", "");
    let before = contents(&scan_dir(&dir, None).unwrap());
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
    assert_eq!(contents(&scan_dir(&dir, None).unwrap()), before);
    for name in ["a.swp", "sw", "#x", "x#", ".sw", "49131"] {
        let path = dir.write(&format!("w/.devcontainer/f/{name}"), "x");
        assert_ne!(contents(&scan_dir(&dir, None).unwrap()), before, "{name}");
        std::fs::remove_file(path).unwrap();
    }
}

#[test]
fn a_feature_may_be_anything() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"features":{"./f":{},"./none":{}}}"#);
    dir.write("w/.devcontainer/f", "a file");
    let found = contents(&scan_dir(&dir, None).unwrap());
    assert!(matches!(found[2].1, Content::Fingerprint(_)), "{found:?}");
    assert_eq!(found[3], ("none".to_owned(), Content::Absent));
}

/// Text that the CLI accepts, though it is no JSON.
const TOLERATED: [&str; 7] = [
    r#"{"name":"n" "dockerFile":"D"}"#,
    r#"{"name":"n",,"dockerFile":"D"}"#,
    "{\u{a0}\"name\":\"n\",\u{a0}\"dockerFile\":\"D\"}",
    r#"{"name":"\q","dockerFile":"D"}"#,
    "{\"name\":\"n\n, \"dockerFile\":\"D\"}",
    r#"{"name":"n","dockerFile":"D""#,
    r#"{"name":"n","dockerFile":"D"} and more"#,
];

#[test]
fn p5_the_dockerfile_of_a_configuration_that_is_no_json_is_an_input() {
    for text in TOLERATED {
        let dir = TestDir::new();
        dir.write(CONFIG, text);
        dir.write("w/.devcontainer/D", "FROM x");
        let before = scan_dir(&dir, None).unwrap();
        assert!(names(&before).contains(&"D".to_owned()), "{text}");
        dir.write(CONFIG, &format!("// A comment.\n{text}"));
        dir.write("w/.devcontainer/D", "FROM y");
        let after = scan_dir(&dir, Some(&before)).unwrap();
        assert_eq!(contents(&after)[0], contents(&before)[0], "{text}");
        assert_ne!(contents(&after)[2], contents(&before)[2], "{text}");
    }
}
