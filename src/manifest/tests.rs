//! Tests of manifests.

use super::*;

const ID: &str = "11111111-1111-4111-8111-111111111111";
const OTHER: &str = "22222222-2222-4222-8222-222222222222";

fn environment(name: &str) -> Option<String> {
    match name {
        "HOME" => Some("/home/me".into()),
        "PROJECTS" => Some("/projects".into()),
        _ => None,
    }
}

fn parse(text: &str) -> Result<Manifest, String> {
    Manifest::parse(text.as_bytes(), &environment).map_err(|cause| cause.to_string())
}

#[test]
fn paths_are_expanded_and_a_relative_config_is_below_its_folder() {
    let manifest = parse(
        r#"{"devcontainers":[{"workspace_folder":"~/w","config_path":".devcontainer/py/devcontainer.json"},
            {"workspace_folder":"/w","config_path":"$PROJECTS/c.json"},{"workspace_folder":"/v","config_path":""}]}"#,
    )
    .unwrap();
    let configs: Vec<_> = manifest
        .devcontainers
        .into_iter()
        .map(|d| d.config)
        .collect();
    assert_eq!(
        configs,
        [
            Some("/home/me/w/.devcontainer/py/devcontainer.json".into()),
            Some("/projects/c.json".into()),
            None
        ]
    );
}

#[test]
fn a_script_gives_the_log_source_and_contradictions_are_noted() {
    let manifest = parse(&format!(
        r#"{{"devcontainers":[{{"id":"{ID}","name":"n","workspace_folder":"/w"}},{{"workspace_folder":"/v"}}],
            "scripts":[{{"id":"{ID}","log_source_id":"{OTHER}"}},{{"id":"{OTHER}","log_source_id":"{ID}"}}]}}"#
    ))
    .unwrap();
    assert_eq!(
        manifest.devcontainers[0].log_source.unwrap().to_string(),
        OTHER
    );
    assert_eq!(
        manifest.errors,
        [
            "no script has the id of dev container /v; its log goes to the fallback source",
            &format!("script {OTHER} names no dev container")
        ]
    );
    let without = parse(r#"{"devcontainers":[{"workspace_folder":"/v"}]}"#).unwrap();
    assert!(without.errors.is_empty());
}

#[test]
fn a_bad_log_source_is_noted_and_names_none() {
    let nil = Uuid::nil();
    for (script, shown) in [
        (
            format!(r#"{{"id":"{ID}","log_source_id":"{nil}"}}"#),
            format!("\"{nil}\""),
        ),
        (
            format!(r#"{{"id":"{ID}","log_source_id":"x"}}"#),
            "\"x\"".into(),
        ),
        (format!(r#"{{"id":"{ID}","log_source_id":7}}"#), "7".into()),
        (format!(r#"{{"id":"{ID}"}}"#), "null".into()),
    ] {
        let manifest = parse(&format!(
            r#"{{"devcontainers":[{{"id":"{ID}","workspace_folder":"/w"}}],"scripts":[{script}]}}"#
        ))
        .unwrap();
        assert_eq!(manifest.devcontainers[0].log_source, None, "{script}");
        assert_eq!(
            manifest.errors,
            [format!(
                "the log_source_id of script {ID} is {shown}, and should be a UUID that is not nil; its log goes to the \
                 fallback source"
            )]
        );
    }
}

#[test]
fn arguments_of_up_are_taken_unless_they_undo_a_promise() {
    let with = |args: &str| {
        parse(&format!(
            r#"{{"devcontainers":[{{"workspace_folder":"/w","up_args":{args}}}]}}"#
        ))
    };
    let taken = with(r#"["--mount","type=bind,source=/a,target=/b"]"#).unwrap();
    let taken = taken.devcontainers[0].up_args.iter().map(UpArg::as_str);
    assert_eq!(
        taken.collect::<Vec<_>>(),
        ["--mount", "type=bind,source=/a,target=/b"]
    );
    assert_eq!(
        with(r#"["--dockerPath=/x"]"#).unwrap_err(),
        "devcontainers[0]: up_args \"--dockerPath=/x\": the daemon decides itself on --docker-path of devcontainer up; leave it out"
    );
}

#[test]
fn unknown_fields_are_named_with_those_that_are_known() {
    for (text, unknown, known) in [
        (
            r#"{"devcontainer":[]}"#,
            "devcontainer",
            "`devcontainers` or `scripts`",
        ),
        (
            r#"{"devcontainers":[{"workspace_folder":"/w","config":"c"}]}"#,
            "config",
            "`id`, `name`, `workspace_folder`, `config_path`, `up_args`",
        ),
        (
            r#"{"scripts":[{"id":"11111111-1111-4111-8111-111111111111","log_source":1}]}"#,
            "log_source",
            "`id` or `log_source_id`",
        ),
    ] {
        let error = parse(text).unwrap_err();
        let expected = format!("unknown field `{unknown}`, expected ");
        assert!(error.starts_with(&expected), "{error}");
        assert!(
            error.contains(known) && error.contains(" at line 1 column "),
            "{error}"
        );
    }
}

#[test]
fn a_bad_manifest_says_what_is_wrong() {
    for (text, expected) in [
        ("", "it should be"),
        ("[]", "it is not a JSON object; it should be"),
        (r#"{"devcontainers":[{}]}"#, "workspace_folder"),
        (
            r#"{"devcontainers":[{"workspace_folder":"w"}]}"#,
            "devcontainers[0]: workspace_folder \"w\" is not an absolute path",
        ),
        (
            r#"{"devcontainers":[{"workspace_folder":"$NONE/w"}]}"#,
            "needs $NONE, which is not set",
        ),
        (
            r#"{"devcontainers":[{"workspace_folder":"${HOME"}]}"#,
            "\"${HOME\" has an unclosed {",
        ),
        (
            r#"{"devcontainers":[{"workspace_folder":"/w","id":"x"}]}"#,
            "UUID",
        ),
    ] {
        let error = parse(text).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let twice = format!(
        r#"{{"devcontainers":[{{"id":"{ID}","workspace_folder":"/w"}},{{"id":"{ID}","workspace_folder":"/v"}}]}}"#
    );
    assert!(parse(&twice).unwrap_err().contains("used twice"));
}

#[test]
fn an_error_names_the_manifest_and_has_a_source() {
    use std::error::Error;
    let error = Manifest::read(Path::new("/nonexistent/m.json")).unwrap_err();
    let shown = error.to_string();
    assert!(shown.starts_with("/nonexistent/m.json: "), "{shown}");
    assert!(error.source().is_some());
    let error = Manifest::read(Path::new("/")).unwrap_err().to_string();
    assert_eq!(error, "/: it is not a regular file, or larger than 4 MiB");
}

#[test]
fn a_dev_container_is_started_with_the_daemon_where_it_says_so() {
    let manifest = parse(
        r#"{"devcontainers":[{"workspace_folder":"/w","autostart":true},{"workspace_folder":"/v"}]}"#,
    );
    let devcontainers = manifest.unwrap().devcontainers.into_iter();
    let autostart: Vec<bool> = devcontainers.map(|one| one.autostart).collect();
    assert_eq!(autostart, [true, false]);
    let refused = parse(r#"{"devcontainers":[{"workspace_folder":"/w","autostart":"yes"}]}"#);
    assert!(refused.unwrap_err().contains("expected a boolean"));
}
