//! The identity of a peer: the name in a certificate that TLS has already verified.

use std::sync::Arc;

use foghorn_types::{CertificateName, ParseCertificateNameError};
use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;

/// The certificate of a peer, which a TLS handshake has verified against our authority. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PeerCertificate(Arc<CertificateDer<'static>>);

impl PeerCertificate {
    /// The first of those that a handshake has shown; `None` when the peer has none.
    #[must_use]
    pub fn of(chain: Option<&[CertificateDer<'static>]>) -> Option<Self> {
        let leaf = chain?.first()?;
        Some(Self(Arc::new(leaf.clone())))
    }

    /// As DER.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        &self.0
    }
}

/// Why a certificate contains no usable name.
#[derive(Debug, thiserror::Error)]
pub enum PeerNameError {
    #[error("could not parse the certificate")]
    Unreadable {
        source: x509_parser::error::X509Error,
    },
    #[error("the certificate has {0} URI names but must have exactly one")]
    NotOneName(usize),
    #[error("the name in the certificate is not a Foghorn name")]
    Foreign { source: ParseCertificateNameError },
}

/// The name in `certificate` (DER). Only meaningful for a certificate that a TLS handshake has
/// verified against our authority: only the form is checked here.
///
/// # Errors
/// When the certificate does not contain exactly one URI, or the URI is not a Foghorn name.
pub fn peer_name(certificate: &[u8]) -> Result<CertificateName, PeerNameError> {
    let unreadable = |source| PeerNameError::Unreadable { source };
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate)
        .map_err(|error| unreadable(error.into()))?;
    let names = parsed.subject_alternative_name().map_err(unreadable)?;
    let uris: Vec<&str> = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| {
            if let GeneralName::URI(uri) = name {
                Some(*uri)
            } else {
                None
            }
        })
        .collect();
    match uris.as_slice() {
        [uri] => uri
            .parse()
            .map_err(|source| PeerNameError::Foreign { source }),
        _ => Err(PeerNameError::NotOneName(uris.len())),
    }
}
