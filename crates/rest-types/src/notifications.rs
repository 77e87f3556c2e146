//! Bodies of the routes for notifications: who is told of what, and what became of each message.

use foghorn_types::NoticeKind;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::Rfc3339;

/// How somebody is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum NotifyBy {
    /// A POST of our JSON, signed as Standard Webhooks are.
    Webhook,
    /// A POST of JSON that is made from a template: Slack, Mattermost, Teams.
    Chat,
    /// E-mail.
    Mail,
}

/// How a mail server is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum MailSecurity {
    /// STARTTLS, which is required. Port 587 unless another is given.
    Starttls,
    /// TLS from the beginning. Port 465 unless another is given.
    Tls,
    /// No encryption: only to a server on the controller's own machine. Port 25 unless another is
    /// given.
    Plain,
}

macro_rules! bodies {
    ($($(#[$about:meta])* $name:ident: $type:ty,)*) => {
        /// Somebody who is to be told.
        #[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct NewNotification {
            /// 1 to 60 characters; no two have the same name.
            pub name: String,
            /// How.
            pub by: NotifyBy,
            $(
                $(#[$about])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $name: Option<$type>,
            )*
        }

        /// Changes; what is not given stays as it is.
        #[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct NotificationEdit {
            /// Another name.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub name: Option<String>,
            $(
                $(#[$about])*
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $name: Option<$type>,
            )*
        }

        impl NewNotification {
            /// One without terms.
            #[must_use]
            pub fn new(name: String, by: NotifyBy) -> Self {
                Self { name, by, $($name: None,)* }
            }

            /// The terms, as changes of nothing.
            #[must_use]
            pub fn terms(self) -> NotificationEdit {
                NotificationEdit { name: Some(self.name), $($name: self.$name,)* }
            }

            /// The same with these terms.
            #[must_use]
            pub fn with(self, terms: NotificationEdit) -> Self {
                Self { name: self.name, by: self.by, $($name: terms.$name,)* }
            }
        }
    };
}

bodies! {
    /// Whether messages are sent. Default true. While it is false nothing is gathered for later.
    enabled: bool,
    /// Of what is told. Default and when empty: the kinds that the rows of the class `notifyevent` name; if there are
    /// none, everything but `task-finished`.
    kinds: Vec<NoticeKind>,
    /// Ids of groups of hosts: nothing is told of other hosts. Default and when empty: all hosts. What is about no
    /// host, such as a lost node, is always told.
    groups: Vec<u32>,
    /// Messages that may be sent at once. Default 5. What is more waits and comes together in one message.
    burst: u32,
    /// Seconds after which one more message is allowed. Default 60.
    interval_seconds: u32,
    /// Of a webhook or chat: `https://…` or `http://…`. It is stored encrypted and shown without its query, that of a
    /// chat also without its path.
    url: String,
    /// Of a webhook: `whsec_` and 24 to 64 bytes in base64. Default: a new one, which the answer shows once.
    secret: String,
    /// Of a chat: a JSON object with placeholders in its texts. Default `{"text": "{text}"}`.
    template: String,
    /// Certificates (PEM) of the only authorities that are trusted, instead of the public ones. An empty text goes
    /// back to those.
    ca_pem: String,
    /// Of a mail: 1 to 20 addresses.
    to: Vec<String>,
    /// Of a mail: the address of the sender.
    from: String,
    /// Of a mail: name or address of the server.
    server: String,
    /// Of a mail: port of the server.
    port: u16,
    /// Of a mail. Default `starttls`.
    security: MailSecurity,
    /// Of a mail: with which to log in to the server. An empty text: not at all.
    user: String,
    /// Of a mail: the password of that user. It is stored encrypted and never shown.
    password: String,
}

/// Somebody who is told.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NotificationView {
    /// Its id.
    #[schemars(range(min = 1))]
    pub id: u32,
    /// Its name.
    pub name: String,
    /// How.
    pub by: NotifyBy,
    /// Whether messages are sent.
    pub enabled: bool,
    /// To what or whom, without secrets.
    pub address: String,
    /// Of what is told.
    pub kinds: Vec<NoticeKind>,
    /// Whether these kinds were chosen for this one, and are not those of the site.
    pub own_kinds: bool,
    /// Ids of the groups of hosts; empty for all hosts.
    pub groups: Vec<u32>,
    /// Messages that may be sent at once.
    pub burst: u32,
    /// Seconds after which one more message is allowed.
    pub interval_seconds: u32,
    /// Of a chat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// Authorities that are trusted instead of the public ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
    /// Of a mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<MailView>,
    /// Events that wait for being allowed.
    pub pending: usize,
    /// Messages that wait for their first or next attempt.
    pub waiting: usize,
    /// Messages that were given up.
    pub dead: usize,
    /// When a message was delivered last, RFC 3339 in UTC; `null` when none was.
    #[schemars(with = "Option<Rfc3339>")]
    pub last_delivered: Option<String>,
    /// Why the last attempt failed, if it did.
    pub last_error: Option<String>,
}

/// How mails are sent.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct MailView {
    /// Addresses.
    pub to: Vec<String>,
    /// Address of the sender.
    pub from: String,
    /// The server.
    pub server: String,
    /// Its port.
    pub port: u16,
    /// How it is spoken to.
    pub security: MailSecurity,
    /// With which to log in.
    pub user: Option<String>,
    /// Whether there is a password.
    pub has_password: bool,
}

/// Who is told.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NotificationList {
    /// In the order of their names.
    pub notifications: Vec<NotificationView>,
}

/// Somebody who will be told from now on.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NotificationCreated {
    /// Who.
    pub notification: NotificationView,
    /// With which messages of a webhook are signed; shown once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
}

/// Which messages are meant.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeliveryQuery {
    /// Only those that were given up.
    pub dead: Option<bool>,
    /// At most this many, the newest. Default 50, at most 600.
    pub limit: Option<usize>,
}

/// Messages.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryList {
    /// The newest first.
    pub deliveries: Vec<DeliveryView>,
}

/// A message and what became of it.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DeliveryView {
    /// Its id, the same in every attempt: of a webhook the header `webhook-id`.
    pub id: String,
    /// What became of it.
    pub state: DeliveryState,
    /// When it was made, RFC 3339 in UTC.
    #[schemars(with = "Rfc3339")]
    pub created: String,
    /// One line.
    pub title: String,
    /// The events in it.
    pub events: Vec<EventView>,
    /// Attempts that failed since it was made or sent again.
    pub failed_attempts: u32,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// When it is sent next, was delivered or was given up, RFC 3339 in UTC.
    #[schemars(with = "Rfc3339")]
    pub at: String,
}

/// What became of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum DeliveryState {
    /// It waits for its first or next attempt.
    Waiting,
    /// A controller is sending it.
    Sending,
    /// The receiver has taken it.
    Delivered,
    /// It was given up; it can be sent again.
    Dead,
}

/// Something that happened; also what the `data` of a webhook consists of.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EventView {
    /// Its id, the same for everybody who is told.
    pub id: String,
    /// What happened.
    pub kind: NoticeKind,
    /// When, RFC 3339 in UTC.
    #[schemars(with = "Rfc3339")]
    pub at: String,
    /// One sentence.
    pub text: String,
    /// Id of the task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<u32>,
    /// The host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<EventObject>,
    /// The image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<EventObject>,
    /// The storage node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<EventObject>,
    /// Why, in the words of whoever reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Of `group-finished`: how the tasks ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counts: Option<EventCounts>,
    /// Of `group-finished`: the tasks that failed, at most 50.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failures: Vec<EventFailure>,
}

/// An object, as it was called when the event happened.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EventObject {
    /// Its id.
    pub id: u32,
    /// Its name.
    pub name: String,
}

/// How the tasks of an order ended.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EventCounts {
    /// All tasks.
    pub total: u32,
    /// Those that are complete.
    pub complete: u32,
    /// Those that failed.
    pub failed: u32,
    /// Those that somebody cancelled.
    pub cancelled: u32,
}

/// A task of an order that failed.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct EventFailure {
    /// Id of the task.
    pub task: u32,
    /// Name of the host.
    pub host: String,
    /// Why.
    pub reason: String,
}

/// A message that was asked for.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TestSent {
    /// Id of the message: `deliveries` shows what becomes of it.
    pub delivery: String,
}

/// Which messages are to be sent again.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RetryRequest {
    /// Id of one message. Default: all that were given up or wait for another attempt.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivery: Option<String>,
}

/// Messages that are sent again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Retried {
    /// How many.
    pub messages: usize,
}
