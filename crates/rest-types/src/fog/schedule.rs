//! Schedules: tasks that are created later, once or by the calendar.

use serde::{Deserialize, Serialize};

use super::envelope::FogObject;
use super::text;

#[derive(Clone, Debug, Deserialize)]
pub struct Schedule {
    #[serde(deserialize_with = "text::number")]
    id: u64,
    pub name: String,
    #[serde(default)]
    pub description: String,
    /// `S` once, `C` by the calendar.
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(rename = "taskType", deserialize_with = "text::number", default)]
    pub task_type: u64,
    #[serde(default)]
    pub minute: String,
    #[serde(default)]
    pub hour: String,
    #[serde(rename = "dayOfMonth", default)]
    pub day_of_month: String,
    #[serde(default)]
    pub month: String,
    #[serde(rename = "dayOfWeek", default)]
    pub day_of_week: String,
    #[serde(rename = "isGroupTask", deserialize_with = "text::flag", default)]
    pub for_group: bool,
    #[serde(rename = "hostID", deserialize_with = "text::number", default)]
    pub target: u64,
    #[serde(deserialize_with = "text::flag", default)]
    pub shutdown: bool,
    /// `-1` for all snapins of the host, or the id of one.
    #[serde(rename = "other2", default)]
    pub snapins: String,
    #[serde(rename = "other4", deserialize_with = "text::flag", default)]
    pub wake: bool,
    /// Seconds since 1970 of what is done once.
    #[serde(rename = "scheduleTime", deserialize_with = "text::number", default)]
    pub time: u64,
    #[serde(rename = "isActive", deserialize_with = "text::flag", default)]
    pub active: bool,
}

impl FogObject for Schedule {
    const CLASS: &'static str = "scheduledtask";
    const NOUN: &'static str = "schedule";

    fn number(&self) -> u32 {
        u32::try_from(self.id).unwrap_or(u32::MAX)
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// Body of a create or an edit; what is `None` is left as it is.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct ScheduleBody {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    #[serde(rename = "taskType", skip_serializing_if = "Option::is_none")]
    pub task_type: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minute: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hour: Option<String>,
    #[serde(rename = "dayOfMonth", skip_serializing_if = "Option::is_none")]
    pub day_of_month: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub month: Option<String>,
    #[serde(rename = "dayOfWeek", skip_serializing_if = "Option::is_none")]
    pub day_of_week: Option<String>,
    #[serde(
        rename = "isGroupTask",
        skip_serializing_if = "Option::is_none",
        serialize_with = "text::write_flag"
    )]
    pub for_group: Option<bool>,
    /// Id of the host or of the group.
    #[serde(rename = "hostID", skip_serializing_if = "Option::is_none")]
    pub target: Option<u32>,
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "text::write_flag"
    )]
    pub shutdown: Option<bool>,
    #[serde(rename = "other2", skip_serializing_if = "Option::is_none")]
    pub snapins: Option<String>,
    #[serde(
        rename = "other4",
        skip_serializing_if = "Option::is_none",
        serialize_with = "text::write_flag"
    )]
    pub wake: Option<bool>,
    #[serde(rename = "scheduleTime", skip_serializing_if = "Option::is_none")]
    pub time: Option<i64>,
    #[serde(
        rename = "isActive",
        skip_serializing_if = "Option::is_none",
        serialize_with = "text::write_flag"
    )]
    pub active: Option<bool>,
}
