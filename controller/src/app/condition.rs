//! What hinders the installation, gathered from the tables and from what nodes and plugins report.

use std::collections::HashMap;
use std::time::Duration;

use foghorn_lifecycle::{Outcome, TaskState};
use foghorn_rest_types::condition::{
    Condition, FailedTasks, LinkPlace, PluginTrouble, SnapinBehind,
};
use foghorn_rest_types::native::Named;
use foghorn_types::Timestamp;

use super::snapin_files;
use crate::ctx::Ctx;
use crate::plugins::Standing;
use crate::state::Tables;
use crate::state::classes::{Snapin, StorageNode};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MOST_REASONS: usize = 10;

/// The condition at `now`.
#[must_use]
pub fn of(ctx: &Ctx, now: Timestamp) -> Condition {
    let (reasons, behind) = ctx
        .state
        .read(|tables| (failed_since(tables, now), behind(tables)));
    Condition {
        link: LinkPlace {
            address: ctx.settings.link_address.clone(),
            server_name: ctx.settings.link_server_name.clone(),
        },
        plugins: plugins(ctx),
        failed_count: u32::try_from(reasons.len()).unwrap_or(u32::MAX),
        failed: commonest(reasons),
        behind,
    }
}

fn plugins(ctx: &Ctx) -> Vec<PluginTrouble> {
    let shown = ctx.plugins.shown().into_iter();
    shown
        .filter(|plugin| matches!(plugin.standing, Standing::Broken | Standing::Suspended))
        .map(|plugin| PluginTrouble {
            suspended: plugin.standing == Standing::Suspended,
            error: plugin.last.map(|last| last.what).unwrap_or_default(),
            name: plugin.name,
        })
        .collect()
}

fn failed_since(tables: &Tables, now: Timestamp) -> Vec<String> {
    let reason = |state: &TaskState| match state {
        TaskState::Finished {
            at,
            outcome: Outcome::Failed { reason, .. },
        } if now.since(*at) <= DAY => Some(reason.clone()),
        _ => None,
    };
    let runs = tables.runs();
    runs.iter()
        .filter_map(|run| reason(run.life.state()))
        .collect()
}

/// The commonest first; of equally common ones, in the order of their text.
fn commonest(reasons: Vec<String>) -> Vec<FailedTasks> {
    let mut counts: HashMap<String, u32> = HashMap::new();
    for reason in reasons {
        *counts.entry(reason).or_default() += 1;
    }
    let mut all: Vec<FailedTasks> = counts
        .into_iter()
        .map(|(reason, count)| FailedTasks { reason, count })
        .collect();
    all.sort_by(|a, b| (b.count, &a.reason).cmp(&(a.count, &b.reason)));
    all.truncate(MOST_REASONS);
    all
}

fn behind(tables: &Tables) -> Vec<SnapinBehind> {
    let name_of = |node: foghorn_types::StorageNodeId| Named {
        id: node,
        name: tables
            .of::<StorageNode>()
            .get(node.get())
            .map(|row| row.name.clone())
            .unwrap_or_default(),
    };
    let lacking = |record: &crate::state::snapin_file::SnapinFile| {
        let row = tables.of::<Snapin>().get(record.snapin.get())?;
        let missing: Vec<_> = snapin_files::missing(tables, record)
            .into_iter()
            .map(name_of)
            .collect();
        (!missing.is_empty()).then(|| SnapinBehind {
            snapin: Named {
                id: record.snapin,
                name: row.name.clone(),
            },
            missing,
        })
    };
    let records = tables.snapin_files().iter();
    records.filter_map(|record| lacking(record)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commonest_reason_comes_first() {
        let reasons = ["disk full", "stopped", "disk full", "cancelled by a node"];
        let found = commonest(reasons.map(str::to_owned).into());
        let shown: Vec<_> = found
            .iter()
            .map(|failed| (failed.reason.as_str(), failed.count))
            .collect();
        assert_eq!(
            shown,
            [("disk full", 2), ("cancelled by a node", 1), ("stopped", 1)]
        );
    }
}
