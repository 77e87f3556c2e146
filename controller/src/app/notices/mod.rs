//! Telling people what happened: events become messages, and messages are delivered.
//!
//! [`tell`] is called in the transaction in which something happens. Everything after that works on
//! what is stored, so that it makes no difference which controller does it, or when it stops.

pub mod deliver;
pub mod gather;
pub mod pace;
pub mod secrets;
pub mod states;
pub mod targets;
pub mod template;
pub mod view;

use std::collections::BTreeSet;

use foghorn_lifecycle::{Outcome, TaskState};
use foghorn_types::{HostId, NoticeKind, StorageNodeId, Timestamp};

use super::history;
use crate::state::classes::{GroupAssociation, NotifyEvent};
use crate::state::notify::{Counts, Event, Failure, Named, Order, Pending, Target};
use crate::state::run::Run;
use crate::state::{Draft, Refusal, State, Tables};

/// What a target is told that names no kinds, at a site that has no `notifyevent` rows that say it:
/// whatever needs somebody, and the end of orders.
const USUAL: [NoticeKind; 10] = [
    NoticeKind::TaskFailed,
    NoticeKind::GroupFinished,
    NoticeKind::TaskStuck,
    NoticeKind::NodeLost,
    NoticeKind::NodeBack,
    NoticeKind::DamageFound,
    NoticeKind::NodeNearlyFull,
    NoticeKind::CertificateEnding,
    NoticeKind::DeviceCloned,
    NoticeKind::DeviceSecretsUnreadable,
];
/// Failures of an order that are listed one by one.
const MOST_FAILURES: usize = 50;

/// What FOG calls some of these events.
fn of_fog(name: &str) -> Option<NoticeKind> {
    match name.trim().to_ascii_uppercase().as_str() {
        "HOST_IMAGE_COMPLETE" | "HOST_IMAGEUP_COMPLETE" => Some(NoticeKind::TaskFinished),
        "HOST_IMAGE_FAIL" | "HOST_IMAGEUP_FAIL" => Some(NoticeKind::TaskFailed),
        _ => name.trim().to_ascii_lowercase().parse().ok(),
    }
}

/// Of what a target is told.
#[must_use]
pub fn kinds(tables: &Tables, target: &Target) -> BTreeSet<NoticeKind> {
    if !target.kinds.is_empty() {
        return target.kinds.clone();
    }
    let rows = tables.of::<NotifyEvent>().iter();
    let named: BTreeSet<NoticeKind> = rows.filter_map(|row| of_fog(&row.name)).collect();
    if named.is_empty() {
        USUAL.into()
    } else {
        named
    }
}

/// Whether anybody is told of this kind.
#[must_use]
pub fn is_wanted(tables: &Tables, kind: NoticeKind) -> bool {
    let mut targets = tables.notify_targets().iter();
    targets.any(|target| target.enabled && kinds(tables, target).contains(&kind))
}

/// Whether a target is told of what concerns these hosts. What concerns no host concerns everybody.
fn is_about(tables: &Tables, target: &Target, hosts: &[HostId]) -> bool {
    let in_group = |host: &HostId| {
        let groups = tables
            .of::<GroupAssociation>()
            .by(GroupAssociation::BY_HOST, host.get().into());
        groups
            .into_iter()
            .any(|row| target.groups.contains(&row.group))
    };
    target.groups.is_empty() || hosts.is_empty() || hosts.iter().any(in_group)
}

/// Adds an event about these hosts to the draft, for everybody who is told of it.
pub fn tell(draft: &mut Draft<'_>, event: &Event, hosts: &[HostId]) {
    tell_those(draft, event, hosts, |_| true);
}

fn tell_those(
    draft: &mut Draft<'_>,
    event: &Event,
    hosts: &[HostId],
    also: impl Fn(&BTreeSet<NoticeKind>) -> bool,
) {
    let tables = draft.tables();
    for target in tables.notify_targets().iter() {
        let kinds = kinds(tables, target);
        let is_wanted = target.enabled && kinds.contains(&event.kind) && also(&kinds);
        if is_wanted && is_about(tables, target, hosts) {
            draft.store(&pending(target.id, event));
        }
    }
}

fn pending(target: u32, event: &Event) -> Pending {
    Pending {
        target,
        id: event.id.clone(),
        event: event.clone(),
        modified: 0,
    }
}

fn named_host(tables: &Tables, run: &Run) -> Option<Named> {
    let row = tables.hosts().get(run.host.get())?;
    Some(Named {
        id: row.id,
        name: row.name.clone(),
    })
}

fn named_image(tables: &Tables, id: u32) -> Option<Named> {
    let row = tables.images().get(id)?;
    Some(Named {
        id: row.id,
        name: row.name.clone(),
    })
}

fn named_node(tables: &Tables, node: StorageNodeId) -> Option<Named> {
    let row = tables.storage_nodes().get(node.get())?;
    Some(Named {
        id: row.id,
        name: row.name.clone(),
    })
}

/// Of a task, with what it is about.
fn of_run(tables: &Tables, run: &Run, kind: NoticeKind, text: String, at: Timestamp) -> Event {
    Event {
        task: Some(run.task.get()),
        host: named_host(tables, run),
        image: named_image(tables, run.image.get()),
        node: run.node().and_then(|node| named_node(tables, node)),
        ..Event::new(kind, at, text)
    }
}

/// Adds what is to be told of the end of a task. Of one that somebody cancelled nothing is told.
pub(crate) fn ended(draft: &mut Draft<'_>, run: &Run, now: Timestamp) {
    let tables = draft.tables();
    if tables.notify_targets().is_empty() {
        return;
    }
    let TaskState::Finished { outcome, .. } = run.life.state() else {
        return;
    };
    if run.order != 0 && is_wanted(tables, NoticeKind::GroupFinished) {
        draft.store(&Order {
            order: run.order,
            modified: 0,
        });
    }
    let text = history::how_it_ended(tables, run).unwrap_or_default();
    match outcome {
        Outcome::Failed { reason, .. } => {
            let mut event = of_run(tables, run, NoticeKind::TaskFailed, text, now);
            event.reason = Some(reason.clone());
            tell(draft, &event, &[run.host]);
        }
        Outcome::Complete => {
            let event = of_run(tables, run, NoticeKind::TaskFinished, text, now);
            // One message about the order instead of one for each of its tasks.
            let is_told_as_order = |kinds: &BTreeSet<NoticeKind>| {
                run.order != 0 && kinds.contains(&NoticeKind::GroupFinished)
            };
            tell_those(draft, &event, &[run.host], |kinds| !is_told_as_order(kinds));
        }
        Outcome::Cancelled { .. } => {}
    }
}

/// Tells of the orders all of whose tasks have ended. Returns how many.
///
/// # Errors
/// When the store fails.
pub async fn end_orders(state: &State, now: Timestamp) -> Result<u64, Refusal> {
    let orders: Vec<u64> = state.read(|tables| {
        let open = tables.notify_orders().iter().map(|order| order.order);
        let has_ended = |order: &u64| runs_of(tables, *order).all(|run| run.is_finished());
        open.filter(has_ended).collect()
    });
    let mut told = 0;
    for order in orders {
        let done = state.write::<_, Refusal>(|draft| {
            let tables = draft.tables();
            // Another controller may have been faster.
            let Some(mark) = tables.notify_orders().get(&order) else {
                return Ok(false);
            };
            draft.discard(&**mark);
            let hosts: Vec<HostId> = runs_of(tables, order).map(|run| run.host).collect();
            tell(draft, &order_ended(tables, order, now), &hosts);
            Ok(true)
        });
        told += u64::from(done.await?);
    }
    Ok(told)
}

fn runs_of(tables: &Tables, order: u64) -> impl Iterator<Item = &Run> {
    let runs = tables.runs().iter().map(AsRef::as_ref);
    runs.filter(move |run: &&Run| run.order == order)
}

fn order_ended(tables: &Tables, order: u64, now: Timestamp) -> Event {
    let (mut counts, mut failures) = (Counts::default(), Vec::new());
    for run in runs_of(tables, order) {
        counts.total += 1;
        match run.life.state() {
            TaskState::Finished {
                outcome: Outcome::Complete,
                ..
            } => counts.complete += 1,
            TaskState::Finished {
                outcome: Outcome::Failed { reason, .. },
                ..
            } => {
                counts.failed += 1;
                failures.push(Failure {
                    task: run.task.get(),
                    host: named_host(tables, run)
                        .map_or_else(|| "a deleted host".to_owned(), |host| host.name),
                    reason: reason.clone(),
                });
            }
            _ => counts.cancelled += 1,
        }
    }
    let first = runs_of(tables, order).next();
    let image = first.and_then(|run| named_image(tables, run.image.get()));
    let of_one = runs_of(tables, order).all(|run| Some(run.image) == first.map(|run| run.image));
    let image = image.filter(|_| of_one);
    failures.truncate(MOST_FAILURES);
    let text = order_sentence(
        image.as_ref().map(|image| image.name.as_str()),
        counts,
        &failures,
    );
    Event {
        image,
        counts: Some(counts),
        failures,
        ..Event::new(NoticeKind::GroupFinished, now, text)
    }
}

/// "Order of 30 tasks with win11 has ended: 28 of 30 complete, 2 failed (pc3, pc7)".
fn order_sentence(image: Option<&str>, counts: Counts, failures: &[Failure]) -> String {
    const NAMES: usize = 10;
    let with = image.map_or(String::new(), |image| format!(" with {image}"));
    let mut text = format!(
        "Order of {} tasks{with} has ended: {} of {} complete",
        counts.total, counts.complete, counts.total
    );
    if counts.failed > 0 {
        let names: Vec<&str> = failures
            .iter()
            .take(NAMES)
            .map(|failure| failure.host.as_str())
            .collect();
        let more = if counts.failed as usize > names.len() {
            ", …"
        } else {
            ""
        };
        text += &format!(", {} failed ({}{more})", counts.failed, names.join(", "));
    }
    if counts.cancelled > 0 {
        text += &format!(", {} cancelled", counts.cancelled);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fogs_names_stand_for_kinds() {
        assert_eq!(of_fog("HOST_IMAGE_FAIL"), Some(NoticeKind::TaskFailed));
        assert_eq!(
            of_fog(" host_imageup_complete "),
            Some(NoticeKind::TaskFinished)
        );
        assert_eq!(of_fog("node-lost"), Some(NoticeKind::NodeLost));
        assert_eq!(of_fog("LoginSuccess"), None);
    }

    #[test]
    fn an_order_is_one_sentence() {
        let failure = |number: u32| Failure {
            task: number,
            host: format!("pc{number}"),
            reason: "disk".to_owned(),
        };
        let mut counts = Counts {
            total: 30,
            complete: 28,
            failed: 2,
            cancelled: 0,
        };
        assert_eq!(
            order_sentence(Some("win11"), counts, &[failure(3), failure(7)]),
            "Order of 30 tasks with win11 has ended: 28 of 30 complete, 2 failed (pc3, pc7)"
        );
        counts.failed = 0;
        counts.cancelled = 2;
        assert_eq!(
            order_sentence(None, counts, &[]),
            "Order of 30 tasks has ended: 28 of 30 complete, 2 cancelled"
        );
        counts.failed = 12;
        let many: Vec<Failure> = (1..=12).map(failure).collect();
        let text = order_sentence(None, counts, &many);
        assert!(
            text.contains("pc10, …)") && !text.contains("pc11"),
            "{text}"
        );
    }
}
