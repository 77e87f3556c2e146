//! `[limits]`: how patient the dispatcher is.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{ConfigError, seconds};
use crate::state::run::DEFAULT_DEADLINE;

/// Time limits from the configuration.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Time from its creation within which a task must end. Default 12 hours.
    pub task_deadline: Duration,
    /// How long a node's link may be down before its deploys are moved to another node. Default 15
    /// seconds.
    pub node_grace: Duration,
    /// How long a transfer may make no progress while its node is connected. Default 10 minutes.
    pub stall: Duration,
    /// Nodes that one client may fetch from at a time, unless its site says otherwise; 1: only the one
    /// that has its task. Default 3.
    pub sources_per_client: u8,
}

/// Most nodes that one client may fetch from at a time.
pub const MOST_SOURCES: u8 = 8;

impl Default for Limits {
    fn default() -> Self {
        Self {
            task_deadline: DEFAULT_DEADLINE,
            node_grace: Duration::from_secs(15),
            stall: Duration::from_secs(600),
            sources_per_client: 3,
        }
    }
}

/// How patient the controller is with tasks.
#[derive(Deserialize, JsonSchema, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLimits {
    /// A task that no client picks up fails after this time, in seconds.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = Limits::default().task_deadline.as_secs()))]
    task_deadline_seconds: Option<u64>,
    /// A storage node that is offline for longer is recorded as failed. In seconds.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = Limits::default().node_grace.as_secs()))]
    node_grace_seconds: Option<u64>,
    /// A task without progress fails after this time, in seconds.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = Limits::default().stall.as_secs()))]
    stall_seconds: Option<u64>,
    /// Storage nodes of a site that one machine may fetch its image from at a time; 1: only the one
    /// that has its task. A site may say otherwise.
    #[schemars(range(min = 1, max = MOST_SOURCES))]
    #[schemars(extend("default" = Limits::default().sources_per_client))]
    sources_per_client: Option<u8>,
}

impl RawLimits {
    pub(super) fn check(self) -> Result<Limits, ConfigError> {
        let default = Limits::default();
        Ok(Limits {
            task_deadline: seconds(
                "limits.task_deadline_seconds",
                self.task_deadline_seconds,
                default.task_deadline,
            )?,
            node_grace: seconds(
                "limits.node_grace_seconds",
                self.node_grace_seconds,
                default.node_grace,
            )?,
            stall: seconds("limits.stall_seconds", self.stall_seconds, default.stall)?,
            sources_per_client: match self.sources_per_client {
                None => default.sources_per_client,
                Some(count @ 1..=MOST_SOURCES) => count,
                Some(_) => {
                    return Err(ConfigError::Value {
                        key: "limits.sources_per_client",
                        why: format!("must be from 1 to {MOST_SOURCES}"),
                    });
                }
            },
        })
    }
}
