//! One setting, as the schema of a configuration describes it.

use serde_json::Value;

/// See the module.
#[derive(Clone, PartialEq, Debug)]
pub struct Key {
    /// Such as `rest.listen`.
    pub path: String,
    /// What it means.
    pub description: String,
    /// What it is when nothing is set. `None`: nothing, or what the description says.
    pub default: Option<toml::Value>,
    /// A value that somebody might set, of a key without a default.
    pub example: Option<toml::Value>,
    /// Whether its value is shown to nobody.
    pub is_secret: bool,
    pub(crate) kind: Kind,
}

impl Key {
    pub(crate) fn read(path: String, schema: &Value) -> Self {
        let toml = |value: &Value| toml::Value::try_from(value).ok();
        let default = schema.get("default").filter(|value| !value.is_null());
        Self {
            path,
            description: description(schema),
            default: default.and_then(toml),
            example: schema.pointer("/examples/0").and_then(toml),
            is_secret: schema["writeOnly"] == Value::Bool(true),
            kind: Kind::of(schema),
        }
    }

    /// Its last part, which is its name in its section.
    #[must_use]
    pub fn name(&self) -> &str {
        self.path
            .rsplit_once('.')
            .map_or(&self.path, |(_, name)| name)
    }

    /// Its name in the environment after the prefix of the program.
    #[must_use]
    pub fn variable(&self) -> String {
        self.path.replace('.', "__").to_uppercase()
    }
}

/// What a schema says about itself.
pub(crate) fn description(schema: &Value) -> String {
    schema["description"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

/// How the text of a variable becomes a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// Taken as it is: also addresses, paths and words of which one is chosen.
    Text,
    Whole,
    Number,
    Truth,
    List,
    Table,
}

impl Kind {
    fn of(schema: &Value) -> Self {
        let types = match &schema["type"] {
            Value::Array(types) => types.iter().find(|one| one.as_str() != Some("null")),
            one => Some(one),
        };
        match types.and_then(Value::as_str) {
            Some("integer") => Self::Whole,
            Some("number") => Self::Number,
            Some("boolean") => Self::Truth,
            Some("array") => Self::List,
            Some("object") => Self::Table,
            _ => Self::Text,
        }
    }

    /// # Errors
    /// What the text has to be. The text is not repeated: it may be a secret.
    pub(crate) fn value(self, text: &str) -> Result<toml::Value, String> {
        if self == Self::Text {
            return Ok(toml::Value::String(text.to_owned()));
        }
        let read = text.trim().parse::<toml::Value>().ok();
        read.filter(|value| self.takes(value))
            .ok_or_else(|| format!("must be {}", self.in_words()))
    }

    fn takes(self, value: &toml::Value) -> bool {
        match self {
            Self::Text => value.is_str(),
            Self::Whole => value.is_integer(),
            Self::Number => value.is_float() || value.is_integer(),
            Self::Truth => value.is_bool(),
            Self::List => value.is_array(),
            Self::Table => value.is_table(),
        }
    }

    fn in_words(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Whole => "a whole number",
            Self::Number => "a number",
            Self::Truth => "true or false",
            Self::List => "a list as in the file, such as [\"one\", \"two\"]",
            Self::Table => "a table as in the file, such as { name = \"value\" }",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_text_becomes_what_its_key_takes() {
        let integer = |number| toml::Value::Integer(number);
        assert_eq!(Kind::Whole.value(" 8 "), Ok(integer(8)));
        assert_eq!(Kind::Truth.value("true"), Ok(toml::Value::Boolean(true)));
        let list = toml::Value::Array(vec!["a".into(), "b".into()]);
        assert_eq!(Kind::List.value("[\"a\", 'b']"), Ok(list));
        assert_eq!(Kind::Number.value("8"), Ok(integer(8)));
        for text in ["8", "true", "0.0.0.0:8443", " \"quoted\" ", ""] {
            assert_eq!(Kind::Text.value(text), Ok(text.into()), "{text:?}");
        }
        for (kind, text) in [
            (Kind::Whole, "eight"),
            (Kind::Whole, "8\nother = 9"),
            (Kind::Whole, "8.5"),
            (Kind::Truth, "yes"),
            (Kind::Truth, "1"),
            (Kind::List, "a, b"),
            (Kind::Table, "[]"),
        ] {
            let why = kind.value(text).unwrap_err();
            assert!(
                why.starts_with("must be ") && !why.contains("other"),
                "{why}"
            );
        }
    }

    #[test]
    fn a_key_is_what_its_schema_says() {
        let schema = json!({"type": ["integer", "null"], "description": "Seconds.", "default": 5});
        let key = Key::read("rest.idle_seconds".to_owned(), &schema);
        assert_eq!((key.name(), key.kind), ("idle_seconds", Kind::Whole));
        assert_eq!(key.variable(), "REST__IDLE_SECONDS");
        assert_eq!(key.default, Some(toml::Value::Integer(5)));
        assert!(!key.is_secret && key.example.is_none());
        let secret = json!({"type": "string", "writeOnly": true, "default": null});
        let key = Key::read("password".to_owned(), &secret);
        assert!(key.is_secret && key.default.is_none());
        assert_eq!((key.name(), key.kind), ("password", Kind::Text));
    }
}
