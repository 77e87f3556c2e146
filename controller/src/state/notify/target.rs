//! Who is told, of what, and how.

use std::collections::BTreeSet;
use std::fmt;

use foghorn_types::{NoticeKind, Timestamp};
use serde::{Deserialize, Serialize};

use crate::state::shelf::{Record, number_in, numbered};
use crate::store::Revision;

const PREFIX: &str = "/foghorn/v1/notify-target/";
/// Under which ids of targets are counted.
pub const SEQUENCE: &str = "notification";

/// Somebody who is told.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Target {
    #[serde(skip)]
    pub id: u32,
    pub name: String,
    pub enabled: bool,
    pub address: Address,
    /// Empty: what the rows of `notifyevent` name, or else what a failure is.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub kinds: BTreeSet<NoticeKind>,
    /// Groups of hosts: of other hosts nothing is told. Empty: all hosts.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub groups: BTreeSet<u32>,
    /// Messages at once before the interval counts.
    pub burst: u32,
    /// Time in which one more message is allowed.
    pub interval_seconds: u32,
    pub created: Timestamp,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "by")]
pub enum Address {
    /// Our own JSON, signed.
    Webhook {
        web: Web,
        /// With which messages are signed.
        secret: Sealed,
    },
    /// JSON made from a template.
    Chat {
        web: Web,
        template: String,
    },
    Mail(Mail),
}

impl Address {
    /// All words that [`Self::word`] gives.
    pub const WORDS: [&'static str; 3] = ["webhook", "chat", "mail"];

    /// The word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        let [webhook, chat, mail] = Self::WORDS;
        match self {
            Self::Webhook { .. } => webhook,
            Self::Chat { .. } => chat,
            Self::Mail(_) => mail,
        }
    }
}

/// Something that takes HTTP requests.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Web {
    /// The URL without what may be secret in it.
    pub shown: String,
    pub url: Sealed,
    /// The only authorities that are trusted, as PEM; the public ones when there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Mail {
    pub to: Vec<String>,
    pub from: String,
    pub server: String,
    pub port: u16,
    pub security: Security,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Sealed>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_pem: Option<String>,
}

/// How a mail server is spoken to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Security {
    /// TLS is required, from the second line on.
    Starttls,
    /// TLS from the beginning.
    Tls,
    /// None: loopback only.
    Plain,
}

/// A secret that only a controller of this installation can read.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(pub String);

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealed")
    }
}

impl Record for Target {
    const WHAT: &'static str = "target of notifications";
    type Id = u32;
    type Body = Self;
    type Index = ();

    fn id(&self) -> u32 {
        self.id
    }

    fn key_of(id: &u32) -> String {
        numbered(PREFIX, *id)
    }

    fn id_in(key: &str) -> Option<u32> {
        number_in(PREFIX, key)
    }

    fn modified(&self) -> Revision {
        self.modified
    }

    fn to_body(&self) -> Self {
        self.clone()
    }

    fn from_body(id: u32, body: Self, modified: Revision) -> Self {
        Self {
            id,
            modified,
            ..body
        }
    }
}
