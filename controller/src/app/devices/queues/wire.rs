//! What a message looks like to whoever gets it. Pure.

use data_encoding::BASE64;
use foghorn_types::Timestamp;
use serde_json::{Value, json};

use crate::state::machines::queue::QueueMessage;

/// For how long a token is good: clocks differ.
const GOOD_FOR_SECONDS: i64 = 600;
/// Who sends.
const ISSUER: &str = "foghorn";

/// How messages name their queue.
#[must_use]
pub fn subscription(factory: &str, label: &str) -> String {
    format!("factories/{factory}/event-queues/{label}")
}

/// The message by itself.
#[must_use]
pub fn message(message: &QueueMessage) -> Value {
    let at = message.at.to_string();
    json!({
        "attributes": {"event-type": message.kind.as_str()},
        "data": BASE64.encode(message.data.as_bytes()),
        "messageId": message.id,
        "message_id": message.id,
        "publishTime": at,
        "publish_time": at,
    })
}

/// What a receiver is sent.
#[must_use]
pub fn pushed(one: &QueueMessage, subscription: &str) -> Value {
    json!({"message": message(one), "subscription": subscription})
}

/// The claims of the token that goes with it.
#[must_use]
pub fn claims(url: &str, subscription: &str, now: Timestamp) -> Value {
    let now = now.as_millis().div_euclid(1000);
    json!({
        "iss": ISSUER,
        "sub": subscription,
        "aud": url,
        "iat": now,
        "exp": now + GOOD_FOR_SECONDS,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::machines::queue::EventKind;

    #[test]
    fn a_message_has_both_spellings_of_its_members() {
        let one = QueueMessage {
            queue: 1,
            id: "7".to_owned(),
            kind: EventKind::DeviceFirstSeen,
            at: "2021-11-11T14:17:50Z".parse().unwrap(),
            data: "{}".to_owned(),
            failed: 3,
            error: Some("why".to_owned()),
            due: Timestamp::from_millis(1),
            claim: None,
            modified: 5,
        };
        let subscription = subscription("lab", "erp");
        let expected = json!({
            "message": {
                "attributes": {"event-type": "DEVICE_FIRST_SEEN"},
                "data": "e30=",
                "messageId": "7",
                "message_id": "7",
                "publishTime": "2021-11-11T14:17:50Z",
                "publish_time": "2021-11-11T14:17:50Z",
            },
            "subscription": "factories/lab/event-queues/erp",
        });
        assert_eq!(pushed(&one, &subscription), expected);
        let claims = claims("https://lab/", &subscription, one.at);
        assert_eq!(claims["aud"], "https://lab/");
        let left = claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap();
        assert_eq!(left, GOOD_FOR_SECONDS);
    }
}
