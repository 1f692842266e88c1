//! The inputs of a compose project. `tests/e2e/compose_reading.rs` holds the same against compose itself.

use super::*;

const COMPOSE: &str = r#"{"dockerComposeFile":"c.yml"}"#;

/// Writes files, by their names relative to the configuration.
fn write(dir: &TestDir, files: &[(&str, &str)]) {
    for (name, text) in files {
        dir.write(&format!("w/.devcontainer/{name}"), text);
    }
}

/// Checks the inputs of a project with these files, but for the configuration and its lock file.
#[track_caller]
fn check_with(config: &str, files: &[(&str, &str)], expected: &[&str]) {
    let dir = TestDir::new();
    dir.write(CONFIG, config);
    write(&dir, files);
    let inputs = scan_dir(&dir, None).unwrap();
    let mut found = names(&inputs).split_off(2);
    found.sort();
    assert_eq!(found, expected, "{files:?}");
}

#[track_caller]
fn check(files: &[(&str, &str)], expected: &[&str]) {
    check_with(COMPOSE, files, expected);
}

fn in_order<'a>(names: &[&'a str]) -> Vec<&'a str> {
    let mut names = names.to_vec();
    names.sort();
    names
}

/// Checks the Dockerfile of the one service, beside the compose file and `.env`.
#[track_caller]
fn check_dockerfile(service: &str, expected: &str) {
    let names = in_order(&[".env", expected, "c.yml"]);
    check(
        &[("c.yml", &format!("services:\n  app:\n{service}\n"))],
        &names,
    );
}

#[test]
fn a_byte_order_mark_hides_nothing() {
    check(
        &[("c.yml", "\u{feff}services:\n  app:\n    build: a\n")],
        &[".env", "a/Dockerfile", "c.yml"],
    );
}

#[test]
fn flow_mappings_may_have_several_lines() {
    check_dockerfile(
        "    build: {\n      context: a,\n      dockerfile: D }",
        "a/D",
    );
    check_dockerfile(
        "    {build: {context: a,\n     \"dockerfile\": 'D'}}",
        "a/D",
    );
}

#[test]
fn anchors_and_merge_keys_are_followed() {
    for head in ["<<: *b", "<<: [*b, *c]"] {
        let file = format!(
            "x-b: &b\n  context: a\nx-c: &c\n  context: no\n  dockerfile: D\nservices:\n  app:\n    build:\n      {head}\n      dockerfile: E\n"
        );
        check(&[("c.yml", &file)], &[".env", "a/E", "c.yml"]);
    }
    check(
        &[(
            "c.yml",
            "x-s: &s {build: a}\nservices:\n  app: *s\n  db:\n    <<: *s\n    build: b\n",
        )],
        &[".env", "a/Dockerfile", "b/Dockerfile", "c.yml"],
    );
}

#[test]
fn scalars_may_have_any_style_and_a_tag() {
    check_dockerfile("    build: !!str a", "a/Dockerfile");
    check_dockerfile("    build: >-\n      a", "a/Dockerfile");
    check_dockerfile("    build: \"\\x61\"", "a/Dockerfile");
    check_dockerfile("    build:\n      a\n      b", "a b/Dockerfile");
}

#[test]
fn all_documents_of_a_file_count() {
    check(
        &[(
            "c.yml",
            "services:\n  app:\n    build: a\n---\nservices:\n  app:\n    build: {dockerfile: D}\n",
        )],
        &[".env", "a/D", "c.yml"],
    );
}

#[test]
fn a_service_may_extend_another_one() {
    check(
        &[(
            "c.yml",
            "services:\n  app:\n    extends: base\n    build: {dockerfile: D}\n  base:\n    build: {context: a}\n    env_file: e\n",
        )],
        &[".env", "a/D", "a/Dockerfile", "c.yml", "e"],
    );
    check(
        &[
            (
                "c.yml",
                "services:\n  app:\n    extends: {file: x/x.yml, service: base}\n",
            ),
            (
                "x/x.yml",
                "services:\n  base:\n    extends: {file: ../y/y.yml, service: s}\n    build: {context: a}\n  no:\n    build: no\n",
            ),
            (
                "y/y.yml",
                "services:\n  s:\n    build: {context: no, dockerfile: D}\n    env_file: e\n",
            ),
        ],
        &[".env", "c.yml", "x/a/D", "x/x.yml", "y/e", "y/y.yml"],
    );
}

#[test]
fn other_files_are_included() {
    check(
        &[
            (
                "c.yml",
                "include:\n  - {path: a/a.yml, env_file: []}\n  - path: [b/b.yml, b/over.yml]\n    project_directory: d\n    env_file: f/.env\nservices: {app: {build: .}}\n",
            ),
            ("a/a.yml", "services: {a: {build: \"${A}\"}}\n"),
            ("a/.env", "A=aa\nB=no\n"),
            ("b/b.yml", "services: {b: {build: \"${B}\", env_file: e}}\n"),
            ("b/over.yml", "services: {b: {build: {dockerfile: D}}}\n"),
            ("f/.env", "B=bb\n"),
        ],
        &[
            ".env",
            "Dockerfile",
            "a/.env",
            "a/a.yml",
            "a/aa/Dockerfile",
            "b/b.yml",
            "b/over.yml",
            "c.yml",
            "d/bb/D",
            "d/e",
            "f/.env",
        ],
    );
}

#[test]
fn later_files_override_earlier_ones() {
    let both = r#"{"dockerComposeFile":["c.yml","x/d.yml"]}"#;
    let first = ("c.yml", "services: {app: {build: a, env_file: e}}\n");
    for (second, expected) in [
        (
            "services: {app: {build: {dockerfile: D}, env_file: [f]}}",
            &["a/D", "c.yml", "e", "f", "x/d.yml"][..],
        ),
        (
            "services: {app: {build: b}}",
            &["b/Dockerfile", "c.yml", "e", "x/d.yml"],
        ),
        (
            "services: {app: {build: !reset null}}",
            &["c.yml", "e", "x/d.yml"],
        ),
        (
            "services: {app: {build: !override {dockerfile: D}, env_file: !override f}}",
            &["D", "c.yml", "f", "x/d.yml"],
        ),
    ] {
        let expected = in_order(&[expected, &[".env"]].concat());
        check_with(both, &[first, ("x/d.yml", second)], &expected);
    }
}

#[test]
fn env_files_are_inputs() {
    check(
        &[(
            "c.yml",
            "services:\n  app:\n    image: x\n    env_file: a.env\n  b:\n    image: x\n    env_file: [b.env, {path: ../c.env, required: false}]\n",
        )],
        &["../c.env", ".env", "a.env", "b.env", "c.yml"],
    );
}

#[test]
fn variables_come_from_the_env_file_of_the_project() {
    let service = |build: &str| format!("services: {{app: {{build: '{build}'}}}}\n");
    for (build, expected) in [
        ("${X}", "x/Dockerfile"),
        ("$X", "x/Dockerfile"),
        ("${NONE:-d}", "d/Dockerfile"),
        ("${EMPTY:-d}", "d/Dockerfile"),
        ("a${EMPTY-d}", "a/Dockerfile"),
        ("${X:?no}", "x/Dockerfile"),
        ("a${EMPTY?no}", "a/Dockerfile"),
        ("${X:+a}", "a/Dockerfile"),
        ("a${EMPTY:+d}", "a/Dockerfile"),
        ("${EMPTY+d}", "d/Dockerfile"),
        ("a$$X", "a$X/Dockerfile"),
        ("${NONE:-${NONE:-${X}}}y", "xy/Dockerfile"),
        ("a${NONE}", "a/Dockerfile"),
    ] {
        check(
            &[
                ("c.yml", &service(build)),
                (".env", "X='x' # c\nexport EMPTY=\n"),
            ],
            &in_order(&[".env", expected, "c.yml"]),
        );
    }
}

#[test]
fn an_edited_env_file_names_other_files() {
    let dir = TestDir::new();
    dir.write(CONFIG, COMPOSE);
    write(&dir, &[("c.yml", "services: {app: {build: '${X:-a}'}}\n")]);
    let one = scan_dir(&dir, None).unwrap();
    assert!(names(&one).contains(&"a/Dockerfile".to_owned()));
    write(&dir, &[(".env", "X=b\n")]);
    let two = scan_dir(&dir, Some(&one)).unwrap();
    assert!(names(&two).contains(&"b/Dockerfile".to_owned()));
}

#[test]
fn remote_contexts_and_dockerfiles_in_the_compose_file_name_no_file() {
    check(
        &[(
            "c.yml",
            r#"{"services": {"a": {"build": "https://example.com/x.git"}, "b": {"build": "git@example.com:x.git"},
                "c": {"build": {"dockerfile_inline": "FROM x"}}, "d": {"image": "x"}, "e": {"build": ".."}}}"#,
        )],
        &["../Dockerfile", ".env", "c.yml"],
    );
}

#[test]
fn without_named_files_the_cli_looks_in_the_workspace_folder() {
    let none = r#"{"dockerComposeFile":[]}"#;
    check_with(
        none,
        &[("../docker-compose.yml", "services: {app: {build: a}}\n")],
        &[
            "../.env",
            "../a/Dockerfile",
            "../docker-compose.override.yml",
            "../docker-compose.yml",
        ],
    );
    check_with(
        none,
        &[
            ("../.env", "COMPOSE_FILE=x/c.yml:d.yml\nD=D\n"),
            ("../x/c.yml", "services: {app: {build: a}}\n"),
            (
                "../d.yml",
                "services: {app: {build: {dockerfile: '${D}'}}}\n",
            ),
        ],
        &["../.env", "../d.yml", "../x/a/D", "../x/c.yml"],
    );
}

#[test]
fn what_cannot_be_followed_is_said() {
    let long = format!("services: {{}} #{}", "x".repeat(300 << 10));
    let many: String = (0..150)
        .map(|number| format!("  s{number}: {{extends: {{file: f{number}.yml, service: x}}}}\n"))
        .collect();
    for (text, expected) in [
        ("services: {a: {build: .}", "c.yml: it is not valid YAML: "),
        ("[a]", "c.yml: it is not a mapping; correct it"),
        (
            "services: {a: {build: '${NONE:?set it}'}}",
            "c.yml: the variable NONE has no value, which it needs: set it; set it in the environment",
        ),
        (
            "services: {a: {extends: {file: x.yml, service: a}}}",
            "c.yml: it extends a service of ",
        ),
        (
            "services: {a: {extends: b}}",
            "c.yml: it extends the service `b`, which it does not have",
        ),
        (
            "services: {a: {extends: a}}",
            "c.yml: the service `a` extends itself",
        ),
        (
            "include: [x.yml]",
            "x.yml, which does not exist; create that file",
        ),
        ("include: [c.yml]", "c.yml, which includes it"),
        (
            "include: [{path: oci://docker.io/x/y}]",
            "includes oci://docker.io/x/y, which is not on this machine",
        ),
        (
            "include: [{path: y.yml, env_file: none.env}]",
            "none.env: it does not exist",
        ),
        (&long, "c.yml is larger than 256 KiB"),
        (&format!("services:\n{many}"), " more"),
    ] {
        let dir = TestDir::new();
        dir.write(CONFIG, COMPOSE);
        write(
            &dir,
            &[("c.yml", text), ("y.yml", "services: {y: {build: y}}")],
        );
        let inputs = scan_dir(&dir, None).unwrap();
        let unchecked = inputs.extent().unchecked.text().unwrap_or_default();
        assert!(unchecked.contains(expected), "{text}: {unchecked}");
        let is_input = names(&inputs).contains(&"c.yml".to_owned());
        assert!(is_input, "{text}");
    }
    let dir = TestDir::new();
    dir.write(CONFIG, COMPOSE);
    std::fs::write(dir.path().join("w/.devcontainer/c.yml"), b"a: \xff").unwrap();
    let inputs = scan_dir(&dir, None).unwrap();
    let unchecked = inputs.extent().unchecked.text().unwrap();
    assert!(unchecked.contains("c.yml is not UTF-8"), "{unchecked}");
    std::fs::remove_file(dir.path().join("w/.devcontainer/c.yml")).unwrap();
    let inputs = scan_dir(&dir, None).unwrap();
    let unchecked = inputs.extent().unchecked.text().unwrap();
    assert!(
        unchecked.contains("c.yml, which the configuration names, does not exist"),
        "{unchecked}"
    );
}

#[test]
fn p5_comments_in_env_files_do_not_count() {
    let dir = TestDir::new();
    dir.write(CONFIG, COMPOSE);
    write(
        &dir,
        &[
            ("c.yml", "services: {a: {image: x, env_file: e}}"),
            (".env", "A=a\n"),
            ("e", "B=b\n"),
        ],
    );
    let before = contents(&scan_dir(&dir, None).unwrap());
    write(&dir, &[(".env", "# c\nA=a # c\n"), ("e", "\nB = b")]);
    assert_eq!(contents(&scan_dir(&dir, None).unwrap()), before);
    for (name, text) in [(".env", "A=b"), ("e", "A=b"), ("e", "a b")] {
        write(&dir, &[(".env", "A=a"), ("e", "B=b"), (name, text)]);
        assert_ne!(contents(&scan_dir(&dir, None).unwrap()), before, "{text}");
    }
}

#[test]
fn all_bytes_of_raw_env_files_count() {
    let dir = TestDir::new();
    dir.write(CONFIG, COMPOSE);
    let compose = "services: {a: {image: x, env_file: [{path: e, format: raw}]}}";
    write(&dir, &[("c.yml", compose), ("e", "A=1 # x\n")]);
    let before = contents(&scan_dir(&dir, None).unwrap());
    for text in ["A=1 # y\n", "A='1 # x'\n"] {
        write(&dir, &[("e", text)]);
        assert_ne!(contents(&scan_dir(&dir, None).unwrap()), before, "{text}");
    }
}

#[test]
fn what_is_reset_in_a_later_file_is_gone() {
    let both = r#"{"dockerComposeFile":["c.yml","d.yml"]}"#;
    let first = "services: {a: {image: x}, b: {build: b, env_file: e}}";
    for (second, expected) in [
        (
            "services: {b: !reset null}",
            &[".env", "c.yml", "d.yml"][..],
        ),
        (
            "services: {b: !override {build: c}}",
            &[".env", "c.yml", "c/Dockerfile", "d.yml"],
        ),
    ] {
        check_with(both, &[("c.yml", first), ("d.yml", second)], expected);
    }
}
