//! Which identity a start uses: the one that is kept, or a new one where somebody has given a token
//! that was not tried yet.
//!
//! A node that was revoked, or whose certificate has expired, looks like any other to itself. What
//! tells is the join token: whoever gives a new one wants the node to join anew. So the token that was
//! last tried is remembered, as a hash. The token of a service account is always there, and always
//! another one: it is used when the node has nothing else.

use std::path::Path;

use foghorn_types::{Timestamp, chain};
use tracing::{info, warn};

use super::NodeIdentity;
use super::enrol::{EnrolError, end_key, enrol};
use super::file::{self, LoadIdentityError};
use crate::config::{JoiningError, Offer, Ticket};

/// Why there is no identity to start with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObtainError {
    #[error("could not load this node's identity")]
    Load(#[from] LoadIdentityError),
    #[error(
        "this node has no identity yet: it needs the controller's address, and a join token or the token of a service account"
    )]
    NotEnrolled,
    #[error("it is not clear how this node is to be let in")]
    Joining(#[from] JoiningError),
    #[error("could not enrol this node")]
    Enrol(#[from] EnrolError),
}

/// The identity in `state_dir`, or one bought with `offer`. Blocking, at most some 40 s.
///
/// A token that does not work does not stop a node whose certificate is still good: the node
/// continues with that one.
///
/// # Errors
/// When there is no usable identity and none can be obtained.
pub(crate) fn obtain(
    state_dir: &Path,
    offer: Result<Option<Offer>, JoiningError>,
    now: Timestamp,
) -> Result<NodeIdentity, ObtainError> {
    let kept = file::load(state_dir)?;
    if let Some(kept) = &kept {
        end_key(state_dir, kept);
    }
    let is_good = kept.as_ref().is_some_and(|kept| kept.expires > now);
    let offer = match offer {
        Ok(offer) => offer.filter(|offer| is_wanted(state_dir, offer, (kept.is_some(), is_good))),
        Err(error) if is_good => {
            warn!(error = %chain(&error), "continuing with the identity that this node has");
            None
        }
        Err(error) => return Err(error.into()),
    };
    let Some(offer) = offer else {
        return kept.ok_or(ObtainError::NotEnrolled);
    };
    match (enrol(state_dir, &offer), kept) {
        (Ok(identity), _) => {
            info!(
                node = %identity.node,
                expires = %identity.expires,
                "enrolled with the controller"
            );
            remember(state_dir, &offer.ticket);
            Ok(identity)
        }
        (Err(error), Some(kept)) if is_good => {
            warn!(
                error = %chain(&error),
                "the join token did not work; continuing with the identity that this node has"
            );
            if matches!(
                error,
                EnrolError::Refused {
                    status: 400..=499,
                    ..
                }
            ) {
                remember(state_dir, &offer.ticket);
            }
            Ok(kept)
        }
        (Err(error), _) => Err(error.into()),
    }
}

/// Whether the node is to join with this offer.
fn is_wanted(state_dir: &Path, offer: &Offer, (is_kept, is_good): (bool, bool)) -> bool {
    match hash(&offer.ticket) {
        Some(hash) => !is_kept || file::last_token(state_dir).as_deref() != Some(hash.as_str()),
        None => !is_good,
    }
}

/// By which a token is known again that was tried; `None` for one that changes all the time.
fn hash(ticket: &Ticket) -> Option<String> {
    match ticket {
        Ticket::One(token) | Ticket::Many { token, .. } => {
            Some(blake3::hash(token.secret.as_bytes()).to_hex().to_string())
        }
        Ticket::ServiceAccount { .. } => None,
    }
}

/// Not remembered means tried once more at the next start, which does no harm.
fn remember(state_dir: &Path, ticket: &Ticket) {
    let Some(hash) = hash(ticket) else { return };
    if let Err(error) = file::save_last_token(state_dir, &hash) {
        warn!(error = %chain(&error), "could not record which join token was used");
    }
}
