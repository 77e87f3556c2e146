//! The files of one version at one level, and the changes of them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ConfigCreate, ConfigFile, FileName};

/// Most bytes of one version, counted by [`ConfigFile::bytes`]: names + values + arguments of handlers of all its files.
pub const LONGEST_VERSION: usize = 1_000_000;
/// Most files of one version. The limit of bytes alone would allow a million, each of which costs a machine more than a byte.
pub const MOST_FILES: usize = 10_000;

/// Files that can be a version: sorted by name, each name once, no file where another needs a folder, and within
/// [`LONGEST_VERSION`] and [`MOST_FILES`].
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
#[serde(try_from = "Vec<ConfigFile>", into = "Vec<ConfigFile>")]
pub struct ConfigFiles(Vec<ConfigFile>);

/// Why files cannot be one version.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadFiles {
    /// The API's 413.
    #[error(
        "the config would have {bytes} bytes of names, values and handlers; {LONGEST_VERSION} are allowed"
    )]
    TooLarge {
        /// All of them.
        bytes: usize,
    },
    /// The API's 413.
    #[error("the config would have {count} files; {MOST_FILES} are allowed")]
    TooMany {
        /// All of them.
        count: usize,
    },
    /// A name is there twice.
    #[error("the config file {name:?} is given twice")]
    Twice {
        /// The name.
        name: FileName,
    },
    /// Two names exclude each other.
    #[error("{file:?} cannot be a file, because {below:?} needs a folder of that name")]
    FileAndFolder {
        /// The shorter name.
        file: FileName,
        /// The longer one.
        below: FileName,
    },
}

impl BadFiles {
    /// Whether it is about the size.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::TooMany { .. })
    }
}

/// A file that was to be removed and is not in the latest version.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the config has no file {0:?}")]
pub struct NoSuchFile(pub FileName);

impl ConfigFiles {
    /// Checks and sorts.
    ///
    /// # Errors
    /// [`BadFiles`].
    pub fn new(files: Vec<ConfigFile>) -> Result<Self, BadFiles> {
        let mut sorted = BTreeMap::new();
        for file in files {
            if let Some(file) = sorted.insert(file.name.clone(), file) {
                return Err(BadFiles::Twice { name: file.name });
            }
        }
        Self::of(sorted)
    }

    fn of(sorted: BTreeMap<FileName, ConfigFile>) -> Result<Self, BadFiles> {
        if sorted.len() > MOST_FILES {
            return Err(BadFiles::TooMany {
                count: sorted.len(),
            });
        }
        let bytes: usize = sorted.values().map(ConfigFile::bytes).sum();
        if bytes > LONGEST_VERSION {
            return Err(BadFiles::TooLarge { bytes });
        }
        for name in sorted.keys() {
            let folders = name.folders();
            let file = folders.filter_map(|folder| sorted.get_key_value(folder));
            if let Some((file, _)) = file.last() {
                return Err(BadFiles::FileAndFolder {
                    file: file.clone(),
                    below: name.clone(),
                });
            }
        }
        Ok(Self(sorted.into_values().collect()))
    }

    /// What PATCH does: the files of `change` are added or replace those of the same name, as a whole (without a handler in
    /// `change`, the file has none any more). No file is dropped.
    ///
    /// # Errors
    /// When the result cannot be a version.
    pub fn merged(&self, change: &ConfigCreate) -> Result<Self, BadFiles> {
        let all = self.0.iter().chain(change.files.iter()).cloned();
        Self::of(all.map(|file| (file.name.clone(), file)).collect())
    }

    /// What DELETE does.
    ///
    /// # Errors
    /// When the file is not there.
    pub fn without(&self, name: &FileName) -> Result<Self, NoSuchFile> {
        let kept: Vec<_> = self
            .iter()
            .filter(|file| file.name != *name)
            .cloned()
            .collect();
        if kept.len() == self.0.len() {
            return Err(NoSuchFile(name.clone()));
        }
        Ok(Self(kept))
    }

    /// The file of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&ConfigFile> {
        let place = self.0.binary_search_by(|file| file.name.as_str().cmp(name));
        place.ok().map(|place| &self.0[place])
    }

    /// The files, by name.
    pub fn iter(&self) -> std::slice::Iter<'_, ConfigFile> {
        self.0.iter()
    }

    /// The files, by name.
    #[must_use]
    pub fn as_slice(&self) -> &[ConfigFile] {
        &self.0
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a ConfigFiles {
    type Item = &'a ConfigFile;
    type IntoIter = std::slice::Iter<'a, ConfigFile>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl TryFrom<Vec<ConfigFile>> for ConfigFiles {
    type Error = BadFiles;

    fn try_from(files: Vec<ConfigFile>) -> Result<Self, Self::Error> {
        Self::new(files)
    }
}

impl From<ConfigFiles> for Vec<ConfigFile> {
    fn from(files: ConfigFiles) -> Self {
        files.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, value: &str) -> ConfigFile {
        ConfigFile {
            name: name.parse().unwrap(),
            value: value.to_owned(),
            unencrypted: true,
            on_changed: Vec::new(),
        }
    }

    fn change(files: Vec<ConfigFile>) -> ConfigCreate {
        ConfigCreate {
            reason: String::new(),
            files,
        }
    }

    #[test]
    fn a_patch_adds_and_replaces_and_drops_nothing() {
        let first = ConfigFiles::default()
            .merged(&change(vec![file("wireguard-client", "1")]))
            .unwrap();
        let second = first
            .merged(&change(vec![file("z-50-fioctl.toml", "2"), file("a", "3")]))
            .unwrap();
        let names: Vec<_> = second.iter().map(|file| file.name.as_str()).collect();
        assert_eq!(names, ["a", "wireguard-client", "z-50-fioctl.toml"]);
        let third = second.merged(&change(vec![file("a", "4")])).unwrap();
        assert_eq!(third.get("a").unwrap().value, "4");
        assert_eq!(third.as_slice().len(), 3);
    }

    #[test]
    fn a_file_is_removed_once() {
        let files = ConfigFiles::new(vec![file("a", ""), file("b", "")]).unwrap();
        let name = "a".parse().unwrap();
        let left = files.without(&name).unwrap();
        assert!(left.get("a").is_none() && left.get("b").is_some());
        assert_eq!(left.without(&name), Err(NoSuchFile(name)));
    }

    #[test]
    fn the_limit_is_of_the_merged_version_and_exact() {
        let half = "x".repeat(LONGEST_VERSION / 2 - 1);
        let first = ConfigFiles::new(vec![file("a", &half)]).unwrap();
        let full = first.merged(&change(vec![file("b", &half)])).unwrap();
        let bytes: usize = full.iter().map(ConfigFile::bytes).sum();
        assert_eq!(bytes, LONGEST_VERSION);
        let error = first.merged(&change(vec![file("bb", &half)])).unwrap_err();
        assert_eq!(
            error,
            BadFiles::TooLarge {
                bytes: LONGEST_VERSION + 1
            }
        );
        assert!(error.is_too_large());
        let mut with_handler = file("b", &half);
        with_handler.on_changed = vec!["h".to_owned()];
        assert!(first.merged(&change(vec![with_handler])).is_err());
    }

    #[test]
    fn there_are_not_more_files_than_a_machine_should_be_given() {
        let files = |count: usize| (0..count).map(|n| file(&n.to_string(), "")).collect();
        assert!(ConfigFiles::new(files(MOST_FILES)).is_ok());
        let error = ConfigFiles::new(files(MOST_FILES + 1)).unwrap_err();
        assert!(matches!(error, BadFiles::TooMany { .. }), "{error}");
    }

    #[test]
    fn a_name_is_not_a_file_and_a_folder() {
        let first = ConfigFiles::new(vec![file("a", "")]).unwrap();
        let error = first.merged(&change(vec![file("a/b/c", "")])).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#""a" cannot be a file, because "a/b/c" needs a folder of that name"#
        );
    }

    #[test]
    fn what_is_stored_is_checked_again_when_it_is_read() {
        let files = ConfigFiles::new(vec![file("b", "1"), file("a", "2")]).unwrap();
        let text = serde_json::to_string(&files).unwrap();
        assert_eq!(serde_json::from_str::<ConfigFiles>(&text).unwrap(), files);
        let twice = r#"[{"name":"a"},{"name":"a"}]"#;
        assert!(serde_json::from_str::<ConfigFiles>(twice).is_err());
    }
}
