//! The causes that errors name, from what the CLI and docker print.

use crate::common::{Daemon, Sandbox};

fn start(devcontainer: &str) -> (Sandbox, Daemon) {
    let sandbox = Sandbox::with_app();
    sandbox.devcontainer(devcontainer);
    let daemon = sandbox.daemon().start();
    daemon.json("/");
    (sandbox, daemon)
}

#[test]
fn a_failed_docker_run_gives_the_reason_of_docker_after_the_cli_went_on() {
    let (_sandbox, daemon) = start(
        r#"cat >&2 <<'END'
{"type":"start","level":2,"timestamp":1,"text":"Run: docker buildx version"}
{"type":"text","level":2,"timestamp":1,"text":"docker: unknown command: docker buildx"}
{"type":"start","level":3,"timestamp":1,"text":"Run: docker run -p 8080:80 -e TOKEN=hunter2 base -c echo"}
{"type":"raw","level":3,"timestamp":1,"text":"docker: Error response from daemon: driver failed: Bind for 0.0.0.0:8080 failed: port is already allocated.\n"}
{"type":"stop","level":3,"timestamp":1,"text":"Run: docker run -p 8080:80 -e TOKEN=hunter2 base -c echo","startTimestamp":1}
{"type":"start","level":2,"timestamp":1,"text":"Run: docker ps -q -a"}
{"type":"start","level":2,"timestamp":1,"text":"Run: docker inspect --type container x"}
END
        printf '%s\n' '{"outcome":"error","message":"Command failed: docker run -p 8080:80 -e TOKEN=hunter2 base -c echo\ntrap","description":"An error occurred setting up the container."}'
        exit 1"#,
    );
    let answer = daemon.recreate("app");
    answer.assert_error(
        500,
        "Could not recreate devcontainer",
        "An error occurred setting up the container: Command failed: docker run …: docker: Error response from daemon: driver failed: Bind for 0.0.0.0:8080 failed: port is already allocated.",
    );
    assert!(!answer.body.contains("hunter2"), "{answer:?}");
}

#[test]
fn a_result_of_any_length_is_understood_and_its_error_is_short() {
    for megabytes in [2, 6] {
        let (_sandbox, daemon) = start(&format!(
            r#"printf '{{"outcome":"error","message":"no luck: '
            head -c {megabytes}000000 /dev/zero | tr '\0' x
            printf '","description":"The postCreateCommand failed."}}\n'
            exit 1"#
        ));
        let answer = daemon.recreate("app");
        answer.assert_error(500, "Could not recreate devcontainer", "no luck: xxx");
        assert!(answer.body.len() < 10_000, "{}", answer.body.len());
        assert!(answer.body.contains("more bytes dropped"), "{answer:?}");
    }
}

#[test]
fn docker_has_its_own_name_in_the_log_and_in_the_error() {
    let (_sandbox, daemon) = start(
        r#"called() { sed -n "s/.*--$1 \([^ ]*\).*/\1/p" $R/calls/devcontainer; }
        docker=$(called docker-path) compose=$(called docker-compose-path)
        cat >&2 <<END
{"type":"text","level":3,"timestamp":1,"text":"trying $docker and $compose"}
{"type":"start","level":3,"timestamp":1,"text":"Run: $docker exec x"}
{"type":"raw","level":3,"timestamp":1,"text":"Error: $docker cannot do it\n"}
{"type":"start","level":3,"timestamp":1,"text":"Run: $docker ps"}
END
        echo "{\"outcome\":\"error\",\"message\":\"Command failed: $docker exec x\"}"
        exit 1"#,
    );
    let detail = "Command failed: docker exec …: Error: docker cannot do it";
    daemon
        .recreate("app")
        .assert_error(500, "Could not recreate devcontainer", detail);
    let log = daemon.get("/devcontainers/app/logs?format=text").body;
    let expected = "trying docker and docker-compose\nError: docker cannot do it\n";
    assert!(log.starts_with(expected), "{log}");
}
