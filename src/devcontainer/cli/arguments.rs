//! The arguments of `devcontainer up`.

use std::ffi::OsString;
use std::path::Path;

use crate::model::up_arg::UpArg;

/// The options of `devcontainer up`.
#[derive(Clone, Debug)]
pub struct Up<'a, More> {
    /// `--workspace-folder`; an absolute path.
    pub folder: &'a Path,
    /// `--config`; an absolute path.
    pub config: Option<&'a Path>,
    /// `--docker-path`.
    pub docker: &'a Path,
    /// `--docker-compose-path`, which the CLI runs where docker itself has no `compose`.
    pub compose: &'a Path,
    /// `--id-label`, each as `KEY=VALUE`; none where the CLI finds the container by folder and configuration.
    pub id_labels: &'a [String],
    /// Additional arguments, which come last.
    pub more: More,
    /// `--remove-existing-container`.
    pub remove_existing: bool,
}

impl<'a, More: Iterator<Item = &'a UpArg>> Up<'_, More> {
    /// The arguments of `devcontainer`.
    ///
    /// Every path is the value of a flag and absolute, so that the CLI cannot take one for a flag.
    pub fn arguments(self) -> Vec<OsString> {
        let mut arguments: Vec<OsString> = vec!["up".into(), "--log-format".into(), "json".into()];
        arguments.extend(["--workspace-folder".into(), self.folder.into()]);
        if let Some(config) = self.config {
            arguments.extend(["--config".into(), config.into()]);
        }
        arguments.extend(["--docker-path".into(), self.docker.into()]);
        arguments.extend(["--docker-compose-path".into(), self.compose.into()]);
        for label in self.id_labels {
            arguments.extend(["--id-label".into(), label.into()]);
        }
        if self.remove_existing {
            arguments.push("--remove-existing-container".into());
        }
        arguments.extend(self.more.map(|more| more.as_str().into()));
        arguments
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(up: Up<'_, std::slice::Iter<'_, UpArg>>, expected: &str) {
        let arguments = up.arguments().join(std::ffi::OsStr::new(" "));
        assert_eq!(arguments.to_str(), Some(expected));
    }

    #[test]
    fn arguments_of_up() {
        let folder = Path::new("/w");
        let mut up = Up {
            folder,
            config: None,
            docker: Path::new("/d"),
            compose: Path::new("/c"),
            id_labels: &[],
            more: [].iter(),
            remove_existing: false,
        };
        check(
            up.clone(),
            "up --log-format json --workspace-folder /w --docker-path /d --docker-compose-path /c",
        );
        up.remove_existing = true;
        let labels = ["a=1".to_owned(), "b=2".to_owned()];
        up.id_labels = &labels;
        let more = ["--mount", "type=bind"].map(|arg| UpArg::parse(arg).unwrap());
        up.more = more.iter();
        up.config = Some(Path::new("/w/.devcontainer.json"));
        check(
            up,
            "up --log-format json --workspace-folder /w --config /w/.devcontainer.json --docker-path /d --docker-compose-path /c --id-label a=1 --id-label b=2 --remove-existing-container --mount type=bind",
        );
    }
}
