//! The files that a Dockerfile takes from its context.

use std::os::unix::fs::symlink;

use super::*;

/// The configuration of a Dockerfile in a context at `w`.
const IN_FOLDER: &str = r#"{"build":{"dockerfile":"../Dockerfile","context":".."}}"#;

/// A dev container with this Dockerfile and these files of the context, each with its name as content.
fn stage(dockerfile: &str, files: &[&str]) -> TestDir {
    let dir = TestDir::new();
    dir.write(CONFIG, IN_FOLDER);
    dir.write("w/Dockerfile", dockerfile);
    for file in files {
        dir.write(&format!("w/{file}"), file);
    }
    dir
}

/// The inputs but the configuration, the lock file and the Dockerfile: `=` after a file, `/` after a directory, and `-`
/// after what is absent.
fn taken(inputs: &Inputs) -> Vec<String> {
    let taken = contents(inputs).into_iter().skip(2);
    let taken = taken.filter(|(name, _)| name != "../Dockerfile");
    let shown = taken.map(|(name, content)| match content {
        Content::Fingerprint(_) => format!("{name}="),
        Content::Directory => format!("{name}/"),
        Content::Absent => format!("{name}-"),
        Content::Unreadable => format!("{name}?"),
    });
    let mut shown: Vec<String> = shown.collect();
    shown.sort();
    shown
}

#[track_caller]
fn check(dockerfile: &str, files: &[&str], expected: &[&str]) {
    let dir = stage(dockerfile, files);
    assert_eq!(
        taken(&scan_dir(&dir, None).unwrap()),
        expected,
        "{dockerfile}"
    );
}

#[test]
fn files_that_are_named_are_inputs_and_directories_are_not() {
    let files = ["a", "b/c", "b/d", "e"];
    check(
        "FROM x\nCOPY a b/c none /x/",
        &files,
        &["../a=", "../b/c=", "../none-"],
    );
    check(
        "FROM x\nCOPY . /x\nCOPY / /x\nADD b /x\nCOPY b/ /x",
        &files,
        &[],
    );
    check(
        "FROM x\nCOPY /a ../../e ./b/../b/d /x/",
        &files,
        &["../a=", "../b/d=", "../e="],
    );
    check(
        "FROM x\nRUN --mount=source=b/c,target=/c true",
        &files,
        &["../b/c="],
    );
    check(
        "FROM x AS y\nCOPY a /\nFROM x\nCOPY e /",
        &files,
        &["../e="],
    );
}

#[test]
fn the_files_and_the_directory_of_a_pattern_are_inputs() {
    let files = [
        "a1.txt",
        "a2.txt",
        "b.txt",
        "a.d/x.txt",
        "s/1/q",
        "s/2/q",
        "s/3/r",
    ];
    check(
        "FROM x\nCOPY a*.txt /x/",
        &files,
        &["../", "../a1.txt=", "../a2.txt="],
    );
    check(
        "FROM x\nCOPY a* /x/",
        &files,
        &["../", "../a1.txt=", "../a2.txt="],
    );
    check(
        "FROM x\nCOPY s/*/q /x/",
        &files,
        &["../s/", "../s/1/q=", "../s/2/q="],
    );
    check("FROM x\nCOPY * s/* **/q /x/", &files, &[]);
    check("FROM x\nCOPY no/*.c /x/", &files, &["../no-"]);
    check(
        "FROM x\nCOPY --exclude=a1.* a?.txt /x/",
        &files,
        &["../", "../a2.txt="],
    );
}

#[test]
fn what_dockerignore_names_is_absent() {
    let dockerfile = "FROM x\nCOPY a.txt b.txt /x/\nCOPY c*.txt /x/";
    let dir = stage(dockerfile, &["a.txt", "b.txt", "c1.txt", "c2.txt"]);
    dir.write("w/.dockerignore", "# all\n*.txt\n!b.txt\n!c1*\n");
    let before = settled(&dir);
    assert_eq!(
        taken(&before),
        ["../", "../a.txt-", "../b.txt=", "../c1.txt="]
    );
    assert_eq!(scan_dir(&dir, Some(&before)), None, "nothing is new");
    dir.write(
        "w/.dockerignore",
        "# Comments change nothing.\n*.txt\n!b.txt\n!c1*\n",
    );
    let same = scan_dir(&dir, Some(&before)).unwrap();
    assert_eq!(contents(&same), contents(&before));
    dir.write("w/.dockerignore", "b.txt");
    let after = scan_dir(&dir, Some(&same)).unwrap();
    assert_eq!(
        taken(&after),
        ["../", "../a.txt=", "../b.txt-", "../c1.txt=", "../c2.txt="]
    );
}

#[test]
fn links_are_followed_in_the_context() {
    let dir = stage("FROM x\nCOPY in out root dir/f gone /x/", &["a", "d/f"]);
    dir.write("outside", "x");
    for (target, link) in [
        ("a", "in"),
        ("../outside", "out"),
        ("/d/f", "root"),
        ("d", "dir"),
        ("none", "gone"),
    ] {
        symlink(target, dir.path().join("w").join(link)).unwrap();
    }
    let inputs = scan_dir(&dir, None).unwrap();
    let expected = ["../d/f=", "../dir/f=", "../gone-", "../in=", "../out-"];
    assert_eq!(taken(&inputs), expected);
    let ignored = stage("FROM x\nCOPY link /x/", &["a"]);
    symlink("a", ignored.path().join("w/link")).unwrap();
    ignored.write("w/.dockerignore", "a");
    assert_eq!(taken(&scan_dir(&ignored, None).unwrap()), ["../link-"]);
}

#[test]
fn a_directory_that_becomes_a_file_is_found() {
    let dir = stage("FROM x\nCOPY a /x", &["a/b"]);
    let before = settled(&dir);
    assert_eq!(taken(&before), [""; 0]);
    std::fs::remove_dir_all(dir.path().join("w/a")).unwrap();
    dir.write("w/a", "file");
    assert_eq!(taken(&scan_dir(&dir, Some(&before)).unwrap()), ["../a="]);
}

#[test]
fn what_cannot_be_followed_is_said() {
    for (dockerfile, ignored, expected) in [
        ("FROM x\nCOPY $HOME/a /x".to_owned(), "", "set the variable"),
        (
            format!("FROM x\n{}", "# x\n".repeat(100_000)),
            "",
            "larger than 256 KiB",
        ),
        (
            "FROM x\nCOPY a /x".to_owned(),
            "large",
            "larger than 64 KiB",
        ),
    ] {
        let dir = stage(&dockerfile, &["a"]);
        dir.write("w/.dockerignore", &ignored.repeat(20_000));
        let inputs = scan_dir(&dir, None).unwrap();
        let unchecked = inputs.extent().unchecked.text().unwrap();
        assert!(unchecked.contains(expected), "{unchecked}");
    }
}

#[test]
fn a_new_dockerfile_names_other_files() {
    let dir = stage("FROM x\nCOPY a /x", &["a"]);
    let before = scan_dir(&dir, None).unwrap();
    dir.write("w/Dockerfile", "FROM x\nADD b /x");
    assert_eq!(taken(&scan_dir(&dir, Some(&before)).unwrap()), ["../b-"]);
}

#[test]
fn builds_of_services_take_files_from_their_contexts() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"dockerComposeFile":"c.yml","service":"a"}"#);
    let compose = "services:
  a:
    build: {context: .., dockerfile: .devcontainer/D, target: one, args: {NAME: n.txt}}
  b:
    build:
      context: ../b
      dockerfile_inline: |
        FROM x
        COPY inline.txt /
";
    dir.write("w/.devcontainer/c.yml", compose);
    let dockerfile = "FROM x AS one\nARG NAME\nCOPY $NAME /\nFROM x\nCOPY two /\n";
    dir.write("w/.devcontainer/D", dockerfile);
    dir.write("w/n.txt", "");
    let inputs = names(&scan_dir(&dir, None).unwrap());
    for (name, is_input) in [
        ("../n.txt", true),
        ("../b/inline.txt", true),
        ("../two", false),
    ] {
        assert_eq!(
            inputs.contains(&name.to_owned()),
            is_input,
            "{name} of {inputs:?}"
        );
    }
}

#[test]
fn options_of_the_build_go_before_its_properties() {
    for (options, expected) in [
        (r#"["--build-arg","REQ=b"]"#, &["../b="][..]),
        (r#"["--no-cache","--build-arg=REQ=b","--pull"]"#, &["../b="]),
        (r#"["--target","one"]"#, &["../c="]),
        (r#"["--target=one"]"#, &["../c="]),
        (r#"["--build-arg"]"#, &["../a="]),
        ("7", &["../a="]),
    ] {
        let dockerfile = "FROM x AS one\nCOPY c /\nFROM x\nARG REQ=d\nCOPY $REQ /";
        let dir = stage(dockerfile, &["a", "b", "c", "d"]);
        let build = format!(
            r#"{{"build":{{"dockerfile":"../Dockerfile","context":"..","args":{{"REQ":"a"}},"options":{options}}}}}"#
        );
        dir.write(CONFIG, &build);
        let found = taken(&scan_dir(&dir, None).unwrap());
        assert_eq!(found, expected, "{options}");
    }
}

#[test]
fn files_of_named_contexts_are_inputs() {
    let dockerfile = "FROM x AS one\nCOPY a /\nFROM x\nCOPY --from=one /a /\nCOPY --from=CONF b c /\nRUN --mount=from=conf,source=d,target=/d true";
    let dir = stage(dockerfile, &["a", "b", "conf/b", "conf/c", "conf/d"]);
    dir.write("w/conf/.dockerignore", "c");
    let options =
        r#"["--build-context","conf=conf","--build-context=other=https://example.com/x.git"]"#;
    let build = format!(
        r#"{{"build":{{"dockerfile":"../Dockerfile","context":"..","options":{options}}}}}"#
    );
    dir.write(CONFIG, &build);
    let found = taken(&scan_dir(&dir, None).unwrap());
    assert_eq!(found, ["../a=", "../conf/b=", "../conf/c-", "../conf/d="]);
}

#[test]
fn a_service_prefers_the_ignore_file_of_its_dockerfile() {
    let dir = TestDir::new();
    dir.write(CONFIG, r#"{"dockerComposeFile":"c.yml","service":"a"}"#);
    let compose = "services:\n  a: {build: ../a}\n  b: {build: ../b}\n  c: {build: ../c}\n";
    dir.write("w/.devcontainer/c.yml", compose);
    for service in ["a", "b", "c"] {
        dir.write(&format!("w/{service}/Dockerfile"), "FROM x\nCOPY f /\n");
        dir.write(&format!("w/{service}/f"), "");
        dir.write(&format!("w/{service}/.dockerignore"), "*");
    }
    dir.write("w/a/Dockerfile.dockerignore", "none");
    dir.write("w/b/Dockerfile.dockerignore", "none");
    let taken = taken(&scan_dir(&dir, None).unwrap());
    let files: Vec<&String> = taken.iter().filter(|name| name.contains("/f")).collect();
    assert_eq!(files, ["../a/f-", "../b/f=", "../c/f-"]);
}

#[test]
fn names_that_are_excluded_do_not_count() {
    check(
        "FROM x\nCOPY --exclude=b --exclude=*.c a b d.c /x/",
        &["a", "b", "d.c", "e/b"],
        &["../a="],
    );
}

#[test]
fn a_link_counts_by_where_it_leads() {
    for (first, second) in [("/a", "/b"), ("a", "b"), ("d/../a", "b")] {
        let dir = stage("FROM x\nCOPY link /x/", &["a", "b", "d/c"]);
        dir.write("w/a", "one");
        dir.write("w/b", "two");
        let link = dir.path().join("w/link");
        symlink(first, &link).unwrap();
        let before = settled(&dir);
        std::fs::remove_file(&link).unwrap();
        symlink(second, &link).unwrap();
        let after = scan_dir(&dir, Some(&before)).unwrap();
        assert_ne!(contents(&after), contents(&before), "{first}");
    }
}

#[test]
fn sources_that_are_too_many_for_the_patterns_of_an_ignore_file_are_unchecked() {
    let names = (0..900).map(|number| format!("d/e/f/a{number}"));
    let names: Vec<String> = names.collect();
    let dir = stage(&format!("FROM x\nCOPY {} /x/\n", names.join(" ")), &[]);
    for name in &names {
        dir.write(&format!("w/{name}"), "");
    }
    let patterns: String = (0..8_000).map(|number| format!("zz{number}\n")).collect();
    dir.write("w/.dockerignore", &patterns);
    let inputs = scan_dir(&dir, None).unwrap();
    let why = inputs.extent().unchecked.text().unwrap();
    assert!(why.contains("all patterns of its .dockerignore"), "{why}");
    assert!(taken(&inputs).contains(&"../d/e/f/a0=".to_owned()));
}

#[test]
fn a_file_that_is_copied_counts_byte_by_byte_whatever_else_it_is() {
    for (file, first, second) in [
        (".dockerignore", "# a\n", "# b\n"),
        (".env", "A=a # a\n", "A=a # b\n"),
    ] {
        let dir = TestDir::new();
        dir.write(CONFIG, r#"{"dockerComposeFile":"../c.yml","service":"a"}"#);
        dir.write("w/c.yml", "services: {a: {build: .}}");
        dir.write("w/Dockerfile", &format!("FROM x\nCOPY {file} /x/\n"));
        dir.write(&format!("w/{file}"), first);
        let before = settled(&dir);
        assert_eq!(scan_dir(&dir, Some(&before)), None, "nothing is new");
        dir.write(&format!("w/{file}"), second);
        let after = scan_dir(&dir, Some(&before)).unwrap();
        assert_ne!(contents(&after), contents(&before), "{file}");
    }
}
