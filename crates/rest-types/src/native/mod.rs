//! Bodies of Foghorn's own routes under `/foghorn/v1`.
//!
//! Times are RFC 3339 in UTC, sizes are bytes, ids are numbers.

mod boot;
mod cold;
mod groups;
mod hosts;
mod images;
mod nodes;
mod replication;
mod sites;

use foghorn_types::{
    ByteCount, DiskPart, FileId, HostId, ImageId, ManifestId, NodeName, SessionId, SnapinId,
    StorageGroupId, StorageNodeId, TaskId, TaskTypeId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::multicast::MulticastPath;
use crate::schema::Rfc3339;

pub use self::boot::{
    BootTokensRequest, BootTokensResponse, HostBootToken, HostWoken, NamedHost, WakeRequest,
    WakeResponse,
};
pub use self::cold::{ColdCopy, ColdImage, ColdStatus};
pub use self::groups::{GroupList, GroupStatus};
pub use self::hosts::{HostList, HostStatus};
pub use self::images::{
    AdoptRequest, DamagedContent, DropRequest, ImageContent, ImageDisk, ImageList, ImageNote,
    ImageNoteKind, ImageStatus, ImageVersion, ImageVersions, Orphan, OrphanList, UndoRequest,
    VersionState,
};

pub use self::nodes::{
    CordonRequest, NodeCheck, NodeCordon, NodeList, NodeSilence, NodeStatus, SilenceState,
};
pub use self::replication::{
    GroupLimit, LimitRequest, NodeLimit, Replica, ReplicaProgress, ReplicaRequest, ReplicaState,
    ReplicationLimits, ReplicationList, ReplicationQuery,
};
pub use self::sites::{SiteEdit, SiteList, SiteStatus};

/// A request for a boot token.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BootTokenRequest {
    /// Lifetime of the token in seconds, 1 to 86400; default: that of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 86_400))]
    pub ttl_seconds: Option<u32>,
}

/// A boot token for the active imaging task of a host.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct BootTokenResponse {
    /// The complete token. Shown once, valid for one check-in.
    pub token: String,
    /// Id of the host.
    pub host: HostId,
    /// Id of the task.
    pub task: TaskId,
    /// When the token expires.
    #[schemars(with = "Rfc3339")]
    pub expires: String,
}

/// A storage node that will enrol; it is created if no node has this name.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinTokenRequest {
    /// Name of the node: one DNS label, stored in lower case.
    pub name: NodeName,
    /// Storage group of a new node; default: the default group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_group: Option<StorageGroupId>,
    /// Lifetime of the token in seconds, 1 to 604800; default: that of the server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub ttl_seconds: Option<u32>,
}

/// A join token for the agent of a storage node.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct JoinTokenResponse {
    /// The complete token. Shown once, valid for one enrolment.
    pub token: String,
    /// Id of the node.
    pub node: StorageNodeId,
    /// Name of the node.
    pub name: NodeName,
    /// When the token expires.
    #[schemars(with = "Rfc3339")]
    pub expires: String,
}

/// A log-in or log-out of a user on a host, or the start of the host's client.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UserTrackingReport {
    /// What happened.
    pub action: TrackedAction,
    /// Name of the user on the host, 1 to 50 characters.
    #[schemars(length(min = 1, max = 50))]
    pub user: String,
    /// When it happened; default: now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Rfc3339>")]
    pub time: Option<String>,
    /// Further details; truncated to 250 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// The action of a user of a host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrackedAction {
    /// Logged in.
    Login,
    /// Logged out.
    Logout,
    /// The host's client has started.
    Start,
}

/// The row in which a report was stored.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct UserTrackingStored {
    /// Id of the row in `/fog/usertracking`.
    #[schemars(range(min = 1))]
    pub id: u32,
}

/// An object of another class, with its name.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct Named<Id> {
    /// Id of the object.
    pub id: Id,
    /// Name of the object; empty when it no longer exists.
    pub name: String,
}

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

/// A job of a storage node.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct JobCreated {
    /// Id of the job.
    pub job: u64,
}

/// A job of a storage node and its progress.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct JobStatus {
    /// Id of the job.
    pub job: u64,
    /// The storage node.
    pub node: Named<StorageNodeId>,
    /// Kind of the job.
    #[schemars(extend("enum" = ["scrub", "sweep", "verify", "drop", "adopt"]))]
    pub work: String,
    /// When it was created.
    #[schemars(with = "Rfc3339")]
    pub created: String,
    /// Whether it has ended.
    pub done: bool,
    /// Why it could not run.
    pub error: Option<String>,
    /// Chunks checked so far.
    pub chunks_checked: u64,
    /// Number of chunks to check.
    pub chunks_total: u64,
    /// What was found.
    pub damaged: Vec<DamagedChunk>,
    /// Manifests, names of images and records of files that cannot be read.
    #[serde(default)]
    pub damaged_records: Vec<DamagedRecord>,
    /// Bytes by which a sweep made the node's packs smaller.
    #[serde(default)]
    pub freed_bytes: ByteCount,
}

/// Removes what no image on a storage node needs.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SweepRequest {
    /// Also what became useless lately, such as by a capture that failed; otherwise that stays for
    /// the node's time of grace.
    #[serde(default)]
    pub now: bool,
}

/// A chunk whose bytes are wrong.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DamagedChunk {
    /// Expected BLAKE3 hash.
    #[schemars(regex(pattern = "^[0-9a-f]{64}$"))]
    pub chunk: String,
    /// The problem.
    pub problem: String,
    /// Images that contain it.
    pub images: Vec<Named<ImageId>>,
    /// Snapins whose files contain it.
    #[serde(default)]
    pub snapins: Vec<Named<SnapinId>>,
}

/// Something that says what an image or a file is, and cannot be read. Exactly one of manifest, file
/// and path is there.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct DamagedRecord {
    /// The manifest of an image.
    pub manifest: Option<ManifestId>,
    /// The list of the chunks of a file.
    pub file: Option<FileId>,
    /// The snapins whose file it is.
    pub snapins: Vec<Named<SnapinId>>,
    /// The name of an image on the node.
    pub path: Option<String>,
    /// The problem.
    pub problem: String,
    /// Images that it is part of.
    pub images: Vec<Named<ImageId>>,
}

/// Scheduled tasks.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ScheduleList {
    /// In the order of their names.
    pub schedules: Vec<ScheduleStatus>,
}

/// A scheduled task with its next start and last result.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ScheduleStatus {
    /// Id of the scheduled task.
    #[schemars(range(min = 1))]
    pub id: u32,
    /// Its name.
    pub name: String,
    /// Id of the task type that it creates.
    pub task_type: u32,
    /// The target of its tasks.
    pub target: ScheduleTarget,
    /// Name of that host or group; empty if it was deleted.
    pub target_name: String,
    /// Whether it is active.
    pub active: bool,
    /// Next start; absent if there is none.
    #[schemars(with = "Option<Rfc3339>")]
    pub next: Option<String>,
    /// The last scheduled time at which it ran.
    #[schemars(with = "Option<Rfc3339>")]
    pub last: Option<String>,
    /// Result of that run, as text; empty before the first run.
    pub outcome: String,
}

/// The target of a schedule.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
#[schemars(inline)]
pub enum ScheduleTarget {
    /// One host.
    Host {
        /// Id of the host.
        #[schemars(range(min = 1))]
        id: u32,
    },
    /// The hosts that are in a group at that time.
    Group {
        /// Id of the group.
        #[schemars(range(min = 1))]
        id: u32,
    },
}

/// The current power actions of a host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PowerActions {
    /// Each is told once.
    pub actions: Vec<PowerAction>,
}

/// One power action.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct PowerAction {
    /// Id of the rule of power management.
    #[schemars(range(min = 1))]
    pub rule: u32,
    /// What to do.
    #[schemars(extend("enum" = ["shutdown", "reboot"]))]
    pub action: String,
    /// Since when.
    #[schemars(with = "Rfc3339")]
    pub due: String,
}

/// The next snapin of a host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", tag = "next")]
pub enum SnapinNext {
    /// Run this.
    Run(Box<SnapinRun>),
    /// The host is being imaged: ask again afterwards.
    Wait,
    /// There is nothing to run.
    Nothing,
}

/// One snapin to run. It is given again until its result was reported, so a host may be restarted
/// in the middle.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub struct SnapinRun {
    /// Id of the snapin task.
    #[schemars(range(min = 1))]
    pub snapin_task: u32,
    /// Id of the snapin.
    pub snapin: SnapinId,
    /// Name of the snapin.
    pub name: String,
    /// Name of the file.
    pub file: String,
    /// Arguments that follow the file on the command line.
    pub args: String,
    /// Program that runs the file; empty when the file runs itself.
    pub run_with: String,
    /// Arguments between that program and the file.
    pub run_with_args: String,
    /// Seconds after which the host stops it; 0 for never.
    pub timeout_seconds: u64,
    /// Whether it is hidden from the user.
    pub hide: bool,
    /// Whether the file is an archive to be unpacked.
    pub unpack: bool,
    /// Whether the host reboots afterwards.
    pub reboot: bool,
    /// Whether the host is shut down afterwards.
    pub shutdown: bool,
    /// SHA-512 of the file in hexadecimal; empty when unknown.
    #[schemars(regex(pattern = "^([0-9A-Fa-f]{128})?$"))]
    pub sha512: String,
    /// Size of the file in bytes.
    pub size_bytes: u64,
    /// Path on this server where the file is.
    pub url: String,
}

/// How a snapin went on a host.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapinResult {
    /// Exit code of the program.
    pub exit_code: i32,
    /// For people; 250 characters are kept.
    #[serde(default)]
    pub details: String,
}

/// The file of a snapin as it is stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SnapinFileStatus {
    /// Id of the snapin.
    pub snapin: SnapinId,
    /// Name of the file.
    pub file: String,
    /// SHA-512 of the content in hexadecimal.
    #[schemars(regex(pattern = "^([0-9A-Fa-f]{128})?$"))]
    pub sha512: String,
    /// Size in bytes.
    pub size_bytes: u64,
    /// When it was uploaded.
    #[schemars(with = "Rfc3339")]
    pub uploaded: String,
    /// Storage nodes that hold all of it, verified. The others of its storage groups follow.
    pub nodes: Vec<Named<StorageNodeId>>,
}
