//! Bodies of `POST /foghorn/v1/tasks`: imaging tasks, ordered for one host, several, or a group.

use foghorn_types::{GroupId, HostId, ImageId, SessionId, TaskId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::multicast::HostLeftOut;
use crate::schema::Rfc3339;

/// Imaging tasks for one host, for several, or for every host of a group: exactly one of `host`,
/// `hosts` and `group`. Hosts that cannot have a task are left out, unless `all_or_nothing`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskRequest {
    /// What is to be done.
    pub kind: TaskKind,
    /// Id of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// Ids of the hosts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Vec<HostId>>,
    /// Id of the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<GroupId>,
    /// Id of the image, which becomes the image of each host; the image that each host has when
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<ImageId>,
    /// Version of the image that a deploy writes, as in `GET /foghorn/v1/images/ID/versions`; when
    /// absent, each machine gets what the image is when it comes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub version: Option<u32>,
    /// Refuse the whole order when one of the hosts cannot have its task.
    #[serde(default)]
    pub all_or_nothing: bool,
    /// What the tasks are called, with the name of the host after it; "Deploy", "Capture" or
    /// "Multicast" when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Wake the hosts first.
    #[serde(default)]
    pub wake: bool,
    /// Power the hosts off afterwards.
    #[serde(default)]
    pub shutdown: bool,
    /// Let the hosts run their snapins after the deploy.
    #[serde(default)]
    pub snapins: bool,
    /// Deploy with one stream for all hosts.
    #[serde(default)]
    pub multicast: bool,
    /// With `multicast`: start when so many hosts are there; all of them when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100_000))]
    pub start_receivers: Option<u32>,
    /// With `multicast`: start then, whoever is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Rfc3339>")]
    pub start_at: Option<String>,
    /// With `multicast`: start so long after the first host has come at the latest; the setting's
    /// when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 86_400))]
    pub max_wait_seconds: Option<u32>,
    /// With `multicast`: on the wire; 0 for no limit, the configured one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rate_bytes_per_second: Option<u64>,
}

impl TaskRequest {
    /// A request that is not for anybody yet.
    #[must_use]
    pub fn new(kind: TaskKind) -> Self {
        Self {
            kind,
            host: None,
            hosts: None,
            group: None,
            image: None,
            version: None,
            all_or_nothing: false,
            name: None,
            wake: false,
            shutdown: false,
            snapins: false,
            multicast: false,
            start_receivers: None,
            start_at: None,
            max_wait_seconds: None,
            max_rate_bytes_per_second: None,
        }
    }
}

/// What an imaging task does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Writes an image to the disk of a host.
    Deploy,
    /// Reads the disk of one host into an image.
    Capture,
}

/// The tasks that were created.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TasksCreated {
    /// One for each host that could have one, in the order of the request; for a group in the order
    /// of the hosts' numbers.
    pub tasks: Vec<TaskCreated>,
    /// Numbers of the multicast sessions, one for each image; empty without `multicast`.
    pub sessions: Vec<SessionId>,
    /// Hosts that got no task.
    #[serde(default)]
    pub left_out: Vec<HostLeftOut>,
    /// In a dry run: the tasks that would be created.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub planned: Vec<TaskPlanned>,
}

/// A task that a dry run would have created.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TaskPlanned {
    /// Id of its host.
    pub host: HostId,
    /// Id of its image.
    pub image: ImageId,
}

/// A task that was created.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TaskCreated {
    /// Id of the task.
    pub task: TaskId,
    /// Id of its host.
    pub host: HostId,
    /// Id of its image.
    pub image: ImageId,
}
