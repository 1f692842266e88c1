//! The services of a compose project that are used.

use super::*;

const SERVICES: &str = "services:
  app: {build: app, depends_on: [db]}
  db: {build: db, network_mode: 'service:net'}
  net: {image: x, label_file: net.env, depends_on: {deep: {condition: service_started}}}
  deep: {build: {context: deep, additional_contexts: {base: 'service:base'}}}
  base: {build: base, profiles: [p]}
  other: {build: other, label_file: [other.labels]}
  debug: {build: debug, profiles: [debug, more]}
";

/// Returns the inputs that are named after services.
fn used(config: &str, variables: &str) -> String {
    let dir = TestDir::new();
    dir.write(CONFIG, config);
    dir.write("w/.devcontainer/c.yml", SERVICES);
    dir.write("w/.devcontainer/.env", variables);
    let inputs = names(&scan_dir(&dir, None).unwrap());
    let services = ["app", "base", "db", "debug", "deep", "net", "other"];
    let is_used = |service: &&str| {
        let names = [format!("{service}/Dockerfile"), format!("{service}.env")];
        inputs.iter().any(|input| names.contains(input))
    };
    let used: Vec<&str> = services.into_iter().filter(is_used).collect();
    used.join(" ")
}

#[test]
fn services_that_are_not_started_do_not_count() {
    let all = r#"{"dockerComposeFile":"c.yml","service":"app"}"#;
    assert_eq!(used(all, ""), "app base db deep net other");
    let active = "app base db debug deep net other";
    assert_eq!(used(all, "COMPOSE_PROFILES=x,debug"), active);
    assert_eq!(used(all, "COMPOSE_PROFILES=*"), active);
    let of_profile = r#"{"dockerComposeFile":"c.yml","service":"debug"}"#;
    assert_eq!(used(of_profile, ""), active);
    let some = r#"{"dockerComposeFile":"c.yml","service":"app","runServices":[]}"#;
    assert_eq!(used(some, ""), "app base db deep net other");
    let one = r#"{"dockerComposeFile":"c.yml","service":"app","runServices":["debug"]}"#;
    assert_eq!(used(one, ""), "app base db debug deep net");
    let other = r#"{"dockerComposeFile":"c.yml","service":"other","runServices":["other"]}"#;
    assert_eq!(used(other, ""), "other");
}

#[test]
fn files_that_compose_needs_and_that_are_missing_are_said() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"dockerComposeFile":"c.yml","service":"app"}"#);
    let compose = "services:\n  app: {build: app}\n  db: {image: x, env_file: [need.env, {path: may.env, required: false}]}\n";
    dir.write("w/.devcontainer/c.yml", compose);
    let missing = |dir: &TestDir| {
        let inputs = scan_dir(dir, None).unwrap();
        let text = inputs
            .extent()
            .unchecked
            .text()
            .unwrap_or_default()
            .to_owned();
        ["app/Dockerfile", "need.env", "may.env"].map(|name| text.contains(name))
    };
    assert_eq!(missing(&dir), [true, true, false]);
    dir.write("w/.devcontainer/app/Dockerfile", "FROM x");
    dir.write("w/.devcontainer/need.env", "");
    assert_eq!(missing(&dir), [false; 3]);
}

#[test]
fn files_of_additional_contexts_are_inputs() {
    for contexts in [
        "{conf: ../conf, other: 'docker-image://x'}",
        "['conf=../conf']",
    ] {
        let dir = TestDir::new();
        dir.write(CONFIG, r#"{"dockerComposeFile":"c.yml","service":"app"}"#);
        let compose = format!(
            "services: {{app: {{build: {{context: ., additional_contexts: {contexts}}}}}}}\n"
        );
        dir.write("w/.devcontainer/c.yml", &compose);
        let dockerfile = "FROM x\nCOPY --from=conf a.conf /\nCOPY --from=other b.conf /\n";
        dir.write("w/.devcontainer/Dockerfile", dockerfile);
        let found = names(&scan_dir(&dir, None).unwrap());
        let expected = [
            "",
            "devcontainer-lock.json",
            ".env",
            "c.yml",
            "Dockerfile",
            "../conf/a.conf",
        ];
        assert_eq!(found, expected, "{contexts}");
    }
}

#[test]
fn files_of_labels_count_as_those_of_variables() {
    let config = |service: &str| {
        format!(
            r#"{{"dockerComposeFile":"c.yml","service":"{service}","runServices":["{service}"]}}"#
        )
    };
    let dir = TestDir::new();
    dir.write("w/.devcontainer/c.yml", SERVICES);
    dir.write(CONFIG, &config("app"));
    let labels = "other.labels".to_owned();
    assert!(!names(&scan_dir(&dir, None).unwrap()).contains(&labels));
    dir.write(CONFIG, &config("other"));
    let missing = scan_dir(&dir, None).unwrap();
    let reason = missing.extent().unchecked.text().unwrap();
    assert!(reason.contains(&labels), "{reason}");
    dir.write("w/.devcontainer/other.labels", "a=b");
    let before = settled(&dir);
    dir.write("w/.devcontainer/other.labels", "# c\na=b\n");
    let comment = scan_dir(&dir, Some(&before)).unwrap();
    assert_eq!(contents(&comment), contents(&before));
    dir.write("w/.devcontainer/other.labels", "a=c");
    let edited = scan_dir(&dir, Some(&comment)).unwrap();
    assert_ne!(contents(&edited), contents(&before));
}
