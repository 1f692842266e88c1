//! Operations, and the logs that they write.

use serde_json::Value;

use super::Failure;
use super::devcontainer::Devcontainer;
use super::find::find;
use super::output::{Colour, Output, say};
use crate::base::text::{plain_text, printable};
use crate::client::{Answer, Client, Request};
use crate::model::operation::OperationKind;
use crate::process::on_interrupt;

/// The exit status of a program that was interrupted, as shells have it.
const INTERRUPTED: i32 = 130;

/// Begins an operation and follows its log to the end.
pub(super) fn operate(
    client: &Client,
    kind: OperationKind,
    name: &str,
    all: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let found = find(client, name)?;
    let id = found.id();
    let also = if all { "&all=true" } else { "" };
    let (method, below) = match kind {
        OperationKind::Delete => ("DELETE", String::new()),
        _ => ("POST", format!("/{}", kind.verb())),
    };
    let path = format!("/devcontainers/{id}{below}?follow=true{also}");
    let mut answer = client.stream(Request::new(method, &path), None)?;
    let goes_on = goes_on(kind.verb(), &found);
    let text = goes_on.clone();
    let handled = on_interrupt(move || {
        say(&text);
        std::process::exit(INTERRUPTED);
    });
    handled.map_err(|error| Failure::Other(format!("{goes_on} (no signal handler: {error})")))?;
    match print(&mut answer, out) {
        Ok(Some(outcome)) => end(&outcome),
        Ok(None) => Err(Failure::Other(format!(
            "the daemon has ended the log before the end of the {}; see devcontainerd ls",
            kind.verb()
        ))),
        // Nobody reads any more, which says nothing about the operation.
        Err(Failure::Output(_)) => Err(Failure::Other(goes_on)),
        Err(failure) => Err(failure),
    }
}

fn goes_on(verb: &str, one: &Devcontainer) -> String {
    let name = one.name();
    format!(
        "the {verb} goes on: devcontainerd logs -f {name} follows it, devcontainerd cancel {name} ends it"
    )
}

/// Prints the log of the running or last operation.
pub(super) fn logs(
    client: &Client,
    name: &str,
    follow: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let found = find(client, name)?;
    let query = if follow { "?follow=true" } else { "" };
    let path = format!("/devcontainers/{}/logs{query}", found.id());
    let mut answer = client.stream(Request::get(&path), None)?;
    let mut lines = 0;
    let outcome = print_counted(&mut answer, out, &mut lines)?;
    match outcome {
        _ if lines == 0 => Err(Failure::NotThere(format!(
            "there is no log of {}: no operation has begun since the daemon started",
            found.name()
        ))),
        Some(outcome) if follow => end(&outcome),
        None if follow => Err(Failure::Other(
            "the daemon has ended the log before the end of the operation".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// Returns the result of an operation that has ended like this.
fn end(outcome: &str) -> Result<(), Failure> {
    match outcome {
        "succeeded" => Ok(()),
        "cancelled" => Err(Failure::Cancelled),
        _ => Err(Failure::Operation),
    }
}

fn print(answer: &mut Answer, out: &mut Output) -> Result<Option<String>, Failure> {
    print_counted(answer, out, &mut 0)
}

/// Prints the lines of a log, and counts them. Returns the outcome, if the log has come to it.
fn print_counted(
    answer: &mut Answer,
    out: &mut Output,
    lines: &mut u64,
) -> Result<Option<String>, Failure> {
    while let Some(line) = answer.next_line()? {
        let text = |name| line.get(name).and_then(Value::as_str);
        let Some(output) = text("output") else {
            continue; // a heartbeat
        };
        *lines += 1;
        let outcome = text("outcome");
        let colour = match (outcome, text("level")) {
            (Some("succeeded"), _) => Colour::Green,
            (Some(_), _) | (None, Some("error")) => Colour::Red,
            (None, _) => Colour::Plain,
        };
        let shown: Vec<String> = plain_text(output).split('\t').map(printable).collect();
        out.line(&out.coloured(&shown.join("\t"), colour))?;
        if let Some(outcome) = outcome {
            out.flush()?;
            return Ok(Some(outcome.to_owned()));
        }
    }
    out.flush()?;
    Ok(None)
}
