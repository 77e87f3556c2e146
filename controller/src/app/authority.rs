//! One certificate authority for all controllers of a store.

use std::path::{Path, PathBuf};

use tracing::info;

use crate::state::authority::Authority;
use crate::state::kept_authority::{self, KeptAuthority, KeptError};
use crate::state::shelf::Record as _;
use crate::state::{Refusal, State};
use crate::store::{Revision, Store, StoreError, TxnOutcome};
use crate::trust::{Keeping, LoadTrustError, SealError, StoreKey, Trust};

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
    #[error("could not encrypt the certificate authority")]
    Seal(#[source] SealError),
    #[error(transparent)]
    Kept(#[from] KeptError),
    #[error("could not store the certificate authority")]
    Store(#[from] StoreError),
    #[error("other controllers changed the certificate authority in the store again and again")]
    Contended,
    #[error("could not compare the certificate authority with that of the store")]
    State(#[from] Refusal),
}

/// The authority of this controller, which becomes that of the store if it has none, or if `replace`.
/// It is only made if the store has none either.
///
/// # Errors
/// See [`AuthorityError`].
pub async fn open(
    state: &State,
    keeping: &Keeping,
    replace: bool,
) -> Result<Trust, AuthorityError> {
    let known = state.read(|tables| tables.authority().map(|known| known.fingerprint.clone()));
    // What must not be replaced must be found.
    let known = known.filter(|_| !replace);
    let trust = match keeping {
        Keeping::Own(folder) => in_folder(folder, known)?,
        Keeping::Given(folder) => kept_authority::given(folder)?,
        Keeping::Store { key, before } => {
            let place = Place {
                store: &**state.store(),
                key,
                before,
            };
            place.open(known, replace).await?
        }
    };
    claim(state, &trust, keeping, replace).await?;
    Ok(trust)
}

fn in_folder(folder: &Path, known: Option<String>) -> Result<Trust, AuthorityError> {
    if let Some(known) = known.filter(|_| !Trust::exists(folder)) {
        let folder = folder.to_owned();
        return Err(AuthorityError::Missing { known, folder });
    }
    Ok(Trust::load_or_create(folder)?)
}

/// The store as the place of the authority.
struct Place<'a> {
    store: &'a dyn Store,
    key: &'a StoreKey,
    /// Where it was before, or nothing is.
    before: &'a Path,
}

/// A controller that starts for the first time meets others that do. Only one of them is first.
const ATTEMPTS: usize = 5;

impl Place<'_> {
    async fn open(&self, known: Option<String>, replace: bool) -> Result<Trust, AuthorityError> {
        for _ in 0..ATTEMPTS {
            let kept = KeptAuthority::load(self.store).await?;
            if let Some(kept) = kept.as_ref().filter(|_| !replace) {
                let trust = kept.open(self.key)?;
                // Of a start that was broken off before it was claimed, nothing has come.
                if known
                    .as_deref()
                    .is_none_or(|known| known == trust.ca_fingerprint())
                {
                    return Ok(trust);
                }
            }
            // What is replaced is claimed in the same moment. After a crash between the two, the store
            // would belong to an authority that nobody has any more.
            let claimed_at = match replace {
                true => Some(self.claimed_at().await?),
                false => None,
            };
            let trust = self.first(known.as_deref(), replace)?;
            let claim = claimed_at.map(|modified| Authority {
                fingerprint: trust.ca_fingerprint().to_owned(),
                modified,
            });
            if self.put(&trust, kept.as_ref(), claim.as_ref()).await? {
                return Ok(trust);
            }
        }
        Err(AuthorityError::Contended)
    }

    /// The revision of the claim on the store. Of the engine, since the tables may be behind.
    async fn claimed_at(&self) -> Result<Revision, StoreError> {
        let entry = self.store.get(&Authority::key_of(&())).await?;
        Ok(entry.map_or(0, |entry| entry.modified))
    }

    /// What goes into the store: the authority of the folder of before, or a new one.
    fn first(&self, known: Option<&str>, replace: bool) -> Result<Trust, AuthorityError> {
        let before = Trust::load(self.before)?.filter(|_| !replace);
        let (found, known) = match (before, known) {
            (None, None) => return Ok(Trust::generate()?),
            (None, Some(known)) => {
                let (known, folder) = (known.to_owned(), self.before.to_owned());
                return Err(AuthorityError::Missing { known, folder });
            }
            (Some(found), None) => return Ok(found),
            (Some(found), Some(known)) => (found, known),
        };
        if found.ca_fingerprint() == known {
            return Ok(found);
        }
        Err(AuthorityError::Other {
            known: known.to_owned(),
            found: found.ca_fingerprint().to_owned(),
            folder: self.before.to_owned(),
        })
    }

    /// `false` when somebody else was faster.
    async fn put(
        &self,
        trust: &Trust,
        before: Option<&KeptAuthority>,
        claim: Option<&Authority>,
    ) -> Result<bool, AuthorityError> {
        let kept = KeptAuthority::of(trust.to_pem(), self.key).map_err(AuthorityError::Seal)?;
        let outcome = kept.store(self.store, before, claim).await?;
        let is_ours = matches!(outcome, TxnOutcome::Committed(_));
        if is_ours {
            let fingerprint = trust.ca_fingerprint();
            info!(
                fingerprint,
                "the certificate authority is in the store now, encrypted"
            );
        }
        Ok(is_ours)
    }
}

/// Makes it the authority of the store, if it has none, or if `replace`.
async fn claim(
    state: &State,
    trust: &Trust,
    keeping: &Keeping,
    replace: bool,
) -> Result<(), AuthorityError> {
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
                        folder: keeping.folder().to_owned(),
                    });
                }
                known => draft.replace(&Authority {
                    modified: known.map_or(0, |known| known.modified),
                    ..ours.clone()
                }),
            }
            Ok(())
        })
        .await
}
