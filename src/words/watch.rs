//! Changes of dev containers as lines.

use serde_json::{Value, json};

use super::Failure;
use super::devcontainer::Devcontainer;
use super::feed::{Change, Feed};
use super::find::find;
use super::output::{Colour, Output, safe_json};
use crate::base::json::to_text;
use crate::base::text::printable;
use crate::base::time::Timestamp;
use crate::client::Client;

/// Prints a line for each dev container, and then one for each change.
pub(super) fn run(
    client: &Client,
    name: Option<&str>,
    json: bool,
    out: &mut Output,
) -> Result<(), Failure> {
    let found = name.map(|name| find(client, name)).transpose()?;
    let mut watch = Watch {
        only: found.map(|one| one.id().to_owned()),
        json,
        known: Vec::new(),
    };
    let mut feed = Feed::open(client, None)?;
    while let Some(change) = feed.next()? {
        match change {
            Change::All(all) => watch.all(all, out)?,
            Change::One(one) => watch.one(one, out)?,
            Change::Removed(id) => watch.removed(&id, out)?,
        }
        out.flush()?;
    }
    Ok(())
}

struct Watch {
    /// The id of the only dev container to print.
    only: Option<String>,
    json: bool,
    known: Vec<Known>,
}

/// A dev container that was printed.
struct Known {
    id: String,
    name: String,
    /// The line that was printed last.
    line: String,
}

impl Watch {
    /// Prints how everything differs from what is known: a daemon that was restarted tells everything again.
    fn all(&mut self, all: Vec<Devcontainer>, out: &mut Output) -> Result<(), Failure> {
        let known = self.known.iter().map(|known| known.id.clone());
        let gone: Vec<String> = known
            .filter(|id| !all.iter().any(|one| one.id() == id))
            .collect();
        for id in gone {
            self.removed(&id, out)?;
        }
        for one in all {
            self.one(one, out)?;
        }
        Ok(())
    }

    fn one(&mut self, one: Devcontainer, out: &mut Output) -> Result<(), Failure> {
        let id = one.id().to_owned();
        if self.only.as_ref().is_some_and(|only| *only != id) {
            return Ok(());
        }
        let line = if self.json {
            of_object(&one)
        } else {
            one.line()
        };
        match self.known.iter_mut().find(|known| known.id == id) {
            Some(known) if known.line == line => return Ok(()),
            Some(known) => known.line.clone_from(&line),
            None => self.known.push(Known {
                id,
                name: one.name().to_owned(),
                line: line.clone(),
            }),
        }
        let colour = match one.status() {
            "error" => Colour::Red,
            _ if one.is_dirty() => Colour::Yellow,
            _ => Colour::Plain,
        };
        self.print(&line, colour, out)
    }

    fn removed(&mut self, id: &str, out: &mut Output) -> Result<(), Failure> {
        let Some(at) = self.known.iter().position(|known| known.id == id) else {
            return Ok(());
        };
        let Known { name, .. } = self.known.swap_remove(at);
        let line = match self.json {
            true => to_text(&json!({"type": "devcontainer_removed", "id": id})),
            false => format!("{} removed", printable(&name)),
        };
        self.print(&line, Colour::Plain, out)
    }

    fn print(&self, line: &str, colour: Colour, out: &mut Output) -> Result<(), Failure> {
        if self.json {
            return out.line(&safe_json(line));
        }
        let now = Timestamp::now().to_string();
        // The seconds are enough for people.
        let now = now.get(..19).unwrap_or(&now);
        out.line(&format!("{now}Z {}", out.coloured(line, colour)))
    }
}

/// Returns the dev container as the event of its change has it, without the number of the change.
fn of_object(one: &Devcontainer) -> String {
    let mut value = one.0.clone();
    if let Value::Object(fields) = &mut value {
        fields.remove("revision");
        fields.insert("type".to_owned(), "devcontainer".into());
    }
    to_text(&value)
}
