//! What a file, variables and flags say together.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::error::{SettingsError, WrongValue};
use crate::form::Form;
use crate::origin::Origin;
use crate::variables;
use crate::wrong_line::WrongLine;

/// Settings under construction: each layer that is added is stronger than those before it.
pub struct Layers {
    form: Form,
    table: Table,
    /// By the path of the key.
    origins: BTreeMap<String, Origin>,
    file: Option<(PathBuf, String)>,
}

impl Layers {
    /// Nothing is set.
    #[must_use]
    pub fn new(form: Form) -> Self {
        Self {
            form,
            table: Table::new(),
            origins: BTreeMap::new(),
            file: None,
        }
    }

    /// What can be set.
    #[must_use]
    pub fn form(&self) -> &Form {
        &self.form
    }

    /// Adds the file, which is to be the first layer.
    ///
    /// # Errors
    /// When it cannot be read or is not TOML.
    pub fn add_file(&mut self, path: &Path) -> Result<(), SettingsError> {
        let text = std::fs::read_to_string(path).map_err(|source| SettingsError::Read {
            path: path.to_owned(),
            source,
        })?;
        let table: Table = toml::from_str(&text).map_err(|error| SettingsError::File {
            path: path.to_owned(),
            source: WrongLine::of(&text, &error),
        })?;
        for key in self.form.keys() {
            if value_at(&table, &key.path).is_some() {
                self.origins
                    .insert(key.path.clone(), Origin::File(path.to_owned()));
            }
        }
        self.table = table;
        self.file = Some((path.to_owned(), text));
        Ok(())
    }

    /// Adds those variables whose names begin with the prefix of the program.
    ///
    /// # Errors
    /// When one of them names no key, or has a value that its key cannot have.
    pub fn add_variables(
        &mut self,
        all: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), SettingsError> {
        for variable in variables::read(&self.form, all)? {
            let origin = Origin::Variable(variable.name);
            self.put(&variable.path, variable.value, origin);
        }
        Ok(())
    }

    /// Adds a flag that was given.
    pub fn set(&mut self, path: &str, flag: &'static str, value: impl Into<Value>) {
        self.put(path, value.into(), Origin::Flag(flag));
    }

    /// Adds a flag whose values come after those that a list has already.
    pub fn append(&mut self, path: &str, flag: &'static str, values: Vec<Value>) {
        if values.is_empty() {
            return;
        }
        let list = match value_at(&self.table, path) {
            Some(Value::Array(before)) => before.iter().cloned().chain(values).collect(),
            _ => values,
        };
        self.put(path, Value::Array(list), Origin::Flag(flag));
    }

    fn put(&mut self, path: &str, value: Value, origin: Origin) {
        if place(&mut self.table, path, value) {
            self.origins.insert(path.to_owned(), origin);
        }
    }

    /// Where the value of a key comes from; `None`: it is the default.
    #[must_use]
    pub fn origin(&self, path: &str) -> Option<&Origin> {
        self.origins.get(path)
    }

    /// Whether anything sets the key.
    #[must_use]
    pub fn is_set(&self, path: &str) -> bool {
        self.origins.contains_key(path)
    }

    /// The value of a key that is set.
    pub(crate) fn value(&self, path: &str) -> Option<&Value> {
        value_at(&self.table, path)
    }

    /// All layers as the type that the program reads.
    ///
    /// # Errors
    /// When a key is unknown, or a value has not the form that its key needs. The error names the
    /// file, variable or flag.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        serde_path_to_error::deserialize(Value::Table(self.table.clone())).map_err(|error| {
            let path = error.path().to_string();
            self.explain::<T>(self.known(&path), error.inner().message())
        })
    }

    /// The key or section that a path lies in: it may go on with the number of an element, with one
    /// word of several, or with a key that does not exist.
    fn known<'p>(&self, path: &'p str) -> &'p str {
        let mut path = path.split('[').next().unwrap_or_default();
        while !self.form.has(path)
            && let Some((outer, _)) = path.rsplit_once('.')
        {
            path = outer;
        }
        path
    }

    fn explain<T: DeserializeOwned>(&self, path: &str, why: &str) -> SettingsError {
        // What is complained about can be part of it.
        let is_secret = self.form.key(path).is_some_and(|key| key.is_secret);
        let said = match is_secret {
            true => "cannot be used; its value is not shown".to_owned(),
            false => why.to_owned(),
        };
        let source = WrongValue {
            key: path.to_owned(),
            why: said.clone(),
        };
        let below = format!("{path}.");
        let part = self.origins.iter().find(|(key, _)| key.starts_with(&below));
        let of_part = part.map(|(_, origin)| origin);
        let of_key = self.origin(path);
        let is_of_file = !matches!(of_key, Some(Origin::Variable(_) | Origin::Flag(_)));
        let of_file = self.file.as_ref().filter(|_| is_of_file);
        // Read alone, the file also says the line. It may lack what other layers complete: then it
        // complains about something else.
        let alone = of_file.and_then(|(file, text)| {
            let error = toml::from_str::<T>(text).err()?;
            Some((file, WrongLine::of(text, &error)))
        });
        match (alone, of_key.or(of_part)) {
            (Some((file, wrong)), _) if wrong.why == why => SettingsError::File {
                path: file.clone(),
                source: WrongLine {
                    key: Some(path.to_owned()).filter(|path| !path.is_empty()),
                    why: said,
                    ..wrong
                },
            },
            (_, Some(origin)) => SettingsError::Value {
                origin: origin.clone(),
                source,
            },
            (Some((file, _)), None) => SettingsError::Value {
                origin: Origin::File(file.clone()),
                source,
            },
            (None, None) => SettingsError::Together {
                command: self.form.program.command,
                source,
            },
        }
    }

    /// The keys that are set otherwise than in `before`.
    #[must_use]
    pub fn changed_since(&self, before: &Self) -> Vec<String> {
        let keys = self.form.keys().into_iter();
        keys.filter(|key| self.value(&key.path) != before.value(&key.path))
            .map(|key| key.path.clone())
            .collect()
    }
}

fn value_at<'t>(table: &'t Table, path: &str) -> Option<&'t Value> {
    match path.split_once('.') {
        None => table.get(path),
        Some((section, rest)) => value_at(table.get(section)?.as_table()?, rest),
    }
}

/// Whether there is a place for it: what the file has in place of a section is complained about
/// when it is read.
fn place(table: &mut Table, path: &str, value: Value) -> bool {
    match path.split_once('.') {
        None => {
            table.insert(path.to_owned(), value);
            true
        }
        Some((section, rest)) => {
            let inner = table
                .entry(section)
                .or_insert_with(|| Value::Table(Table::new()));
            match inner {
                Value::Table(inner) => place(inner, rest, value),
                _ => false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use super::*;
    use crate::form::tests::{Bakery, Fuel, form};

    /// The layers of a file and variables.
    fn layers(text: &str, variables: &[(&str, &str)]) -> Result<Layers, SettingsError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bakery.toml");
        std::fs::write(&path, text).unwrap();
        let mut layers = Layers::new(form());
        layers.add_file(&path)?;
        let pairs = variables.iter();
        layers.add_variables(pairs.map(|(name, value)| (name.into(), value.into())))?;
        Ok(layers)
    }

    fn complaint(text: &str, variables: &[(&str, &str)]) -> String {
        let read = layers(text, variables).and_then(|layers| layers.read::<Bakery>());
        let error = read.unwrap_err();
        let source = error.source().map(ToString::to_string).unwrap_or_default();
        format!("{error}: {source}")
    }

    #[test]
    fn variables_are_over_the_file_and_flags_over_both() {
        let text = "store_dir = '/a'\n[oven]\nheat = 180\nbreads = ['rye']\nfuel = 'gas'\n";
        let variables = [
            ("BAKERY__OVEN__HEAT", "200"),
            ("BAKERY__OVEN__FUEL", "wood"),
            ("BAKERY__STORE_DIR", ""),
            ("BAKERY_CONFIG", "not one of them"),
            ("BAKERY__SHOP__LISTEN", "127.0.0.1:80"),
        ];
        let mut layers = layers(text, &variables).unwrap();
        layers.set("oven.heat", "--heat", 230);
        layers.append("oven.breads", "--bread", vec!["spelt".into()]);
        layers.append("oven.breads", "--bread", vec![]);
        let bakery: Bakery = layers.read().unwrap();
        assert_eq!(bakery.store_dir, Some("/a".into()), "an empty one is none");
        assert_eq!(bakery.oven.heat, Some(230));
        assert_eq!(bakery.oven.breads, ["rye", "spelt"]);
        assert_eq!(bakery.oven.fuel, Some(Fuel::Wood));
        assert_eq!(bakery.shop.unwrap().listen.port(), 80);
        assert_eq!(layers.origin("oven.heat"), Some(&Origin::Flag("--heat")));
        let variable = Origin::Variable("BAKERY__OVEN__FUEL".to_owned());
        assert_eq!(layers.origin("oven.fuel"), Some(&variable));
        assert!(matches!(layers.origin("store_dir"), Some(Origin::File(_))));
        assert_eq!(layers.origin("shop.code"), None);
    }

    #[test]
    fn a_wrong_variable_is_named() {
        for (name, value, part) in [
            ("BAKERY__OVN__HEAT", "1", "bakery run"),
            ("BAKERY__oven__heat", "1", "no setting"),
            ("BAKERY__BRAND", "x", "no setting"),
            ("BAKERY__OVEN", "x", "no setting"),
            ("BAKERY__OVEN__HEAT", "hot", "a whole number"),
            ("BAKERY__OVEN__HEAT", "70000", "oven.heat"),
            ("BAKERY__OVEN__FUEL", "coal", "`gas`"),
            ("BAKERY__OVEN__BREADS", "[1]", "oven.breads"),
            ("BAKERY__SHOP__LISTEN", "here", "shop.listen"),
            ("BAKERY__SHOP__CODE", "1", "missing field `listen`"),
        ] {
            let said = complaint("", &[(name, value)]);
            let is_named = said.contains(name) && said.contains(part);
            assert!(is_named, "{name}={value}: {said}");
        }
        let secret = complaint("", &[("BAKERY__OVEN__HEAT", "s3cret")]);
        assert!(!secret.contains("s3cret"), "{secret}");
    }

    /// A line may hold a secret, and so may what its reader says.
    #[test]
    fn what_is_written_in_a_wrong_line_is_not_shown() {
        for (text, part) in [
            ("[shop]\nlisten = '127.0.0.1:80'\ncode = 's3cret", "line 3"),
            (
                "[shop]\nlisten = '127.0.0.1:80'\ncoed = 's3cret'",
                "unknown field `coed`",
            ),
            ("code = 's3cret'\ncode = 's3cret'", "line 2"),
            (
                "[shop]\nlisten = '127.0.0.1:80'\ncode = ['s3cret']",
                "line 3, column 8 (`shop.code`)",
            ),
            ("[shop]\nlisten = '127.0.0.1:80'\ncode = 73313", "not shown"),
        ] {
            let said = complaint(text, &[]);
            assert!(said.contains(part), "{text:?}: {said}");
            let is_shown = said.contains("s3cret") || said.contains("73313");
            assert!(!is_shown, "{text:?}: {said}");
        }
    }

    #[test]
    fn what_is_wrong_in_the_file_is_shown_with_its_line_whatever_variables_say() {
        for (text, part) in [
            ("[oven]\nhaet = 5", "line 2"),
            ("oven = 5", "line 1"),
            ("[oven]\nheat = 'hot'", "line 2"),
            // Alone it also lacks a key of the shop, which is complained about first or not.
            ("[shop]\ncode = '1'\n[oven]\nheat = 'hot'", "heat"),
            ("[oven", "line 1"),
        ] {
            for variable in [
                ("BAKERY__SHOP__LISTEN", "127.0.0.1:80"),
                ("BAKERY__OVEN__FUEL", "gas"),
            ] {
                if text.contains("shop") && variable.0.contains("OVEN") {
                    continue;
                }
                let said = complaint(text, &[variable]);
                let is_shown = said.contains("bakery.toml") && said.contains(part);
                assert!(is_shown, "{text:?} {variable:?}: {said}");
            }
        }
    }

    #[test]
    fn a_stronger_layer_completes_and_corrects_a_file() {
        let variables = [("BAKERY__SHOP__LISTEN", "127.0.0.1:80")];
        for text in ["[shop]\ncode = '1'", "[shop]\nlisten = 'here'\ncode = '1'"] {
            let bakery: Bakery = layers(text, &variables).unwrap().read().unwrap();
            let shop = bakery.shop.unwrap();
            assert_eq!((shop.listen.port(), shop.code.as_deref()), (80, Some("1")));
        }
    }

    #[test]
    fn what_has_changed_is_known_by_its_key() {
        let before = layers("[oven]\nheat = 5\nfuel = 'gas'", &[]).unwrap();
        let now = layers("[oven]\nheat = 6\nfuel = 'gas'\nbreads = []", &[]).unwrap();
        assert_eq!(now.changed_since(&before), ["oven.heat", "oven.breads"]);
        assert!(now.changed_since(&now).is_empty());
    }
}
