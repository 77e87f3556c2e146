//! What becomes of messages: claimed by one controller, then delivered, put off or given up.

use std::collections::HashMap;
use std::time::Duration;

use foghorn_types::Timestamp;

use super::pace::Patience;
use crate::state::notify::{Claim, Fate, Message};
use crate::state::shelf::Record;
use crate::state::{Refusal, State, Tables};

/// Messages of one target that are sent at once.
pub const AT_ONCE: usize = 4;
/// Messages that have ended and are kept, of each target.
const KEPT: usize = 100;
/// Dead ones, which somebody may want to send again.
const DEAD_KEPT: usize = 500;
/// Messages that are removed in one transaction.
const STEP: usize = 100;

/// Messages that may be sent now.
#[must_use]
pub fn due(tables: &Tables, now: Timestamp) -> Vec<(u32, String)> {
    let mut each: HashMap<u32, usize> = HashMap::new();
    let due = tables.notify_messages().iter().filter(|message| {
        let target = tables.notify_targets().get(&message.target);
        if !message.is_due(now) || target.is_none_or(|target| !target.enabled) {
            return false;
        }
        let count = each.entry(message.target).or_default();
        *count += 1;
        *count <= AT_ONCE
    });
    due.map(|message| message.id()).collect()
}

/// Claims a message for a time, so that no other controller sends it. `None` when it is not to be sent any
/// more, or another one was faster.
///
/// # Errors
/// When the store fails.
pub async fn claim(
    state: &State,
    id: &(u32, String),
    by: u64,
    lease: Duration,
    now: Timestamp,
) -> Result<Option<Message>, Refusal> {
    state
        .write(|draft| {
            let message = draft.tables().notify_messages().get(id);
            let Some(message) = message.filter(|message| message.is_due(now)) else {
                return Ok(None);
            };
            let mut claimed = Message::clone(message);
            if let Fate::Waiting { claim, .. } = &mut claimed.fate {
                *claim = Some(Claim {
                    by,
                    until: now + lease,
                });
            }
            draft.replace(&claimed);
            Ok(Some(claimed))
        })
        .await
}

/// Stores how an attempt of the controller `by` ended. Returns whether the message is dead now.
///
/// # Errors
/// When the store fails.
pub async fn record(
    state: &State,
    id: &(u32, String),
    by: u64,
    result: Result<(), String>,
    patience: Patience,
    now: Timestamp,
) -> Result<bool, Refusal> {
    state
        .write(|draft| {
            let Some(message) = draft.tables().notify_messages().get(id) else {
                return Ok(false);
            };
            let is_ours = matches!(&message.fate,
                Fate::Waiting { claim: Some(claim), .. } if claim.by == by);
            // It was delivered, whoever has taken it over since.
            let may_end = matches!(message.fate, Fate::Waiting { .. });
            if !(is_ours || (may_end && result.is_ok())) {
                return Ok(false);
            }
            let next = after(message, &result, patience, now);
            draft.replace(&next);
            Ok(matches!(next.fate, Fate::Dead { .. }))
        })
        .await
}

/// A message after an attempt.
fn after(
    message: &Message,
    result: &Result<(), String>,
    patience: Patience,
    now: Timestamp,
) -> Message {
    let mut next = message.clone();
    match result {
        Ok(()) => {
            next.error = None;
            next.fate = Fate::Delivered { at: now };
        }
        Err(why) => {
            next.failed += 1;
            next.error = Some(why.clone());
            next.fate = match patience.after(next.failed, &next.id) {
                Some(wait) => Fate::Waiting {
                    due: now + wait,
                    claim: None,
                },
                None => Fate::Dead { at: now },
            };
        }
    }
    next
}

/// Sends messages again that are dead, or that wait for their next attempt. Returns how many.
///
/// # Errors
/// When the store fails.
pub async fn retry(
    state: &State,
    target: u32,
    only: Option<&str>,
    now: Timestamp,
) -> Result<usize, Refusal> {
    let chosen: Vec<_> = state.read(|tables| {
        let messages = tables.notify_messages().iter().filter(|message| {
            message.target == target
                && only.is_none_or(|id| id == message.id)
                && is_stopped(message, now)
        });
        messages.map(|message| message.id()).collect()
    });
    let mut again = 0;
    for part in chosen.chunks(STEP) {
        again += state
            .write::<_, Refusal>(|draft| {
                let tables = draft.tables();
                let messages = part
                    .iter()
                    .filter_map(|id| tables.notify_messages().get(id))
                    .filter(|message| is_stopped(message, now));
                let mut count = 0;
                for message in messages {
                    draft.replace(&Message {
                        failed: 0,
                        fate: Fate::Waiting {
                            due: now,
                            claim: None,
                        },
                        ..Message::clone(message)
                    });
                    count += 1;
                }
                Ok(count)
            })
            .await?;
    }
    Ok(again)
}

/// Whether a person may ask for it to be sent: nobody is sending it, and it has not been delivered.
fn is_stopped(message: &Message, now: Timestamp) -> bool {
    match &message.fate {
        Fate::Waiting { claim, .. } => claim.is_none_or(|claim| claim.until <= now),
        Fate::Dead { .. } => true,
        Fate::Delivered { .. } => false,
    }
}

/// Removes old messages, and those of targets that are gone. Returns how many.
///
/// # Errors
/// When the store fails.
pub async fn trim(state: &State) -> Result<usize, Refusal> {
    let old = state.read(too_many);
    for part in old.chunks(STEP) {
        state
            .write::<_, Refusal>(|draft| {
                for id in part {
                    if let Some(message) = draft.tables().notify_messages().get(id) {
                        draft.discard(&**message);
                    }
                }
                Ok(())
            })
            .await?;
    }
    Ok(old.len())
}

fn too_many(tables: &Tables) -> Vec<(u32, String)> {
    let mut ended: HashMap<u32, [usize; 2]> = HashMap::new();
    let messages: Vec<_> = tables.notify_messages().iter().collect();
    let newest_first = messages.into_iter().rev();
    let old = newest_first.filter(|message| {
        if tables.notify_targets().get(&message.target).is_none() {
            return true;
        }
        let [delivered, dead] = ended.entry(message.target).or_default();
        match message.fate {
            Fate::Waiting { .. } => false,
            Fate::Delivered { .. } => {
                *delivered += 1;
                *delivered > KEPT
            }
            Fate::Dead { .. } => {
                *dead += 1;
                *dead > DEAD_KEPT
            }
        }
    });
    old.map(|message| message.id()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(1_000_000) + Duration::from_secs(seconds)
    }

    fn waiting() -> Message {
        Message {
            target: 1,
            id: "m".to_owned(),
            created: at(0),
            events: Vec::new(),
            failed: 0,
            error: None,
            fate: Fate::Waiting {
                due: at(0),
                claim: None,
            },
            modified: 0,
        }
    }

    #[test]
    fn a_message_is_tried_until_nobody_tries_any_more() {
        let patience = Patience {
            attempts: 3,
            ..Patience::default()
        };
        let mut message = waiting();
        for attempt in 1..3 {
            message = after(&message, &Err("refused".to_owned()), patience, at(10));
            assert_eq!(message.failed, attempt);
            assert!(!message.is_due(at(11)) && message.is_due(at(10_000)));
        }
        message = after(&message, &Err("refused".to_owned()), patience, at(20));
        assert_eq!(message.fate, Fate::Dead { at: at(20) });
        assert_eq!(message.error.as_deref(), Some("refused"));
        assert!(!message.is_due(at(10_000)) && is_stopped(&message, at(20)));
        let delivered = after(&message, &Ok(()), patience, at(30));
        assert_eq!(delivered.fate, Fate::Delivered { at: at(30) });
        assert!(!is_stopped(&delivered, at(40)));
    }

    #[test]
    fn a_claimed_message_is_left_alone_until_the_claim_ends() {
        let mut message = waiting();
        message.fate = Fate::Waiting {
            due: at(0),
            claim: Some(Claim {
                by: 7,
                until: at(120),
            }),
        };
        assert!(!message.is_due(at(119)) && !is_stopped(&message, at(119)));
        assert!(message.is_due(at(120)) && is_stopped(&message, at(120)));
    }
}
