//! The certificate authority in the store, for controllers that have no folder with it. Its key is
//! encrypted: a copy of the store signs nothing.
//!
//! The record stays with its store: exports, which have the authority in a part of their own, leave it
//! out, and imports do not remove it.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::authority::Authority;
use super::imports::MARKER;
use super::shelf::Record as _;
use crate::store::{Compare, Op, Revision, Store, StoreError, Txn, TxnOutcome};
use crate::trust::{AuthorityPem, Keeping, LoadTrustError, PemError, SealError, StoreKey, Trust};

/// Outside the range of the watch cache: only a start reads it.
pub(crate) const KEY: &str = "/foghorn/authority/v1";

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct KeptAuthority {
    /// Certificate in PEM, which is public.
    pub certificate: String,
    /// As [`crate::trust::StoreKey::seal`] gives it.
    pub sealed_key: String,
    /// The store's revision of this record; 0 for one that was never stored.
    #[serde(skip)]
    pub modified: Revision,
}

/// Why there is no authority to be used.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    #[error("the certificate authority in the store ({KEY}) cannot be read")]
    Unreadable(#[source] serde_json::Error),
    #[error(
        "the certificate authority in the store was encrypted with another key: give the key that the other controllers have (`trust.store_key_file` or `trust.store_key_command`)"
    )]
    OtherKey,
    #[error("the certificate authority in the store ({KEY}) cannot be used")]
    Unusable(#[source] PemError),
    #[error("{folder} (`trust.authority_dir`) has no certificate authority: ca.pem and ca.key, or tls.crt and tls.key, are needed there", folder = folder.display())]
    NotGiven { folder: PathBuf },
    #[error(transparent)]
    Load(#[from] LoadTrustError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl KeptAuthority {
    /// What the store has.
    ///
    /// # Errors
    /// See [`KeptError`].
    pub async fn load(store: &dyn Store) -> Result<Option<Self>, KeptError> {
        let Some(entry) = store.get(KEY).await? else {
            return Ok(None);
        };
        let read = serde_json::from_slice::<Self>(&entry.value);
        let kept = read.map_err(KeptError::Unreadable)?;
        Ok(Some(Self {
            modified: entry.modified,
            ..kept
        }))
    }

    /// A record of `authority`, for a store that has none.
    ///
    /// # Errors
    /// When it cannot be encrypted.
    pub fn of(authority: AuthorityPem, key: &StoreKey) -> Result<Self, SealError> {
        Ok(Self {
            sealed_key: key.seal(&authority)?,
            certificate: authority.certificate,
            modified: 0,
        })
    }

    /// The authority, which only this key opens.
    ///
    /// # Errors
    /// See [`KeptError`].
    pub fn open(&self, key: &StoreKey) -> Result<Trust, KeptError> {
        let opened = key.open(&self.sealed_key);
        let pem = AuthorityPem {
            certificate: self.certificate.clone(),
            key: opened.map_err(|_| KeptError::OtherKey)?,
        };
        Trust::from_pem(&pem).map_err(KeptError::Unusable)
    }

    /// The change that stores this.
    #[must_use]
    pub fn put(&self) -> Op {
        Op::Put {
            key: KEY.to_owned(),
            value: Bytes::from(serde_json::to_vec(self).unwrap_or_default()),
        }
    }

    /// Stores this instead of `before`, unless somebody else has stored another one. With it goes
    /// `claim`, unless that was changed since it was read: of one without the other, no controller could
    /// be.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn store(
        &self,
        store: &dyn Store,
        before: Option<&Self>,
        claim: Option<&Authority>,
    ) -> Result<TxnOutcome, StoreError> {
        let unchanged = match before {
            Some(before) => Compare::ModifiedAt(KEY.to_owned(), before.modified),
            None => Compare::Absent(KEY.to_owned()),
        };
        let mut txn = Txn {
            compares: vec![unchanged, Compare::Absent(MARKER.to_owned())],
            ops: vec![self.put()],
        };
        if let Some(claim) = claim {
            txn.compares.push(claim.unchanged());
            txn.ops.push(claim.put_op());
        }
        store.commit(txn).await
    }
}

/// The authority of this controller, if it has one already; nothing is made or changed.
///
/// # Errors
/// See [`KeptError`].
pub async fn present(store: &dyn Store, keeping: &Keeping) -> Result<Option<Trust>, KeptError> {
    match keeping {
        Keeping::Own(folder) => Ok(Trust::load(folder)?),
        Keeping::Given(folder) => given(folder).map(Some),
        Keeping::Store { key, .. } => {
            let kept = KeptAuthority::load(store).await?;
            kept.map(|kept| kept.open(key)).transpose()
        }
    }
}

/// The authority that others have put into `folder`.
///
/// # Errors
/// When there is none, or it cannot be used.
pub fn given(folder: &Path) -> Result<Trust, KeptError> {
    let none = || KeptError::NotGiven {
        folder: folder.to_owned(),
    };
    Trust::load(folder)?.ok_or_else(none)
}
