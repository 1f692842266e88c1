//! An engine and a devcontainer CLI for recreates, both of which take no time, so that what is measured is the daemon's share.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use serde_json::{Value, json};

use crate::fleet::replace;

/// The name of the engine's socket in the directory of a fleet.
pub(crate) const SOCKET: &str = "engine.sock";

/// Serves what a recreate asks of the engine of the containers in a directory, for as long as this program runs.
pub(crate) fn serve(root: &Path) {
    let listener = UnixListener::bind(root.join(SOCKET)).unwrap();
    let root = root.to_owned();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let root = root.clone();
            thread::spawn(move || answer(&stream, &root));
        }
    });
}

fn answer(mut stream: &UnixStream, root: &Path) -> io::Result<()> {
    let (line, body) = read_message(stream)?;
    let (status, body) = decide(root, &line, &body).unwrap_or((404, json!({"message": "none"})));
    let body = body.to_string();
    let length = body.len();
    write!(
        stream,
        "HTTP/1.1 {status} x\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
    )
}

/// Returns the status and the body of an answer; `None` where there is no such thing.
fn decide(root: &Path, line: &str, body: &[u8]) -> Option<(u16, Value)> {
    let mut words = line.split(' ');
    let (method, target) = (words.next()?, words.next()?);
    let path: Vec<&str> = target.split('?').next()?.split('/').skip(1).collect();
    let container = |id: &str| Container::of(root, id);
    match (method, path.as_slice()) {
        ("GET", ["containers", "json"]) => {
            let all = ids(root).into_iter().filter_map(|id| container(&id));
            let all = all.map(|one| json!({"Id": one.json["Id"]}));
            Some((200, all.collect()))
        }
        ("GET", ["containers", id, "json"]) => Some((200, container(id)?.json)),
        ("GET", ["images", id, "json"]) => Some((200, json!({"Id": id, "Config": {}}))),
        ("POST", ["containers", "create"]) => {
            let body: Value = serde_json::from_slice(body).ok()?;
            Some((201, json!({"Id": create(root, &body["Labels"])?})))
        }
        ("POST", ["containers", id, verb @ ("start" | "stop")]) => {
            let is_started = *verb == "start";
            container(id)?.set_status(if is_started { "running" } else { "exited" });
            Some((204, Value::Null))
        }
        ("POST", ["containers", id, "rename"]) => {
            container(id)?.rename(target.split_once("?name=")?.1);
            Some((204, Value::Null))
        }
        ("DELETE", ["containers", id]) => {
            remove(root, id);
            Some((204, Value::Null))
        }
        _ => None,
    }
}

/// Reads a request or an answer. Returns its first line and its body.
fn read_message(stream: &UnixStream) -> io::Result<(String, Vec<u8>)> {
    let mut reader = BufReader::new(stream);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if line.trim().is_empty() {
            break;
        }
        let line = line.to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((first, body))
}

/// A container of the engine.
struct Container {
    path: PathBuf,
    json: Value,
}

impl Container {
    fn of(root: &Path, id: &str) -> Option<Self> {
        let path = root.join("containers").join(id);
        let json = serde_json::from_slice(&fs::read(&path).ok()?).ok()?;
        Some(Self { path, json })
    }

    fn rename(mut self, name: &str) {
        self.json["Name"] = json!(format!("/{name}"));
        self.save();
    }

    fn set_status(mut self, status: &str) {
        self.json["State"]["Status"] = json!(status);
        self.json["State"]["Running"] = json!(status == "running");
        self.save();
    }

    fn save(&self) {
        replace(&self.path, self.json.to_string().as_bytes());
    }
}

fn ids(root: &Path) -> Vec<String> {
    let ids = fs::read_to_string(root.join("ids")).unwrap_or_default();
    ids.lines().map(str::to_owned).collect()
}

/// Makes a container like the one that there is, with these labels. Returns its id.
fn create(root: &Path, labels: &Value) -> Option<String> {
    let old = ids(root).pop()?;
    let id = format!("{:064x}", u64::from_str_radix(&old[48..], 16).ok()? + 1);
    let mut new = Container::of(root, &old)?;
    new.path.set_file_name(&id);
    new.json["Id"] = json!(id);
    new.json["Name"] = json!(format!("/made{}", &id[48..]));
    new.json["Config"]["Labels"] = labels.clone();
    new.set_status("created");
    let mut ids = File::options().append(true).open(root.join("ids")).ok()?;
    writeln!(ids, "{id}").ok()?;
    Some(id)
}

/// Removes a container.
fn remove(root: &Path, id: &str) {
    let _ = fs::remove_file(root.join("containers").join(id));
    let mut left = ids(root);
    left.retain(|one| one != id);
    replace(&root.join("ids"), (left.join("\n") + "\n").as_bytes());
}

/// Stands in for the devcontainer CLI: makes a container through the engine that `DOCKER_HOST` names, and starts it.
pub(crate) fn up(arguments: &[String]) -> io::Result<()> {
    let after = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1))
    };
    let labels = json!({
        "devcontainer.local_folder": after("--workspace-folder"),
        "devcontainer.config_file": after("--config"),
    });
    let body = json!({"Image": "base", "Labels": labels}).to_string();
    let made: Value = serde_json::from_slice(&post("/containers/create", &body)?)?;
    let id = made["Id"].as_str().unwrap_or_default();
    post(&format!("/containers/{id}/start"), "")?;
    println!("{}", json!({"outcome": "success", "containerId": id}));
    Ok(())
}

fn post(path: &str, body: &str) -> io::Result<Vec<u8>> {
    let host = std::env::var("DOCKER_HOST").map_err(io::Error::other)?;
    let mut stream = UnixStream::connect(host.trim_start_matches("unix://"))?;
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: docker\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let (status, body) = read_message(&stream)?;
    match status.split(' ').nth(1) {
        Some("200" | "201" | "204") => Ok(body),
        _ => Err(io::Error::other(format!("{path}: {status}"))),
    }
}
