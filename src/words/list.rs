//! The list of dev containers.

use serde_json::Value;

use super::Failure;
use super::devcontainer::Devcontainer;
use super::find;
use super::output::{Colour, Output, safe_json, say};
use super::table::{Column, Cut, layout};
use crate::base::text::printable;
use crate::cli::ListForm;
use crate::client::{Client, Request};

const COLUMNS: [Column; 6] = [
    column("NAME", Cut::Never),
    column("STATUS", Cut::Never),
    Column {
        is_cut_last: true,
        ..column("DIRTY", Cut::End)
    },
    column("CONTAINER", Cut::End),
    column("PORTS", Cut::End),
    column("FOLDER", Cut::Begin),
];

const fn column(title: &'static str, cut: Cut) -> Column {
    Column {
        title,
        cut,
        is_cut_last: false,
    }
}

/// Prints the dev containers.
pub(super) fn run(client: &Client, form: ListForm, out: &mut Output) -> Result<(), Failure> {
    match form {
        ListForm::Json => {
            let answer = client.send(Request::get("/devcontainers"))?.bytes()?;
            out.bytes(safe_json(&String::from_utf8_lossy(&answer)).as_bytes())?;
        }
        ListForm::Names => {
            for one in find::all(client)? {
                out.line(&printable(one.name()))?;
            }
        }
        ListForm::Table => table(client, out)?,
    }
    out.flush()
}

fn table(client: &Client, out: &mut Output) -> Result<(), Failure> {
    let mut answer = client.send(Request::get("/devcontainers"))?.json()?;
    let all = find::take_all(&mut answer);
    let rows: Vec<[String; 6]> = all.iter().map(cells).collect();
    let laid_out = layout(&COLUMNS, &rows, out.width);
    let colours = [None].into_iter().chain(all.iter().map(Some));
    for (row, one) in laid_out.iter().zip(colours) {
        let [name, status, dirt, rest @ ..] = row;
        let (of_status, of_dirt) = one.map_or((Colour::Plain, Colour::Plain), colours_of);
        let status = out.coloured(status, of_status);
        let dirt = out.coloured(dirt, of_dirt);
        let line = format!("{name}{status}{dirt}{}", rest.concat());
        out.line(line.trim_end())?;
    }
    let warnings = answer.get("warnings").and_then(Value::as_array);
    for warning in warnings.into_iter().flatten().filter_map(Value::as_str) {
        say(&format!("warning: {warning}"));
    }
    Ok(())
}

fn cells(one: &Devcontainer) -> [String; 6] {
    [
        printable(one.name()),
        one.state(),
        one.dirt(),
        printable(match one.container_name() {
            "" => "-",
            name => name,
        }),
        one.ports(),
        printable(one.folder()),
    ]
}

/// Returns the colours of the status and of what has changed.
fn colours_of(one: &Devcontainer) -> (Colour, Colour) {
    let status = match one.status() {
        "running" => Colour::Green,
        "error" => Colour::Red,
        "stopped" => Colour::Plain,
        _ => Colour::Yellow,
    };
    let is_dubious = one.is_dirty() || one.is_unchecked();
    let dirt = if is_dubious {
        Colour::Yellow
    } else {
        Colour::Plain
    };
    (status, dirt)
}
