//! The words of the terminal: each asks a running daemon and prints its answer for people.

mod devcontainer;
mod exec;
mod feed;
mod find;
mod list;
mod log;
mod output;
mod table;
mod wait;
mod watch;

use std::fmt;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use self::output::Output;
use crate::base::text::{percent_encode, printable};
use crate::cli::{Question, Target};
use crate::client::{Client, ClientError, Request};

/// The limit of a health check.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(3);

/// The ways in which a word does not succeed.
#[derive(Debug)]
enum Failure {
    /// The daemon cannot be asked, or refuses.
    Client(ClientError),
    /// Standard output cannot be written.
    Output(io::Error),
    /// It was asked for something that cannot be meant.
    Usage(String),
    /// There is no such thing.
    NotThere(String),
    /// It did not succeed, for another reason.
    Other(String),
    /// The operation failed, as its log says.
    Operation,
    /// The operation was cancelled.
    Cancelled,
}

impl Failure {
    fn status(&self) -> u8 {
        match self {
            Self::Client(error) if error.is_usage() => 2,
            Self::Client(error) if error.status() == Some(404) => 3,
            // The reader has all that it wants.
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => 0,
            Self::Client(_) | Self::Output(_) | Self::Other(_) | Self::Operation => 1,
            Self::Usage(_) => 2,
            Self::NotThere(_) => 3,
            Self::Cancelled => 4,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => error.fmt(f),
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Self::Output(error) => write!(f, "standard output: {error}"),
            Self::Usage(text) | Self::NotThere(text) | Self::Other(text) => f.write_str(text),
            // The last line of the log has said it.
            Self::Operation | Self::Cancelled => Ok(()),
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

/// Asks the daemon, prints the answer, and returns the exit status.
pub fn run(target: &Target, question: Question) -> ExitCode {
    exit(ask(target, question))
}

/// Checks that a daemon answers with status 200.
pub fn healthcheck(target: &Target) -> ExitCode {
    let status = Client::new(&target.urls, target.token_file.clone())
        .and_then(|client| client.health(HEALTH_TIMEOUT));
    let result = match status {
        Ok(200) => Ok(()),
        Ok(status) => {
            let urls = target.urls.join(" or ");
            Err(format!("the daemon at {urls} answers with status {status}"))
        }
        Err(error) => Err(error.to_string()),
    };
    // Docker knows no other status of a failed check.
    exit(result.map_err(Failure::Other))
}

fn exit(result: Result<(), Failure>) -> ExitCode {
    let Err(failure) = result else {
        return ExitCode::SUCCESS;
    };
    let text = failure.to_string();
    if !text.is_empty() {
        output::say(&text);
    }
    failure.status().into()
}

fn ask(target: &Target, question: Question) -> Result<(), Failure> {
    let client = Client::new(&target.urls, target.token_file.clone())?;
    let mut out = Output::new();
    match question {
        Question::List(form) => list::run(&client, form, &mut out),
        Question::Operate { kind, name, all } => log::operate(&client, kind, &name, all, &mut out),
        Question::Cancel(name) => cancel(&client, &name),
        Question::Logs { name, follow } => log::logs(&client, &name, follow, &mut out),
        Question::Watch { name, json } => watch::run(&client, name.as_deref(), json, &mut out),
        Question::Wait {
            name,
            clean,
            running,
            idle,
            timeout,
        } => {
            let wanted = wait::Wanted {
                clean,
                running,
                idle,
            };
            wait::run(&client, &name, wanted, timeout)
        }
        Question::Exec {
            name,
            flags,
            docker,
            command,
        } => exec::run(&client, &name, &flags, docker, &command),
        Question::CompleteName(begun) => complete_name(&client, &begun, &mut out),
    }
}

fn cancel(client: &Client, name: &str) -> Result<(), Failure> {
    let post = |name: &str| {
        let path = format!("/devcontainers/{}/cancel", percent_encode(name));
        client.send(Request::new("POST", &path))
    };
    // A daemon that is busy, or whose docker does not answer, still takes a cancel.
    let posted = if find::is_folder(name) {
        post(find::find(client, name)?.id())
    } else {
        match post(name) {
            Err(error) if error.status() == Some(404) => post(find::find(client, name)?.id()),
            posted => posted,
        }
    };
    match posted {
        Ok(_) => Ok(()),
        Err(error) if error.status() == Some(409) => Err(Failure::NotThere(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// Prints the names that begin like this. A shell shows no errors.
fn complete_name(client: &Client, begun: &str, out: &mut Output) -> Result<(), Failure> {
    for one in find::all(client)? {
        // A name with other characters could not be typed.
        let is_plain = printable(one.name()) == one.name();
        if is_plain && one.name().starts_with(begun) {
            out.line(&format!("{}\t{}", one.name(), printable(one.folder())))?;
        }
    }
    out.flush()
}
