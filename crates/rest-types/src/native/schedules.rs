//! Scheduled tasks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::Rfc3339;

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
