//! Tests of whole Dockerfiles.

use super::*;
use crate::model::build::Dockerfile;
use proptest::prelude::*;
use std::collections::BTreeMap;

fn copied(text: &str, target: Option<&str>, args: &BTreeMap<String, String>) -> Copied {
    let build = Build {
        target: target.map(str::to_owned),
        args: args.clone(),
        ..Build::new(Dockerfile::Remote)
    };
    super::copied(text, &build)
}

fn args(args: &[(&str, &str)]) -> BTreeMap<String, String> {
    let args = args
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()));
    args.collect()
}

fn paths(copied: &Copied) -> Vec<&str> {
    copied.sources.iter().map(|source| &*source.path).collect()
}

#[track_caller]
fn check(text: &str, expected: &[&str]) {
    let copied = copied(text, None, &args(&[("GIVEN", "given"), ("SET", "set")]));
    assert_eq!(paths(&copied), expected, "{text}");
    assert!(copied.unknown.is_empty(), "{:?}", copied.unknown);
}

#[test]
fn sources_come_before_the_destination() {
    check("FROM x\nCOPY a /b", &["a"]);
    check("FROM x\nADD a b /c/\nADD d e", &["a", "b", "d"]);
    check(
        "FROM x\nCOPY --chown=1:2 --chmod=644 --link --parents a b/ c/",
        &["a", "b/"],
    );
    check("FROM x\nCOPY [\"a b\", \"c\", \"/d\"]", &["a b", "c"]);
    check("FROM x\nCOPY [a] /d", &["[a]"]);
    check("FROM x\nCOPY a \\\n # c\n b \\\n /c", &["a", "b"]);
    check("FROM x\nCOPY <<EOF a /b\nCOPY c d\nEOF", &["a"]);
    check("FROM x\nADD https://a/b git@a:b http://c d /e", &["d"]);
    check("FROM x\nONBUILD COPY a b\nCOPY", &[]);
    check("COPY a b", &[]);
}

#[test]
fn what_follows_a_list_of_sources_is_left_out() {
    check("FROM x\nCOPY [\"a b\", \"/d\"] e", &["a b"]);
}

#[test]
fn patterns_are_told_from_names() {
    let copied = copied("FROM x\nCOPY --exclude=*.c a*.? b /c\n", None, &args(&[]));
    let found: Vec<_> = copied
        .sources
        .iter()
        .map(|s| (&*s.path, s.is_pattern))
        .collect();
    assert_eq!(found, [("a*.?", true), ("b", false)]);
    assert_eq!(copied.sources.first().unwrap().excluded, ["*.c"]);
}

#[test]
fn mounts_take_files_from_the_context() {
    check(
        "FROM x\nRUN --mount=source=a,target=/a --mount=type=bind,src=b,dst=/b cat a b",
        &["a", "b"],
    );
    check(
        "FROM x\nRUN --mount=type=cache,source=a,target=/a --mount=target=. x --mount=source=b",
        &[],
    );
    check(
        "FROM y AS z\nCOPY b /b\nFROM x\nRUN --mount=from=z,source=a x",
        &["b"],
    );
    check(
        "FROM x\nRUN --mount=\"source=a b\",target=/a --mount='Src=c,TYPE=Bind,from=' --mount=source=d\\ e x",
        &["a b", "c", "d e"],
    );
}

#[test]
fn variables_are_those_of_the_stage() {
    check(
        "FROM scratch\nARG A=a\nENV B=b C=\"$A c\"\nCOPY $A ${B} $C $D /x",
        &["", "a", "a c", "b"],
    );
    check(
        "FROM x\nARG SET=no\nARG GIVEN\nARG NONE\nCOPY $SET $GIVEN x$NONE /y",
        &["given", "set", "x"],
    );
    check("ARG A=a\nFROM x\nARG A\nARG B=$A\nCOPY $A$B c", &["aa"]);
    check("FROM x\nARG A=a\nENV A b\nARG A=c\nCOPY $A d", &["b"]);
    check(
        "FROM x AS y\nARG A=a\nENV B=b\nFROM Y\nCOPY $A$B c",
        &["ab"],
    );
    check("# escape=`\nFROM x\nARG A=a\nCOPY b\\$A c", &["b\\a"]);
    check("FROM x\nCOPY \\$A 'a' c", &["$A", "a"]);
    let unknown = copied("FROM x\nCOPY $HOME/a b /c", None, &args(&[]));
    assert_eq!(paths(&unknown), ["b"]);
    let reason = unknown.unknown.first().unwrap();
    assert!(
        reason.contains("$HOME/a") && reason.contains("set the variable"),
        "{reason}"
    );
}

#[test]
fn an_instruction_has_the_variables_before_it() {
    check("FROM scratch\nARG A=a B=b$A\nCOPY $B c", &["b"]);
    check("ARG A=a B=b$A\nFROM scratch\nARG B\nCOPY $B c", &["ba"]);
    check("FROM scratch\nARG A=a\nARG A\nCOPY $A c", &["a"]);
}

#[test]
fn an_empty_variable_is_told_from_one_that_is_not_set() {
    check(
        "FROM scratch\nARG E=\nARG N\nCOPY a${E-1} b${E+1} c${N-1} d${N+1} e${O-1} f${O+1} $1g /x",
        &["a", "b1", "c1", "d", "e1", "f", "g"],
    );
}

#[test]
fn patterns_change_variables() {
    check(
        "FROM x\nARG V=1.2-rc A=${V%-*}\nARG A=${V%-*}\nCOPY $A ${V/./_} ${V#*-} ${V//[x]/} c",
        &["1.2", "1.2-rc", "1_2-rc", "rc"],
    );
}

#[test]
fn stages_run_the_triggers_of_the_stage_that_they_are_made_from() {
    check(
        "FROM scratch AS y\nONBUILD COPY a$A /x\nONBUILD ARG B=b\nONBUILD FROM y\nARG A=1\nFROM y AS z\nCOPY $B /x\nFROM z\nONBUILD COPY c /x",
        &["a1", "b"],
    );
    let many = format!("FROM x\n{}", "ONBUILD COPY a b\n".repeat(200));
    assert_eq!(copied(&many, None, &args(&[])).unknown.len(), 1);
}

const STAGES: &str = "ARG BASE=one
FROM x AS one
COPY 1 /
FROM scratch AS two
COPY 2 /
FROM ${BASE} AS three
COPY --from=two /2 /
COPY 3 /
FROM x
COPY --from=0 /1 /
COPY --from=nginx /y /
COPY 4 /
";

#[test]
fn only_stages_that_are_needed_count() {
    for (target, expected) in [
        (None, &["1", "4"][..]),
        (Some("one"), &["1"]),
        (Some("TWO"), &["2"]),
        (Some("three"), &["1", "2", "3"]),
        (Some("3"), &["1", "4"]),
        (Some("none"), &[]),
    ] {
        assert_eq!(
            paths(&copied(STAGES, target, &args(&[]))),
            expected,
            "{target:?}"
        );
    }
    let other = copied(STAGES, Some("three"), &args(&[("BASE", "y")]));
    assert_eq!(paths(&other), ["2", "3"]);
}

#[test]
fn what_is_read_is_bounded() {
    let doubled = "ENV A=$A$A\n".repeat(100);
    let copied = copied(
        &format!("FROM scratch\nENV A=aa\n{doubled}COPY $A b"),
        None,
        &args(&[]),
    );
    assert_eq!((copied.sources.len(), copied.unknown.len()), (0, 1));
    let many = self::copied(&"FROM x\nCOPY a b\n".repeat(200), None, &args(&[]));
    assert_eq!(many.unknown.len(), 1);
}

proptest! {
    #[test]
    fn no_text_panics(text in "(FROM x|ONBUILD |COPY |RUN |--mount=|ARG|ENV|A=|\\$A|<<E|E|\\[\"|\"\\]|\\\\|\n| |#|,|=|from){0,30}") {
        let _ = copied(&text, None, &args(&[]));
    }
}
