//! Messages for chat services: JSON made from a template.

use jiff::tz::TimeZone;

use super::payload;
use crate::app::notices::template::{Template, TemplateError};
use crate::app::notices::view;
use crate::state::notify::{Event, Message, Named};

pub(super) fn body(
    template: &str,
    message: &Message,
    zone: &TimeZone,
) -> Result<String, TemplateError> {
    let template = Template::parse(template)?;
    Ok(template.render(|name| value(name, message, zone)))
}

/// Of several events, only what is said of all of them together.
fn value(name: &str, message: &Message, zone: &TimeZone) -> String {
    let one = match message.events.as_slice() {
        [one] => Some(one),
        _ => None,
    };
    let named = |of: fn(&Event) -> &Option<Named>| {
        one.and_then(|event| of(event).as_ref())
            .map_or_else(String::new, |named| named.name.clone())
    };
    match name {
        "text" => payload::lines(message, zone),
        "title" => view::title(message),
        "kind" => payload::kind(message).to_owned(),
        "time" => payload::time(one.map_or(message.created, |event| event.at), zone),
        "host" => named(|event| &event.host),
        "image" => named(|event| &event.image),
        "node" => named(|event| &event.node),
        "task" => one
            .and_then(|event| event.task)
            .map_or_else(String::new, |task| task.to_string()),
        "reason" => one
            .and_then(|event| event.reason.clone())
            .unwrap_or_default(),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use foghorn_types::{NoticeKind, Timestamp};

    use super::*;
    use crate::app::notices::template::PLACEHOLDERS;
    use crate::state::notify::Fate;

    #[test]
    fn every_placeholder_stands_for_something() {
        let at = Timestamp::from_millis(1_796_000_000_000);
        let named = |name: &str| {
            Some(Named {
                id: 1,
                name: name.to_owned(),
            })
        };
        let event = Event {
            task: Some(7),
            host: named("pc\"3\""),
            image: named("win"),
            node: named("north"),
            reason: Some("no\ndisk".to_owned()),
            ..Event::new(NoticeKind::TaskFailed, at, "it failed".to_owned())
        };
        let message = Message {
            target: 1,
            id: "m".to_owned(),
            created: at,
            events: vec![event],
            failed: 0,
            error: None,
            fate: Fate::Delivered { at },
            modified: 0,
        };
        for (name, _) in PLACEHOLDERS {
            assert_ne!(value(name, &message, &TimeZone::UTC), "", "{name}");
        }
        let template = r#"{"text": "{host}: {reason} ({task}, {kind}, {time})"}"#;
        assert_eq!(
            body(template, &message, &TimeZone::UTC).unwrap(),
            r#"{"text":"pc\"3\": no\ndisk (7, task-failed, 2026-11-30 00:53:20 +0000)"}"#
        );
    }
}
