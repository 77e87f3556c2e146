//! Tasks as FOG lists them. Progress and reasons of imaging tasks are richer in
//! [`crate::native::TaskStatus`].

use foghorn_types::{HostId, ImageId, TaskId};
use serde::Deserialize;

use super::envelope::FogObject;
use super::text::{self, ReadFieldError};

/// Number of FOG's task type "deploy".
const DEPLOY: u32 = 1;
/// Number of FOG's task type "capture".
const CAPTURE: u32 = 2;
/// FOG's task types that read or write a disk: deploy, capture, multicast, and the variants of the
/// first two.
pub const IMAGING_TYPES: [u32; 6] = [DEPLOY, CAPTURE, 8, 15, 16, 17];

#[derive(Clone, Debug, Deserialize)]
pub struct Task {
    #[serde(deserialize_with = "text::id")]
    pub id: TaskId,
    #[serde(default)]
    pub name: String,
    #[serde(rename = "typeID", deserialize_with = "text::number")]
    pub kind: u64,
    #[serde(rename = "hostID", deserialize_with = "text::id_or_none", default)]
    pub host: Option<HostId>,
    #[serde(rename = "imageID", deserialize_with = "text::id_or_none", default)]
    pub image: Option<ImageId>,
    #[serde(rename = "stateID", deserialize_with = "state")]
    pub state: TaskState,
    #[serde(rename = "createdTime", default)]
    pub created: String,
    /// Per cent done, by FOG's account.
    #[serde(deserialize_with = "text::text_or_none", default)]
    pub percent: Option<String>,
    #[serde(rename = "host", default)]
    embedded_host: Option<Named>,
    #[serde(rename = "type", default)]
    embedded_type: Option<Named>,
}

#[derive(Clone, Debug, Deserialize)]
struct Named {
    #[serde(default)]
    name: String,
}

/// FOG's states of a task.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TaskState {
    Queued,
    CheckedIn,
    InProgress,
    Complete,
    /// Cancelled, or failed: FOG has no state of its own for that.
    Cancelled,
}

impl TaskState {
    #[must_use]
    pub fn is_active(self) -> bool {
        matches!(self, Self::Queued | Self::CheckedIn | Self::InProgress)
    }

    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::CheckedIn => "checked in",
            Self::InProgress => "in progress",
            Self::Complete => "complete",
            Self::Cancelled => "cancelled",
        }
    }
}

impl TryFrom<u64> for TaskState {
    type Error = ReadFieldError;

    fn try_from(number: u64) -> Result<Self, Self::Error> {
        match number {
            // 0 is what FOG gives the tasks of a multicast session that has not begun.
            0 | 1 => Ok(Self::Queued),
            2 => Ok(Self::CheckedIn),
            3 => Ok(Self::InProgress),
            4 => Ok(Self::Complete),
            5 => Ok(Self::Cancelled),
            other => Err(ReadFieldError(format!("{other} is not a state of a task"))),
        }
    }
}

fn state<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<TaskState, D::Error> {
    text::number(deserializer)?
        .try_into()
        .map_err(serde::de::Error::custom)
}

impl Task {
    /// Name of the host, when the answer has it.
    #[must_use]
    pub fn host_name(&self) -> Option<&str> {
        self.embedded_host
            .as_ref()
            .map(|host| host.name.as_str())
            .filter(|name| !name.is_empty())
    }

    /// Name of the type, when the answer has it.
    #[must_use]
    pub fn type_name(&self) -> Option<&str> {
        self.embedded_type
            .as_ref()
            .map(|kind| kind.name.as_str())
            .filter(|name| !name.is_empty())
    }

    /// Whether the task reads or writes a disk.
    #[must_use]
    pub fn is_imaging(&self) -> bool {
        IMAGING_TYPES
            .iter()
            .any(|kind| u64::from(*kind) == self.kind)
    }
}

impl FogObject for Task {
    const CLASS: &'static str = "task";
    const NOUN: &'static str = "task";

    fn number(&self) -> u32 {
        self.id.get()
    }

    fn name(&self) -> &str {
        &self.name
    }
}
