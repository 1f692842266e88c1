//! Objects for tests of encodings, with every field that they can have and with none that they can lack.

use std::sync::Arc;

use uuid::Uuid;

use crate::base::time::Timestamp;
use crate::model::api::{ChangeKind, Container, Devcontainer, InputChange, Job, Owner, Status};
use crate::model::container::{ContainerHealth, ContainerInfo, Mount, Port, RunState};
use crate::model::inputs::ForwardPort;
use crate::model::operation::{OperationKind, OperationState};
use crate::model::phase::Phase;
use crate::model::setup::Setup;
use crate::state::{Change, View};

fn info() -> Arc<ContainerInfo> {
    let published = Port {
        port: 80,
        network: "tcp",
        host_ip: Some("127.0.0.1".into()),
        host_port: Some(8080),
    };
    let exposed = Port {
        port: 53,
        network: "udp",
        host_ip: None,
        host_port: None,
    };
    Arc::new(ContainerInfo {
        created_at: Timestamp::new(0, 0),
        id: "0123456789abcdef".into(),
        name: "box".into(),
        image: "debian:12".into(),
        labels: [("b", "\"2\"\n"), ("a", "é")].into_iter().collect(),
        running: true,
        ports: vec![published, exposed],
        run_state: RunState::Running,
        error: None,
        foreign_labels: Box::default(),
        health: Some(ContainerHealth::Healthy),
        mounts: [Mount::bind("/s", "/d")].into_iter().collect(),
        setup: Setup::default(),
    })
}

/// A container of no dev container.
pub(super) fn plain_container() -> Container {
    Container {
        info: info(),
        devcontainer_dirty: false,
        owner: None,
    }
}

/// A container of a dirty dev container.
pub(super) fn dirty_container() -> Container {
    Container {
        info: info(),
        devcontainer_dirty: true,
        owner: Some(Owner {
            id: Uuid::nil(),
            name: "app".into(),
            status: Status::Running,
        }),
    }
}

/// A dev container without any optional field.
pub(super) fn bare_devcontainer() -> Devcontainer {
    Devcontainer {
        id: Uuid::nil(),
        name: "app".into(),
        workspace_folder: "/w/app".into(),
        config_path: None,
        running: false,
        status: Status::Stopped,
        dirty: false,
        changes: Vec::new(),
        unchecked: None,
        container: None,
        remote_user: None,
        forward_ports: Box::default(),
        remote_workspace_folder: None,
        error: None,
        job: None,
    }
}

/// A dev container with all fields.
pub(super) fn full_devcontainer() -> Devcontainer {
    Devcontainer {
        config_path: Some("/w/app/.devcontainer.json".into()),
        running: true,
        status: Status::Running,
        dirty: true,
        changes: vec![InputChange {
            path: "/w/app/Dockerfile".into(),
            change: ChangeKind::Modified,
        }],
        unchecked: Some("/w/app/F cannot be read".into()),
        container: Some(dirty_container()),
        remote_user: Some("root".into()),
        forward_ports: Box::new([ForwardPort {
            port: 5432,
            host: Some("db".into()),
            label: Some("Database".into()),
        }]),
        remote_workspace_folder: Some("/workspaces/app".into()),
        error: Some("it broke".into()),
        job: Some(Job {
            kind: OperationKind::Recreate,
            state: OperationState::Failed,
            phase: Some(Phase::Build),
            started_at: Timestamp::new(1, 0),
            finished_at: Some(Timestamp::new(2, 500_000_000)),
        }),
        ..bare_devcontainer()
    }
}

/// A change of each kind.
pub(super) fn changes() -> Vec<Change> {
    vec![
        Change::Container(plain_container()),
        Change::Container(dirty_container()),
        Change::Devcontainer(Arc::new(bare_devcontainer())),
        Change::Devcontainer(Arc::new(full_devcontainer())),
        Change::ContainerRemoved("0123456789abcdef".into()),
        Change::DevcontainerRemoved(Uuid::nil()),
        Change::Warnings(Vec::new()),
        Change::Warnings(vec!["odd".into(), "a\nb".into()]),
    ]
}

/// A view with all of these objects.
pub(super) fn view() -> View {
    View {
        containers: [plain_container(), dirty_container()].into_iter().collect(),
        devcontainers: vec![Arc::new(bare_devcontainer()), Arc::new(full_devcontainer())],
        warnings: vec!["odd".into()],
        revision: 7,
        ..View::default()
    }
}
