//! What a device gets: the files of its factory, those of its group over them, its own over both.

use std::collections::{BTreeMap, BTreeSet};

use foghorn_types::Timestamp;

use crate::clash::clashes;
use crate::settings::merged;
use crate::{ConfigFiles, DocumentFile, FileName, SETTINGS_FILE};

/// The present version of one level.
#[derive(Clone, Copy, Debug)]
pub struct Level<'a> {
    /// Its files. Secrets of factory and group are in clear here, those of the device encrypted for it.
    pub files: &'a ConfigFiles,
    /// When it was made.
    pub changed: Timestamp,
}

/// All that decides about the config of one device. A level is `None` when it never had a version.
#[derive(Clone, Copy, Default, Debug)]
pub struct Levels<'a> {
    /// Of all devices of the factory.
    pub factory: Option<Level<'a>>,
    /// Of the group that the device is in.
    pub group: Option<Level<'a>>,
    /// Of the device alone.
    pub device: Option<Level<'a>>,
    /// When the device last came into a group, left one, or its group was deleted; `None` when it never was in one.
    pub membership_changed: Option<Timestamp>,
}

/// The config of a device. [`Effective::document`] is what is sent to it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Effective {
    pub(crate) files: BTreeMap<FileName, DocumentFile>,
    /// Those files whose values are secrets in clear, of its factory or its group.
    pub(crate) secrets: BTreeSet<FileName>,
    /// When it last changed, in whole seconds: what `Date` says.
    pub changed: Timestamp,
}

/// The effective config. `None` when no level ever had a version and the device never was in a group, which the gateway
/// answers with 204. A config without files is something else: it makes the device remove what it has.
///
/// A file of a higher level replaces that of the same name below it, and also those that cannot be there beside it because
/// one would have to be a folder of that name. [`SETTINGS_FILE`] is merged key by key within its sections unless one of the
/// two is encrypted for the device or is no TOML; its handler is that of the highest level that names one. Of a factory or a
/// group it is no secret, whatever is said of it.
#[must_use]
pub fn effective(levels: &Levels<'_>) -> Option<Effective> {
    let changed = when_changed(levels)?;
    let (mut files, mut secrets) = (BTreeMap::new(), BTreeSet::new());
    for (level, is_device) in [
        (levels.factory, false),
        (levels.group, false),
        (levels.device, true),
    ] {
        for file in level.into_iter().flat_map(|level| level.files) {
            for clash in clashes(&files, &file.name) {
                files.remove(&clash);
                secrets.remove(&clash);
            }
            let mut above = DocumentFile::from(file);
            secrets.remove(&file.name);
            if file.name.as_str() == SETTINGS_FILE {
                above.unencrypted |= !is_device;
                above = settings_over(files.get(&file.name), above);
            } else if !is_device && !file.unencrypted {
                secrets.insert(file.name.clone());
            }
            files.insert(file.name.clone(), above);
        }
    }
    Some(Effective {
        files,
        secrets,
        changed,
    })
}

/// When the effective config of a device last changed, in whole seconds; `None` as in [`effective`]. Much cheaper than that,
/// and enough to answer a device that has it already.
#[must_use]
pub fn when_changed(levels: &Levels<'_>) -> Option<Timestamp> {
    let times = [levels.factory, levels.group, levels.device];
    let times = times.into_iter().flatten().map(|level| level.changed);
    let newest = times.chain(levels.membership_changed).max()?;
    Some(whole_second(newest))
}

pub(crate) fn whole_second(time: Timestamp) -> Timestamp {
    Timestamp::from_millis(time.as_millis().div_euclid(1000) * 1000)
}

fn settings_over(below: Option<&DocumentFile>, above: DocumentFile) -> DocumentFile {
    let Some(below) = below.filter(|below| below.unencrypted && above.unencrypted) else {
        return above;
    };
    let Some(value) = merged(&below.value, &above.value) else {
        return above;
    };
    let on_changed = if above.on_changed.is_empty() {
        below.on_changed.clone()
    } else {
        above.on_changed
    };
    DocumentFile {
        value,
        unencrypted: true,
        on_changed,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ConfigFile;
    use crate::clash::has_clash;

    fn files(of: &[(&str, &str)]) -> ConfigFiles {
        let file = |(name, value): &(&str, &str)| ConfigFile {
            name: name.parse().unwrap(),
            value: (*value).to_owned(),
            unencrypted: true,
            on_changed: Vec::new(),
        };
        ConfigFiles::new(of.iter().map(file).collect()).unwrap()
    }

    fn at(files: &ConfigFiles, millis: i64) -> Option<Level<'_>> {
        Some(Level {
            files,
            changed: Timestamp::from_millis(millis),
        })
    }

    fn seen(levels: &Levels<'_>) -> Vec<(String, String)> {
        let files = effective(levels).unwrap().files;
        let pairs = files
            .into_iter()
            .map(|(name, file)| (name.to_string(), file.value));
        pairs.collect()
    }

    #[test]
    fn a_higher_level_wins_by_name() {
        let factory = files(&[("a", "f"), ("b", "f"), ("c", "f")]);
        let group = files(&[("b", "g"), ("c", "g")]);
        let device = files(&[("c", "d")]);
        let levels = Levels {
            factory: at(&factory, 1),
            group: at(&group, 2),
            device: at(&device, 3),
            membership_changed: None,
        };
        let wanted = [("a", "f"), ("b", "g"), ("c", "d")];
        assert_eq!(
            seen(&levels),
            wanted.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[test]
    fn the_time_is_the_newest_and_moving_between_groups_counts() {
        let none = files(&[]);
        let mut levels = Levels {
            factory: at(&none, 5_999),
            device: at(&none, 3_000),
            ..Levels::default()
        };
        let changed = |levels: &Levels<'_>| effective(levels).unwrap().changed.as_millis();
        assert_eq!(changed(&levels), 5_000);
        levels.membership_changed = Some(Timestamp::from_millis(7_001));
        assert_eq!(changed(&levels), 7_000);
        let left_its_group = Levels {
            membership_changed: Some(Timestamp::from_millis(1)),
            ..Levels::default()
        };
        assert!(effective(&left_its_group).unwrap().files.is_empty());
        assert_eq!(effective(&Levels::default()), None);
    }

    #[test]
    fn what_is_secret_follows_from_the_level_that_the_file_is_of() {
        let secret = |name: &str, value: &str| {
            let file = format!(r#"[{{"name":"{name}","value":"{value}"}}]"#);
            serde_json::from_str::<ConfigFiles>(&file).unwrap()
        };
        let (factory, group) = (secret("f", "of all"), secret("g", "of the group"));
        let (device, plain) = (
            secret("d", "BJrw"),
            files(&[("f", "shown"), ("g/h", "shown")]),
        );
        let levels = Levels {
            factory: at(&factory, 1),
            group: at(&group, 1),
            device: at(&device, 1),
            membership_changed: None,
        };
        let secrets = |levels: &Levels<'_>| {
            let secrets = effective(levels).unwrap().secrets.into_iter();
            secrets.map(|name| name.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(secrets(&levels), ["f", "g"]);
        let replaced = Levels {
            device: at(&plain, 1),
            ..levels
        };
        assert!(secrets(&replaced).is_empty(), "nothing of them is left");
    }

    #[test]
    fn settings_are_merged_key_by_key_with_the_handler_of_the_highest_level_that_has_one() {
        let with_handler = |value: &str, handler: &[&str]| {
            ConfigFiles::new(vec![ConfigFile {
                name: SETTINGS_FILE.parse().unwrap(),
                value: value.to_owned(),
                unencrypted: true,
                on_changed: handler.iter().map(|&text| text.to_owned()).collect(),
            }])
            .unwrap()
        };
        let factory = with_handler("[pacman]\ntags = \"a\"\ndocker_apps = \"x\"\n", &["/f"]);
        let group = with_handler("[pacman]\ntags = \"b\"\n", &["/g"]);
        let device = with_handler("[pacman]\ntags = \"c\"\n", &[]);
        let levels = Levels {
            factory: at(&factory, 1),
            group: at(&group, 1),
            device: at(&device, 1),
            membership_changed: None,
        };
        let files = effective(&levels).unwrap().files;
        let settings = &files[SETTINGS_FILE];
        assert_eq!(
            settings.value,
            "[pacman]\ndocker_apps = \"x\"\ntags = \"c\"\n"
        );
        assert_eq!(settings.on_changed, ["/g"]);
        let broken = with_handler("[pacman", &[]);
        let levels = Levels {
            device: at(&broken, 1),
            ..levels
        };
        let files = effective(&levels).unwrap().files;
        assert_eq!(
            files[SETTINGS_FILE].value, "[pacman",
            "it is given as it is"
        );
    }

    #[test]
    fn a_file_makes_room_for_a_folder_of_a_higher_level() {
        let (factory, device) = (
            files(&[("a", "f"), ("b/c", "f")]),
            files(&[("a/x", "d"), ("b", "d")]),
        );
        let levels = Levels {
            factory: at(&factory, 1),
            device: at(&device, 1),
            ..Levels::default()
        };
        let names: Vec<_> = seen(&levels).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["a/x", "b"]);
    }

    /// Names of which some exclude each other, without those that cannot be in one level.
    fn any_level() -> impl Strategy<Value = ConfigFiles> {
        proptest::collection::btree_map("[ab](/[ab]){0,2}", "[a-z]{0,3}", 0..6).prop_filter_map(
            "no version",
            |files| {
                let files = files.into_iter().map(|(name, value)| ConfigFile {
                    name: name.parse().unwrap(),
                    value,
                    unencrypted: true,
                    on_changed: Vec::new(),
                });
                ConfigFiles::new(files.collect()).ok()
            },
        )
    }

    proptest! {
        #[test]
        fn every_file_is_that_of_the_highest_level_and_none_excludes_another(
            factory in any_level(), group in any_level(), device in any_level()
        ) {
            let levels = Levels {
                factory: at(&factory, 1),
                group: at(&group, 1),
                device: at(&device, 1),
                membership_changed: None,
            };
            let found = effective(&levels).unwrap().files;
            prop_assert!(!has_clash(&found));
            for file in &device {
                prop_assert_eq!(&found[&file.name].value, &file.value, "a device's own file is always there");
            }
            for (name, file) in &found {
                let highest = [&device, &group, &factory].into_iter().find_map(|level| level.get(name.as_str()));
                prop_assert_eq!(Some(&file.value), highest.map(|file| &file.value));
            }
        }
    }
}
