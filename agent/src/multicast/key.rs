//! Keys of sessions. Each is drawn afresh and used in one epoch of one session.

use foghorn_multicast::{Epoch, KeyMaterial, SessionTag, Suite};

/// The system had no randomness for a key.
#[derive(Debug, thiserror::Error)]
#[error("the system could not provide 32 random bytes: {0}")]
pub(crate) struct MakeKeyError(getrandom::Error);

/// A key that nobody has had before.
pub(super) fn new_key(session: SessionTag, epoch: Epoch) -> Result<KeyMaterial, MakeKeyError> {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(MakeKeyError)?;
    Ok(KeyMaterial {
        session,
        epoch,
        suite: Suite::for_this_processor(),
        secret,
    })
}
