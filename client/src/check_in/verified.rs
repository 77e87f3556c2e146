//! Finding the controller that a token names.

use std::net::IpAddr;
use std::time::Duration;

use data_encoding::{BASE64_MIME, BASE64URL_NOPAD};
use foghorn_proto::http::{CA_PATH, TokenText};
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio_util::sync::CancellationToken;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::{CheckInError, answer_error, exchange, http, retry};

/// A controller whose certificate authority is the one that a token names.
#[derive(Debug)]
pub(crate) struct Verified {
    /// Its address without a trailing slash.
    pub(crate) base: String,
    /// The authority's certificate as PEM.
    pub(crate) authority: String,
    /// Trusts this authority and no other.
    pub(crate) agent: ureq::Agent,
}

impl Verified {
    /// Asks the controller at this address, for as long as `patience` when it does not answer; `stop` ends
    /// the waiting. Blocking.
    ///
    /// # Errors
    /// The controller cannot be reached, or is not the one that the token names.
    pub(crate) fn find(
        controller: &str,
        token: &TokenText,
        patience: Duration,
        stop: &CancellationToken,
    ) -> Result<Self, CheckInError> {
        let base = base_url(controller)?;
        let authority = retry(patience, stop, || fetch_authority(&base, token))?;
        let root =
            Certificate::from_pem(authority.as_bytes()).map_err(|source| CheckInError::Send {
                url: base.clone(),
                source: Box::new(source),
            })?;
        let agent = http(
            TlsConfig::builder()
                .root_certs(RootCerts::new_with_certs(&[root]))
                .build(),
        );
        Ok(Self {
            base,
            authority,
            agent,
        })
    }
}

/// The controller's address without a trailing slash; https, or http to loopback.
pub(super) fn base_url(controller: &str) -> Result<String, CheckInError> {
    let refuse = || CheckInError::Url(controller.to_owned());
    let uri: Uri = controller.trim().parse().map_err(|_| refuse())?;
    let host = uri.host().ok_or_else(refuse)?.trim_matches(['[', ']']);
    match uri.scheme_str() {
        Some("https") => {}
        Some("http")
            if host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback()) => {}
        Some("http") => return Err(CheckInError::PlainHttp(controller.to_owned())),
        _ => return Err(refuse()),
    }
    Ok(controller.trim().trim_end_matches('/').to_owned())
}

/// Asks without verifying, which is safe: the answer is trusted for its hash alone, and only the
/// certificate that has the hash is passed on. Whoever sits in between could have put another
/// authority behind it.
fn fetch_authority(base: &str, token: &TokenText) -> Result<String, CheckInError> {
    let url = format!("{base}{CA_PATH}");
    let agent = http(TlsConfig::builder().disable_verification(true).build());
    let (status, pem) = exchange(&url, || agent.get(&url).call())?;
    if status != 200 {
        return Err(answer_error(status, &pem));
    }
    let der = CertificateDer::from_pem_slice(pem.as_bytes())
        .map_err(|_| CheckInError::NoAuthority { url: url.clone() })?;
    let found = fingerprint(&der);
    if found != token.ca_fingerprint {
        return Err(CheckInError::OtherAuthority {
            url,
            expected: token.ca_fingerprint.clone(),
            found,
        });
    }
    Ok(one_certificate(&der))
}

fn one_certificate(der: &[u8]) -> String {
    format!(
        "-----BEGIN CERTIFICATE-----\n{}-----END CERTIFICATE-----\n",
        BASE64_MIME.encode(der).replace('\r', "")
    )
}

/// SHA-256 as tokens spell it. The TLS library's own, reached through a cipher suite that uses it.
fn fingerprint(der: &[u8]) -> String {
    let suite = TLS13_AES_128_GCM_SHA256
        .tls13()
        .expect("a TLS 1.3 suite is one");
    BASE64URL_NOPAD.encode(suite.common.hash_provider.hash(der).as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_for_loopback_only() {
        assert_eq!(
            base_url("https://c.example:8443/").unwrap(),
            "https://c.example:8443"
        );
        for text in [
            "http://127.0.0.1:80",
            "http://localhost:1",
            "http://[::1]:9",
        ] {
            assert!(base_url(text).is_ok(), "{text}");
        }
        assert!(matches!(
            base_url("http://10.0.0.1"),
            Err(CheckInError::PlainHttp(_))
        ));
        assert!(matches!(
            base_url("http://127.0.0.1.example"),
            Err(CheckInError::PlainHttp(_))
        ));
        assert!(matches!(base_url("ftp://x"), Err(CheckInError::Url(_))));
        assert!(matches!(base_url("c.example"), Err(CheckInError::Url(_))));
    }

    #[test]
    fn the_fingerprint_is_sha_256() {
        assert_eq!(
            fingerprint(b"abc"),
            "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0"
        );
    }
}
