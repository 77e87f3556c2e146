//! Knowing the certificate authority: by its fingerprint, or from a file.

use data_encoding::BASE64URL_NOPAD;
use foghorn_types::is_mistyped;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;

use super::certificate::chain_to_pem;

/// Why a text is not the authority that is to be trusted.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    #[error("there is no certificate in PEM form")]
    NoPem,
    #[error(
        "the controller's certificate authority is {found}, and not {expected}{}",
        difference(expected, found)
    )]
    Other { expected: String, found: String },
}

/// What a difference between two fingerprints means.
fn difference(expected: &str, found: &str) -> &'static str {
    if is_mistyped(expected, found) {
        ", which is nearly the same: the token or the fingerprint was mistyped"
    } else {
        ": the token or the fingerprint is of another controller, or somebody intercepts the connection"
    }
}

/// SHA-256 of a certificate (DER) as tokens spell it: base64url without padding.
#[must_use]
pub fn fingerprint(der: &[u8]) -> String {
    // The TLS library's own SHA-256, reached through a cipher suite that uses it: no second
    // implementation for one hash.
    let suite = TLS13_AES_128_GCM_SHA256
        .tls13()
        .expect("a TLS 1.3 suite is one");
    BASE64URL_NOPAD.encode(suite.common.hash_provider.hash(der).as_ref())
}

/// The certificate that `pem` begins with, if it has the fingerprint `expected`; nothing else of
/// `pem` may be trusted, because whoever sits in between could have put another authority behind
/// it.
///
/// # Errors
/// When it holds no certificate, or another one.
pub(super) fn check(pem: &str, expected: &str) -> Result<String, AuthorityError> {
    let first = first_block(pem)?;
    let found = fingerprint(&first);
    if found == expected {
        Ok(chain_to_pem(&[first]))
    } else {
        Err(AuthorityError::Other {
            expected: expected.to_owned(),
            found,
        })
    }
}

/// The certificate that `pem` begins with, which comes from a file that somebody has put there.
///
/// # Errors
/// When it holds no certificate.
pub(super) fn first(pem: &str) -> Result<String, AuthorityError> {
    let first = first_block(pem)?;
    if x509_parser::parse_x509_certificate(&first).is_err() {
        return Err(AuthorityError::NoPem);
    }
    Ok(chain_to_pem(&[first]))
}

fn first_block(pem: &str) -> Result<Vec<u8>, AuthorityError> {
    let (_, block) =
        x509_parser::pem::parse_x509_pem(pem.as_bytes()).map_err(|_| AuthorityError::NoPem)?;
    Ok(block.contents)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_sha_256() {
        assert_eq!(
            fingerprint(b"abc"),
            "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"
        );
    }

    #[test]
    fn another_authority_is_refused() {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default()
            .self_signed(&key)
            .unwrap();
        let own = fingerprint(certificate.der());
        assert!(check(&certificate.pem(), &own).is_ok());
        assert!(matches!(
            check(&certificate.pem(), "other"),
            Err(AuthorityError::Other { .. })
        ));
        assert!(matches!(check("no pem", &own), Err(AuthorityError::NoPem)));
        assert_eq!(
            first(&certificate.pem()).unwrap(),
            check(&certificate.pem(), &own).unwrap()
        );
        assert!(matches!(
            first(&key.serialize_pem()),
            Err(AuthorityError::NoPem)
        ));
    }

    #[test]
    fn nothing_that_comes_with_the_authority_is_trusted() {
        let make = || {
            let key = rcgen::KeyPair::generate().unwrap();
            rcgen::CertificateParams::default()
                .self_signed(&key)
                .unwrap()
        };
        let (own, stranger) = (make(), make());
        // Readers that look for a certificate skip a block with another label, so that would be the
        // stranger's chance, too.
        let disguised = own.pem().replace("CERTIFICATE", "SOMETHING");
        for first in [own.pem(), disguised] {
            let kept = check(
                &format!("{first}{}", stranger.pem()),
                &fingerprint(own.der()),
            )
            .unwrap();
            let kept: Vec<_> = x509_parser::pem::Pem::iter_from_buffer(kept.as_bytes())
                .map(Result::unwrap)
                .collect();
            assert_eq!(kept.len(), 1);
            assert_eq!(
                (kept[0].label.as_str(), &kept[0].contents[..]),
                ("CERTIFICATE", &own.der()[..])
            );
        }
    }
}
