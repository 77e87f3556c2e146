//! A later certificate, for a new key.

use std::path::Path;

use foghorn_types::Timestamp;
use rcgen::KeyPair;

use super::NodeIdentity;
use super::certificate::{self, CheckCertificateError};
use super::file::{SaveIdentityError, save};

#[derive(Debug, thiserror::Error)]
pub(crate) enum RenewError {
    #[error("could not make a key")]
    MakeKey(#[source] rcgen::Error),
    #[error("the controller's new certificate cannot be used")]
    Certificate(#[source] CheckCertificateError),
    #[error("could not save the new certificate")]
    Save(#[source] SaveIdentityError),
}

/// A renewal that has been asked for: the new key waits here for its certificate.
pub(crate) struct Renewal {
    key: KeyPair,
    csr_der: Vec<u8>,
}

impl Renewal {
    /// Makes the new key.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub(crate) fn start() -> Result<Self, RenewError> {
        let key = certificate::new_key().map_err(RenewError::MakeKey)?;
        let request = certificate::request_of(&key).map_err(RenewError::MakeKey)?;
        Ok(Self {
            key,
            csr_der: request.der().to_vec(),
        })
    }

    /// What to send to the authority: PKCS#10, DER.
    #[must_use]
    pub(crate) fn csr_der(&self) -> &[u8] {
        &self.csr_der
    }

    /// Takes the authority's answer (leaf first), checks it and keeps it in `state_dir`. Blocking.
    ///
    /// # Errors
    /// When the certificate is not for this node and this key; the present identity stays in force.
    pub(crate) fn finish(
        self,
        state_dir: &Path,
        present: &NodeIdentity,
        chain_der: &[Vec<u8>],
    ) -> Result<NodeIdentity, RenewError> {
        let received = Timestamp::now();
        let leaf = chain_der
            .first()
            .ok_or(RenewError::Certificate(CheckCertificateError::Unreadable))?;
        let expires = certificate::check(leaf, &self.key, &present.node, received)
            .map_err(RenewError::Certificate)?;
        let identity = NodeIdentity {
            chain_pem: certificate::chain_to_pem(chain_der),
            key_pem: self.key.serialize_pem(),
            received,
            expires,
            ..present.clone()
        };
        foghorn_faults::point!("agent.renew.answered");
        save(state_dir, &identity).map_err(RenewError::Save)?;
        foghorn_faults::point!("agent.renew.saved");
        Ok(identity)
    }
}
