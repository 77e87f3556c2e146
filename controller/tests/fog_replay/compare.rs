//! Compares an answer with a recorded one. Times that the server sets, load and presence are compared by form only.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::fog_support::Reply;

pub struct Expected {
    pub status: u16,
    content_type: String,
    body: Value,
}

/// Keys whose value depends on when and where a server runs.
const PRESENCE: &[&str] = &["online", "clientload"];

impl Expected {
    pub fn new(response: &Value, own_words: &BTreeMap<String, String>) -> Self {
        let mut body = response["body"].clone();
        rewrite(&mut body, own_words);
        Self {
            status: u16::try_from(response["status"].as_u64().unwrap()).unwrap(),
            content_type: response["content_type"].as_str().unwrap_or_default().to_owned(),
            body,
        }
    }

    /// Every difference, with its path in the body. One that is about the answer as a whole stands alone.
    pub fn differences(&self, reply: &Reply) -> Vec<String> {
        if self.status != reply.status.as_u16() {
            let text = reply.text.chars().take(160).collect::<String>();
            return vec![format!(
                "status {} instead of {}: {text}{}",
                reply.status.as_u16(),
                self.status,
                reply.problem
            )];
        }
        if self.content_type != reply.content_type {
            return vec![format!("type {:?} instead of {:?}: {}", reply.content_type, self.content_type, reply.text)];
        }
        let found = serde_json::from_str(&reply.text).unwrap_or_else(|_| Value::String(reply.text.clone()));
        let mut differences = Vec::new();
        compare("", &self.body, &found, &mut differences);
        differences
    }
}

fn compare(path: &str, expected: &Value, found: &Value, out: &mut Vec<String>) {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => {
            for (key, value) in expected {
                let at = format!("{path}.{key}");
                match found.get(key) {
                    None => out.push(format!("{at} is missing")),
                    Some(other) if PRESENCE.contains(&key.as_str()) => {
                        if std::mem::discriminant(value) != std::mem::discriminant(other) {
                            out.push(format!("{at} is {other} instead of {value}"));
                        }
                    }
                    Some(other) => compare(&at, value, other, out),
                }
            }
            out.extend(
                found.keys().filter(|key| !expected.contains_key(*key)).map(|key| format!("{path}.{key} is too much")),
            );
        }
        (Value::Array(expected), Value::Array(found)) => {
            for (place, (value, other)) in expected.iter().zip(found).enumerate() {
                compare(&format!("{path}[{place}]"), value, other, out);
            }
            if expected.len() != found.len() {
                out.push(format!("{path} has {} items instead of {}", found.len(), expected.len()));
            }
        }
        (Value::String(expected), Value::String(found)) if set_by_server(expected) && set_by_server_form(found) => {}
        _ if expected == found => {}
        _ => out.push(format!("{path} is {} instead of {}", short(found), short(expected))),
    }
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(80).collect()
}

/// The recordings were made on one day.
fn set_by_server(text: &str) -> bool {
    text.len() == 19 && text.starts_with("2026-11-21 22:")
}

fn set_by_server_form(text: &str) -> bool {
    text.len() == 19
        && text.bytes().zip(b"0000-00-00 00:00:00").all(|(a, b)| if *b == b'0' { a.is_ascii_digit() } else { a == *b })
        && !text.starts_with("0000")
}

fn rewrite(value: &mut Value, own_words: &BTreeMap<String, String>) {
    match value {
        Value::String(text) => {
            *text = unescape(text);
        }
        Value::Array(items) => items.iter_mut().for_each(|item| rewrite(item, own_words)),
        Value::Object(members) => {
            members.values_mut().for_each(|item| rewrite(item, own_words));
            let name = members.get("name").and_then(Value::as_str).unwrap_or_default();
            let text = members.get("description").and_then(Value::as_str).unwrap_or_default();
            if let Some(own) = own_words.get(&format!("{name}/{text}")) {
                members.insert("description".to_owned(), Value::String(own.clone()));
            }
        }
        _ => {}
    }
}

/// Undoes the HTML escapes that a FOG server puts into JSON and we don't.
pub fn unescape(text: &str) -> String {
    text.replace("&quot;", "\"").replace("&#039;", "'").replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}
