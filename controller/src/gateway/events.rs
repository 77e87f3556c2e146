//! `POST /events`: how an update gets on.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;
use tracing::debug;

use super::door::Speaker;
use super::refused::{Refused, json, whole};
use crate::app::devices::updates::{self, EventError, Sent};
use crate::ctx::Ctx;
use crate::state::machines::updates::UpdateEvent;

/// An event as devices write it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    id: String,
    #[serde(default)]
    device_time: Option<String>,
    event_type: Kind,
    event: About,
}

#[derive(Deserialize)]
struct Kind {
    id: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct About {
    correlation_id: String,
    #[serde(default)]
    target_name: Option<String>,
    /// A text or a number.
    #[serde(default)]
    version: Value,
    #[serde(default)]
    success: Option<bool>,
    #[serde(default)]
    details: Option<String>,
}

/// One that cannot be read is passed over: a device sends its events again until they are taken.
pub(super) async fn post(
    State(ctx): State<Arc<Ctx>>,
    Extension(Speaker(device)): Extension<Speaker>,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Refused> {
    let sent: Vec<Value> = json(&whole(body)?)?;
    let read: Vec<Sent> = sent.iter().filter_map(read).collect();
    if read.len() < sent.len() {
        let skipped = sent.len() - read.len();
        debug!(uuid = %device.uuid, skipped, "a device has sent events that cannot be read");
    }
    let steps = updates::record(&ctx.state, device.uuid, &read).await?;
    for step in steps {
        debug!(uuid = %device.uuid, ?step, "an update of a device gets on");
    }
    Ok(StatusCode::OK)
}

fn read(sent: &Value) -> Option<Sent> {
    let Written {
        id,
        device_time,
        event_type,
        event,
    } = Written::deserialize(sent).ok()?;
    Some(Sent {
        correlation_id: event.correlation_id,
        event: UpdateEvent {
            id,
            kind: event_type.id,
            device_time: device_time.unwrap_or_default(),
            version: match event.version {
                Value::String(text) => text,
                Value::Number(number) => number.to_string(),
                _ => String::new(),
            },
            target: event.target_name.unwrap_or_default(),
            success: event.success,
            details: event.details.unwrap_or_default(),
        },
    })
}

impl From<EventError> for Refused {
    fn from(error: EventError) -> Self {
        match error {
            // It was deleted since the door.
            EventError::NotThere(_) => Self::new(StatusCode::FORBIDDEN, error.to_string()),
            EventError::State(refusal) => refusal.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_is_read_as_devices_write_it_and_others_are_passed_over() {
        let event = json!({
            "id": "e1",
            "deviceTime": "2021-11-11T14:17:50Z",
            "eventType": {"id": "EcuDownloadStarted", "version": 0},
            "event": {"correlationId": "u1", "targetName": "disk-7", "version": "7", "more": []},
        });
        let sent = read(&event).unwrap();
        assert_eq!(sent.correlation_id, "u1");
        assert_eq!(sent.event.kind, "EcuDownloadStarted");
        assert_eq!((&*sent.event.version, &*sent.event.target), ("7", "disk-7"));
        assert_eq!((sent.event.success, &*sent.event.details), (None, ""));
        let mut number = event.clone();
        number["event"]["version"] = json!(7);
        assert_eq!(read(&number).unwrap().event.version, "7");
        for broken in [
            json!(null),
            json!("e1"),
            json!({"id": "e1"}),
            json!({"id": 1, "eventType": {"id": "k"}, "event": {"correlationId": "u"}}),
            json!({"id": "e1", "eventType": "k", "event": {"correlationId": "u"}}),
            json!({"id": "e1", "eventType": {"id": "k"}, "event": {}}),
        ] {
            assert_eq!(read(&broken), None, "{broken}");
        }
    }
}
