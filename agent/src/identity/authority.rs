//! Knowing the certificate authority by the fingerprint in a token.

use data_encoding::BASE64URL_NOPAD;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;

/// Why a text is not the authority that a token names.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("the controller sent no certificate in PEM form")]
    NoPem,
    #[error(
        "the controller's authority is {found}, the token names {expected}: this is another controller, or somebody in between"
    )]
    Other { expected: String, found: String },
}

/// SHA-256 of a certificate (DER) as tokens spell it: base64url without padding.
#[must_use]
pub fn fingerprint(der: &[u8]) -> String {
    // The TLS library's own SHA-256, reached through a cipher suite that uses it: no second implementation for one hash.
    let suite = TLS13_AES_128_GCM_SHA256.tls13().expect("a TLS 1.3 suite is one");
    BASE64URL_NOPAD.encode(suite.common.hash_provider.hash(der).as_ref())
}

/// Accepts `pem` when its first certificate has the fingerprint `expected`.
///
/// # Errors
/// When it holds no certificate, or another one.
pub(super) fn check(pem: &str, expected: &str) -> Result<(), AuthorityError> {
    let (_, block) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|_| AuthorityError::NoPem)?;
    let found = fingerprint(&block.contents);
    if found == expected { Ok(()) } else { Err(AuthorityError::Other { expected: expected.to_owned(), found }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha_256() {
        assert_eq!(fingerprint(b"abc"), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
    }

    #[test]
    fn another_authority_is_refused() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        let own = fingerprint(certificate.der());
        assert!(check(&certificate.pem(), &own).is_ok());
        assert!(matches!(check(&certificate.pem(), "other"), Err(AuthorityError::Other { .. })));
        assert!(matches!(check("no pem", &own), Err(AuthorityError::NoPem)));
    }
}
