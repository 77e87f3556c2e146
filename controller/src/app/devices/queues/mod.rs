//! Event queues of a factory: made, listed, deleted. What they are told is in [`events`], how their
//! messages are taken in [`delivery`].

pub mod delivery;
pub mod events;
pub mod wire;

use std::sync::Arc;

use foghorn_types::{StorageGroupId, Timestamp};
use tracing::info;

use super::names::{self, BadName};
use crate::app::notices::secrets::{self, What};
use crate::app::notices::targets::checks;
use crate::state::classes::StorageGroup;
use crate::state::machines::queue::{EventQueue, Load, SEQUENCE};
use crate::state::notify::Web;
use crate::state::{Refusal, State, Tables};
use crate::trust::{SealError, TokenSignError, Trust};

/// Queues of one factory: every event is written for each of them, in one transaction.
pub const MOST_QUEUES: usize = 5;
/// Bytes of a URL, and of certificates of authorities.
pub const LONGEST_URL: usize = 2048;
pub const LONGEST_AUTHORITIES: usize = 64 << 10;

/// What a new queue is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Terms {
    pub label: String,
    /// `None`: a queue whose messages are fetched.
    pub push: Option<Push>,
}

/// Where messages are sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Push {
    pub url: String,
    /// The only authorities that are trusted, PEM; the public ones when there is none.
    pub ca_pem: Option<String>,
}

/// Why a queue was not made or deleted.
#[derive(Debug, thiserror::Error)]
pub enum QueueError {
    #[error("the factory does not exist")]
    NoFactory,
    #[error("the factory has no event queue {0:?}")]
    NotThere(String),
    #[error("label: the factory has an event queue {0:?} already")]
    LabelTaken(String),
    #[error("label: {0}")]
    BadLabel(#[from] BadName),
    #[error("push-url: {0}")]
    Url(String),
    #[error("ca-pem: {0}")]
    Authorities(String),
    #[error("the factory has {MOST_QUEUES} event queues already, and no more are allowed")]
    TooMany,
    /// Receivers could not tell who sends.
    #[error("this controller cannot push: use a queue whose messages are fetched")]
    NoToken(#[source] TokenSignError),
    #[error("could not encrypt the URL")]
    Seal(#[from] SealError),
    #[error(transparent)]
    State(#[from] Refusal),
}

/// A queue, and what waits in it.
#[derive(Clone, Debug)]
pub struct Shown {
    pub queue: Arc<EventQueue>,
    pub load: Load,
    /// Why the oldest of the messages that could not be sent was not.
    pub error: Option<String>,
}

/// The queues of a factory, by number.
#[must_use]
pub fn list(tables: &Tables, factory: StorageGroupId) -> Vec<Shown> {
    let messages = tables.event_messages();
    let queues = tables.event_queues().of_factory(factory);
    let shown = queues.map(|queue| Shown {
        queue: queue.clone(),
        load: messages.load(queue.id),
        error: messages
            .of_queue(queue.id)
            .find_map(|message| message.error.clone()),
    });
    shown.collect()
}

/// Makes a queue. It is told what happens from now on.
///
/// # Errors
/// See [`QueueError`].
pub async fn create(
    state: &State,
    trust: &Trust,
    factory: StorageGroupId,
    terms: &Terms,
    by: u32,
) -> Result<(), QueueError> {
    names::check(&terms.label)?;
    let push = match &terms.push {
        Some(push) => Some(sealed(trust, push)?),
        None => None,
    };
    let created = Timestamp::now();
    let made = state.write::<_, QueueError>(|draft| {
        let tables = draft.tables();
        if tables.of::<StorageGroup>().get(factory.get()).is_none() {
            return Err(QueueError::NoFactory);
        }
        draft.require_present::<StorageGroup>(factory.get());
        draft.take_turn_of::<StorageGroup>(factory.get());
        draft.take_turn(&format!("name-eventqueue-{factory}"), factory.get());
        let queues = tables.event_queues();
        if queues.labelled(factory, &terms.label).is_some() {
            return Err(QueueError::LabelTaken(terms.label.clone()));
        }
        if queues.of_factory(factory).count() >= MOST_QUEUES {
            return Err(QueueError::TooMany);
        }
        let id = draft.next_id_of(SEQUENCE);
        draft.replace(&EventQueue {
            id,
            factory,
            label: terms.label.clone(),
            push: push.clone(),
            by,
            created,
            modified: 0,
        });
        Ok(())
    });
    made.await?;
    info!(%factory, label = terms.label, push = terms.push.is_some(), "event queue created");
    Ok(())
}

/// Where messages are sent, checked, and without what may be secret in it.
fn sealed(trust: &Trust, push: &Push) -> Result<Web, QueueError> {
    if push.url.len() > LONGEST_URL {
        let why = format!("has more than {LONGEST_URL} bytes");
        return Err(QueueError::Url(why));
    }
    let parsed = checks::check_url(&push.url).map_err(|refusal| QueueError::Url(why(refusal)))?;
    if let Some(pem) = &push.ca_pem {
        if pem.len() > LONGEST_AUTHORITIES {
            let why = format!("has more than {LONGEST_AUTHORITIES} bytes");
            return Err(QueueError::Authorities(why));
        }
        checks::check_authorities(pem).map_err(|refusal| QueueError::Authorities(why(refusal)))?;
    }
    if trust.token_key().is_none() {
        return Err(QueueError::NoToken(TokenSignError::NotP256));
    }
    let ca_pem = push.ca_pem.as_ref();
    Ok(Web {
        shown: checks::without_secrets(&parsed, true),
        url: secrets::seal(trust, What::PushUrl, &push.url)?,
        ca_pem: ca_pem.filter(|pem| !pem.trim().is_empty()).cloned(),
    })
}

/// The reason without the field, which is called otherwise here.
fn why(refusal: Refusal) -> String {
    match refusal {
        Refusal::Invalid { why, .. } => why,
        other => other.to_string(),
    }
}

/// Deletes a queue. Messages that nobody has taken go with it, in the next rounds.
///
/// # Errors
/// See [`QueueError`].
pub async fn delete(state: &State, factory: StorageGroupId, label: &str) -> Result<(), QueueError> {
    let deleted = state.write::<_, QueueError>(|draft| {
        let queue = draft.tables().event_queues().labelled(factory, label);
        let queue = queue.ok_or_else(|| QueueError::NotThere(label.to_owned()))?;
        draft.discard(&**queue);
        Ok(())
    });
    deleted.await?;
    info!(%factory, label, "event queue deleted");
    Ok(())
}
