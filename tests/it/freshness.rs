//! The age of the container list, also while docker fails.

use std::time::{Duration, Instant};

use crate::common::{Daemon, LONG, Sandbox, Stopwatch, eventually};

const DOWN: &str = "echo 'Cannot connect to the Docker daemon' >&2; exit 1";

#[test]
fn p2_the_last_good_list_serves_while_docker_fails_with_a_warning_and_its_age() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    assert!(!daemon.get("/").headers.contains_key("age"));
    sandbox.docker(DOWN);
    let begun = Instant::now();
    let stale = eventually("the list has an age", || {
        let answer = daemon.get("/");
        (answer.headers.get("age")? != "0").then_some(answer)
    });
    let age: u64 = stale.headers["age"].parse().unwrap();
    assert!(age <= begun.elapsed().as_secs() + 1, "{age}");
    assert_eq!(stale.status, 200);
    assert_eq!(stale.json()["containers"][0]["name"], "box1");
    assert_eq!(
        stale.json()["warnings"][0],
        format!(
            "containers cannot be listed, this list is {age} s old: docker ps failed (exit status: 1): Cannot connect to the Docker daemon"
        )
    );
    assert_eq!(daemon.devcontainer()["name"], "app");
    assert_eq!(daemon.get("/readyz").status, 503);
    sandbox.docker("");
    eventually("docker is tried again", || {
        let answer = daemon.get("/");
        let fresh = !answer.headers.contains_key("age");
        (fresh && answer.json().get("warnings").is_none()).then_some(())
    });
    assert_eq!(daemon.get("/readyz").status, 200);
    daemon.log.wait_for("containers can be listed again");
    let complaints = daemon.log.lines();
    let complaints = complaints.iter().filter(|l| l.contains("cannot be listed"));
    assert_eq!(complaints.count(), 1, "once for each reason");
}

#[test]
fn a_header_holds_a_part_of_what_docker_says_at_length() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    assert_eq!(daemon.get("/").status, 200);
    sandbox.docker("head -c 20000 /dev/zero | tr '\\0' x >&2; exit 1");
    let stale = eventually("the list has a warning", || {
        let answer = daemon.get("/");
        answer.headers.contains_key("warning").then_some(answer)
    });
    let warning = &stale.headers["warning"];
    assert!(warning.contains("docker ps failed"), "{warning}");
    assert!((500..600).contains(&warning.len()), "{}", warning.len());
}

#[test]
fn p2_a_failing_docker_is_tried_once_a_second_however_many_ask() {
    let sandbox = Sandbox::new();
    sandbox.docker(DOWN);
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    let begun = Instant::now();
    let requests = std::thread::scope(|scope| {
        let request = || {
            let mut requests = 0;
            // A busy machine takes longer until there are enough requests.
            while begun.elapsed() < Duration::from_millis(2500) || requests <= 25 {
                assert_eq!(daemon.get("/").status, 500);
                requests += 1;
            }
            requests
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(request)).collect();
        let counts = clients.into_iter().map(|client| client.join().unwrap());
        counts.sum::<u32>()
    });
    let most = begun.elapsed().as_secs() as usize + 2;
    let tried = sandbox.calls("docker", "ps");
    assert!(requests > 100, "{requests}");
    assert!((2..=most).contains(&tried), "{tried} times");
}

/// Makes `docker ps` wait for the file `go`.
fn slow_docker(sandbox: &Sandbox) {
    sandbox.docker("[ $1 = ps ] && while [ ! -e $R/go ]; do sleep 0.02; done");
}

fn get_all(daemon: &Daemon, clients: usize) -> Vec<u16> {
    std::thread::scope(|scope| {
        let get = || daemon.get("/").status;
        let clients: Vec<_> = (0..clients).map(|_| scope.spawn(get)).collect();
        clients.into_iter().map(|c| c.join().unwrap()).collect()
    })
}

#[test]
fn p10_forty_clients_share_one_listing() {
    let sandbox = Sandbox::new();
    slow_docker(&sandbox);
    let daemon = sandbox.daemon().args("--list-timeout 20").start();
    let sockets = daemon.sockets();
    std::thread::scope(|scope| {
        let clients = scope.spawn(|| get_all(&daemon, 40));
        eventually("all of them wait", || {
            (daemon.sockets() >= sockets + 40).then_some(())
        });
        sandbox.write("go", "");
        assert_eq!(clients.join().unwrap(), [200; 40]);
    });
    assert_eq!(sandbox.calls("docker", "ps"), 1);
}

#[test]
fn p10_a_client_that_goes_away_ends_no_listing() {
    use std::io::Write;
    let sandbox = Sandbox::new();
    slow_docker(&sandbox);
    let daemon = sandbox.daemon().args("--list-timeout 20").start();
    let sockets = daemon.sockets();
    let mut leaving = daemon.connect();
    leaving
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    eventually("it waits", || (daemon.sockets() > sockets).then_some(()));
    eventually("docker runs", || {
        (sandbox.calls("docker", "ps") == 1).then_some(())
    });
    drop(leaving);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| daemon.get("/").status);
        sandbox.write("go", "");
        assert_eq!(waiting.join().unwrap(), 200);
    });
    assert_eq!(sandbox.calls("docker", "ps"), 1);
}

#[test]
fn the_cache_duration_says_how_old_a_list_may_be() {
    let sandbox = Sandbox::new();
    let daemon = sandbox.daemon().args("--cache-duration 0.5").start();
    let begun = Stopwatch::start();
    assert_eq!(daemon.json("/")["containers"].as_array().unwrap().len(), 0);
    sandbox.container(1).save();
    let seen = eventually("the container shows", || {
        let shown = daemon.json("/")["containers"].as_array().unwrap().len();
        (shown == 1).then(|| begun.elapsed())
    });
    assert!(seen < LONG / 4, "{seen:?}");
    let most = begun.by_the_clock().as_millis() / 500 + 2;
    assert!(sandbox.calls("docker", "ps") as u128 <= most);

    let daemon = sandbox.daemon().args("--cache-duration 100").start();
    daemon.get("/");
    let calls = sandbox.calls("docker", "ps");
    sandbox.container(2).save();
    for _ in 0..20 {
        daemon.get("/");
        daemon.get("/devcontainers");
    }
    assert_eq!(sandbox.calls("docker", "ps"), calls);
}

/// The answers that show containers or dev containers.
const SHOWING: [&str; 5] = [
    "/",
    "/devcontainers",
    "/devcontainers/app",
    "/api/v0/containers",
    "/api/v0/containers/devcontainers/app",
];

#[test]
fn p2_an_outage_is_said_by_every_answer_that_shows_the_list() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().args("--cache-duration 100").start();
    for path in SHOWING {
        let answer = daemon.get(path);
        assert!(!answer.headers.contains_key("age"), "{path}");
        assert!(!answer.headers.contains_key("warning"), "{path}");
    }
    sandbox.docker(DOWN);
    daemon.signal("HUP");
    daemon.log.wait_for("containers cannot be listed");
    for path in SHOWING {
        let answer = daemon.get(path);
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.headers.contains_key("age"), "{path}");
        let warning = &answer.headers["warning"];
        assert!(
            warning.starts_with("110 - \"containers cannot be listed, this list is "),
            "{path}: {warning}"
        );
        assert!(warning.contains("Cannot connect to the Docker"), "{path}");
        let body = answer.json();
        let lists = body.get("containers").is_some() || body.get("devcontainers").is_some();
        let said = body["warnings"][0].as_str().unwrap_or_default();
        assert_eq!(
            said.starts_with("containers cannot be listed"),
            lists,
            "{path}"
        );
    }
    let (head, _) = daemon.stream("GET", "/events", "");
    assert!(head.headers.contains_key("age"), "{head:?}");
    assert!(head.headers["warning"].contains("Cannot connect to the Docker"));
    sandbox.docker("");
    eventually("docker is tried again", || {
        let answer = daemon.get("/devcontainers");
        (!answer.headers.contains_key("age")).then_some(())
    });
    assert!(
        daemon
            .get("/devcontainers")
            .json()
            .get("warnings")
            .is_none()
    );
}

#[test]
fn p2_each_reason_of_an_outage_is_logged_once() {
    let sandbox = Sandbox::with_app();
    let daemon = sandbox.daemon().args("--cache-duration 0").start();
    daemon.get("/");
    let outages = ["one", "two", "one", "two", "three"];
    for reason in outages {
        sandbox.docker(&format!("echo 'reason {reason}' >&2; exit 1"));
        eventually("the reason shows", || {
            let text = daemon.get("/").json().to_string();
            text.contains(&format!("reason {reason}")).then_some(())
        });
    }
    sandbox.docker("");
    eventually("docker is there again", || {
        (!daemon.get("/").headers.contains_key("age")).then_some(())
    });
    eventually("the end is logged, after all reasons", || {
        (daemon.log_count("containers can be listed again") == 1).then_some(())
    });
    for reason in ["one", "two", "three"] {
        assert_eq!(daemon.log_count(&format!("reason {reason}")), 1);
    }
}

#[test]
fn p20_what_was_just_made_is_found_by_id_and_name() {
    let sandbox = Sandbox::new();
    let daemon = sandbox
        .daemon()
        .args("--cache-duration 1000 --no-events")
        .start();
    daemon.get("/");
    let recreate = |container: &str| {
        let path = format!("/devcontainers/container/{container}/recreate");
        daemon.post(&path).status
    };
    let folder = sandbox.workspace("one");
    sandbox.devcontainer_of(1, &folder);
    assert_eq!(daemon.get("/devcontainers/one").status, 200);
    let folder = sandbox.workspace("two");
    sandbox.devcontainer_of(2, &folder);
    assert_eq!(daemon.post("/devcontainers/two/stop?wait=true").status, 204);
    let folder = sandbox.workspace("three");
    sandbox.devcontainer_of(3, &folder);
    assert_ne!(recreate("box3"), 404);
    let folder = sandbox.workspace("four");
    sandbox.devcontainer_of(4, &folder);
    assert_ne!(recreate(&crate::common::container_id(4)), 404);
    // Only a list that is newer than the request shows that something is not there.
    let listed = sandbox.calls("docker", "ps");
    for _ in 0..3 {
        assert_eq!(daemon.get("/devcontainers/none").status, 404);
    }
    assert!(sandbox.calls("docker", "ps") >= listed + 3);
    sandbox.docker(DOWN);
    for (method, path) in [
        ("GET", "/devcontainers/none"),
        ("POST", "/devcontainers/none/stop"),
        ("POST", "/devcontainers/container/none/recreate"),
    ] {
        let answer = daemon.request(method, path, "");
        answer.assert_error(500, "Could not list containers", "Cannot connect");
    }
}
