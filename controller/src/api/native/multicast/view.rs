//! A session as people see it: rows, runs, and what the agents that send it last reported.

use std::collections::BTreeMap;
use std::sync::Arc;

use foghorn_lifecycle::{Client, Outcome, TaskState};
use foghorn_rest_types::multicast::{
    MulticastPath, MulticastPhase, MulticastReceiver, MulticastSender, MulticastStatus,
    MulticastSummary,
};
use foghorn_rest_types::native::{Named, TaskMulticast};
use foghorn_types::{BitRate, ByteCount, ImageId, SessionId, StorageNodeId};

use crate::agents::live::{Live, TransferProgress};
use crate::agents::session_reports::{ReceiverReport, SessionPhase, SessionReport};
use crate::api::native::names::image_name;
use crate::api::native::nodes::node_view;
use crate::app::multicast;
use crate::config::MulticastConfig;
use crate::ctx::Ctx;
use crate::state::classes::task::state;
use crate::state::classes::{Host, MulticastSession};
use crate::state::run::Run;
use crate::state::{Row, Tables};

/// Where views are made from.
pub(super) struct View<'a> {
    tables: &'a Tables,
    live: &'a Live,
    config: &'a MulticastConfig,
}

/// A session with what is known of it.
struct Session<'a> {
    id: SessionId,
    row: &'a Row<MulticastSession>,
    runs: Vec<&'a Arc<Run>>,
    reports: BTreeMap<StorageNodeId, Option<SessionReport>>,
}

impl<'a> View<'a> {
    pub(super) fn new(ctx: &'a Ctx, tables: &'a Tables) -> Self {
        Self {
            tables,
            live: &ctx.live,
            config: &ctx.settings.multicast,
        }
    }

    fn session(&self, row: &'a Row<MulticastSession>) -> Option<Session<'a>> {
        let id = row.key()?;
        let runs = multicast::tasks_of(self.tables, id)
            .filter_map(|task| self.tables.runs().get(&task))
            .collect();
        let leases = self
            .tables
            .session_plans()
            .get(&id)
            .into_iter()
            .flat_map(|plan| plan.leases.keys());
        let reports = leases
            .map(|node| (*node, self.live.session_reports().get(id, *node)))
            .collect();
        Some(Session {
            id,
            row,
            runs,
            reports,
        })
    }

    pub(super) fn summary(&self, row: &'a Row<MulticastSession>) -> Option<MulticastSummary> {
        Some(self.summary_of(&self.session(row)?))
    }

    pub(super) fn status(&self, row: &'a Row<MulticastSession>) -> Option<MulticastStatus> {
        let session = self.session(row)?;
        let plan = self.tables.session_plans().get(&session.id);
        let start = plan.map(|plan| plan.start).unwrap_or_default();
        let named = u32::try_from(row.sessclients)
            .ok()
            .filter(|count| *count > 0);
        Some(MulticastStatus {
            summary: self.summary_of(&session),
            max_rate_bytes_per_second: plan
                .and_then(|plan| plan.max_rate)
                .map(BitRate::bytes_per_second),
            start_receivers: start.receivers.or(named),
            start_at: start.at.map(|at| at.to_string()),
            max_wait_seconds: start.max_wait.map(|wait| wait.as_secs()),
            senders: session
                .reports
                .iter()
                .map(|(node, report)| self.sender(&session, *node, report))
                .collect(),
            receivers: session
                .runs
                .iter()
                .map(|run| self.receiver(&session, run))
                .collect(),
        })
    }

    fn summary_of(&self, session: &Session<'_>) -> MulticastSummary {
        let row = session.row;
        let phase = phase(session);
        let paths: Vec<_> = session
            .runs
            .iter()
            .map(|run| path(run, session.report(run)).0)
            .collect();
        let count = |wanted: MulticastPath| {
            paths
                .iter()
                .filter(|path| **path == wanted)
                .count()
                .try_into()
                .unwrap_or(0)
        };
        let under_way = session.runs.iter().filter(|run| !run.is_finished());
        let slowest = under_way
            .filter_map(|run| self.live.progress(run.task))
            .map(|progress| percent(&progress))
            .min();
        let done = if row.state == state::COMPLETE { 100 } else { 0 };
        let reports = session.reports.values().flatten();
        MulticastSummary {
            session: session.id,
            name: row.name.clone(),
            phase,
            waiting_for: if phase == MulticastPhase::Waiting {
                Some(self.waits_for(session))
            } else {
                None
            },
            image: ImageId::new(row.image).map(|image| image_name(self.tables, image)),
            receivers: session.runs.len().try_into().unwrap_or(u32::MAX),
            joined: row
                .joined(self.tables)
                .and_then(|joined| u32::try_from(joined).ok())
                .unwrap_or(0),
            done: count(MulticastPath::Done),
            by_unicast: count(MulticastPath::Unicast),
            percent: slowest.unwrap_or(done),
            rate_bytes_per_second: reports.map(|report| report.rate).sum(),
            created: row.starttime.0.map(|time| time.to_string()),
            completed: row.completetime.0.map(|time| time.to_string()),
        }
    }

    /// Why a session has not begun, in words.
    fn waits_for(&self, session: &Session<'_>) -> String {
        let plan = self.tables.session_plans().get(&session.id);
        if !self.config.enabled {
            return "nothing: multicast is disabled, the hosts are served by unicast".to_owned();
        }
        if session.runs.is_empty() {
            return "hosts".to_owned();
        }
        if plan.is_none_or(|plan| plan.leases.is_empty()) {
            let rules = multicast::Rules::new(self.tables, self.config);
            return match multicast::begun(self.tables) >= rules.max_sessions() {
                true => "the end of another session (FOG_MULTICAST_MAX_SESSIONS)".to_owned(),
                false => "a storage node that has the image".to_owned(),
            };
        }
        if let Some(at) = plan.and_then(|plan| plan.start.at) {
            return format!("its start at {at}");
        }
        let orders = session
            .reports
            .keys()
            .filter_map(|node| self.order(session, *node));
        let wanted: u32 = orders.map(|order| order.start_receivers).sum();
        let joined = session.row.joined(self.tables).unwrap_or(0);
        format!("receivers: {joined} of {wanted} have checked in")
    }

    fn order(
        &self,
        session: &Session<'_>,
        node: StorageNodeId,
    ) -> Option<foghorn_proto::link::MulticastOrder> {
        multicast::order(self.tables, self.config, session.row, node)
    }

    fn sender(
        &self,
        session: &Session<'_>,
        node: StorageNodeId,
        report: &Option<SessionReport>,
    ) -> MulticastSender {
        let order = self.order(session, node).unwrap_or_default();
        let figure =
            |of: fn(&SessionReport) -> ByteCount| report.as_ref().map_or(ByteCount::ZERO, of);
        MulticastSender {
            node: Named {
                id: node,
                name: node_view(self.tables, node).name,
            },
            group: order.group,
            interface: order.interface,
            phase: report
                .as_ref()
                .map(|report| report.phase.as_str().to_owned()),
            rate_bytes_per_second: figure(|report| report.rate),
            payload_bytes: figure(|report| report.payload),
            wire_bytes: figure(|report| report.wire),
            parity_bytes: figure(|report| report.parity),
        }
    }

    fn receiver(&self, session: &Session<'_>, run: &Run) -> MulticastReceiver {
        let report = session.report(run);
        let (path, reason) = path(run, report);
        let receiver = report.and_then(|report| report.receivers.get(&run.task));
        let progress = self.live.progress(run.task).filter(|_| !run.is_finished());
        let figure =
            |of: fn(&TransferProgress) -> ByteCount| progress.as_ref().map_or(ByteCount::ZERO, of);
        let count = |of: fn(&ReceiverReport) -> u64| receiver.map_or(0, of);
        let name = self
            .tables
            .of::<Host>()
            .get(run.host.get())
            .map(|row| row.name.clone())
            .unwrap_or_default();
        MulticastReceiver {
            task: run.task,
            host: Named { id: run.host, name },
            node: run.node().map(|node| node_view(self.tables, node).name),
            path,
            reason,
            percent: progress
                .as_ref()
                .map_or(if path == MulticastPath::Done { 100 } else { 0 }, percent),
            bytes_done: figure(|progress| progress.bytes_done),
            bytes_total: figure(|progress| progress.bytes_total),
            rate_bytes_per_second: figure(|progress| progress.rate),
            loss_ppm: receiver.map_or(0, |receiver| receiver.loss_ppm),
            parity_used: count(|receiver| receiver.parity_used),
            forged: count(|receiver| receiver.forged),
            limiting_stage: progress
                .as_ref()
                .and_then(|progress| progress.limiting_stage)
                .map(|stage| stage.as_str().to_owned()),
            eta_seconds: progress.as_ref().map(|progress| progress.eta.as_secs()),
            next_unicast: receiver.is_some_and(|receiver| receiver.next_unicast)
                && path == MulticastPath::Multicast,
        }
    }
}

impl Session<'_> {
    /// What the node of a run reports on this session; of a run that has ended, any node that knows
    /// it.
    fn report(&self, run: &Run) -> Option<&SessionReport> {
        let own = run
            .node()
            .and_then(|node| self.reports.get(&node))
            .and_then(Option::as_ref);
        own.or_else(|| {
            let mut all = self
                .reports
                .values()
                .flatten()
                .filter(|_| run.is_finished());
            all.find(|report| report.receivers.contains_key(&run.task))
        })
    }
}

fn percent(progress: &TransferProgress) -> u8 {
    let (done, total) = (progress.bytes_done.bytes(), progress.bytes_total.bytes());
    let percent = done
        .saturating_mul(100)
        .checked_div(total)
        .unwrap_or(0)
        .min(100);
    u8::try_from(percent).unwrap_or(100)
}

fn phase(session: &Session<'_>) -> MulticastPhase {
    match session.row.state {
        state::COMPLETE => return MulticastPhase::Complete,
        ended if ended > state::IN_PROGRESS => return MulticastPhase::Cancelled,
        _ => {}
    }
    let phases: Vec<_> = session
        .reports
        .values()
        .flatten()
        .map(|report| report.phase)
        .collect();
    if phases.contains(&SessionPhase::Sending) {
        MulticastPhase::Sending
    } else if phases.contains(&SessionPhase::Repairing) {
        MulticastPhase::Repairing
    } else if session.row.state == state::IN_PROGRESS && !phases.contains(&SessionPhase::Waiting) {
        MulticastPhase::Sending
    } else {
        MulticastPhase::Waiting
    }
}

/// How a host gets its image, and why by unicast or not at all.
fn path(run: &Run, report: Option<&SessionReport>) -> (MulticastPath, Option<String>) {
    let receiver = report.and_then(|report| report.receivers.get(&run.task));
    match run.life.state() {
        TaskState::Finished {
            outcome: Outcome::Complete,
            ..
        } => (MulticastPath::Done, None),
        TaskState::Finished {
            outcome: Outcome::Failed { reason, .. } | Outcome::Cancelled { reason },
            ..
        } => (MulticastPath::Failed, Some(reason.clone())),
        TaskState::Queued {
            client: Client::CheckedIn | Client::Awaited,
        }
        | TaskState::Assigned { .. } => (MulticastPath::Waiting, None),
        TaskState::CheckedIn { .. } | TaskState::Running { .. } => match receiver {
            Some(ReceiverReport {
                unicast: Some(reason),
                ..
            }) => (MulticastPath::Unicast, Some(reason.clone())),
            Some(_) if report.is_some_and(|report| report.phase == SessionPhase::Waiting) => {
                (MulticastPath::Waiting, None)
            }
            Some(_) => (MulticastPath::Multicast, None),
            None if matches!(run.life.state(), TaskState::Running { .. }) => (
                MulticastPath::Unicast,
                Some("the storage node does not report it as a receiver".to_owned()),
            ),
            None => (MulticastPath::Waiting, None),
        },
    }
}

/// The session of a task, for those who look at the task.
pub(in crate::api::native) fn of_task(
    tables: &Tables,
    live: &Live,
    run: &Run,
) -> Option<TaskMulticast> {
    let session = multicast::session_of(tables, run.task)?.key()?;
    let report = run
        .node()
        .and_then(|node| live.session_reports().get(session, node));
    let (path, reason) = path(run, report.as_ref());
    Some(TaskMulticast {
        session,
        path,
        reason: reason.filter(|_| path == MulticastPath::Unicast),
    })
}
