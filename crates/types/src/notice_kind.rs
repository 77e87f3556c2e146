//! What people can be told about.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A kind of event that people can be told about.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum NoticeKind {
    /// An imaging task failed.
    TaskFailed,
    /// An imaging task is complete.
    TaskFinished,
    /// All tasks that one order created for several hosts have ended.
    GroupFinished,
    /// A task makes no progress, or has waited for its machine for long.
    TaskStuck,
    /// A storage node has stopped answering.
    NodeLost,
    /// A storage node that was lost answers again.
    NodeBack,
    /// A storage node found damaged data.
    DamageFound,
    /// The disk of a storage node is nearly full.
    NodeNearlyFull,
    /// A certificate ends soon.
    CertificateEnding,
    /// Two machines use the identity of one device.
    DeviceCloned,
    /// A device has a new key, and secrets of its configuration were encrypted for the one before.
    DeviceSecretsUnreadable,
    /// Somebody asked for a test message.
    Test,
}

/// A text that is not a kind of event.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not a kind of event: {all}", all = NoticeKind::names())]
pub struct ParseNoticeKindError(String);

impl NoticeKind {
    /// Those that one can choose.
    pub const CHOICE: [Self; 11] = [
        Self::TaskFailed,
        Self::TaskFinished,
        Self::GroupFinished,
        Self::TaskStuck,
        Self::NodeLost,
        Self::NodeBack,
        Self::DamageFound,
        Self::NodeNearlyFull,
        Self::CertificateEnding,
        Self::DeviceCloned,
        Self::DeviceSecretsUnreadable,
    ];

    /// The name that [`FromStr`] reads.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TaskFailed => "task-failed",
            Self::TaskFinished => "task-finished",
            Self::GroupFinished => "group-finished",
            Self::TaskStuck => "task-stuck",
            Self::NodeLost => "node-lost",
            Self::NodeBack => "node-back",
            Self::DamageFound => "damage-found",
            Self::NodeNearlyFull => "node-nearly-full",
            Self::CertificateEnding => "certificate-ending",
            Self::DeviceCloned => "device-cloned",
            Self::DeviceSecretsUnreadable => "device-secrets-unreadable",
            Self::Test => "test",
        }
    }

    fn names() -> String {
        Self::CHOICE.map(Self::as_str).join(", ")
    }
}

impl FromStr for NoticeKind {
    type Err = ParseNoticeKindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::CHOICE
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| ParseNoticeKindError(text.to_owned()))
    }
}

impl fmt::Display for NoticeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_one_spelling() {
        for kind in NoticeKind::CHOICE {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        let refused = "test".parse::<NoticeKind>().unwrap_err().to_string();
        assert!(refused.contains("task-failed, task-finished"), "{refused}");
    }
}
