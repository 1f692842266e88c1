//! The stream of changes as plain text, for people.

use crate::base::text::one_line;
use crate::model::api::{Container, Devcontainer};
use crate::state::{Change, View};

/// Digits of an id, as `docker ps` shows it.
const SHORT_ID: usize = 12;

/// Returns a line for each object and each warning. The text is empty where there are none.
pub(super) fn snapshot(view: &View) -> String {
    let containers = view.containers.iter().map(container);
    let devcontainers = view.devcontainers.iter().map(|one| devcontainer(one));
    let mut text: String = containers.chain(devcontainers).collect();
    text.push_str(&warnings(&view.all_warnings()));
    text
}

/// Returns the lines for one change.
pub(super) fn change(change: &Change) -> String {
    match change {
        Change::Container(one) => container(one),
        Change::Devcontainer(one) => devcontainer(one),
        Change::ContainerRemoved(id) => format!("container {} removed\n", short(id)),
        Change::DevcontainerRemoved(id) => {
            format!("devcontainer {} removed\n", short(&id.to_string()))
        }
        Change::Warnings(all) if all.is_empty() => "no warnings\n".to_owned(),
        Change::Warnings(all) => warnings(all),
    }
}

fn container(container: &Container) -> String {
    let info = &container.info;
    let dirty = if container.devcontainer_dirty {
        ", dirty"
    } else {
        ""
    };
    let (name, id, status) = (&info.name, short(&info.id), info.status());
    line(&format!("container {name} {id} {status}{dirty}"))
}

fn devcontainer(devcontainer: &Devcontainer) -> String {
    let status = devcontainer.status.as_str();
    let mut text = format!("devcontainer {} {status}", devcontainer.name);
    if devcontainer.dirty {
        let changes = devcontainer.changes.iter();
        let paths: Vec<&str> = changes.map(|change| &*change.path).collect();
        text.push_str(", dirty: ");
        text.push_str(&paths.join(", "));
    }
    if let Some(reason) = &devcontainer.unchecked {
        text.push_str(", unchecked: ");
        text.push_str(reason);
    }
    if let Some(error) = &devcontainer.error {
        text.push_str(", error: ");
        text.push_str(error);
    }
    line(&text)
}

fn warnings(warnings: &[String]) -> String {
    let lines = warnings.iter().map(|warning| format!("warning: {warning}"));
    lines.map(|text| line(&text)).collect()
}

fn line(text: &str) -> String {
    one_line(text) + "\n"
}

fn short(id: &str) -> &str {
    id.get(..SHORT_ID).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::examples;

    #[test]
    fn every_kind_of_change() {
        let changes = examples::changes();
        let lines: Vec<String> = changes.iter().map(change).collect();
        assert_eq!(
            lines,
            [
                "container box 0123456789ab running\n",
                "container box 0123456789ab running, dirty\n",
                "devcontainer app stopped\n",
                "devcontainer app running, dirty: /w/app/Dockerfile, unchecked: /w/app/F cannot be read, error: it broke\n",
                "container 0123456789ab removed\n",
                "devcontainer 00000000-000 removed\n",
                "no warnings\n",
                "warning: odd\nwarning: a\\nb\n",
            ]
        );
    }

    #[test]
    fn a_snapshot() {
        assert_eq!(snapshot(&View::default()), "");
        assert_eq!(
            snapshot(&examples::view()),
            concat!(
                "container box 0123456789ab running\n",
                "container box 0123456789ab running, dirty\n",
                "devcontainer app stopped\n",
                "devcontainer app running, dirty: /w/app/Dockerfile, unchecked: /w/app/F cannot be read, error: it broke\n",
                "warning: odd\n"
            )
        );
    }
}
