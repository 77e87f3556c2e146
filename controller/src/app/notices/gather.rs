//! Makes messages of what is pending: one for each event, or a digest when they are many.

use foghorn_types::Timestamp;

use super::pace::{Allowance, Split, split};
use crate::state::notify::{Fate, Message, Pace, Pending, Target, new_id};
use crate::state::{Draft, Refusal, State, Tables};

/// Events in one message: a transaction of etcd takes 128 operations.
const MOST_EVENTS: usize = 100;

#[must_use]
pub fn allowance(target: &Target) -> Allowance {
    Allowance {
        burst: target.burst,
        interval: std::time::Duration::from_secs(target.interval_seconds.into()),
    }
}

/// Makes what messages are allowed now, for every target. Returns how many.
///
/// # Errors
/// When the store fails.
pub async fn gather(state: &State, now: Timestamp) -> Result<u64, Refusal> {
    let targets: Vec<u32> = state.read(|tables| {
        let mut targets: Vec<u32> = tables
            .notify_pending()
            .iter()
            .map(|pending| pending.target)
            .collect();
        targets.dedup();
        targets.retain(|target| has_turn(tables, *target, now));
        targets
    });
    let mut made = 0;
    for target in targets {
        made += state
            .write::<_, Refusal>(|draft| Ok(gather_for(draft, target, now)))
            .await?;
    }
    Ok(made)
}

fn pending_of(tables: &Tables, target: u32) -> impl Iterator<Item = &Pending> {
    let pending = tables.notify_pending().iter().map(AsRef::as_ref);
    pending.filter(move |pending: &&Pending| pending.target == target)
}

fn paid(tables: &Tables, target: u32) -> Timestamp {
    let pace = tables.notify_paces().get(&target);
    pace.map_or(Timestamp::from_millis(0), |pace| pace.paid)
}

/// Whether there is something to do for a target: also for one that is gone.
fn has_turn(tables: &Tables, target: u32, now: Timestamp) -> bool {
    match tables.notify_targets().get(&target) {
        Some(row) => allowance(row).now(paid(tables, target), now) > 0,
        None => true,
    }
}

fn gather_for(draft: &mut Draft<'_>, target: u32, now: Timestamp) -> u64 {
    let tables = draft.tables();
    let pending: Vec<&Pending> = pending_of(tables, target).take(MOST_EVENTS).collect();
    let Some(row) = tables.notify_targets().get(&target) else {
        pending.iter().for_each(|pending| draft.discard(*pending));
        return 0;
    };
    let (terms, paid) = (allowance(row), paid(tables, target));
    let messages: Vec<Message> = match split(pending.len(), terms.now(paid, now)) {
        Split::Wait => return 0,
        Split::Each => pending
            .iter()
            .map(|one| message(target, std::slice::from_ref(one), now))
            .collect(),
        Split::Digest => vec![message(target, &pending, now)],
    };
    // Whoever else gathers the same events, or for the same target, drafts again.
    pending.iter().for_each(|pending| draft.discard(*pending));
    let count = u32::try_from(messages.len()).unwrap_or(u32::MAX);
    draft.replace(&Pace {
        target,
        paid: terms.spend(paid, now, count),
        modified: tables
            .notify_paces()
            .get(&target)
            .map_or(0, |pace| pace.modified),
    });
    messages.iter().for_each(|message| draft.replace(message));
    messages.len() as u64
}

fn message(target: u32, pending: &[&Pending], now: Timestamp) -> Message {
    Message {
        target,
        id: new_id(now),
        created: now,
        events: pending.iter().map(|one| one.event.clone()).collect(),
        failed: 0,
        error: None,
        fate: Fate::Waiting {
            due: now,
            claim: None,
        },
        modified: 0,
    }
}

/// A message that no event brought, such as a test.
pub(super) fn direct(
    draft: &mut Draft<'_>,
    target: u32,
    event: crate::state::notify::Event,
) -> String {
    let one = Pending {
        target,
        id: event.id.clone(),
        event,
        modified: 0,
    };
    let now = one.event.at;
    let message = message(target, &[&one], now);
    draft.replace(&message);
    message.id
}
