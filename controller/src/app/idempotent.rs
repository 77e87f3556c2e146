//! Carries a request out once, however often it is sent with the same key.
//!
//! A key is claimed in the store before anything is done, so that of requests at the same time, at
//! any controller, one is carried out. The transaction that does what the request asks for marks
//! the key as well ([`Ticket::mark`]): after a crash it is known whether it was stored. The answer
//! is added afterwards. A refused request releases its key: it has changed nothing and may be sent
//! again.

use std::time::Duration;

use foghorn_types::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::state::keyed::{KeptAnswer, Keyed, Phase, answer_in};
use crate::state::{Draft, Refusal, State};
use crate::store::{Revision, StoreError};

/// How long a key is stored.
pub const MEMORY: Duration = Duration::from_secs(24 * 60 * 60);
/// A claim that is older than this belongs to a process that no longer runs.
const CLAIM: Duration = Duration::from_secs(30);
/// How long a second request waits for the first one's answer while that is being carried out …
const PATIENCE: Duration = Duration::from_secs(10);
/// … and once its change has been stored: then it can be answered without.
const ANSWER_PATIENCE: Duration = Duration::from_secs(1);
/// Bounds the memory that keys take: about 400 bytes each.
const MOST_KEYS: usize = 200_000;
/// What the keys of one user may take in the store, about; when it is reached, keys are refused …
const MOST_BYTES_EACH: u64 = 32 << 20;
/// … and their answers; when it is reached, answers are not kept.
const MOST_ANSWERS_EACH: u64 = 1 << 20;

/// How to handle a request with a key.
#[derive(Debug)]
pub enum Begun {
    /// It must be carried out.
    Go(Ticket),
    /// It has been, with this answer.
    Done(KeptAnswer),
    /// It has been, but its answer was lost or not kept; `made` is the id of what it created.
    Applied { made: Option<u32> },
}

/// The claim to carry out a request.
#[derive(Clone, Debug)]
pub struct Ticket {
    place: String,
    attempt: String,
}

/// Why a request with a key was neither carried out nor answered.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("Idempotency-Key: the key was used for a different request")]
    OtherRequest,
    #[error("Idempotency-Key: the same request is being carried out")]
    Busy,
    #[error(
        "Idempotency-Key: the limit of {MOST_KEYS} stored keys is reached; keys are removed after a day"
    )]
    TooMany,
    #[error(
        "Idempotency-Key: the keys of this user take {} MiB, the maximum; keys are removed after a day", MOST_BYTES_EACH >> 20
    )]
    TooManyOfUser,
    #[error("Idempotency-Key: could not read the stored answer: {0}")]
    Unreadable(String),
    #[error("no randomness")]
    Randomness(#[source] getrandom::Error),
    #[error(transparent)]
    State(#[from] Refusal),
}

enum Seen {
    Mine,
    Done,
    /// Being carried out by another request.
    Busy,
    /// Stored and not answered; the id of the created object.
    Stored(Option<u32>),
}

/// Determines whether the request `fingerprint` with the key `name` of `user` must be carried out.
/// When another controller or another connection is carrying it out, waits for its answer.
///
/// # Errors
/// [`KeyError`]; then the request must not be carried out.
pub async fn begin(
    state: &State,
    user: u32,
    name: &str,
    fingerprint: &str,
) -> Result<Begun, KeyError> {
    let mut random = [0; 12];
    getrandom::fill(&mut random).map_err(KeyError::Randomness)?;
    let ticket = Ticket {
        place: Keyed::place(user, name),
        attempt: data_encoding::HEXLOWER.encode(&random),
    };
    let begun = Instant::now();
    let mut changed = state.changed();
    loop {
        changed.mark_unchanged();
        match claim(state, &ticket, fingerprint).await? {
            Seen::Mine => return Ok(Begun::Go(ticket)),
            Seen::Done => {
                if let Some(begun) = kept(state, &ticket.place).await? {
                    return Ok(begun);
                }
            }
            Seen::Busy => {
                if !changes_until(&mut changed, begun + PATIENCE).await {
                    return Err(KeyError::Busy);
                }
            }
            Seen::Stored(made) => {
                if !changes_until(&mut changed, begun + ANSWER_PATIENCE).await {
                    return Ok(Begun::Applied { made });
                }
            }
        }
    }
}

async fn changes_until(changed: &mut watch::Receiver<Revision>, deadline: Instant) -> bool {
    let change = tokio::time::timeout_at(deadline, changed.changed()).await;
    matches!(change, Ok(Ok(())))
}

async fn claim(state: &State, ticket: &Ticket, fingerprint: &str) -> Result<Seen, KeyError> {
    state
        .write(|draft| {
            let now = Timestamp::now();
            let keyed = draft.tables().keyed();
            let known = keyed
                .get(&ticket.place)
                .filter(|known| now.since(known.at) < MEMORY);
            if let Some(known) = known {
                if known.fingerprint != fingerprint {
                    return Err(KeyError::OtherRequest);
                }
                match known.phase {
                    Phase::Done => return Ok(Seen::Done),
                    Phase::Applied { made, .. } => return Ok(Seen::Stored(made)),
                    Phase::Claimed { until } if now < until => return Ok(Seen::Busy),
                    Phase::Claimed { .. } => {}
                }
            } else if keyed.len() >= MOST_KEYS {
                return Err(KeyError::TooMany);
            } else if keyed.taken_with(&ticket.place).bytes() >= MOST_BYTES_EACH {
                return Err(KeyError::TooManyOfUser);
            }
            let mine = Keyed {
                place: ticket.place.clone(),
                fingerprint: fingerprint.to_owned(),
                attempt: ticket.attempt.clone(),
                at: known.map_or(now, |known| known.at),
                phase: Phase::Claimed { until: now + CLAIM },
                kept: 0,
                answer: None,
                modified: keyed.get(&ticket.place).map_or(0, |old| old.modified),
            };
            draft.replace(&mine);
            Ok(Seen::Mine)
        })
        .await
}

/// The answer in the store; `None` when the key was removed in the meantime.
async fn kept(state: &State, place: &str) -> Result<Option<Begun>, KeyError> {
    let entry = state
        .store()
        .get(place)
        .await
        .map_err(|error: StoreError| Refusal::from(error))?;
    let Some(entry) = entry else { return Ok(None) };
    let answer = answer_in(&entry.value).map_err(KeyError::Unreadable)?;
    Ok(Some(
        answer.map_or(Begun::Applied { made: None }, Begun::Done),
    ))
}

impl Ticket {
    fn record<'t>(&self, draft: &Draft<'t>) -> Option<&'t Keyed> {
        draft
            .tables()
            .keyed()
            .get(&self.place)
            .map(AsRef::as_ref)
            .filter(|keyed| keyed.attempt == self.attempt)
    }

    /// Marks the key in the transaction that carries out the request.
    ///
    /// # Errors
    /// [`Refusal::Contended`] when the claim has expired and another process has taken it.
    pub fn mark(&self, draft: &mut Draft<'_>, made: Option<u32>) -> Result<(), Refusal> {
        let claimed = self.record(draft).ok_or(Refusal::Contended)?;
        let until = Timestamp::now() + CLAIM;
        let applied = Keyed {
            phase: Phase::Applied { until, made },
            ..claimed.clone()
        };
        draft.replace(&applied);
        Ok(())
    }

    /// Stores the answer, unless those of its user take too much: then a repeated request is answered
    /// without it.
    ///
    /// # Errors
    /// When it cannot be stored; the request has been carried out nevertheless.
    pub async fn complete(&self, state: &State, answer: KeptAnswer) -> Result<(), Refusal> {
        let kept = answer.body.len() as u64;
        state
            .write(|draft| {
                let Some(mine) = self.record(draft) else {
                    return Ok(());
                };
                // Requests at the same time may exceed it a little.
                let taken = draft.tables().keyed().taken_with(&self.place);
                if taken.answers + kept > MOST_ANSWERS_EACH {
                    return Ok(());
                }
                draft.replace(&Keyed {
                    phase: Phase::Done,
                    kept,
                    answer: Some(answer.clone()),
                    ..mine.clone()
                });
                Ok(())
            })
            .await
    }

    /// Releases the key of a refused request. A request whose change has been stored keeps it.
    ///
    /// # Errors
    /// When the store fails; the key is then released when the claim expires.
    pub async fn release(&self, state: &State) -> Result<(), Refusal> {
        state
            .write(|draft| {
                let claimed = self
                    .record(draft)
                    .filter(|mine| matches!(mine.phase, Phase::Claimed { .. }));
                let Some(mine) = claimed else { return Ok(()) };
                draft.discard(mine);
                Ok(())
            })
            .await
    }
}
