//! Keys and certificates: from PEM or DER to TLS configurations, and from a peer's certificate to
//! its name.

use std::sync::Arc;

use foghorn_types::{CertificateName, Digest, Timestamp};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, version::TLS13};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::wire::ALPN;

/// What one end shows and whom it trusts.
#[derive(Debug)]
pub struct Identity {
    /// Certificate authorities whose certificates are accepted.
    pub ca: Vec<CertificateDer<'static>>,
    /// Own certificate, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Private key of the first certificate.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            ca: self.ca.clone(),
            chain: self.chain.clone(),
            key: self.key.clone_key(),
        }
    }
}

/// Key material that cannot be used.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum IdentityError {
    #[error("could not read the {part} as PEM")]
    Pem {
        part: &'static str,
        source: rustls::pki_types::pem::Error,
    },
    #[error("the {0} holds no certificate")]
    Empty(&'static str),
    #[error("a certificate authority cannot be used")]
    Authority(#[source] rustls::Error),
    #[error("the certificate chain and its key cannot be used")]
    Chain(#[source] rustls::Error),
    #[error("the verifier of client certificates could not be built")]
    Verifier(#[source] rustls::server::VerifierBuilderError),
}

impl Identity {
    /// # Errors
    /// When a part is not PEM or holds nothing of its kind.
    pub fn from_pem(ca: &str, chain: &str, key: &str) -> Result<Self, IdentityError> {
        Ok(Self {
            ca: certificates("certificate authority", ca)?,
            chain: certificates("certificate chain", chain)?,
            key: PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|source| {
                IdentityError::Pem {
                    part: "private key",
                    source,
                }
            })?,
        })
    }

    fn roots(&self) -> Result<Arc<RootCertStore>, IdentityError> {
        if self.ca.is_empty() {
            return Err(IdentityError::Empty("certificate authority"));
        }
        let mut roots = RootCertStore::empty();
        for ca in &self.ca {
            roots.add(ca.clone()).map_err(IdentityError::Authority)?;
        }
        Ok(Arc::new(roots))
    }

    pub(crate) fn client_crypto(&self) -> Result<QuicClientConfig, IdentityError> {
        let mut config = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(IdentityError::Chain)?
            .with_root_certificates(self.roots()?)
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())
            .map_err(IdentityError::Chain)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config
            .try_into()
            .expect("the provider has AES-128-GCM, which QUIC's first packets need"))
    }

    pub(crate) fn server_crypto(&self) -> Result<QuicServerConfig, IdentityError> {
        let verifier = WebPkiClientVerifier::builder_with_provider(self.roots()?, provider())
            .build()
            .map_err(IdentityError::Verifier)?;
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&TLS13])
            .map_err(IdentityError::Chain)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), self.key.clone_key())
            .map_err(IdentityError::Chain)?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        Ok(config
            .try_into()
            .expect("the provider has AES-128-GCM, which QUIC's first packets need"))
    }
}

/// From when until when a certificate (DER) is valid; `None` when it cannot be parsed. Verifies nothing.
#[must_use]
pub fn validity(der: &[u8]) -> Option<(Timestamp, Timestamp)> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let validity = certificate.validity();
    let [from, until] = [validity.not_before, validity.not_after]
        .map(|time| Timestamp::from_millis(time.timestamp().saturating_mul(1000)));
    Some((from, until))
}

fn certificates(
    part: &'static str,
    pem: &str,
) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let found = CertificateDer::pem_slice_iter(pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| IdentityError::Pem { part, source })?;
    if found.is_empty() {
        Err(IdentityError::Empty(part))
    } else {
        Ok(found)
    }
}

/// ring with AES-128-GCM first: with the AES instructions of any machine worth imaging it costs
/// about a third less than AES-256, and the session keys live for one transfer.
fn provider() -> Arc<CryptoProvider> {
    use ring::cipher_suite::{
        TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
    };
    Arc::new(CryptoProvider {
        cipher_suites: vec![
            TLS13_AES_128_GCM_SHA256,
            TLS13_CHACHA20_POLY1305_SHA256,
            TLS13_AES_256_GCM_SHA384,
        ],
        ..ring::default_provider()
    })
}

/// Who is at the other end, from the certificate that TLS has verified.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerCertificate {
    /// Whom the certificate names.
    pub name: CertificateName,
    /// BLAKE3 of the certificate (DER): tells two certificates of one name apart.
    pub fingerprint: Digest,
}

/// A certificate of our authority that names nobody we know.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum PeerCertificateError {
    #[error("the peer sent no certificate")]
    Missing,
    #[error("the peer's certificate cannot be parsed")]
    Parse(#[source] x509_parser::error::X509Error),
    #[error("the peer's certificate must hold one URI as its name, it holds {0}")]
    NotOneUri(usize),
    #[error("the peer's certificate names nobody")]
    Name(#[source] foghorn_types::ParseCertificateNameError),
}

impl PeerCertificate {
    /// Reads the name out of a certificate. Verifies nothing.
    ///
    /// # Errors
    /// When the certificate cannot be parsed or has not exactly one URI, which must be a
    /// [`CertificateName`].
    pub fn from_der(der: &[u8]) -> Result<Self, PeerCertificateError> {
        let (_, certificate) = X509Certificate::from_der(der)
            .map_err(|error| PeerCertificateError::Parse(nom_error(error)))?;
        let alternatives = certificate
            .subject_alternative_name()
            .map_err(PeerCertificateError::Parse)?;
        let uris: Vec<&str> = alternatives
            .iter()
            .flat_map(|extension| &extension.value.general_names)
            .filter_map(|name| match name {
                GeneralName::URI(uri) => Some(*uri),
                _ => None,
            })
            .collect();
        let [uri] = uris[..] else {
            return Err(PeerCertificateError::NotOneUri(uris.len()));
        };
        let name = uri.parse().map_err(PeerCertificateError::Name)?;
        Ok(Self {
            name,
            fingerprint: *blake3::hash(der).as_bytes(),
        })
    }

    pub(crate) fn of(connection: &quinn::Connection) -> Result<Self, PeerCertificateError> {
        let identity = connection
            .peer_identity()
            .ok_or(PeerCertificateError::Missing)?;
        let chain = identity
            .downcast::<Vec<CertificateDer<'static>>>()
            .map_err(|_| PeerCertificateError::Missing)?;
        Self::from_der(chain.first().ok_or(PeerCertificateError::Missing)?)
    }
}

fn nom_error(
    error: x509_parser::nom::Err<x509_parser::error::X509Error>,
) -> x509_parser::error::X509Error {
    use x509_parser::nom::Err;
    match error {
        Err::Error(error) | Err::Failure(error) => error,
        Err::Incomplete(_) => x509_parser::error::X509Error::Generic,
    }
}
