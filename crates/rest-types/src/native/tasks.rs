//! Tasks: their state, where they are served from, what they wait for, how far they are.

use foghorn_types::{
    ByteCount, DiskPart, HostId, ImageId, SessionId, StorageGroupId, TaskId, TaskTypeId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ImageDisk, ImageNote, Named};
use crate::multicast::MulticastPath;
use crate::schema::Rfc3339;

/// State of a task. Tasks that image no disk are only queued, checked in, running, complete or
/// cancelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskPhase {
    /// Waits for a storage node and for its host.
    Queued,
    /// Has a storage node and waits for its host.
    Assigned,
    /// The host has checked in.
    CheckedIn,
    /// Data is being transferred.
    Running,
    /// Completed.
    Complete,
    /// Ended with an error.
    Failed,
    /// Cancelled by a user.
    Cancelled,
}

impl TaskPhase {
    /// Whether the task has ended, in whatever way.
    #[must_use]
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Cancelled)
    }
}

/// What a task does to its host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskWork {
    /// Writes an image to its disk, by unicast or multicast.
    Deploy,
    /// Reads its disk into an image.
    Capture,
    /// Runs snapins.
    Snapins,
    /// Reports its hardware.
    Inventory,
    /// Wakes it over the network.
    WakeUp,
    /// Anything else; `task_type` has its name.
    Other,
}

impl TaskWork {
    /// As a word for people.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deploy => "deploy",
            Self::Capture => "capture",
            Self::Snapins => "snapins",
            Self::Inventory => "inventory",
            Self::WakeUp => "wake-up",
            Self::Other => "other",
        }
    }
}

/// A task that has not ended, in short.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TaskBrief {
    /// Id of the task.
    pub id: TaskId,
    /// What it does.
    pub work: TaskWork,
    /// Its state.
    pub state: TaskPhase,
    /// Its host.
    pub host: Named<HostId>,
}

/// A task.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TaskStatus {
    /// Id of the task.
    pub id: TaskId,
    /// Id of the task, the same as `id`.
    pub task: TaskId,
    /// Name that its creator gave it; may be empty.
    pub name: String,
    /// What it does.
    pub work: TaskWork,
    /// Its type in `/fog/tasktype`; absent if its type was deleted.
    pub task_type: Option<Named<TaskTypeId>>,
    /// Its state.
    pub state: TaskPhase,
    /// Why it failed or was cancelled; before that, what hinders it at this moment, such as that its
    /// machine does not reach the storage node.
    pub reason: Option<String>,
    /// Its host.
    pub host: Named<HostId>,
    /// Its image; absent for a task that images no disk.
    pub image: Option<Named<ImageId>>,
    /// Version of the image that a deploy writes; the present one as long as its machine has not
    /// come and its order names none.
    #[serde(default)]
    pub image_version: Option<u32>,
    /// Whether that stays, whatever is captured meanwhile: the machine has come, or the order names
    /// the version.
    #[serde(default)]
    pub version_is_fixed: bool,
    /// What of the disk it reads or writes, the rest is not touched; absent for a task that images
    /// no disk.
    pub part: Option<DiskPart>,
    /// Name of the storage node to which the task is assigned.
    pub node: Option<String>,
    /// From where it is served; absent while no storage node has it.
    #[serde(default)]
    pub served_from: Option<TaskServedFrom>,
    /// What it waits for now; absent while it does not wait and after its end.
    #[serde(default)]
    pub waits_for: Option<TaskWait>,
    /// Progress of the transfer; absent before the first report and after the end.
    pub progress: Option<TaskProgress>,
    /// Its part in a multicast session; absent for a task that is not in an active session.
    pub multicast: Option<TaskMulticast>,
    /// Name of the user who created it.
    pub created_by: String,
    /// When it was created.
    #[schemars(with = "Rfc3339")]
    pub created: String,
    /// When its transfer started.
    #[schemars(with = "Option<Rfc3339>")]
    pub started: Option<String>,
    /// When it ended; unknown for a task that images no disk.
    #[schemars(with = "Option<Rfc3339>")]
    pub finished: Option<String>,
    /// Seconds from the start of its transfer to its end, or until now; absent before the start.
    pub duration_seconds: Option<u64>,
    /// When it fails at the latest; absent for a task that images no disk.
    #[schemars(with = "Option<Rfc3339>")]
    pub deadline: Option<String>,
    /// Disks of the image that it deploys, in the order of the host's rules; empty if there is one.
    #[serde(default)]
    pub disks: Vec<ImageDisk>,
    /// What people should know about its image, at most 20: for a capture from its end on, for a
    /// deploy those that limit what can be expected of the machine.
    #[serde(default)]
    pub notes: Vec<ImageNote>,
    /// How many more notes there are.
    #[serde(default)]
    pub more_notes: u32,
}

/// The site that serves a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskServedFrom {
    /// Its storage group.
    pub site: Named<StorageGroupId>,
    /// Whether that is the site of the host; also true for a host that belongs to none.
    pub own: bool,
    /// Why that one, in words.
    pub why: String,
    /// Names of the storage nodes of the site that its machine may fetch from at the moment, beside the
    /// one that has the task.
    #[serde(default)]
    pub further: Vec<String>,
}

/// What a task waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TaskWait {
    /// What it is.
    pub kind: TaskWaitKind,
    /// Name of the storage node that it is about.
    pub node: Option<String>,
    /// Its number among the tasks that wait for the same, 1 is next; present if it waits for a place.
    pub position: Option<u32>,
    /// The same in words.
    pub sentence: String,
}

/// What a task may wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskWaitKind {
    /// A free place on a storage node (`maxClients`).
    Place,
    /// A storage node that answers and takes tasks.
    Node,
    /// Its machine.
    Client,
    /// A storage node that holds its image.
    Content,
    /// A moment, such as the start of its multicast session.
    Time,
}

/// How a deploy that is part of a multicast session gets its image.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TaskMulticast {
    /// Id of the session.
    pub session: SessionId,
    /// How it gets its image.
    pub path: MulticastPath,
    /// Why it is served by unicast.
    pub reason: Option<String>,
}

/// Tasks.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TaskList {
    /// In the order of the query; ids without a task are left out.
    pub tasks: Vec<TaskStatus>,
    /// Where to continue, as `after`; absent at the end. A page may have fewer tasks than `limit`
    /// although there are more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Progress of a transfer.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TaskProgress {
    /// Bytes of the image that are complete.
    pub bytes_done: ByteCount,
    /// Total bytes of the image.
    pub bytes_total: ByteCount,
    /// Bytes sent over the network.
    pub bytes_wire: ByteCount,
    /// Speed in bytes per second.
    pub rate_bytes_per_second: ByteCount,
    /// Estimated seconds until the end.
    pub eta_seconds: u64,
    /// The bottleneck: network, decompress or disk.
    pub limiting_stage: Option<String>,
    /// Bytes that were already on the disk.
    pub bytes_reused: ByteCount,
}
