//! Checking what an authority handed out before it replaces anything.

use foghorn_types::{CertificateName, NodeName, Timestamp};
use rcgen::{CertificateParams, CertificateSigningRequest, KeyPair, PublicKeyData};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

#[derive(Debug, thiserror::Error)]
pub enum CheckCertificateError {
    #[error("the certificate authority did not send a readable certificate")]
    Unreadable,
    #[error("the certificate is for a different key")]
    OtherKey,
    #[error("the certificate does not name {expected}")]
    OtherName { expected: CertificateName },
    #[error("the certificate expired at {0}; check the clocks of both machines")]
    Expired(Timestamp),
}

pub(super) fn new_key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate()
}

/// A request that only proves the possession of the key: the names in a certificate are the
/// controller's choice.
pub(super) fn request_of(key: &KeyPair) -> Result<CertificateSigningRequest, rcgen::Error> {
    CertificateParams::default().serialize_request(key)
}

/// Checks the leaf `der` and gives the time at which it expires.
pub(super) fn check(
    der: &[u8],
    key: &KeyPair,
    node: &NodeName,
    now: Timestamp,
) -> Result<Timestamp, CheckCertificateError> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|_| CheckCertificateError::Unreadable)?;
    if certificate.public_key().subject_public_key.data.as_ref() != key.der_bytes() {
        return Err(CheckCertificateError::OtherKey);
    }
    let expected = CertificateName::Node(node.clone());
    let names = certificate.subject_alternative_name().ok().flatten();
    let uris = names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some(*uri),
            _ => None,
        });
    if !uris.into_iter().eq([expected.to_string().as_str()]) {
        return Err(CheckCertificateError::OtherName { expected });
    }
    let expires = Timestamp::from_millis(
        certificate
            .validity()
            .not_after
            .timestamp()
            .saturating_mul(1000),
    );
    if expires <= now {
        Err(CheckCertificateError::Expired(expires))
    } else {
        Ok(expires)
    }
}

/// The leaf of a PEM chain as DER.
pub(super) fn leaf_of(chain_pem: &str) -> Result<Vec<u8>, CheckCertificateError> {
    let (_, block) = x509_parser::pem::parse_x509_pem(chain_pem.as_bytes())
        .map_err(|_| CheckCertificateError::Unreadable)?;
    Ok(block.contents)
}

/// DER certificates as one PEM text.
pub(super) fn chain_to_pem(chain: &[Vec<u8>]) -> String {
    chain
        .iter()
        .map(|der| {
            let body = data_encoding::BASE64.encode(der);
            let lines: Vec<&str> = body
                .as_bytes()
                .chunks(64)
                .map(|line| std::str::from_utf8(line).expect("base64 is ASCII"))
                .collect();
            format!(
                "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                lines.join("\n")
            )
        })
        .collect()
}
