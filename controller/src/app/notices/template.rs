//! Templates of chat messages: JSON in whose texts `{placeholder}` stands for something of the
//! message.
//!
//! The template is read as JSON first, and placeholders are replaced in the texts that were read.
//! So nothing that a host or a reason contains can change the structure of what is sent.

use serde_json::Value;

/// What is sent when no template is given: Slack, Mattermost and Teams take it.
pub const USUAL: &str = r#"{"text": "{text}"}"#;

/// What placeholders there are, with what they stand for.
pub const PLACEHOLDERS: [(&str, &str); 9] = [
    ("text", "what happened, in one or several lines"),
    ("title", "the same in one short line"),
    ("kind", "the kind of event, or digest"),
    ("time", "when it happened"),
    ("host", "name of the host, empty when it is about none"),
    ("image", "name of the image"),
    ("node", "name of the storage node"),
    ("task", "number of the task"),
    ("reason", "why, as it was said"),
];

/// Why a text is not a template.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TemplateError {
    #[error(
        "is not JSON: line {line}, column {column}; placeholders are only allowed between quotation marks"
    )]
    Json { line: usize, column: usize },
    #[error("must be a JSON object")]
    NoObject,
    #[error("has the unknown placeholder {{{name}}}; known are {known}")]
    Unknown { name: String, known: String },
    #[error("has no placeholder: every message would be the same")]
    None,
}

/// A template that was checked.
#[derive(Clone, PartialEq, Debug)]
pub struct Template(Value);

impl Template {
    /// # Errors
    /// See [`TemplateError`].
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let value: Value = serde_json::from_str(text).map_err(|error| TemplateError::Json {
            line: error.line(),
            column: error.column(),
        })?;
        if !value.is_object() {
            return Err(TemplateError::NoObject);
        }
        let mut names = Vec::new();
        visit(&value, &mut |text| names.extend(placeholders(text)));
        if names.is_empty() {
            return Err(TemplateError::None);
        }
        let known = PLACEHOLDERS.map(|(name, _)| name);
        match names
            .into_iter()
            .find(|name| !known.contains(&name.as_str()))
        {
            Some(name) => Err(TemplateError::Unknown {
                name,
                known: known.map(|name| format!("{{{name}}}")).join(", "),
            }),
            None => Ok(Self(value)),
        }
    }

    /// The JSON text with what each placeholder stands for.
    #[must_use]
    pub fn render(&self, of: impl Fn(&str) -> String) -> String {
        fill(&self.0, &of).to_string()
    }
}

fn visit(value: &Value, see: &mut impl FnMut(&str)) {
    match value {
        Value::String(text) => see(text),
        Value::Array(items) => items.iter().for_each(|item| visit(item, see)),
        Value::Object(members) => members.values().for_each(|member| visit(member, see)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn fill(value: &Value, of: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => Value::String(replaced(text, of)),
        Value::Array(items) => items.iter().map(|item| fill(item, of)).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(name, member)| (name.clone(), fill(member, of)))
            .collect(),
        plain => plain.clone(),
    }
}

/// The parts of a text: what is between placeholders, and their names.
enum Part<'t> {
    Plain(&'t str),
    Placeholder(&'t str),
}

fn parts(mut text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    while let Some(open) = text.find('{') {
        let after = &text[open + 1..];
        let name = after.split_once('}').map(|(name, _)| name);
        let name = name.filter(|name| {
            !name.is_empty()
                && name
                    .bytes()
                    .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
        });
        match name {
            Some(name) => {
                parts.push(Part::Plain(&text[..open]));
                parts.push(Part::Placeholder(name));
                text = &after[name.len() + 1..];
            }
            None => {
                parts.push(Part::Plain(&text[..=open]));
                text = after;
            }
        }
    }
    parts.push(Part::Plain(text));
    parts
}

fn placeholders(text: &str) -> Vec<String> {
    let names = parts(text).into_iter().filter_map(|part| match part {
        Part::Placeholder(name) => Some(name.to_owned()),
        Part::Plain(_) => None,
    });
    names.collect()
}

fn replaced(text: &str, of: &impl Fn(&str) -> String) -> String {
    let words = parts(text).into_iter().map(|part| match part {
        Part::Plain(text) => text.to_owned(),
        Part::Placeholder(name) => of(name),
    });
    words.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_put_in_changes_the_structure() {
        let template = Template::parse(
            r#"{"blocks": [{"type": "section", "text": "*{title}* {x y} {}"}], "n": 3, "t": "{reason}{host}"}"#,
        )
        .unwrap();
        let text = template.render(|name| match name {
            "title" => "a \"quoted\"\n{reason} \\ \u{7}".to_owned(),
            "reason" => "\"}], \"admin\": true, {\"".to_owned(),
            _ => "pc\u{2028}1".to_owned(),
        });
        let value: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            value,
            serde_json::json!({
                "blocks": [{"type": "section",
                    "text": "*a \"quoted\"\n{reason} \\ \u{7}* {x y} {}"}],
                "n": 3,
                "t": "\"}], \"admin\": true, {\"pc\u{2028}1",
            }),
            "placeholders in what is put in are not looked at again"
        );
    }

    #[test]
    fn what_is_wrong_with_a_template_is_said() {
        let refused = |text| Template::parse(text).unwrap_err();
        assert_eq!(
            refused("{\"text\":\n {text}}"),
            TemplateError::Json { line: 2, column: 3 }
        );
        assert_eq!(refused(r#"["{text}"]"#), TemplateError::NoObject);
        assert_eq!(refused(r#"{"text": "hello"}"#), TemplateError::None);
        let unknown = refused(r#"{"text": "{txet}"}"#).to_string();
        assert!(
            unknown.contains("{txet}") && unknown.contains("{text}, {title}"),
            "{unknown}"
        );
        assert!(Template::parse(USUAL).is_ok());
    }
}
