//! Looks for what nobody reports: tasks that are stuck, nodes that are lost or nearly full,
//! certificates that end.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foghorn_lifecycle::{Client, TaskState};
use foghorn_types::{NoticeKind, StorageNodeId, TaskId, Timestamp, chain};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::agents::live::NodeLive;
use crate::app::notices::{self, states};
use crate::awake;
use crate::background::{Report, Rhythm, Why, Work};
use crate::config::NotificationConfig;
use crate::ctx::Ctx;
use crate::state::Refusal;
use crate::state::notify::Alarm;
use crate::state::run::Run;

const PERIOD: Duration = Duration::from_secs(15);
const SHORTEST_PERIOD: Duration = Duration::from_millis(50);
/// The authority, among objects whose certificates end.
const AUTHORITY: u64 = 0;

/// Works until `cancel`.
pub(crate) async fn run(
    ctx: Arc<Ctx>,
    config: NotificationConfig,
    grace: Duration,
    cancel: CancellationToken,
) {
    let quarter = config.stuck_after.min(grace) / 4;
    let rhythm = Rhythm {
        name: "what to tell",
        period: quarter.clamp(SHORTEST_PERIOD, PERIOD),
        wakes: vec![("links", ctx.live.changed())],
    };
    let background = ctx.background.clone();
    let watch = Watch {
        ctx,
        config,
        grace,
        started: Timestamp::now(),
        standing: HashMap::new(),
    };
    background.drive(rhythm, watch, cancel).await;
}

struct Watch {
    ctx: Arc<Ctx>,
    config: NotificationConfig,
    /// Time after which a node without a link counts as lost.
    grace: Duration,
    started: Timestamp,
    /// Since when each task is where it is.
    standing: HashMap<TaskId, (Place, Instant)>,
}

impl Work for Watch {
    async fn round(&mut self, _: Why, report: &mut Report) {
        let now = Timestamp::now();
        let state = self.ctx.state.clone();
        let wanted = |kind| state.read(|tables| notices::is_wanted(tables, kind));
        if wanted(NoticeKind::TaskStuck) {
            let done = self.tasks(now, report).await;
            note(report, "look for tasks that are stuck", done);
        }
        let of_nodes = [NoticeKind::NodeLost, NoticeKind::NodeBack];
        if of_nodes.into_iter().any(&wanted) {
            let done = self.nodes(now, report).await;
            note(report, "look for nodes that are lost", done);
        }
        if wanted(NoticeKind::NodeNearlyFull) {
            let done = self.disks(now, report).await;
            note(report, "look for nodes that are nearly full", done);
        }
        if wanted(NoticeKind::CertificateEnding) {
            let done = self.certificates(now, report).await;
            note(report, "look for certificates that end", done);
        }
    }
}

fn note(report: &mut Report, what: &str, done: Result<(), Refusal>) {
    if let Err(error) = done {
        warn!(error = %chain(&error), "could not {what}");
        report.failed(&format!("could not {what}"), &error);
    }
}

/// Where a task is. A task that goes on is somewhere else.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Place {
    /// Its machine has not come.
    Awaited,
    /// It has come, and waits for a node.
    Queued,
    /// It waits for the beginning, on this node.
    Ready(StorageNodeId),
    Running(StorageNodeId),
    Ended,
}

fn place(run: &Run) -> Place {
    match run.life.state() {
        TaskState::Queued {
            client: Client::Awaited,
        }
        | TaskState::Assigned { .. } => Place::Awaited,
        TaskState::Queued {
            client: Client::CheckedIn,
        } => Place::Queued,
        TaskState::CheckedIn { node } => Place::Ready(*node),
        TaskState::Running { node } => Place::Running(*node),
        TaskState::Finished { .. } => Place::Ended,
    }
}

/// Pure: why a task is stuck that has been where it is for `still`; `None` while it is not.
fn stuck(place: &Place, still: Duration, config: &NotificationConfig) -> Option<String> {
    let (limit, what) = match place {
        Place::Awaited => (config.waiting_after, "has waited for its machine"),
        Place::Queued => (config.stuck_after, "has waited for a storage node"),
        Place::Ready(_) => (
            config.stuck_after,
            "has not begun, although its machine is ready,",
        ),
        Place::Running(_) => (config.stuck_after, "has made no progress"),
        Place::Ended => return None,
    };
    (still >= limit).then(|| format!("{what} for {}", words(limit)))
}

/// "15 minutes", "2 hours".
fn words(time: Duration) -> String {
    let seconds = time.as_secs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        _ => (seconds / 3600, "hour"),
    };
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{s}")
}

impl Watch {
    async fn tasks(&mut self, now: Timestamp, report: &mut Report) -> Result<(), Refusal> {
        let state = self.ctx.state.clone();
        let (active, alarmed) = state.read(|tables| {
            let active: Vec<Arc<Run>> = tables.runs().active().cloned().collect();
            (active, states::alarmed(tables, NoticeKind::TaskStuck))
        });
        self.standing
            .retain(|task, _| active.iter().any(|run| run.task == *task));
        let mut still_stuck = Vec::new();
        for run in &active {
            let Some(still) = self.still(run, now) else {
                still_stuck.push(u64::from(run.task.get()));
                continue;
            };
            if let Some(why) = stuck(&place(run), still, &self.config) {
                let object = u64::from(run.task.get());
                still_stuck.push(object);
                if !alarmed.contains(&object) && states::stuck(&state, run.task, &why, now).await? {
                    report.did("stuck tasks told", 1);
                }
            }
        }
        for object in alarmed {
            if !still_stuck.contains(&object) {
                states::clear(&state, &Alarm::about(NoticeKind::TaskStuck, object)).await?;
            }
        }
        Ok(())
    }

    /// How long a task has not moved; `None` when another controller knows.
    fn still(&mut self, run: &Run, now: Timestamp) -> Option<Duration> {
        let place = place(run);
        if place == Place::Awaited {
            return Some(now.since(run.created));
        }
        if let Place::Running(node) = place {
            self.ctx.live.node(node)?;
            let progress = self.ctx.live.progress(run.task);
            if let Some(progress) = progress.filter(|progress| progress.node == node) {
                return Some(awake::since(progress.moved_at));
            }
        }
        let entry = self
            .standing
            .entry(run.task)
            .or_insert_with(|| (place.clone(), awake::now()));
        if entry.0 != place {
            *entry = (place, awake::now());
        }
        Some(awake::since(entry.1))
    }

    async fn nodes(&mut self, now: Timestamp, report: &mut Report) -> Result<(), Refusal> {
        let state = self.ctx.state.clone();
        let live = self.ctx.live.nodes();
        let nodes: Vec<StorageNodeId> = state.read(|tables| {
            let enrolled = tables.enrolled_nodes().iter();
            let here = enrolled.filter(|node| !node.is_revoked());
            here.map(|node| node.node).collect()
        });
        for node in nodes {
            let link = link(live.get(&node), self.started, now);
            let noted =
                state.read(|tables| tables.notify_nodes().get(&node.get()).map(|seen| **seen));
            if states::judge(noted.as_ref(), link, self.grace, now) == states::Step::Nothing {
                continue;
            }
            match states::see_node(&state, node, link, self.grace, now).await? {
                states::Step::Lost => report.did("lost nodes told", 1),
                states::Step::Back => report.did("nodes that are back told", 1),
                states::Step::Note | states::Step::Nothing => {}
            }
        }
        Ok(())
    }

    async fn disks(&self, now: Timestamp, report: &mut Report) -> Result<(), Refusal> {
        let state = &self.ctx.state;
        let alarmed = state.read(|tables| states::alarmed(tables, NoticeKind::NodeNearlyFull));
        for (node, live) in self.ctx.live.nodes() {
            let object = u64::from(node.get());
            let was_told = alarmed.contains(&object);
            if !live.online || live.disk_total.bytes() == 0 {
                continue;
            }
            if live.is_nearly_full() && !was_told {
                let room = (live.disk_free, live.disk_total);
                if states::nearly_full(state, node, room, now).await? {
                    report.did("nearly full nodes told", 1);
                }
            } else if live.has_room_again() && was_told {
                states::clear(state, &Alarm::about(NoticeKind::NodeNearlyFull, object)).await?;
            }
        }
        Ok(())
    }

    async fn certificates(&self, now: Timestamp, report: &mut Report) -> Result<(), Refusal> {
        let state = &self.ctx.state;
        let Some(ends) = self.ctx.trust.ca_not_after() else {
            return Ok(());
        };
        let was_told = state
            .read(|tables| states::alarmed(tables, NoticeKind::CertificateEnding))
            .contains(&AUTHORITY);
        let is_ending = ends.since(now) < self.config.certificate_days;
        if is_ending && !was_told {
            let zone = state.read(crate::state::zone::of);
            let text = format!(
                "The certificate authority of this installation ends at {}: make a new one before, or nobody connects any more",
                super::payload::time(ends, &zone)
            );
            if states::ending(state, AUTHORITY, &text, now).await? {
                report.did("ending certificates told", 1);
            }
        } else if !is_ending && was_told {
            states::clear(
                state,
                &Alarm::about(NoticeKind::CertificateEnding, AUTHORITY),
            )
            .await?;
        }
        Ok(())
    }
}

fn link(live: Option<&NodeLive>, started: Timestamp, now: Timestamp) -> states::Link {
    match live {
        None => states::Link::UnknownSince(started),
        Some(live) if live.is_linked() => states::Link::Up,
        Some(live) => states::Link::DownSince(
            live.down_since
                .map_or(started, |since| now - awake::since(since)),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_move_is_stuck_after_its_time() {
        let config = NotificationConfig::default();
        let node = StorageNodeId::new(1).unwrap();
        let (almost, stuck_after) = (Duration::from_secs(899), Duration::from_secs(900));
        for place in [Place::Queued, Place::Ready(node), Place::Running(node)] {
            assert_eq!(stuck(&place, almost, &config), None);
            assert!(stuck(&place, stuck_after, &config).is_some());
        }
        assert_eq!(stuck(&Place::Awaited, stuck_after, &config), None);
        assert_eq!(
            stuck(&Place::Awaited, Duration::from_secs(7200), &config).as_deref(),
            Some("has waited for its machine for 2 hours")
        );
        assert_eq!(stuck(&Place::Ended, Duration::MAX, &config), None);
    }
}
