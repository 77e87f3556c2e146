//! Compares an answer with a recorded one: status, content type, body. What depends on when and
//! where a server runs is compared by its form.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::http::Reply;
use super::own_words::OwnWords;

/// What differs, and where.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Difference {
    pub(crate) kind: Kind,
    /// Path in the body, such as `.hosts[2].name`; empty for the answer as a whole.
    pub(crate) at: String,
    pub(crate) text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    Status,
    ContentType,
    Location,
    /// The recorded text is ours as FOG rewrites texts: escaped for HTML, blanks squeezed,
    /// characters above U+FFFF lost.
    Rewritten,
    Value,
    /// The same rows in another order.
    Order,
    /// Only the answer of FOG has it.
    Missing,
    /// Only the answer of Foghorn has it.
    Extra,
}

/// What a comparison knows beside the two answers.
pub(crate) struct Context<'c> {
    pub(crate) own_words: &'c OwnWords,
    /// Texts that requests have sent so far: a time among them was not set by the server.
    pub(crate) sent: &'c HashSet<String>,
    /// Ids are compared by their form: FOG adds rows by itself when it fires an event first.
    pub(crate) any_ids: bool,
}

/// Members whose value is presence or load at the moment.
const MOMENTARY: &[&str] = &["online", "clientload"];

/// Every difference. One that is about the answer as a whole stands alone.
pub(crate) fn differences(
    recorded: &Value,
    reply: &Reply,
    context: &Context<'_>,
) -> Vec<Difference> {
    let whole = |kind, text| {
        vec![Difference {
            kind,
            at: String::new(),
            text,
        }]
    };
    let status = recorded["status"].as_u64().unwrap_or_default();
    if status != u64::from(reply.status) {
        let said: String = reply.text.chars().take(160).collect();
        return whole(
            Kind::Status,
            format!(
                "status {} instead of {status}: {said}{}",
                reply.status, reply.problem
            ),
        );
    }
    let content_type = recorded["content_type"].as_str().unwrap_or_default();
    if content_type != reply.content_type {
        return whole(
            Kind::ContentType,
            format!("type {:?} instead of {content_type:?}", reply.content_type),
        );
    }
    let place = |location: &str| {
        location
            .strip_prefix("http://<HOST>")
            .unwrap_or(location)
            .to_owned()
    };
    let location = recorded["headers"]["location"].as_str().map(place);
    if let Some(location) = location.filter(|location| *location != reply.location) {
        return whole(
            Kind::Location,
            format!("location {:?} instead of {location:?}", reply.location),
        );
    }
    let mut found = Vec::new();
    compare("", &recorded["body"], &body(reply), context, &mut found);
    found
}

/// The body as JSON, or as a text when it is none.
pub(crate) fn body(reply: &Reply) -> Value {
    serde_json::from_str(&reply.text).unwrap_or_else(|_| Value::String(reply.text.clone()))
}

/// Compares two values at `path`.
pub(crate) fn compare(
    path: &str,
    fog: &Value,
    ours: &Value,
    context: &Context<'_>,
    out: &mut Vec<Difference>,
) {
    match (fog, ours) {
        (Value::Object(fog), Value::Object(ours)) => objects(path, fog, ours, context, out),
        (Value::Array(fog), Value::Array(ours)) => {
            let sorted;
            let reordered = if context.any_ids {
                None
            } else {
                in_order_of(fog, ours)
            };
            let ours = match reordered {
                None => ours,
                Some(rows) => {
                    push(
                        out,
                        Kind::Order,
                        path,
                        "has the same rows in another order".to_owned(),
                    );
                    sorted = rows;
                    &sorted
                }
            };
            for (place, (fog, ours)) in fog.iter().zip(ours).enumerate() {
                compare(&format!("{path}[{place}]"), fog, ours, context, out);
            }
            if fog.len() != ours.len() {
                let kind = if fog.len() > ours.len() {
                    Kind::Missing
                } else {
                    Kind::Extra
                };
                push(
                    out,
                    kind,
                    path,
                    format!("{} items instead of {}", ours.len(), fog.len()),
                );
            }
        }
        (Value::String(fog), Value::String(ours)) => texts(path, fog, ours, context, out),
        _ if fog == ours => {}
        _ => push(
            out,
            Kind::Value,
            path,
            format!("is {} instead of {}", short(ours), short(fog)),
        ),
    }
}

/// Our rows in FOG's order, if they are the same ones and in another order.
fn in_order_of(fog: &[Value], ours: &[Value]) -> Option<Vec<Value>> {
    let ids = |rows: &[Value]| {
        rows.iter()
            .map(|row| row.get("id").cloned())
            .collect::<Option<Vec<_>>>()
    };
    let (wanted, found) = (ids(fog)?, ids(ours)?);
    if wanted == found || wanted.len() != found.len() {
        return None;
    }
    wanted
        .iter()
        .map(|id| {
            found
                .iter()
                .position(|other| other == id)
                .map(|place| ours[place].clone())
        })
        .collect()
}

fn objects(
    path: &str,
    fog: &Map<String, Value>,
    ours: &Map<String, Value>,
    context: &Context<'_>,
    out: &mut Vec<Difference>,
) {
    for (key, value) in fog {
        let at = format!("{path}.{key}");
        let Some(other) = ours.get(key) else {
            push(out, Kind::Missing, &at, "is missing".to_owned());
            continue;
        };
        let momentary = MOMENTARY.contains(&key.as_str())
            && std::mem::discriminant(value) == std::mem::discriminant(other);
        let described = key == "description" && context.own_words.are_the_same(fog, ours);
        if !momentary && !described && !is_free(key, fog, value, other) {
            compare(&at, value, other, context, out);
        }
    }
    for key in ours.keys().filter(|key| !fog.contains_key(*key)) {
        push(
            out,
            Kind::Extra,
            &format!("{path}.{key}"),
            "is not in the recording".to_owned(),
        );
    }
}

/// Values that a server chooses: the port of a further multicast session, the next run of a cron
/// schedule.
fn is_free(key: &str, fog: &Map<String, Value>, value: &Value, other: &Value) -> bool {
    let (Some(value), Some(other)) = (value.as_str(), other.as_str()) else {
        return false;
    };
    let is_port = |text: &str| {
        text.parse::<u32>()
            .is_ok_and(|port| port % 2 == 0 && (49_152..=65_532).contains(&port))
    };
    match key {
        "port" => is_port(value) && is_port(other),
        "value"
            if fog
                .get("name")
                .is_some_and(|name| name == "FOG_UDPCAST_STARTINGPORT") =>
        {
            is_port(value) && is_port(other)
        }
        "runtime" if fog.get("type").is_some_and(|kind| kind == "C") => {
            value.len() == 16 && other.len() == 16
        }
        _ => false,
    }
}

fn texts(path: &str, fog: &str, ours: &str, context: &Context<'_>, out: &mut Vec<Difference>) {
    if fog == ours || (is_time(fog) && is_time(ours) && !context.sent.contains(fog)) {
        return;
    }
    let is_id = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if context.any_ids && is_id(fog) && is_id(ours) {
        return;
    }
    let kind = if as_rewritten(fog) == as_rewritten(ours) {
        Kind::Rewritten
    } else {
        Kind::Value
    };
    push(
        out,
        kind,
        path,
        format!(
            "is {} instead of {}",
            short(&ours.into()),
            short(&fog.into())
        ),
    );
}

fn push(out: &mut Vec<Difference>, kind: Kind, at: &str, text: String) {
    out.push(Difference {
        kind,
        at: at.to_owned(),
        text,
    });
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(100).collect()
}

/// `YYYY-MM-DD HH:MM:SS`, and not never.
fn is_time(text: &str) -> bool {
    let form = b"0000-00-00 00:00:00";
    text.len() == form.len()
        && text.bytes().zip(form).all(|(a, b)| {
            if *b == b'0' {
                a.is_ascii_digit()
            } else {
                a == *b
            }
        })
        && !text.starts_with("0000")
}

/// A text after everything that a FOG server may do to it, as often as it may have done it.
fn as_rewritten(text: &str) -> String {
    let mut plain = text.to_owned();
    loop {
        let next = unescape(&plain);
        if next == plain {
            break;
        }
        plain = next;
    }
    plain
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .replace(|c: char| u32::from(c) > 0xFFFF, "????")
}

/// Undoes one round of HTML escapes.
pub(crate) fn unescape(text: &str) -> String {
    text.replace("&quot;", "\"")
        .replace("&#039;", "'")
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&")
}
