//! Which settings a program has.

use schemars::generate::SchemaSettings;
use schemars::transform::transform_subschemas;
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value};

use crate::key::{Key, description};

/// Whose settings they are.
#[derive(Clone, Copy, Debug)]
pub struct Program {
    /// The command that reads them, such as `foghorn-controller run`.
    pub command: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// What the names of its variables begin with, such as `FOGHORN_CONTROLLER__`.
    pub prefix: &'static str,
    /// Where packages put its file.
    pub file: &'static str,
    /// Keys without which it does not start.
    pub required: &'static [&'static str],
}

/// Every key of a program, from the types that its settings become.
pub struct Form {
    pub(crate) program: Program,
    pub(crate) root: Section,
    schema: Schema,
}

/// A table of the file.
pub(crate) struct Section {
    /// Such as `store.tls`; empty for the beginning of the file.
    pub(crate) path: String,
    pub(crate) description: String,
    /// Whether the section as a whole stands for something, so that it is not there by default.
    pub(crate) may_be_absent: bool,
    pub(crate) keys: Vec<Key>,
    pub(crate) sections: Vec<Section>,
}

impl Form {
    /// The keys of `T`, but for those in `without`, which are keys or sections.
    #[must_use]
    pub fn of<T: JsonSchema>(program: Program, without: &[String]) -> Self {
        let generator = SchemaSettings::draft2020_12()
            .with(|settings| settings.inline_subschemas = true)
            .into_generator();
        let mut schema = generator.into_root_schema_for::<T>();
        let object = schema.ensure_object();
        let title = format!("Configuration of {}", program.command);
        object.insert("title".to_owned(), title.into());
        object.insert("description".to_owned(), program.about.into());
        for path in without {
            remove(object, path);
        }
        let root = Section::read(String::new(), schema.as_value(), false);
        without_null(&mut schema);
        Self {
            program,
            root,
            schema,
        }
    }

    /// The JSON Schema of the file.
    ///
    /// # Panics
    /// Never: a schema is JSON.
    #[must_use]
    pub fn schema(&self) -> String {
        let text = serde_json::to_string_pretty(&self.schema);
        text.expect("a schema is JSON") + "\n"
    }

    /// Every key, in the order of the sample.
    #[must_use]
    pub fn keys(&self) -> Vec<&Key> {
        let mut keys = Vec::new();
        self.root.collect(&mut keys);
        keys
    }

    /// The key with this path.
    #[must_use]
    pub fn key(&self, path: &str) -> Option<&Key> {
        self.keys().into_iter().find(|key| key.path == path)
    }

    /// Whether it is a key or a section.
    pub(crate) fn has(&self, path: &str) -> bool {
        let is_in = |key: &Key| {
            let rest = key.path.strip_prefix(path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        self.keys().into_iter().any(is_in)
    }
}

impl Section {
    fn read(path: String, schema: &Value, may_be_absent: bool) -> Self {
        let mut section = Self {
            description: description(schema),
            may_be_absent,
            keys: Vec::new(),
            sections: Vec::new(),
            path,
        };
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = if section.path.is_empty() {
                name.clone()
            } else {
                format!("{}.{name}", section.path)
            };
            if property.get("properties").is_some() {
                let absent = may_be_absent || property["type"].is_array();
                section.sections.push(Self::read(path, property, absent));
            } else {
                section.keys.push(Key::read(path, property));
            }
        }
        section
    }

    fn collect<'s>(&'s self, into: &mut Vec<&'s Key>) {
        into.extend(&self.keys);
        for section in &self.sections {
            section.collect(into);
        }
    }
}

fn remove(schema: &mut Map<String, Value>, path: &str) {
    let Some(Value::Object(properties)) = schema.get_mut("properties") else {
        return;
    };
    match path.split_once('.') {
        None => properties.retain(|name, _| name != path),
        Some((section, rest)) => {
            if let Some(Value::Object(section)) = properties.get_mut(section) {
                remove(section, rest);
            }
        }
    }
}

/// A file has no null: what is not set is not there.
fn without_null(schema: &mut Schema) {
    let types = schema.get("type").and_then(Value::as_array).cloned();
    if let Some(mut types) = types {
        types.retain(|name| name.as_str() != Some("null"));
        let only = if types.len() == 1 { types.pop() } else { None };
        schema.insert("type".to_owned(), only.unwrap_or(Value::Array(types)));
    }
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    if let Some(object) = schema.as_object_mut() {
        object.retain(|name, value| name != "default" || !value.is_null());
    }
    transform_subschemas(&mut without_null, schema);
}

#[cfg(test)]
pub(crate) mod tests {
    use schemars::JsonSchema;
    use serde::Deserialize;

    use super::*;

    /// A program that has a bit of everything.
    #[derive(Deserialize, JsonSchema, PartialEq, Debug, Default)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct Bakery {
        /// Where the flour is.
        #[schemars(extend("examples" = ["/srv/flour"]))]
        pub(crate) store_dir: Option<std::path::PathBuf>,
        #[serde(default)]
        pub(crate) oven: Oven,
        pub(crate) shop: Option<Shop>,
        /// Not of the small bakery.
        pub(crate) brand: Option<String>,
    }

    /// The oven.
    #[derive(Deserialize, JsonSchema, PartialEq, Debug, Default)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct Oven {
        /// Degrees Celsius.
        #[schemars(extend("default" = 220))]
        pub(crate) heat: Option<u16>,
        /// What is
        /// baked.
        #[serde(default)]
        pub(crate) breads: Vec<String>,
        /// Gas or wood.
        #[schemars(extend("default" = "gas"))]
        pub(crate) fuel: Option<Fuel>,
    }

    #[derive(Deserialize, JsonSchema, PartialEq, Debug)]
    #[serde(rename_all = "lowercase")]
    pub(crate) enum Fuel {
        Gas,
        Wood,
    }

    /// Only where bread is sold.
    #[derive(Deserialize, JsonSchema, PartialEq, Debug)]
    #[serde(deny_unknown_fields)]
    pub(crate) struct Shop {
        /// Who sells.
        // Nothing is its default, which is not to be in the schema.
        #[serde(default)]
        #[schemars(extend("examples" = ["Anna"]))]
        pub(crate) seller: Option<String>,
        /// Where it is.
        #[schemars(extend("examples" = ["0.0.0.0:80"]))]
        pub(crate) listen: std::net::SocketAddr,
        /// Of the till.
        #[schemars(extend("examples" = ["1234"], "writeOnly" = true))]
        pub(crate) code: Option<String>,
    }

    pub(crate) const PROGRAM: Program = Program {
        command: "bakery run",
        about: "Bakes bread.",
        prefix: "BAKERY__",
        file: "/etc/bakery.toml",
        required: &["store_dir"],
    };

    pub(crate) fn form() -> Form {
        Form::of::<Bakery>(PROGRAM, &["brand".to_owned()])
    }

    #[test]
    fn the_keys_are_those_of_the_types() {
        let form = form();
        let paths: Vec<&str> = form.keys().iter().map(|key| &*key.path).collect();
        let expected = [
            "store_dir",
            "oven.heat",
            "oven.breads",
            "oven.fuel",
            "shop.seller",
            "shop.listen",
            "shop.code",
        ];
        assert_eq!(paths, expected);
        assert!(form.key("shop.code").unwrap().is_secret && form.key("brand").is_none());
        let [oven, shop] = &form.root.sections[..] else {
            panic!("two sections");
        };
        assert!(!oven.may_be_absent && shop.may_be_absent);
        assert_eq!(oven.description, "The oven.");
    }

    #[test]
    fn the_schema_is_closed_and_has_no_null() {
        let text = form().schema();
        assert!(!text.contains("null") && !text.contains("brand"), "{text}");
        let schema: Value = serde_json::from_str(&text).unwrap();
        for path in ["", "/properties/oven", "/properties/shop"] {
            let closed = schema.pointer(&format!("{path}/additionalProperties"));
            assert_eq!(closed, Some(&Value::Bool(false)), "{path}: {text}");
        }
        let fuel = &schema["properties"]["oven"]["properties"]["fuel"];
        assert_eq!(fuel["type"], "string");
        assert_eq!(fuel["enum"], serde_json::json!(["gas", "wood"]));
        assert_eq!(schema["properties"]["shop"]["required"][0], "listen");
        assert_eq!(schema["title"], "Configuration of bakery run");
    }
}
