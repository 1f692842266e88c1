//! The properties of a configuration by which tools work in the container.

use serde_json::Value;

use super::references::is_compose;
use super::substitute::{Environment, substitute};
use crate::model::inputs::Usage;
use crate::model::location::CliPaths;

/// Returns the usage that the configuration at `paths` says.
pub fn usage(paths: &CliPaths, config: &Value, environment: Environment<'_>) -> Usage {
    let text = |property: &str| {
        let text = config.get(property)?.as_str()?;
        let text = substitute(text, paths, environment).into_string().ok()?;
        (!text.is_empty()).then(|| text.into())
    };
    Usage {
        remote_user: text("remoteUser"),
        workspace_folder: text("workspaceFolder"),
        is_compose: is_compose(config) && config.get("dockerComposeFile").is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn variables_are_replaced_and_empty_texts_are_nothing() {
        let paths = CliPaths {
            folder: "/f/w".into(),
            config: "/f/w/.devcontainer.json".into(),
        };
        let environment = |name: &str| (name == "USER").then(|| "me".into());
        let check = |config: Value, user: Option<&str>, folder: Option<&str>, is_compose: bool| {
            let expected = Usage {
                remote_user: user.map(Into::into),
                workspace_folder: folder.map(Into::into),
                is_compose,
            };
            assert_eq!(usage(&paths, &config, &environment), expected, "{config}");
        };
        check(json!({"image": "x"}), None, None, false);
        check(
            json!({
                "dockerComposeFile": "c.yml",
                "remoteUser": "${localEnv:USER}",
                "workspaceFolder": "/src/${localWorkspaceFolderBasename}",
            }),
            Some("me"),
            Some("/src/w"),
            true,
        );
        let image_counts = json!({"image": "x", "dockerComposeFile": "c.yml", "remoteUser": "", "workspaceFolder": 7});
        check(image_counts, None, None, false);
    }
}
