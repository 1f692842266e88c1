//! The services of a compose project on which `stop` and `DELETE` act together with the dev container (P24).

use std::collections::HashSet;

use crate::docker::Snapshot;
use crate::model::operation::OperationKind;

/// Returns the containers of `project` that go with the `targets`: those of all services that no other dev container of
/// the project is or needs. Other dev containers that do not run need nothing of what is stopped.
pub(super) fn companions<'a>(
    kind: OperationKind,
    targets: &[Snapshot],
    project: &'a [Snapshot],
) -> Vec<&'a Snapshot> {
    let is_target = |one: &Snapshot| targets.iter().any(|target| target.id == one.id);
    let (devcontainers, services): (Vec<&Snapshot>, Vec<&Snapshot>) = project
        .iter()
        .filter(|one| !is_target(one))
        .partition(|one| is_devcontainer(one));
    let counts = |one: &&Snapshot| kind != OperationKind::Stop || one.run_state.has_processes();
    let others = devcontainers.into_iter().filter(counts).collect();
    let Some(needed) = needs(others, project) else {
        return Vec::new();
    };
    let mut free = services;
    free.retain(|one| !needed.contains(one.id.as_str()));
    free
}

fn is_devcontainer(one: &Snapshot) -> bool {
    one.folder.is_some() && !one.is_test_run
}

/// Returns the ids of all containers that these need, directly or not, and their own; `None` if that is not known.
fn needs<'a>(of: Vec<&'a Snapshot>, project: &'a [Snapshot]) -> Option<HashSet<&'a str>> {
    let mut needed: HashSet<&str> = of.iter().map(|one| one.id.as_str()).collect();
    let mut open = of;
    while let Some(one) = open.pop() {
        let services = one.depends_on.as_ref()?;
        let is_needed = |other: &&Snapshot| {
            let service = other.compose.as_ref().map(|compose| &compose.service);
            service.is_some_and(|service| services.contains(service))
                || one.is_joined_to(&other.id, &other.name)
        };
        for other in project.iter().filter(is_needed) {
            if needed.insert(&other.id) {
                open.push(other);
            }
        }
    }
    Some(needed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::container::RunState;
    use crate::model::labels::ComposeService;

    /// A container that runs, called like its service, with an id that begins with the name.
    fn service(name: &str, depends_on: &[&str]) -> Snapshot {
        let depends_on = depends_on.iter().map(|one| (*one).to_owned());
        Snapshot {
            name: format!("p-{name}-1"),
            compose: Some(ComposeService {
                project: "p".to_owned(),
                service: name.to_owned(),
            }),
            depends_on: Some(depends_on.collect()),
            ..Snapshot::running(&format!("{name:0<64}"))
        }
    }

    fn devcontainer(name: &str, depends_on: &[&str]) -> Snapshot {
        Snapshot {
            folder: Some("/w".to_owned()),
            ..service(name, depends_on)
        }
    }

    /// `a` needs `db` and `cache`, `b` needs `db`, which needs `disk`, and nothing needs `mail`.
    fn project() -> Vec<Snapshot> {
        vec![
            devcontainer("a", &["db", "cache"]),
            devcontainer("b", &["db"]),
            service("db", &["disk"]),
            service("disk", &[]),
            service("cache", &[]),
            service("mail", &[]),
        ]
    }

    /// Asserts the services that go with `a`.
    #[track_caller]
    fn check(project: &[Snapshot], kind: OperationKind, expected: &[&str]) {
        let targets = [project[0].clone()];
        let found = companions(kind, &targets, project);
        let names = found
            .iter()
            .map(|one| &*one.compose.as_ref().unwrap().service);
        assert_eq!(names.collect::<Vec<_>>(), expected, "{kind:?}");
    }

    const BOTH: [OperationKind; 2] = [OperationKind::Stop, OperationKind::Delete];

    #[test]
    fn p24_alone_in_its_project_a_dev_container_takes_every_service_along() {
        let mut project = project();
        project.remove(1);
        // As with compose 1.
        project[0].depends_on = None;
        project[1].depends_on = None;
        for kind in BOTH {
            check(&project, kind, &["db", "disk", "cache", "mail"]);
        }
        project.push(Snapshot {
            is_test_run: true,
            ..devcontainer("t", &["mail"])
        });
        check(
            &project,
            OperationKind::Stop,
            &["db", "disk", "cache", "mail", "t"],
        );
    }

    #[test]
    fn p24_what_another_dev_container_needs_stays() {
        for kind in BOTH {
            check(&project(), kind, &["cache", "mail"]);
        }
    }

    #[test]
    fn p24_what_is_needed_in_a_circle_stays() {
        let mut project = project();
        project[3].depends_on = Some(vec!["mail".to_owned()]);
        project[5].depends_on = Some(vec!["db".to_owned(), "b".to_owned(), "gone".to_owned()]);
        check(&project, OperationKind::Delete, &["cache"]);
    }

    #[test]
    fn p24_a_namespace_that_another_dev_container_lives_in_stays() {
        let mut project = project();
        for joined in [
            project[4].id.clone(),
            project[4].name.clone(),
            project[4].id[..12].to_owned(),
        ] {
            project[1].joins = vec![joined];
            check(&project, OperationKind::Delete, &["mail"]);
        }
        project[1].joins = vec!["outside".to_owned(), "mail".to_owned()];
        check(&project, OperationKind::Delete, &["cache", "mail"]);
        // The network is that of a service that it needs.
        project[3].joins = vec![project[5].id.clone()];
        check(&project, OperationKind::Delete, &["cache"]);
    }

    #[test]
    fn p24_where_needs_are_unknown_every_service_stays() {
        for unknown in [1, 2, 3] {
            let mut project = project();
            project[unknown].depends_on = None;
            for kind in BOTH {
                check(&project, kind, &[]);
            }
        }
        let mut project = project();
        project[5].depends_on = None;
        check(&project, OperationKind::Delete, &["cache", "mail"]);
    }

    #[test]
    fn p24_one_that_does_not_run_needs_nothing_of_what_is_stopped() {
        let all = ["db", "disk", "cache", "mail"];
        for (state, stopped) in [
            (RunState::Exited(0), &all[..]),
            (RunState::Created, &all[..]),
            (RunState::Paused, &all[2..]),
            (RunState::Restarting, &all[2..]),
        ] {
            let mut project = project();
            project[1].run_state = state;
            check(&project, OperationKind::Stop, stopped);
            check(&project, OperationKind::Delete, &["cache", "mail"]);
        }
    }

    #[test]
    fn p24_a_duplicate_is_another_dev_container_unless_it_is_a_target() {
        let mut project = project();
        project[1].folder = project[0].folder.clone();
        check(&project, OperationKind::Delete, &["cache", "mail"]);
        let found = companions(OperationKind::Delete, &project[..2], &project);
        assert_eq!(found.len(), 4);
    }
}
