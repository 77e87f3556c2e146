//! The one file that is merged between levels instead of being replaced: settings of the update agent, in TOML.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// Its name.
pub const SETTINGS_FILE: &str = "z-50-fioctl.toml";

/// `below` with the keys of `above` put over it, section by section, as TOML. Comments are lost. `None` when one of them is
/// no TOML: then nothing can be merged.
pub(crate) fn merged(below: &str, above: &str) -> Option<String> {
    let mut settings: Table = below.parse().ok()?;
    put_over(&mut settings, above.parse().ok()?);
    toml::to_string(&sorted(settings)).ok()
}

/// The same settings are always the same text, so that devices take them for equal: whether a table keeps the order in which
/// it was written depends on what else is in the program.
fn sorted(table: Table) -> Table {
    let sections = table.into_iter().map(|(key, value)| match value {
        Value::Table(section) => (key, Value::Table(sorted(section))),
        value => (key, value),
    });
    let by_key: BTreeMap<String, Value> = sections.collect();
    by_key.into_iter().collect()
}

/// Puts the keys of `above` over `below`, section by section.
pub(crate) fn put_over(below: &mut Table, above: Table) {
    for (key, value) in above {
        match value {
            Value::Table(keys) => {
                if let Some(Value::Table(section)) = below.get_mut(&key) {
                    put_over(section, keys);
                } else {
                    below.insert(key, Value::Table(keys));
                }
            }
            value => {
                below.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_of_a_section_are_merged_and_the_upper_level_wins() {
        let factory = "[pacman]\ntags = \"stable\"\ndocker_apps = \"a,b\"\n";
        let device = "# of this device\n[pacman]\ntags = \"lab\"\n[other]\nx = 1\n";
        let merged = merged(factory, device).unwrap();
        let table: Table = merged.parse().unwrap();
        assert_eq!(table["pacman"]["tags"].as_str(), Some("lab"));
        assert_eq!(table["pacman"]["docker_apps"].as_str(), Some("a,b"));
        assert_eq!(table["other"]["x"].as_integer(), Some(1));
    }

    #[test]
    fn another_kind_of_value_replaces_what_was_there() {
        assert_eq!(
            merged("b = 1\na = 2\n", "c = 3\n").unwrap(),
            "a = 2\nb = 1\nc = 3\n"
        );
        assert_eq!(merged("a = 1\n", "[a]\nb = 2\n").unwrap(), "[a]\nb = 2\n");
        assert_eq!(merged("[a]\nb = 2\n", "a = 1\n").unwrap(), "a = 1\n");
    }

    #[test]
    fn what_is_no_toml_is_not_merged() {
        assert_eq!(merged("[pacman", "a = 1"), None);
        assert_eq!(merged("a = 1", "BJrwrq=="), None);
    }

    fn settings() -> impl Strategy<Value = Vec<(u8, u8, u8)>> {
        proptest::collection::vec((0..3_u8, 0..4_u8, any::<u8>()), 0..12)
    }

    fn table(of: &[(u8, u8, u8)]) -> Table {
        let mut table = Table::new();
        for (section, key, value) in of {
            let keys = table
                .entry(format!("s{section}"))
                .or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(keys) = keys {
                keys.insert(format!("k{key}"), Value::Integer(i64::from(*value)));
            }
        }
        table
    }

    proptest! {
        #[test]
        fn every_key_has_the_value_of_the_highest_level_that_sets_it(below in settings(), above in settings()) {
            let (below, above) = (table(&below), table(&above));
            let text = |table: &Table| toml::to_string(table).unwrap();
            let merged: Table = merged(&text(&below), &text(&above)).unwrap().parse().unwrap();
            for section in 0..3_u8 {
                for key in 0..4_u8 {
                    let (section, key) = (format!("s{section}"), format!("k{key}"));
                    let get = |table: &Table| table.get(&section).and_then(|keys| keys.get(&key)).cloned();
                    prop_assert_eq!(get(&merged), get(&above).or_else(|| get(&below)));
                }
            }
        }
    }
}
