//! Which identity a start uses: the one that is kept, or a new one where somebody has given a token
//! that was not tried yet.
//!
//! A node that was revoked, or whose certificate has expired, looks like any other to itself. What
//! tells is the token: whoever gives a new one wants the node to join anew. So the token that was
//! last tried is remembered, as a hash.

use std::path::Path;

use foghorn_proto::http::TokenText;
use foghorn_types::{Timestamp, chain};
use tracing::{info, warn};

use super::NodeIdentity;
use super::enrol::{EnrolError, enrol};
use super::file::{self, LoadIdentityError};
use crate::controller_url::ControllerUrl;

/// Why there is no identity to start with.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ObtainError {
    #[error("could not load this node's identity")]
    Load(#[from] LoadIdentityError),
    #[error("this node has no identity yet: it needs the controller's address and a join token")]
    NotEnrolled,
    #[error("could not enrol this node")]
    Enrol(#[from] EnrolError),
}

/// The identity in `state_dir`, or one bought with the token of `offer`. Blocking, at most some 40
/// s.
///
/// A token that does not work does not stop a node whose certificate is still good: the node
/// continues with that one.
///
/// # Errors
/// When there is no usable identity and none can be obtained.
pub(crate) fn obtain(
    state_dir: &Path,
    offer: Option<(&ControllerUrl, &TokenText)>,
    now: Timestamp,
) -> Result<NodeIdentity, ObtainError> {
    let kept = file::load(state_dir)?;
    let hash = |token: &TokenText| blake3::hash(token.secret.as_bytes()).to_hex().to_string();
    let offer = offer.filter(|(_, token)| {
        kept.is_none() || file::last_token(state_dir).as_deref() != Some(hash(token).as_str())
    });
    let Some((controller, token)) = offer else {
        return kept.ok_or(ObtainError::NotEnrolled);
    };
    match (enrol(state_dir, controller, token), kept) {
        (Ok(identity), _) => {
            info!(
                node = %identity.node,
                expires = %identity.expires,
                "enrolled with the controller"
            );
            remember(state_dir, &hash(token));
            Ok(identity)
        }
        (Err(error), Some(kept)) if kept.expires > now => {
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
                remember(state_dir, &hash(token));
            }
            Ok(kept)
        }
        (Err(error), _) => Err(error.into()),
    }
}

/// Not remembered means tried once more at the next start, which does no harm.
fn remember(state_dir: &Path, hash: &str) {
    if let Err(error) = file::save_last_token(state_dir, hash) {
        warn!(error = %chain(&error), "could not record which join token was used");
    }
}
