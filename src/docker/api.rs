//! The API of an engine that has a socket on this machine: it answers in a millisecond what docker's client takes thirty for.
//!
//! Only an answer that all is well counts. Without one, docker's client is run after all: it finds out what is wrong, and has
//! the words for it.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags};
use serde_json::{Value, json};

use super::client::Client;
use super::command::{MAX_OUTPUT, is_id, plain_id};
use crate::base::json::to_text;
use crate::base::poll::wait;
use crate::base::text::percent_encode;
use crate::base::unix_socket::connect_at_once;

/// How long an answer is waited for, in case that something else than an engine listens there, which does not close the
/// connection after its answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The bytes that are read at once.
const CHUNK: usize = 8 << 10;

/// Returns the path of the list of containers with all of these labels (`KEY=VALUE`), running or not.
pub fn list_path(labels: &[String]) -> String {
    let filters = to_text(&json!({ "label": labels }));
    format!(
        "/containers/json?all=1&filters={}",
        percent_encode(&filters)
    )
}

/// Returns a request without a body. The answer to this version has no chunks, and ends with the connection.
pub fn request(method: &str, path: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.0\r\nHost: docker\r\n\r\n").into_bytes()
}

impl Client<'_> {
    /// Returns the ids of the containers with all of these labels.
    pub(super) fn api_list(&self, labels: &[String]) -> Option<Vec<String>> {
        let list = self.api("GET", &list_path(labels))?;
        let list: Value = serde_json::from_slice(&list).ok()?;
        let ids = list.as_array()?.iter();
        let id = |one: &Value| {
            one.get("Id")?
                .as_str()
                .filter(|id| is_id(id))
                .map(str::to_owned)
        };
        ids.map(id).collect()
    }

    /// Returns what `docker inspect` prints of objects of a type, if all of them exist.
    pub(super) fn api_inspect(&self, of_type: &str, ids: &[String]) -> Option<Vec<u8>> {
        let mut all = Vec::new();
        for id in ids {
            all.push(if all.is_empty() { b'[' } else { b',' });
            all.extend(self.api_object("GET", of_type, id, "/json")?);
        }
        all.push(b']');
        Some(all)
    }

    /// Gives a container another name. Returns whether the engine has done that.
    pub(super) fn api_rename(&self, id: &str, name: &str) -> bool {
        let rest = format!("/rename?name={}", percent_encode(name));
        self.api_act(id, &rest)
    }

    /// Stops a container, which lasts as long as its own grace period may. Returns whether it does not run any more.
    pub(super) fn api_stop(&self, id: &str) -> bool {
        self.api_act(id, "/stop")
    }

    /// Nothing but the deadline and an abort ends the wait. The engine would go on all the same, beside a docker client that
    /// asks it for the same thing.
    fn api_act(&self, id: &str, rest: &str) -> bool {
        let path = object_path("container", id, rest);
        path.is_some_and(|path| self.api_until("POST", &path, self.deadline).is_some())
    }

    /// Removes containers. Returns whether the engine has removed all of them.
    pub(super) fn api_remove(&self, ids: &[&str], query: &str) -> bool {
        let remove = |id: &&str| self.api_object("DELETE", "container", id, query);
        ids.iter().all(|id| remove(id).is_some())
    }

    fn api_object(&self, method: &str, of_type: &str, id: &str, rest: &str) -> Option<Vec<u8>> {
        self.api(method, &object_path(of_type, id, rest)?)
    }

    fn api(&self, method: &str, path: &str) -> Option<Vec<u8>> {
        self.api_until(method, path, self.deadline.min(Instant::now() + PATIENCE))
    }

    /// Sends a request without a body. Returns the body of the answer, if that is one of success.
    fn api_until(&self, method: &str, path: &str, deadline: Instant) -> Option<Vec<u8>> {
        let mut engine = connect_at_once(self.socket?).ok()?;
        engine.write_all(&request(method, path)).ok()?;
        let mut answer = Vec::new();
        let mut chunk = [0; CHUNK];
        loop {
            match engine.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => answer.extend_from_slice(chunk.get(..read)?),
                Err(e) if e.kind() == ErrorKind::WouldBlock => {
                    let fd = |fd| PollFd::from_borrowed_fd(fd, PollFlags::IN);
                    let mut fds = vec![PollFd::new(&engine, PollFlags::IN)];
                    fds.extend(self.abort.map(fd));
                    wait(&mut fds, deadline);
                    let is_aborted = fds.get(1).is_some_and(|abort| !abort.revents().is_empty());
                    if is_aborted || Instant::now() >= deadline {
                        return None;
                    }
                }
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
            if answer.len() > MAX_OUTPUT {
                return None;
            }
            if has_no_body(&answer) {
                break;
            }
        }
        body_of_success(answer)
    }
}

/// Returns the path of an object, unless the id is none: nothing else may become a part of the path.
fn object_path(of_type: &str, id: &str, rest: &str) -> Option<String> {
    is_id(plain_id(id)).then(|| format!("/{of_type}s/{id}{rest}"))
}

/// Returns whether an answer is whole, as one of this status has no body. There may be something between that does not close
/// the connection.
fn has_no_body(answer: &[u8]) -> bool {
    let is_status = |status: &[u8]| answer.get(8..12) == Some(status);
    (is_status(b" 204") || is_status(b" 304")) && answer.ends_with(b"\r\n\r\n")
}

/// Returns the body of a whole answer whose status is one of success. 304 is that of a container that had stopped before.
fn body_of_success(mut answer: Vec<u8>) -> Option<Vec<u8>> {
    let status = answer.strip_prefix(b"HTTP/1.")?.get(1..)?;
    if !status.starts_with(b" 2") && !status.starts_with(b" 304") {
        return None;
    }
    let end = answer.windows(4).position(|part| part == b"\r\n\r\n")?;
    Some(answer.split_off(end + 4))
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixListener;
    use std::path::Path;
    use std::thread;

    use super::super::error::Error;
    use super::*;
    use crate::base::notify::Notifier;
    use crate::base::test_dir::TestDir;

    const ID: &str = "0123456789ab";

    /// A client whose docker fails.
    fn client(socket: &Path) -> Client<'_> {
        Client {
            program: Path::new("/bin/false"),
            deadline: Instant::now() + Duration::from_secs(20),
            abort: None,
            operation: None,
            thorough: false,
            socket: Some(socket),
        }
    }

    /// Asks a client whose engine gives one answer after the other. Returns what the client said, in words where that is an
    /// error, and the requests that the engine got.
    fn ask<T: Send>(
        answers: &[&str],
        ask: impl Fn(&Client<'_>) -> Result<T, Error> + Sync,
    ) -> (Result<T, String>, Vec<String>) {
        let directory = TestDir::new();
        let socket = directory.path().join("sock");
        let engine = UnixListener::bind(&socket).unwrap();
        thread::scope(|scope| {
            let said = scope.spawn(|| ask(&client(&socket)).map_err(|e| e.to_string()));
            let requests = answers.iter().map(|answer| {
                let (mut stream, _) = engine.accept().unwrap();
                let mut request = vec![0; 4096];
                let read = stream.read(&mut request).unwrap();
                stream.write_all(answer.as_bytes()).unwrap();
                let request = String::from_utf8_lossy(&request[..read]);
                request.split(" HTTP").next().unwrap().to_owned()
            });
            let requests = requests.collect();
            // Nobody answers any more.
            drop(engine);
            (said.join().unwrap(), requests)
        })
    }

    #[test]
    fn an_engine_on_this_machine_is_asked_without_a_client() {
        let ids = [ID.to_owned(), ID.replace('0', "f")];
        let ok = |json: &str| format!("HTTP/1.0 200 OK\r\nA: b\r\n\r\n{json}\n");
        let one = |id: &str| ok(&format!(r#"{{"Id":"{id}","Name":"/n"}}"#));
        let (found, requests) = ask(&[&one(&ids[0]), &one(&ids[1])], |docker| {
            let found = docker.inspect(&ids)?.into_iter();
            Ok(found.map(|one| one.id).collect::<Vec<_>>())
        });
        assert_eq!(found.unwrap(), ids);
        assert_eq!(requests[0], format!("GET /containers/{ID}/json"));

        let list = ok(&format!(r#"[{{"Id":"{ID}","Image":"x"}}]"#));
        let label = ["a=b".to_owned()];
        let (found, requests) = ask(&[&list], |docker| docker.with_labels(&label));
        assert_eq!(found.unwrap(), [ID]);
        let path = "/containers/json?all=1&filters=%7B%22label%22%3A%5B%22a%3Db%22%5D%7D";
        assert_eq!(requests[0], format!("GET {path}"));

        let gone = "HTTP/1.1 204 No Content\r\n\r\n";
        let (removed, requests) = ask(&[gone], |docker| docker.remove_with_volumes(&[ID]));
        removed.unwrap();
        assert_eq!(requests[0], format!("DELETE /containers/{ID}?force=1&v=1"));
        let (removed, requests) = ask(&[gone, gone], |docker| docker.remove(&[ID, ID]));
        removed.unwrap();
        assert_eq!(requests[1], format!("DELETE /containers/{ID}?force=1"));

        let (renamed, requests) = ask(&[gone], |docker| docker.rename(ID, "a/b"));
        renamed.unwrap();
        assert_eq!(
            requests[0],
            format!("POST /containers/{ID}/rename?name=a%2Fb")
        );
        for stopped in [gone, "HTTP/1.0 304 Not Modified\r\n\r\n"] {
            let (stopped, requests) = ask(&[stopped], |docker| docker.stop(&[ID]));
            stopped.unwrap();
            assert_eq!(requests[0], format!("POST /containers/{ID}/stop"));
        }
    }

    #[test]
    fn what_the_engine_does_not_answer_well_is_left_to_docker() {
        for answer in [
            "",
            "HTTP/1.0 404 Not Found\r\n\r\n{\"message\":\"No such container\"}",
            "HTTP/1.0 500 Error\r\n\r\n",
            "HTTP/1.0 200 OK\r\n\r\n[{\"Id\":",
            "HTTP/1.0 200 OK\r\n\r\n[{\"Id\":1}]",
            "HTTP/1.0 200 OK\r\n",
            "nonsense",
        ] {
            let (listed, _) = ask(&[answer], |docker| docker.with_labels(&["a=b".to_owned()]));
            let said = listed.unwrap_err();
            assert!(said.starts_with("docker ps failed"), "{answer}: {said}");
            let (found, _) = ask(&[answer], |docker| docker.inspect(&[ID.to_owned()]));
            let said = found.unwrap_err();
            assert!(
                said.starts_with("docker inspect failed"),
                "{answer}: {said}"
            );
        }
        let conflict = "HTTP/1.0 409 Conflict\r\n\r\n";
        let act = |verb: &str, act: &(dyn Fn(&Client<'_>) -> Result<(), Error> + Sync)| {
            let said = ask(&[conflict], act).0.unwrap_err();
            assert!(said.starts_with(&format!("docker {verb} failed")), "{said}");
        };
        act("rm", &|docker| docker.remove(&[ID]));
        act("rename", &|docker| docker.rename(ID, "b"));
        act("stop", &|docker| docker.stop(&[ID]));
    }

    #[test]
    fn an_answer_without_a_body_ends_with_its_head() {
        let directory = TestDir::new();
        let socket = directory.path().join("sock");
        let engine = UnixListener::bind(&socket).unwrap();
        thread::scope(|scope| {
            let renamed = scope.spawn(|| client(&socket).rename(ID, "b"));
            let (mut stream, _) = engine.accept().unwrap();
            stream
                .write_all(b"HTTP/1.0 204 No Content\r\nA: b\r\n\r\n")
                .unwrap();
            renamed.join().unwrap().unwrap();
            drop(stream);
        });
    }

    #[test]
    fn nothing_but_an_id_becomes_a_part_of_a_path() {
        let directory = TestDir::new();
        let socket = directory.path().join("sock");
        let engine = UnixListener::bind(&socket).unwrap();
        engine.set_nonblocking(true).unwrap();
        for id in ["x/../y", "", "0123456789ab?force=1"] {
            assert!(!client(&socket).api_remove(&[id], ""), "{id}");
            let asked = engine.accept().map(drop).map_err(|e| e.kind());
            assert_eq!(asked, Err(ErrorKind::WouldBlock), "{id}");
        }
    }

    #[test]
    fn a_silent_engine_is_waited_for_until_the_deadline_or_an_abort() {
        let directory = TestDir::new();
        let socket = directory.path().join("sock");
        let _engine = UnixListener::bind(&socket).unwrap();
        let begun = Instant::now();
        let short = Client {
            deadline: begun + Duration::from_millis(50),
            ..client(&socket)
        };
        assert_eq!(short.api("GET", "/x"), None);
        let aborted = Notifier::new().unwrap();
        aborted.notify();
        let aborted = Client {
            abort: Some(aborted.as_fd()),
            ..client(&socket)
        };
        assert_eq!(aborted.api("GET", "/x"), None);
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}
