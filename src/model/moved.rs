//! A dev container that is not where it was when it was last listed (P25).

use std::fmt;
use std::path::{Path, PathBuf};

use super::location::Resolved;

/// The difference between the place that was listed and the one that is found now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moved {
    /// A path that leads to another folder.
    Folder {
        /// The workspace folder as it is written.
        written: PathBuf,
        /// The folder that it led to.
        listed: PathBuf,
        /// The folder that it leads to now.
        found: PathBuf,
    },
    /// The folder with this path is another directory.
    Directory(PathBuf),
    /// Another configuration.
    Config {
        /// The configuration that was listed, without symbolic links.
        listed: PathBuf,
        /// The one that is found now, if there is one.
        found: Option<PathBuf>,
    },
}

impl Resolved {
    /// Returns how `found` differs from this place, which was listed, where both are to be one dev container. `written` is
    /// the workspace folder as it was written.
    ///
    /// The folder is known by its path and by the directory that it is. The configuration is known by its path alone: an
    /// editor or git makes a new file whenever it saves one. What did not exist when it was listed may be there now.
    pub fn moved(&self, found: &Self, written: &Path) -> Option<Moved> {
        self.folder_moved(found, written).or_else(|| {
            let listed = self.canonical_config.as_ref()?;
            let is_same = found.canonical_config.as_ref() == Some(listed);
            (!is_same).then(|| Moved::Config {
                listed: listed.clone(),
                found: found.canonical_config.clone(),
            })
        })
    }

    /// Returns how the folder of `found` differs from that of this place, as [`Resolved::moved`] does.
    pub fn folder_moved(&self, found: &Self, written: &Path) -> Option<Moved> {
        if self.folder != found.folder {
            return Some(Moved::Folder {
                written: written.to_path_buf(),
                listed: self.folder.clone(),
                found: found.folder.clone(),
            });
        }
        let directories = self.directory.zip(found.directory);
        let is_another = directories.is_some_and(|(listed, found)| listed != found);
        is_another.then(|| Moved::Directory(self.folder.clone()))
    }
}

impl fmt::Display for Moved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder {
                written,
                listed,
                found,
            } => write!(
                f,
                "the workspace folder {} led to {} when it was listed, and leads to {} now",
                written.display(),
                listed.display(),
                found.display()
            ),
            Self::Directory(folder) => write!(
                f,
                "the workspace folder {} is not the directory that was listed: another one has taken its place",
                folder.display()
            ),
            Self::Config {
                listed,
                found: Some(found),
            } => write!(
                f,
                "the configuration was {} when it was listed, and is {} now",
                listed.display(),
                found.display()
            ),
            Self::Config {
                listed,
                found: None,
            } => write!(
                f,
                "the configuration was {} when it was listed, and there is none now",
                listed.display()
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::location::{Declared, Source};

    fn place(folder: &str, inode: Option<u64>, config: Option<&str>) -> Resolved {
        let declared = Declared {
            folder: folder.into(),
            config: config.map(PathBuf::from),
            source: Source::Label,
        };
        Resolved {
            directory: inode.map(|inode| (1, inode)),
            ..Resolved::as_written(&declared)
        }
    }

    #[test]
    fn p25_a_place_is_known_by_its_folder_on_disk_and_the_path_of_its_configuration() {
        let listed = place("/w", Some(1), Some("/w/c.json"));
        let moved = |found| {
            listed
                .moved(&found, Path::new("/l"))
                .map(|moved| moved.to_string())
        };
        assert_eq!(moved(listed.clone()), None);
        assert_eq!(
            moved(place("/v", Some(1), Some("/v/c.json"))).as_deref(),
            Some("the workspace folder /l led to /w when it was listed, and leads to /v now")
        );
        assert_eq!(
            moved(place("/w", Some(2), Some("/w/c.json"))).as_deref(),
            Some(
                "the workspace folder /w is not the directory that was listed: another one has taken its place"
            )
        );
        assert_eq!(
            moved(place("/w", Some(1), Some("/w/d.json"))).as_deref(),
            Some("the configuration was /w/c.json when it was listed, and is /w/d.json now")
        );
        assert_eq!(
            moved(place("/w", Some(1), None)).as_deref(),
            Some("the configuration was /w/c.json when it was listed, and there is none now")
        );
    }

    #[test]
    fn what_was_not_there_when_it_was_listed_may_have_been_made_since() {
        let listed = place("/w", None, None);
        let found = place("/w", Some(1), Some("/w/c.json"));
        assert_eq!(listed.moved(&found, Path::new("/w")), None);
        let gone = found.folder_moved(&listed, Path::new("/w"));
        assert_eq!(gone, None, "another rule is about folders that are gone");
    }
}
