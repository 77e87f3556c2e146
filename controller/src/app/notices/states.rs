//! States that last: each is told once when it begins, whichever controller sees it.

use std::time::Duration;

use foghorn_types::{ByteCount, HostId, ImageId, NoticeKind, StorageNodeId, TaskId, Timestamp};

use super::{is_wanted, named_image, named_node, of_run, tell};
use crate::app::history;
use crate::state::notify::{Alarm, Event, NodeSeen};
use crate::state::{Draft, Refusal, State, Tables};

/// How often a controller notes that a node answers, and how long others believe it.
const NOTED_EVERY: Duration = Duration::from_secs(5 * 60);
const BELIEVED: Duration = Duration::from_secs(15 * 60);

/// Tells of a state unless it was told before. Returns whether it was.
fn raise(draft: &mut Draft<'_>, object: u64, event: &Event, hosts: &[HostId]) -> bool {
    let about = Alarm::about(event.kind, object);
    if draft.tables().notify_alarms().get(&about).is_some() {
        return false;
    }
    draft.replace(&Alarm {
        about,
        since: event.at,
        images: Vec::new(),
        modified: 0,
    });
    tell(draft, event, hosts);
    true
}

/// Forgets a state that has ended, so that it is told when it begins again.
///
/// # Errors
/// When the store fails.
pub async fn clear(state: &State, about: &(String, u64)) -> Result<(), Refusal> {
    state
        .write(|draft| {
            if let Some(alarm) = draft.tables().notify_alarms().get(about) {
                draft.discard(&**alarm);
            }
            Ok(())
        })
        .await
}

/// Objects with an alarm of this kind.
#[must_use]
pub fn alarmed(tables: &Tables, kind: NoticeKind) -> Vec<u64> {
    let alarms = tables.notify_alarms().iter();
    alarms
        .filter(|alarm| alarm.about.0 == kind.as_str())
        .map(|alarm| alarm.about.1)
        .collect()
}

/// Tells that a task is stuck, if it has not ended meanwhile.
///
/// # Errors
/// When the store fails.
pub async fn stuck(
    state: &State,
    task: TaskId,
    why: &str,
    now: Timestamp,
) -> Result<bool, Refusal> {
    state
        .write(|draft| {
            let tables = draft.tables();
            let Some(run) = tables.runs().get(&task).filter(|run| !run.is_finished()) else {
                return Ok(false);
            };
            let text = format!("Task {task}: {} {why}", history::what(tables, run));
            let mut event = of_run(tables, run, NoticeKind::TaskStuck, text, now);
            event.reason = Some(why.to_owned());
            Ok(raise(draft, task.get().into(), &event, &[run.host]))
        })
        .await
}

/// Tells that the disk of a node is nearly full.
///
/// # Errors
/// When the store fails.
pub async fn nearly_full(
    state: &State,
    node: StorageNodeId,
    (free, total): (ByteCount, ByteCount),
    now: Timestamp,
) -> Result<bool, Refusal> {
    state
        .write(|draft| {
            let Some(named) = named_node(draft.tables(), node) else {
                return Ok(false);
            };
            let text = format!(
                "The disk of storage node {} is nearly full: {free} of {total} free",
                named.name
            );
            let event = Event {
                node: Some(named),
                ..Event::new(NoticeKind::NodeNearlyFull, now, text)
            };
            Ok(raise(draft, node.get().into(), &event, &[]))
        })
        .await
}

/// Tells that a certificate ends. `object` names it: 0 is the authority, a node its own.
///
/// # Errors
/// When the store fails.
pub async fn ending(
    state: &State,
    object: u64,
    text: &str,
    now: Timestamp,
) -> Result<bool, Refusal> {
    let event = Event::new(NoticeKind::CertificateEnding, now, text.to_owned());
    state
        .write(|draft| Ok(raise(draft, object, &event, &[])))
        .await
}

/// Tells of damage that a node has found, unless all of these images were told before. With no
/// images and no chunks the node is whole again.
///
/// # Errors
/// When the store fails.
pub async fn damage(
    state: &State,
    node: StorageNodeId,
    chunks: usize,
    images: &[ImageId],
    now: Timestamp,
) -> Result<bool, Refusal> {
    let about = Alarm::about(NoticeKind::DamageFound, node.get().into());
    state
        .write(|draft| {
            let tables = draft.tables();
            let known = tables.notify_alarms().get(&about);
            let mut found: Vec<u32> = images.iter().map(|image| image.get()).collect();
            if chunks == 0 {
                if let Some(known) = known {
                    draft.discard(&**known);
                }
                return Ok(false);
            }
            if known.is_some_and(|known| found.iter().all(|image| known.images.contains(image)))
                || !is_wanted(tables, NoticeKind::DamageFound)
            {
                return Ok(false);
            }
            let event = damage_event(tables, node, chunks, &found, now);
            found.extend(known.iter().flat_map(|known| known.images.clone()));
            found.sort_unstable();
            found.dedup();
            draft.replace(&Alarm {
                about: about.clone(),
                since: known.map_or(now, |known| known.since),
                images: found,
                modified: known.map_or(0, |known| known.modified),
            });
            tell(draft, &event, &[]);
            Ok(true)
        })
        .await
}

fn damage_event(
    tables: &Tables,
    node: StorageNodeId,
    chunks: usize,
    images: &[u32],
    now: Timestamp,
) -> Event {
    let node = named_node(tables, node);
    let on = node
        .as_ref()
        .map_or("a deleted node", |node| node.name.as_str());
    let names: Vec<String> = images
        .iter()
        .map(|id| {
            named_image(tables, *id).map_or_else(|| format!("image {id}"), |image| image.name)
        })
        .collect();
    let (s, belong) = match chunks {
        1 => ("", "it belongs"),
        _ => ("s", "they belong"),
    };
    let of = if names.is_empty() {
        "no image".to_owned()
    } else {
        names.join(", ")
    };
    let text = format!("Storage node {on} has {chunks} damaged chunk{s}: {belong} to {of}");
    let image = match images {
        [one] => named_image(tables, *one),
        _ => None,
    };
    Event {
        node,
        image,
        ..Event::new(NoticeKind::DamageFound, now, text)
    }
}

/// What a controller knows of a node's link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Link {
    Up,
    /// It had the link until then.
    DownSince(Timestamp),
    /// It has never had it, and started then.
    UnknownSince(Timestamp),
}

/// What is to be noted and told of a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    Nothing,
    /// It answers; note that.
    Note,
    Back,
    Lost,
}

/// Pure: what follows from what was noted, also by other controllers, and what this one sees.
#[must_use]
pub fn judge(noted: Option<&NodeSeen>, link: Link, grace: Duration, now: Timestamp) -> Step {
    match (link, noted) {
        (Link::Up, None) => Step::Note,
        (Link::Up, Some(seen)) if !seen.up => Step::Back,
        (Link::Up, Some(seen)) if now.since(seen.at) >= NOTED_EVERY => Step::Note,
        (Link::DownSince(since), noted) => {
            // Whoever noted it later has its link now.
            let is_elsewhere =
                noted.is_some_and(|seen| seen.at > since && now.since(seen.at) < BELIEVED);
            let was_told = noted.is_some_and(|seen| !seen.up);
            if was_told || is_elsewhere || now.since(since) < grace {
                Step::Nothing
            } else {
                Step::Lost
            }
        }
        (Link::UnknownSince(started), Some(seen)) if seen.up => {
            let silent = now.since(seen.at.max(started));
            if now.since(seen.at) >= BELIEVED && silent >= grace {
                Step::Lost
            } else {
                Step::Nothing
            }
        }
        (Link::Up | Link::UnknownSince(_), _) => Step::Nothing,
    }
}

/// Notes whether a node answers, and tells what follows. Returns the step that was taken.
///
/// # Errors
/// When the store fails.
pub async fn see_node(
    state: &State,
    node: StorageNodeId,
    link: Link,
    grace: Duration,
    now: Timestamp,
) -> Result<Step, Refusal> {
    state
        .write(|draft| {
            let tables = draft.tables();
            let noted = tables.notify_nodes().get(&node.get()).map(|seen| **seen);
            let step = judge(noted.as_ref(), link, grace, now);
            let Some(named) = named_node(tables, node).filter(|_| step != Step::Nothing) else {
                return Ok(Step::Nothing);
            };
            draft.replace(&NodeSeen {
                node: node.get(),
                up: step != Step::Lost,
                at: now,
                modified: noted.map_or(0, |seen| seen.modified),
            });
            let (kind, what) = match step {
                Step::Lost => (NoticeKind::NodeLost, "has stopped answering"),
                Step::Back => (NoticeKind::NodeBack, "answers again"),
                Step::Note | Step::Nothing => return Ok(step),
            };
            let text = format!("Storage node {} {what}", named.name);
            let mut event = Event {
                node: Some(named),
                ..Event::new(kind, now, text)
            };
            event.reason = Some(step)
                .filter(|step| *step == Step::Lost)
                .and_then(|_| tasks_of(draft.tables(), node));
            tell(draft, &event, &[]);
            Ok(step)
        })
        .await
}

/// Tasks that named in words are enough.
const MOST_TASKS: usize = 20;

/// The tasks that a lost node has, or had a moment ago; `None` without any.
fn tasks_of(tables: &Tables, node: StorageNodeId) -> Option<String> {
    let runs = tables.runs().active();
    let of_node = runs
        .filter(|run| run.node() == Some(node) || run.life.parts().former.last() == Some(&node));
    let tasks: Vec<String> = of_node.map(|run| run.task.to_string()).collect();
    let named = tasks.iter().take(MOST_TASKS).cloned().collect::<Vec<_>>();
    match tasks.len() {
        0 => None,
        1 => Some(format!("it has task {}", named[0])),
        all if all <= MOST_TASKS => Some(format!("it has tasks {}", named.join(", "))),
        all => Some(format!(
            "it has {all} tasks, among them {}",
            named.join(", ")
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn at(minutes: u32) -> Timestamp {
        Timestamp::from_millis(1_000_000_000) + MINUTE * minutes
    }

    fn seen(up: bool, minutes: u32) -> Option<NodeSeen> {
        Some(NodeSeen {
            node: 1,
            up,
            at: at(minutes),
            modified: 1,
        })
    }

    #[test]
    fn a_lost_node_is_told_once_and_its_return_too() {
        let judge = |noted: Option<NodeSeen>, link, now| {
            super::judge(noted.as_ref(), link, MINUTE, at(now))
        };
        assert_eq!(judge(None, Link::Up, 0), Step::Note);
        assert_eq!(judge(seen(true, 0), Link::Up, 1), Step::Nothing);
        assert_eq!(judge(seen(true, 0), Link::Up, 5), Step::Note);
        let down = Link::DownSince(at(6));
        assert_eq!(judge(seen(true, 5), down, 6), Step::Nothing, "grace");
        assert_eq!(judge(seen(true, 5), down, 7), Step::Lost);
        assert_eq!(judge(seen(false, 7), down, 8), Step::Nothing, "told");
        assert_eq!(judge(seen(false, 7), Link::Up, 9), Step::Back);
    }

    #[test]
    fn a_node_that_went_to_another_controller_is_not_lost() {
        let judge = |noted: Option<NodeSeen>, link, now| {
            super::judge(noted.as_ref(), link, MINUTE, at(now))
        };
        // The other one noted it a minute later, and goes on doing so.
        let down = Link::DownSince(at(6));
        assert_eq!(judge(seen(true, 7), down, 8), Step::Nothing);
        assert_eq!(judge(seen(true, 20), down, 25), Step::Nothing);
        // It has ended too: nobody has the node any more.
        assert_eq!(judge(seen(true, 20), down, 40), Step::Lost);
    }

    #[test]
    fn a_controller_that_starts_misses_a_node_that_does_not_come() {
        let judge = |noted: Option<NodeSeen>, started, now| {
            super::judge(
                noted.as_ref(),
                Link::UnknownSince(at(started)),
                MINUTE,
                at(now),
            )
        };
        assert_eq!(judge(None, 10, 99), Step::Nothing, "it never came");
        assert_eq!(judge(seen(true, 9), 10, 12), Step::Nothing);
        assert_eq!(judge(seen(true, 9), 10, 24), Step::Lost);
        assert_eq!(
            judge(seen(true, 9), 100, 100),
            Step::Nothing,
            "the controller was off as well"
        );
        assert_eq!(judge(seen(true, 9), 100, 101), Step::Lost);
    }
}
