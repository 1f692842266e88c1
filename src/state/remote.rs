//! The user and the folder with which tools work in a container, as the devcontainer CLI chooses them.
//!
//! Both follow from the container and the configuration as they are, so that they are the same whoever made the container,
//! and after a restart.

use std::path::{Path, PathBuf};

use crate::model::container::ContainerInfo;
use crate::model::inputs::Usage;
use crate::model::labels::LABEL_COMPOSE_PROJECT;

/// The user where nothing names one.
const ROOT: &str = "root";

/// Returns the user: that of the configuration, else that of the container's metadata, else that of its processes.
pub(super) fn user(info: &ContainerInfo, usage: Option<&Usage>) -> String {
    let configured = usage.and_then(|usage| usage.remote_user.as_deref());
    let named = configured
        .or(info.setup.remote_user.as_deref())
        .or(info.setup.user.as_deref());
    // A group may follow.
    match named.and_then(|user| user.split(':').next()) {
        None | Some("" | "0") => ROOT.to_owned(),
        Some(user) => user.to_owned(),
    }
}

/// Returns the path of the workspace in the container: that of the configuration, else where the workspace folder on the
/// host, or a directory above it, is mounted. The CLI looks at no mount of a compose service, and takes the root.
pub(super) fn workspace_folder(
    info: &ContainerInfo,
    folder: &Path,
    usage: Option<&Usage>,
) -> Option<String> {
    if let Some(configured) = usage.and_then(|usage| usage.workspace_folder.as_deref()) {
        return Some(configured.to_owned());
    }
    let is_compose = match usage {
        Some(usage) => usage.is_compose,
        None => info.labels.get(LABEL_COMPOSE_PROJECT).is_some(),
    };
    if is_compose {
        return usage.map(|_| "/".to_owned());
    }
    folder.ancestors().find_map(|above| {
        let mounted = info.mounts.destination_of(above.to_str()?)?;
        let below = folder.strip_prefix(above).ok()?;
        // Joined without a slash at the end where nothing is below.
        let path: PathBuf = Path::new(mounted).join(below).components().collect();
        Some(path.display().to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::time::Timestamp;
    use crate::model::container::{Mount, Pairs, RunState};
    use crate::model::setup::Setup;

    fn container() -> ContainerInfo {
        ContainerInfo {
            created_at: Timestamp::new(0, 0),
            id: "a".into(),
            name: "a".into(),
            image: String::new(),
            labels: Pairs::default(),
            running: true,
            ports: Vec::new(),
            run_state: RunState::Running,
            error: None,
            foreign_labels: Box::default(),
            health: None,
            mounts: Default::default(),
            setup: Setup::default(),
        }
    }

    fn usage(remote_user: Option<&str>, workspace_folder: Option<&str>, is_compose: bool) -> Usage {
        Usage {
            remote_user: remote_user.map(Box::from),
            workspace_folder: workspace_folder.map(Box::from),
            is_compose,
            ..Usage::default()
        }
    }

    #[test]
    fn the_user_is_the_first_that_is_named() {
        let check =
            |own: Option<&str>, label: Option<&str>, config: Option<&str>, expected: &str| {
                let mut info = container();
                info.setup.user = own.map(Box::from);
                info.setup.remote_user = label.map(Box::from);
                let usage = config.map(|user| usage(Some(user), None, false));
                assert_eq!(user(&info, usage.as_ref()), expected);
            };
        check(None, None, None, "root");
        check(Some("0:0"), None, None, "root");
        check(Some("app:staff"), None, None, "app");
        check(Some("1000"), None, None, "1000");
        check(Some("app"), Some("dev"), None, "dev");
        check(Some("app"), Some("dev"), Some("me"), "me");
    }

    #[test]
    fn the_folder_is_that_of_the_configuration_or_of_the_mount() {
        let mut info = container();
        info.mounts = [("/w", "/workspaces/w"), ("/data", "/data")]
            .into_iter()
            .map(|(source, destination)| Mount::bind(source, destination))
            .collect();
        let check =
            |info: &ContainerInfo, folder: &str, usage: Option<Usage>, expected: Option<&str>| {
                let found = workspace_folder(info, Path::new(folder), usage.as_ref());
                assert_eq!(found.as_deref(), expected, "{folder}");
            };
        check(&info, "/w", None, Some("/workspaces/w"));
        check(&info, "/w/sub/app", None, Some("/workspaces/w/sub/app"));
        check(&info, "/other", None, None);
        check(
            &info,
            "/w",
            Some(usage(None, None, false)),
            Some("/workspaces/w"),
        );
        check(
            &info,
            "/w",
            Some(usage(None, Some("/src"), false)),
            Some("/src"),
        );
        check(&info, "/w", Some(usage(None, None, true)), Some("/"));
        check(
            &info,
            "/w",
            Some(usage(None, Some("/src"), true)),
            Some("/src"),
        );
        info.labels = [(LABEL_COMPOSE_PROJECT, "p")].into_iter().collect();
        check(&info, "/w", None, None);
    }
}
