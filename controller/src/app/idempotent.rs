//! Carries a request out once, however often it is sent with the same key.
//!
//! A key is claimed in the store before anything is done, so that of requests at the same time, at
//! any controller, one is carried out. The transaction that does what the request asks for marks
//! the key as well ([`Ticket::mark`]): after a crash it is known whether it was stored. The answer
//! is added afterwards. A refused request releases its key: it has changed nothing and may be sent
//! again.
//!
//! Whoever has claimed a key writes it again every second as long as it works on the request. Who
//! waits for it takes the key over when nothing was written for a few seconds *by its own monotonic
//! time*: neither the clocks of two controllers nor a leap of one count. Taking over too early does
//! no harm: the transaction of whoever lost the key finds it in other hands and is not stored
//! ([`Ticket::mark`]); an order for many hosts finds them busy.
//!
//! A key holds as long as its record is there. What removes records by age is
//! `crate::upkeep` alone, which does not trust a clock that leaps.

use std::sync::Arc;
use std::time::Duration;

use foghorn_types::{Timestamp, chain};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::debug;

use crate::state::keyed::{KeptAnswer, Keyed, Phase, answer_in};
use crate::state::{Draft, Refusal, State};
use crate::store::{Revision, StoreError};

/// How long a key is stored.
pub const MEMORY: Duration = Duration::from_secs(24 * 60 * 60);
/// For controllers of earlier versions beside this one, which go by the time in the claim.
const CLAIM: Duration = Duration::from_secs(30);
/// A claim is written again this often while its request is being carried out …
const BEAT: Duration = Duration::from_secs(1);
/// … and belongs to nobody any more when it has not been for this long.
const LEASE: Duration = Duration::from_secs(3);
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

/// The claim to carry out a request, held until the last copy is dropped.
#[derive(Clone, Debug)]
pub struct Ticket {
    place: String,
    attempt: String,
    beat: Option<Arc<Beat>>,
}

/// Writes the claim again and again.
#[derive(Debug)]
struct Beat(JoinHandle<()>);

impl Drop for Beat {
    fn drop(&mut self) {
        self.0.abort();
    }
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
    /// Being carried out by another request, which wrote this last.
    Busy(Revision),
    /// Stored and not answered; the id of the created object.
    Stored(Option<u32>),
}

/// Determines whether the request `fingerprint` with the key `name` of `user` must be carried out.
/// When another controller or another connection is carrying it out, waits for its answer.
///
/// # Errors
/// [`KeyError`]; then the request must not be carried out.
pub async fn begin(
    state: &Arc<State>,
    user: u32,
    name: &str,
    fingerprint: &str,
) -> Result<Begun, KeyError> {
    let mut random = [0; 12];
    getrandom::fill(&mut random).map_err(KeyError::Randomness)?;
    let mut ticket = Ticket {
        place: Keyed::place(user, name),
        attempt: data_encoding::HEXLOWER.encode(&random),
        beat: None,
    };
    let begun = Instant::now();
    let mut changed = state.changed();
    let mut other: Option<(Revision, Instant)> = None;
    loop {
        changed.mark_unchanged();
        let lapsed = other.filter(|(_, since)| since.elapsed() >= LEASE);
        let lapsed = lapsed.map(|(written, _)| written);
        match claim(state, &ticket, fingerprint, lapsed).await? {
            Seen::Mine => {
                ticket.beat = Some(Arc::new(ticket.beat(state.clone())));
                return Ok(Begun::Go(ticket));
            }
            Seen::Done => {
                if let Some(begun) = kept(state, &ticket.place).await? {
                    return Ok(begun);
                }
            }
            Seen::Busy(written) => {
                let since = match other {
                    Some((last, since)) if last == written => since,
                    _ => Instant::now(),
                };
                other = Some((written, since));
                let until = (begun + PATIENCE).min(since + LEASE);
                if !changes_until(&mut changed, until).await && begun.elapsed() >= PATIENCE {
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

/// `lapsed`: a claim that was written last at this revision belongs to nobody any more.
async fn claim(
    state: &State,
    ticket: &Ticket,
    fingerprint: &str,
    lapsed: Option<Revision>,
) -> Result<Seen, KeyError> {
    state
        .write(|draft| {
            let now = Timestamp::now();
            let keyed = draft.tables().keyed();
            let known = keyed.get(&ticket.place);
            if let Some(known) = known {
                if known.fingerprint != fingerprint {
                    return Err(KeyError::OtherRequest);
                }
                match known.phase {
                    Phase::Done => return Ok(Seen::Done),
                    Phase::Applied { made, .. } => return Ok(Seen::Stored(made)),
                    Phase::Claimed { .. } if lapsed == Some(known.modified) => {}
                    Phase::Claimed { .. } => return Ok(Seen::Busy(known.modified)),
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
                modified: known.map_or(0, |known| known.modified),
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
    fn beat(&self, state: Arc<State>) -> Beat {
        let mine = self.clone();
        Beat(tokio::spawn(async move {
            loop {
                tokio::time::sleep(BEAT).await;
                match mine.renew(&state).await {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(error) => {
                        debug!(error = %chain(&error), "could not renew the claim of a request");
                    }
                }
            }
        }))
    }

    /// Returns whether the key is still claimed, and by us.
    async fn renew(&self, state: &State) -> Result<bool, Refusal> {
        state
            .write(|draft| {
                let claimed = self
                    .record(draft)
                    .filter(|mine| matches!(mine.phase, Phase::Claimed { .. }));
                let Some(mine) = claimed else {
                    return Ok(false);
                };
                let until = Timestamp::now() + CLAIM;
                draft.replace(&Keyed {
                    phase: Phase::Claimed { until },
                    ..mine.clone()
                });
                Ok(true)
            })
            .await
    }

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
