//! Why a configuration is not changed.

use foghorn_host_config::{BadFiles, FileName, NoSuchFile};

use super::reimage::ReimageError;
use crate::state::Refusal;
use crate::state::machines::config::Level;
use crate::state::machines::packed::PackError;
use crate::store::MAX_TXN_BYTES;
use crate::trust::SealError;

/// Most bytes of a version as it is stored; the rest of a transaction is for what goes with it. Text
/// and base64 within the limit of the API fit, whatever is in them.
pub(super) const LONGEST_STORED: usize = MAX_TXN_BYTES - (16 << 10);

/// Why there is no new version. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("what is to be configured does not exist")]
    NotThere(Level),
    #[error(transparent)]
    NoSuchFile(#[from] NoSuchFile),
    /// [`BadFiles::is_too_large`] tells whether it is about the size.
    #[error("the files cannot be a configuration")]
    Files(#[from] BadFiles),
    #[error("the configuration would take {0} bytes in the store; {LONGEST_STORED} are possible")]
    TooLarge(usize),
    #[error("could not encrypt the secrets, or decrypt those of the version before")]
    Seal(#[from] SealError),
    /// Secrets of the present version that the change does not give again.
    #[error(
        "the secrets in these files cannot be read any more, since they were stored under another certificate authority: {}; give all of them again in one change, or remove them one by one",
        listed(.0)
    )]
    Unreadable(Vec<FileName>),
    #[error("could not read the version before, or store this one")]
    Pack(#[from] PackError),
    #[error(transparent)]
    Reimage(#[from] ReimageError),
    #[error(transparent)]
    State(#[from] Refusal),
}

fn listed(names: &[FileName]) -> String {
    let names: Vec<&str> = names.iter().map(FileName::as_str).collect();
    names.join(", ")
}

impl ConfigError {
    /// Whether the configuration is too large.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        match self {
            Self::TooLarge(_) => true,
            Self::Files(files) => files.is_too_large(),
            _ => false,
        }
    }
}
