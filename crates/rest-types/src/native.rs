//! Bodies of Foghorn's own routes under `/foghorn/v1`.
//!
//! Times are RFC 3339 in UTC, sizes are bytes, ids are numbers.

use foghorn_types::{ByteCount, HostId, ImageId, ManifestId, NodeName, StorageGroupId, StorageNodeId, TaskId};
use serde::{Deserialize, Serialize};

use crate::multicast::MulticastPath;

/// `POST /foghorn/v1/hosts/{id}/boot-token` → [`BootTokenResponse`]. 409 when the host has no active imaging task.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BootTokenRequest {
    /// 1 to 86400; the server's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u32>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BootTokenResponse {
    /// Whole token text. Shown once, good for one check-in.
    pub token: String,
    pub host: HostId,
    pub task: TaskId,
    pub expires: String,
}

/// `POST /foghorn/v1/nodes/join-token` → [`JoinTokenResponse`]. Creates the storage node when there is none with that name.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JoinTokenRequest {
    pub name: NodeName,
    /// Group of a node that has to be created; the default group when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_group: Option<StorageGroupId>,
    /// 1 to 604800; the server's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u32>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JoinTokenResponse {
    /// Whole token text. Shown once, good for one enrolment.
    pub token: String,
    pub node: StorageNodeId,
    pub name: NodeName,
    pub expires: String,
}

/// `POST /foghorn/v1/hosts/{id}/user-tracking` → 201 [`UserTrackingStored`]. The host's own client tells who uses it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserTrackingReport {
    pub action: TrackedAction,
    /// 1 to 50 characters.
    pub user: String,
    /// RFC 3339; now when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
    /// Cut off after 250 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackedAction {
    Login,
    Logout,
    /// The host's client has started.
    Start,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UserTrackingStored {
    /// Of the row in `/fog/usertracking`.
    pub id: u32,
}

/// An object of another class, for people.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Named<Id> {
    pub id: Id,
    pub name: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskPhase {
    Queued,
    Assigned,
    CheckedIn,
    Running,
    Complete,
    Failed,
    Cancelled,
}

impl TaskPhase {
    #[must_use]
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Complete | Self::Failed | Self::Cancelled)
    }
}

/// `GET /foghorn/v1/tasks/{id}`; `GET /foghorn/v1/tasks?ids=1,2,3` gives [`TaskList`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskStatus {
    pub task: TaskId,
    pub state: TaskPhase,
    /// Why it failed or was cancelled.
    pub reason: Option<String>,
    pub host: Named<HostId>,
    pub image: Named<ImageId>,
    /// Name of the storage node that has the task now.
    pub node: Option<String>,
    /// Absent until the first report, and after the end.
    pub progress: Option<TaskProgress>,
    /// Absent when it is part of no multicast session under way.
    pub multicast: Option<TaskMulticast>,
    pub created: String,
    pub started: Option<String>,
    pub finished: Option<String>,
    pub deadline: String,
}

/// How a deploy that is part of a multicast session gets its image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskMulticast {
    pub session: u32,
    pub path: MulticastPath,
    /// Why it is served by unicast.
    pub reason: Option<String>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskList {
    /// In the order of the query; ids without an imaging task are left out.
    pub tasks: Vec<TaskStatus>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskProgress {
    pub bytes_done: ByteCount,
    pub bytes_total: ByteCount,
    pub bytes_wire: ByteCount,
    pub rate_bytes_per_second: ByteCount,
    pub eta_seconds: u64,
    /// `network`, `decompress` or `disk`.
    pub limiting_stage: Option<String>,
    pub bytes_reused: ByteCount,
}

/// `GET /foghorn/v1/images/{id}`. 404 when there is no such image.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImageStatus {
    pub image: Named<ImageId>,
    /// Absent until the image has been captured.
    pub content: Option<ImageContent>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ImageContent {
    pub manifest: ManifestId,
    pub logical_bytes: ByteCount,
    pub used_bytes: ByteCount,
    pub stored_bytes: ByteCount,
    pub new_bytes: ByteCount,
    pub captured: String,
    pub nodes: Vec<Named<StorageNodeId>>,
}

/// `POST /foghorn/v1/images/{id}/verify` and `POST /foghorn/v1/nodes/{id}/scrub`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobCreated {
    pub job: u64,
}

/// `GET /foghorn/v1/jobs/{id}`
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobStatus {
    pub job: u64,
    pub node: Named<StorageNodeId>,
    /// `scrub`, `verify` or `drop`.
    pub work: String,
    pub created: String,
    pub done: bool,
    /// What went wrong when the job could not run.
    pub error: Option<String>,
    pub chunks_checked: u64,
    pub chunks_total: u64,
    pub damaged: Vec<DamagedChunk>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DamagedChunk {
    /// 64 hexadecimal digits.
    pub chunk: String,
    pub problem: String,
    pub images: Vec<Named<ImageId>>,
}

/// `GET /foghorn/v1/nodes`: every storage node as the controller sees it at this moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeList {
    /// By id.
    pub nodes: Vec<NodeStatus>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    pub id: StorageNodeId,
    pub name: String,
    /// Whether its agent is connected to a controller. The figures below are its last report, 0 before the first.
    pub online: bool,
    pub disk_total_bytes: ByteCount,
    pub disk_free_bytes: ByteCount,
    /// Compressed bytes of all chunks that it holds.
    pub stored_bytes: ByteCount,
    pub chunks: u64,
    pub active_transfers: u32,
}

/// `GET /foghorn/v1/schedules`: every scheduled task.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ScheduleList {
    pub schedules: Vec<ScheduleStatus>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct ScheduleStatus {
    /// Id of the `scheduledtask`.
    pub id: u32,
    pub name: String,
    /// Id of the task type that it creates.
    pub task_type: u32,
    pub target: ScheduleTarget,
    pub target_name: String,
    pub active: bool,
    /// When it comes next; absent when it does not.
    pub next: Option<String>,
    /// The moment for which it came last.
    pub last: Option<String>,
    /// How that went, in words; empty before the first time.
    pub outcome: String,
}

/// Whose tasks a schedule creates.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ScheduleTarget {
    Host { id: u32 },
    Group { id: u32 },
}

/// `GET /foghorn/v1/hosts/{id}/power`: what the host's client is to do now. Each thing is told once.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PowerActions {
    pub actions: Vec<PowerAction>,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct PowerAction {
    /// Id of the `powermanagement` rule.
    pub rule: u32,
    /// `shutdown` or `reboot`.
    pub action: String,
    pub due: String,
}

/// `GET /foghorn/v1/hosts/{id}/snapins/next`: what a host is to run now.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "next")]
pub enum SnapinNext {
    Run(Box<SnapinRun>),
    /// It is being imaged; ask again afterwards.
    Wait,
    Nothing,
}

/// One snapin to run. Given again until its result was told, so a host may be restarted in the middle.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SnapinRun {
    pub snapin_task: u32,
    pub snapin: u32,
    pub name: String,
    /// Name of the file.
    pub file: String,
    /// Follow the file on the command line.
    pub args: String,
    /// Program that runs the file; empty: the file runs itself.
    pub run_with: String,
    /// Between that program and the file.
    pub run_with_args: String,
    /// After which the host stops it; 0: never.
    pub timeout_seconds: u64,
    pub hide: bool,
    /// The file is an archive.
    pub unpack: bool,
    pub reboot: bool,
    pub shutdown: bool,
    /// SHA-512 of the file in hexadecimal; empty when nobody has said it.
    pub sha512: String,
    pub size_bytes: u64,
    /// Path on this server where the file is.
    pub url: String,
}

/// `POST /foghorn/v1/hosts/{id}/snapintasks/{task}/result`. 204; 404 for a task of another host, 400 for one that was cancelled.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapinResult {
    pub exit_code: i32,
    /// For people; 250 characters are kept.
    #[serde(default)]
    pub details: String,
}

/// `PUT /foghorn/v1/snapins/{id}/file?name=NAME` with the content as body → what is stored. `GET` gives the content back.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SnapinFileStatus {
    pub snapin: u32,
    /// Name of the file.
    pub file: String,
    /// SHA-512 of the content in hexadecimal.
    pub sha512: String,
    pub size_bytes: u64,
    pub uploaded: String,
    /// Storage nodes that hold all of it, verified. The others of its storage groups follow.
    pub nodes: Vec<Named<StorageNodeId>>,
}
