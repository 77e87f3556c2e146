//! One certificate authority for all controllers of a store.

use std::path::{Path, PathBuf};

use crate::state::authority::Authority;
use crate::state::{Refusal, State};
use crate::trust::{LoadTrustError, Trust};

/// Why a controller cannot be one of this store.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error(transparent)]
    Load(#[from] LoadTrustError),
    #[error(
        "the store belongs to the certificate authority with the SHA-256 {known}, and {folder} has none: copy the folder from another controller or from a backup; if it is lost everywhere, start once with --new-authority, and enrol every agent again", folder = folder.display()
    )]
    Missing { known: String, folder: PathBuf },
    #[error(
        "the store belongs to the certificate authority with the SHA-256 {known}, but the one in {folder} is {found}: copy the folder from another controller or from a backup, or use the store that belongs to this one; if the other one is lost everywhere, start once with --new-authority, and enrol every agent again", folder = folder.display()
    )]
    Other {
        known: String,
        found: String,
        folder: PathBuf,
    },
    #[error("could not compare the certificate authority with that of the store")]
    State(#[from] Refusal),
}

/// The authority in `folder`, which becomes that of the store if it has none, or if `replace`. It is
/// only made if the store has none either.
///
/// # Errors
/// See [`AuthorityError`].
pub async fn open(state: &State, folder: &Path, replace: bool) -> Result<Trust, AuthorityError> {
    let known = state.read(|tables| tables.authority().cloned());
    if let Some(known) = known.filter(|_| !replace && !Trust::exists(folder)) {
        return Err(AuthorityError::Missing {
            known: known.fingerprint.clone(),
            folder: folder.to_owned(),
        });
    }
    let trust = Trust::load_or_create(folder)?;
    let ours = Authority {
        fingerprint: trust.ca_fingerprint().to_owned(),
        modified: 0,
    };
    state
        .write(|draft| {
            match draft.tables().authority() {
                Some(known) if known.fingerprint == ours.fingerprint => {}
                Some(known) if !replace => {
                    return Err(AuthorityError::Other {
                        known: known.fingerprint.clone(),
                        found: ours.fingerprint.clone(),
                        folder: folder.to_owned(),
                    });
                }
                known => draft.replace(&Authority {
                    modified: known.map_or(0, |known| known.modified),
                    ..ours.clone()
                }),
            }
            Ok(())
        })
        .await?;
    Ok(trust)
}
