//! Event queues and their messages as they are shown.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::here::Here;
use super::times;
use crate::app::devices::queues::delivery::AckId;
use crate::app::devices::queues::{Shown, wire};
use crate::state::machines::queue::QueueMessage;
use crate::trust::TokenKey;

/// What is written otherwise in a part of a path.
const IN_PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Whether messages are sent or fetched.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub(super) enum QueueKind {
    /// We send them to a URL.
    Push,
    /// Programs fetch them.
    Pull,
}

/// An event queue.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct EventQueueView {
    /// Its label.
    label: String,
    /// Whether messages are sent or fetched.
    #[serde(rename = "type")]
    kind: QueueKind,
    /// Where messages are sent, without the values in its query. Only of type `push`.
    #[serde(skip_serializing_if = "Option::is_none")]
    push_url: Option<String>,
    /// Where messages are fetched. Only of type `pull`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pull_url: Option<String>,
    /// Where messages are acknowledged. Only of type `pull`.
    #[serde(skip_serializing_if = "Option::is_none")]
    acknowledge_url: Option<String>,
    /// Messages that nobody has taken yet.
    messages: usize,
    /// Why the oldest of the messages that could not be sent was not; absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// When it was made, RFC 3339.
    created_at: String,
}

impl EventQueueView {
    pub(super) fn of(shown: &Shown, factory: &str, here: &Here) -> Self {
        let Shown { queue, load, error } = shown;
        let part = |text: &str| utf8_percent_encode(text, IN_PATH).to_string();
        let path = format!(
            "/ota/factories/{}/event-queues/{}",
            part(factory),
            part(&queue.label)
        );
        let url = |rest: &str| here.at(&format!("{path}/{rest}/"));
        let is_pulled = queue.push.is_none();
        Self {
            label: queue.label.clone(),
            kind: match is_pulled {
                true => QueueKind::Pull,
                false => QueueKind::Push,
            },
            push_url: queue.push.as_ref().map(|web| web.shown.clone()),
            pull_url: is_pulled.then(|| url("messages")),
            acknowledge_url: is_pulled.then(|| url("acknowledge")),
            messages: load.messages,
            error: error.clone(),
            created_at: times::of_device(queue.created),
        }
    }
}

/// Messages that have been fetched.
#[derive(Serialize, JsonSchema)]
pub(super) struct LeasedMessages {
    /// Those that have been free for longest first.
    pub(super) messages: Vec<LeasedMessage>,
}

/// A message that has been fetched.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) struct LeasedMessage {
    /// By which it is acknowledged.
    ack_id: String,
    /// When the lease ends, RFC 3339.
    leased_until: String,
    /// The message as it would be pushed: `attributes` with the `event-type`, `data` (JSON in base64), `messageId`
    /// and `publishTime`.
    message: Value,
}

impl LeasedMessage {
    /// `None` of a message that nobody has leased.
    pub(super) fn of(message: &QueueMessage) -> Option<Self> {
        let claim = message.claim?;
        Some(Self {
            ack_id: AckId::of(message)?.to_string(),
            leased_until: times::of_device(claim.until),
            message: wire::message(message),
        })
    }
}

/// What was acknowledged.
#[derive(Serialize, JsonSchema)]
pub(super) struct Acknowledged {
    /// How many messages were there.
    pub(super) acknowledged: usize,
}

/// Keys that sign pushed messages: a JSON Web Key Set.
#[derive(Serialize, JsonSchema)]
pub(super) struct EventKeys {
    /// One, or none.
    pub(super) keys: Vec<EventKey>,
}

/// A JSON Web Key.
#[derive(Serialize, JsonSchema)]
pub(super) struct EventKey {
    /// `EC`.
    kty: &'static str,
    /// `P-256`.
    crv: &'static str,
    /// Coordinate, base64url.
    x: String,
    /// Coordinate, base64url.
    y: String,
    /// By which tokens name it: its thumbprint (RFC 7638).
    kid: String,
    /// `ES256`.
    alg: &'static str,
    /// `sig`.
    #[serde(rename = "use")]
    used_for: &'static str,
}

impl EventKey {
    pub(super) fn of(key: TokenKey) -> Self {
        Self {
            kty: "EC",
            crv: "P-256",
            x: key.x,
            y: key.y,
            kid: key.id,
            alg: "ES256",
            used_for: "sig",
        }
    }
}
