//! What a message says: as JSON for programs, as lines for people.

use foghorn_types::{NoticeKind, Timestamp};
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::app::notices::view;
use crate::state::notify::{Event, Message};

/// The body of a webhook.
pub(super) fn json(message: &Message) -> String {
    let data = match message.events.as_slice() {
        [one] => json!(view::event(one)),
        many => {
            let events: Vec<Value> = many.iter().map(|one| json!(view::event(one))).collect();
            json!({ "text": view::title(message), "events": events })
        }
    };
    let body = json!({
        "type": kind(message),
        "timestamp": message.created.to_string(),
        "data": data,
    });
    body.to_string()
}

/// The kind of the event, or that there are several.
pub(super) fn kind(message: &Message) -> &'static str {
    match message.events.as_slice() {
        [one] => one.kind.as_str(),
        _ => "digest",
    }
}

/// Local time with its distance from UTC.
pub(super) fn time(at: Timestamp, zone: &TimeZone) -> String {
    jiff::Timestamp::from_millisecond(at.as_millis())
        .unwrap_or_default()
        .to_zoned(zone.clone())
        .strftime("%Y-%m-%d %H:%M:%S %z")
        .to_string()
}

/// What happened, a line for each event.
pub(super) fn lines(message: &Message, zone: &TimeZone) -> String {
    let several = message.events.len() > 1;
    let mut lines: Vec<String> = Vec::new();
    if several {
        lines.push(view::title(message));
    }
    for event in &message.events {
        let text = &event.text;
        lines.push(if several {
            format!("{}  {text}", time(event.at, zone))
        } else {
            text.clone()
        });
        lines.extend(failures(event));
    }
    lines.join("\n")
}

fn failures(event: &Event) -> impl Iterator<Item = String> {
    let of_order = event.kind == NoticeKind::GroupFinished;
    let failures = event.failures.iter().filter(move |_| of_order);
    failures.map(|one| format!("  {} (task {}): {}", one.host, one.task, one.reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::notify::{Counts, Failure, Fate, Named};

    fn message(events: Vec<Event>) -> Message {
        let created = Timestamp::from_millis(1_796_000_000_000);
        Message {
            target: 1,
            id: "m".to_owned(),
            created,
            events,
            failed: 0,
            error: None,
            fate: Fate::Delivered { at: created },
            modified: 0,
        }
    }

    fn event(kind: NoticeKind, text: &str) -> Event {
        Event {
            id: "e".to_owned(),
            host: Some(Named {
                id: 3,
                name: "pc3".to_owned(),
            }),
            ..Event::new(
                kind,
                Timestamp::from_millis(1_796_000_000_000),
                text.to_owned(),
            )
        }
    }

    #[test]
    fn one_event_is_its_own_message() {
        let one = message(vec![event(NoticeKind::TaskFailed, "it failed")]);
        let value: Value = serde_json::from_str(&json(&one)).unwrap();
        assert_eq!(
            value,
            json!({
                "type": "task-failed", "timestamp": "2026-11-30T00:53:20Z",
                "data": {"id": "e", "kind": "task-failed", "at": "2026-11-30T00:53:20Z",
                    "text": "it failed", "host": {"id": 3, "name": "pc3"}},
            })
        );
        assert_eq!(lines(&one, &TimeZone::UTC), "it failed");
    }

    #[test]
    fn several_events_are_a_digest() {
        let mut order = event(NoticeKind::GroupFinished, "1 of 2");
        order.counts = Some(Counts::default());
        order.failures = vec![Failure {
            task: 9,
            host: "pc9".to_owned(),
            reason: "no disk".to_owned(),
        }];
        let both = message(vec![
            event(NoticeKind::TaskFailed, "it failed"),
            event(NoticeKind::TaskFailed, "it failed too"),
            order,
        ]);
        let value: Value = serde_json::from_str(&json(&both)).unwrap();
        assert_eq!(
            (
                &value["type"],
                value["data"]["events"].as_array().unwrap().len()
            ),
            (&json!("digest"), 3)
        );
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        assert_eq!(
            lines(&both, &zone),
            "3 events: 2 task-failed, 1 group-finished\n\
             2026-11-30 01:53:20 +0100  it failed\n\
             2026-11-30 01:53:20 +0100  it failed too\n\
             2026-11-30 01:53:20 +0100  1 of 2\n  pc9 (task 9): no disk"
        );
    }
}
