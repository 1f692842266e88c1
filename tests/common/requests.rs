//! Requests, each on a connection of its own, and responses.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;

use serde_json::{Value, json};

use super::{Daemon, LONGEST};

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Response {
    #[track_caller]
    pub fn json(&self) -> Value {
        let json = serde_json::from_str(&self.body);
        json.unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// Asserts the status and the message of an error, and that its detail contains this.
    #[track_caller]
    pub fn assert_error(&self, status: u16, message: &str, detail: &str) {
        let json = self.json();
        assert_eq!(
            (self.status, json["message"].as_str()),
            (status, Some(message)),
            "{self:?}"
        );
        let found = json["detail"].as_str().unwrap_or_default();
        assert!(
            found.contains(detail),
            "{found:?} does not contain {detail:?}"
        );
        assert!(json["code"].is_string(), "{self:?}");
        assert_eq!(json.as_object().unwrap().len(), 3, "{self:?}");
        assert!(self.body.ends_with("}\n"), "one line: {self:?}");
    }
}

impl Daemon {
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream.set_read_timeout(Some(LONGEST)).unwrap();
        stream.set_write_timeout(Some(LONGEST)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends bytes and reads until the daemon closes the connection.
    pub fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // The daemon may answer and close the connection before it has read all of them.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[track_caller]
    pub fn request(&self, method: &str, path: &str, headers: &str) -> Response {
        let host = &self.address;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n"
        );
        parse(&self.raw(head.as_bytes()))
    }

    /// Sends a JSON body.
    #[track_caller]
    pub fn post_json(&self, path: &str, body: &str) -> Response {
        let host = &self.address;
        let length = body.len();
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        parse(&self.raw(request.as_bytes()))
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Response {
        self.request("GET", path, "")
    }

    #[track_caller]
    pub fn post(&self, path: &str) -> Response {
        self.request("POST", path, "")
    }

    /// The JSON of a response with status 200.
    #[track_caller]
    pub fn json(&self, path: &str) -> Value {
        let response = self.get(path);
        assert_eq!(response.status, 200, "{path}: {response:?}");
        response.json()
    }

    /// The only dev container.
    #[track_caller]
    pub fn devcontainer(&self) -> Value {
        let all = self.json("/devcontainers");
        let all = all["devcontainers"].as_array().unwrap();
        assert_eq!(all.len(), 1, "{all:?}");
        all[0].clone()
    }

    #[track_caller]
    pub fn delete(&self, path: &str) -> Response {
        self.request("DELETE", path, "")
    }

    /// Recreates a dev container and waits for the end of that.
    #[track_caller]
    pub fn recreate(&self, name: &str) -> Response {
        self.post(&format!("/devcontainers/{name}/recreate?wait=true"))
    }

    /// Begins to recreate a dev container.
    #[track_caller]
    pub fn begin_recreate(&self, name: &str) {
        let response = self.post(&format!("/devcontainers/{name}/recreate"));
        assert_eq!(response.status, 202, "{response:?}");
    }

    /// The lines of the log of the running or the last operation.
    #[track_caller]
    pub fn log_of(&self, name: &str) -> Vec<Value> {
        let response = self.get(&format!("/devcontainers/{name}/logs"));
        assert_eq!(response.status, 200, "{response:?}");
        let lines = response.body.lines();
        lines.map(|l| serde_json::from_str(l).unwrap()).collect()
    }

    /// The changes of the only dev container, as `[file name, change]`.
    #[track_caller]
    pub fn changes(&self) -> Value {
        let one = self.devcontainer();
        let changes = one["changes"].as_array().cloned().unwrap_or_default();
        assert_eq!(one["dirty"], !changes.is_empty(), "{one}");
        if let Some(container) = one.get("container") {
            assert_eq!(container["devcontainer_dirty"], one["dirty"]);
        }
        let short = |c: &Value| {
            let path = Path::new(c["path"].as_str().unwrap()).file_name().unwrap();
            json!([path.to_str().unwrap(), c["change"]])
        };
        changes.iter().map(short).collect()
    }
}

/// Parses a response; the chunks of a body are joined.
#[track_caller]
pub fn parse(response: &str) -> Response {
    let (head, body) = response
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no response: {response:?}"));
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .unwrap();
    let headers: BTreeMap<String, String> = lines
        .map(|line| line.split_once(": ").unwrap())
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
        .collect();
    let chunked = headers
        .get("transfer-encoding")
        .is_some_and(|coding| coding == "chunked");
    Response {
        status: status.parse().unwrap(),
        headers,
        body: if chunked {
            dechunk(body)
        } else {
            body.to_owned()
        },
    }
}

fn dechunk(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        body.push_str(&after[..size]);
        rest = after[size..].strip_prefix("\r\n").unwrap();
        if size == 0 {
            break;
        }
    }
    body
}
