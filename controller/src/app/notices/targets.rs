//! Who is told: made, changed and deleted by administrators.

pub(in crate::app) mod checks;

use std::collections::BTreeSet;

use foghorn_types::{NoticeKind, Timestamp};

use self::checks::{Said, check_name, invalid};
use super::{gather, secrets};
use crate::state::classes::Group;
use crate::state::notify::{Address, Event, SEQUENCE, Security, Target};
use crate::state::{Draft, Refusal, State, Tables};
use crate::trust::{SealError, Trust};

/// More would make the transaction that ends a task too large.
const MOST_TARGETS: usize = 20;
const BURST: u32 = 5;
const INTERVAL_SECONDS: u32 = 60;
/// Of whoever makes or renames a target.
const NAMES_TURN: &str = "name-notification";

/// What a caller says of a target; `None` leaves it as it is, or at its default.
#[derive(Clone, Debug, Default)]
pub struct Terms {
    pub name: Option<String>,
    pub enabled: Option<bool>,
    pub kinds: Option<BTreeSet<NoticeKind>>,
    pub groups: Option<BTreeSet<u32>>,
    pub burst: Option<u32>,
    pub interval_seconds: Option<u32>,
    pub url: Option<String>,
    pub secret: Option<String>,
    pub template: Option<String>,
    pub ca_pem: Option<String>,
    pub to: Option<Vec<String>>,
    pub from: Option<String>,
    pub server: Option<String>,
    pub port: Option<u16>,
    pub security: Option<Security>,
    pub user: Option<String>,
    pub password: Option<String>,
}

/// How somebody is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum By {
    Webhook,
    Chat,
    Mail,
}

/// Why a target was not changed.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    #[error("notification {0} does not exist")]
    NotThere(u32),
    #[error("{field}: another notification has the name {name:?}")]
    Taken { field: &'static str, name: String },
    #[error("there are {MOST_TARGETS} notifications already, and no more are allowed")]
    TooMany,
    #[error("notification {0} is off: set enabled to true first")]
    Off(u32),
    #[error("could not encrypt a secret")]
    Seal(#[from] SealError),
    #[error(transparent)]
    State(#[from] Refusal),
}

/// Makes a target. Gives its id and, of a webhook, the secret.
///
/// # Errors
/// See [`TargetError`]; a [`Refusal::Invalid`] names the field.
pub async fn create(
    state: &State,
    trust: &Trust,
    by: By,
    mut terms: Terms,
) -> Result<(u32, Option<String>), TargetError> {
    if by == By::Webhook && terms.secret.is_none() {
        terms.secret = Some(secrets::new_signing()?);
    }
    let secret = terms.secret.clone();
    let said = Said::seal(trust, &terms)?;
    let address = said.address(by)?;
    let now = Timestamp::now();
    let id = state.write::<_, TargetError>(|draft| {
        if draft.tables().notify_targets().len() >= MOST_TARGETS {
            return Err(TargetError::TooMany);
        }
        let target = Target {
            id: draft.next_id_of(SEQUENCE),
            name: String::new(),
            enabled: true,
            address: address.clone(),
            kinds: BTreeSet::new(),
            groups: BTreeSet::new(),
            burst: BURST,
            interval_seconds: INTERVAL_SECONDS,
            created: now,
            modified: 0,
        };
        let target = with_terms(draft, target, &terms)?;
        draft.replace(&target);
        Ok(target.id)
    });
    Ok((id.await?, secret.filter(|_| by == By::Webhook)))
}

/// Changes a target.
///
/// # Errors
/// As [`create`].
pub async fn edit(state: &State, trust: &Trust, id: u32, terms: Terms) -> Result<(), TargetError> {
    let said = Said::seal(trust, &terms)?;
    state
        .write(|draft| {
            let tables = draft.tables();
            let before = tables.notify_targets().get(&id);
            let before = before.ok_or(TargetError::NotThere(id))?;
            let mut after = with_terms(draft, Target::clone(before), &terms)?;
            after.address = said.changed(&before.address)?;
            if after != **before {
                draft.replace(&after);
            }
            Ok(())
        })
        .await
}

/// What is not about how it is told.
fn with_terms(
    draft: &mut Draft<'_>,
    mut target: Target,
    terms: &Terms,
) -> Result<Target, TargetError> {
    if let Some(name) = &terms.name {
        let name = check_name(name)?;
        if target.name != name {
            free_name(draft, target.id, &name)?;
        }
        target.name = name;
    }
    if let Some(groups) = &terms.groups {
        check_groups(draft.tables(), groups)?;
        target.groups.clone_from(groups);
    }
    if let Some(kinds) = &terms.kinds {
        target.kinds.clone_from(kinds);
    }
    target.enabled = terms.enabled.unwrap_or(target.enabled);
    target.burst = terms.burst.unwrap_or(target.burst);
    target.interval_seconds = terms.interval_seconds.unwrap_or(target.interval_seconds);
    if !(1..=100).contains(&target.burst) {
        return Err(invalid("burst", "must be between 1 and 100").into());
    }
    if !(1..=86_400).contains(&target.interval_seconds) {
        return Err(invalid("interval_seconds", "must be between 1 and 86400").into());
    }
    Ok(target)
}

fn free_name(draft: &mut Draft<'_>, id: u32, name: &str) -> Result<(), TargetError> {
    draft.take_turn(NAMES_TURN, id);
    let mut others = draft.tables().notify_targets().iter();
    if others.any(|other| other.id != id && other.name.to_lowercase() == name.to_lowercase()) {
        return Err(TargetError::Taken {
            field: "name",
            name: name.to_owned(),
        });
    }
    Ok(())
}

fn check_groups(tables: &Tables, groups: &BTreeSet<u32>) -> Result<(), Refusal> {
    let missing = groups
        .iter()
        .find(|group| tables.of::<Group>().get(**group).is_none());
    match missing {
        Some(group) => Err(invalid("groups", &format!("group {group} does not exist"))),
        None => Ok(()),
    }
}

/// Deletes a target. What was to be told to it goes in the next rounds.
///
/// # Errors
/// See [`TargetError`].
pub async fn delete(state: &State, id: u32) -> Result<(), TargetError> {
    state
        .write(|draft| {
            let target = draft.tables().notify_targets().get(&id);
            draft.discard(&**target.ok_or(TargetError::NotThere(id))?);
            if let Some(pace) = draft.tables().notify_paces().get(&id) {
                draft.discard(&**pace);
            }
            Ok(())
        })
        .await
}

/// Orders a test message, whatever else the target is told. Gives the id of the message.
///
/// # Errors
/// See [`TargetError`].
pub async fn test(state: &State, id: u32, by: &str) -> Result<String, TargetError> {
    let now = Timestamp::now();
    state
        .write(|draft| {
            let target = draft.tables().notify_targets().get(&id);
            let target = target.ok_or(TargetError::NotThere(id))?;
            if !target.enabled {
                return Err(TargetError::Off(id));
            }
            let text = format!("This is a test of {}, sent by {by}", target.name);
            let event = Event::new(NoticeKind::Test, now, text);
            Ok(gather::direct(draft, id, event))
        })
        .await
}

/// The address as it may be shown.
#[must_use]
pub fn shown(address: &Address) -> String {
    match address {
        Address::Webhook { web, .. } | Address::Chat { web, .. } => web.shown.clone(),
        Address::Mail(mail) => mail.to.join(", "),
    }
}
