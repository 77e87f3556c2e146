//! Events as the API and webhooks show them.

use std::collections::BTreeMap;

use foghorn_rest_types::notifications::{EventCounts, EventFailure, EventObject, EventView};

use crate::state::notify::{Event, Message, Named};

#[must_use]
pub fn event(event: &Event) -> EventView {
    let object = |named: &Option<Named>| {
        named.as_ref().map(|named| EventObject {
            id: named.id,
            name: named.name.clone(),
        })
    };
    EventView {
        id: event.id.clone(),
        kind: event.kind,
        at: event.at.to_string(),
        text: event.text.clone(),
        task: event.task,
        host: object(&event.host),
        image: object(&event.image),
        node: object(&event.node),
        reason: event.reason.clone(),
        counts: event.counts.map(|counts| EventCounts {
            total: counts.total,
            complete: counts.complete,
            failed: counts.failed,
            cancelled: counts.cancelled,
        }),
        failures: event
            .failures
            .iter()
            .map(|failure| EventFailure {
                task: failure.task,
                host: failure.host.clone(),
                reason: failure.reason.clone(),
            })
            .collect(),
    }
}

/// One line about a message.
#[must_use]
pub fn title(message: &Message) -> String {
    let events = match message.events.as_slice() {
        [one] => return one.text.clone(),
        events => events,
    };
    let mut kinds: BTreeMap<_, usize> = BTreeMap::new();
    for event in events {
        *kinds.entry(event.kind).or_default() += 1;
    }
    let each: Vec<String> = kinds
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    format!("{} events: {}", events.len(), each.join(", "))
}
