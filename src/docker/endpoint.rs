//! Where docker's client finds the engine.

use std::path::{Path, PathBuf};
use std::thread;

use super::client::Client;
use super::error::Error;

/// The place of the engine, as docker's client has it from its environment or its current context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A socket on this machine.
    Socket(PathBuf),
    /// Another machine, or a port with TLS. Docker's client connects to it.
    Remote,
}

impl Endpoint {
    /// The socket on this machine, if it is one.
    pub fn socket(&self) -> Option<&Path> {
        match self {
            Self::Socket(path) => Some(path),
            Self::Remote => None,
        }
    }
}

/// A place where no engine is, for the question whether docker would look there.
const PROBE: &str = "unix:///nonexistent/devcontainerd.sock";

impl Client<'_> {
    /// The place of the engine; `None` for a program that cannot be led elsewhere by `DOCKER_HOST`: podman, or a script
    /// that names the engine itself.
    pub fn endpoint(&self) -> Result<Option<Endpoint>, Error> {
        let (found, probed) = thread::scope(|scope| {
            let probed = scope.spawn(|| self.context(Some(PROBE)));
            let found = self.context(None);
            (found, probed.join().unwrap_or(Ok(None)))
        });
        let is_led = probed?.as_deref() == Some(PROBE);
        Ok(found?.filter(|_| is_led).and_then(|host| parse(&host)))
    }

    /// The address of the engine in docker's words. `host` is the value of `DOCKER_HOST`, if it is not the daemon's own.
    fn context(&self, host: Option<&str>) -> Result<Option<String>, Error> {
        let format = "{{.Endpoints.docker.Host}}";
        let arguments = ["context", "inspect", "--format", format];
        match self.run_with_host(&arguments, host) {
            Ok(output) => Ok(output.lines().into_iter().next()),
            Err(Error::Failed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// Variables that lead docker's client past `DOCKER_HOST`, or make it expect TLS there.
pub const VARIABLES_OF_CLIENT: [&str; 4] = [
    "DOCKER_CONTEXT",
    "DOCKER_TLS",
    "DOCKER_TLS_VERIFY",
    "DOCKER_CERT_PATH",
];

fn parse(host: &str) -> Option<Endpoint> {
    let (scheme, path) = host.split_once("://")?;
    Some(match scheme {
        "unix" => Endpoint::Socket(path.into()),
        _ => Endpoint::Remote,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_unix_socket_is_on_this_machine() {
        let socket = Endpoint::Socket("/var/run/docker.sock".into());
        assert_eq!(parse("unix:///var/run/docker.sock"), Some(socket));
        for remote in [
            "tcp://127.0.0.1:2375",
            "ssh://user@host",
            "npipe:////./pipe/docker_engine",
        ] {
            assert_eq!(parse(remote), Some(Endpoint::Remote), "{remote}");
        }
        assert_eq!(parse("default"), None);
    }
}
