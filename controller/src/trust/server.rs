//! TLS configurations of the controller. Their certificate is renewed automatically.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use foghorn_types::{Timestamp, chain};
use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert, VerifierBuilderError, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use tracing::{info, warn};

use super::{IssueError, Trust};

/// Why a TLS configuration could not be created.
#[derive(Debug, thiserror::Error)]
pub enum ServerConfigError {
    #[error("could not issue the controller's certificate")]
    Issue(#[from] IssueError),
    #[error("could not use the controller's certificate")]
    Tls(#[from] rustls::Error),
    #[error("could not set up the verification of client certificates")]
    Verifier(#[from] VerifierBuilderError),
}

impl Trust {
    /// HTTPS: TLS 1.3 only, no client certificates, HTTP/2 and HTTP/1.1.
    ///
    /// `names` are the DNS names and IP addresses by which the controller is reached.
    ///
    /// # Errors
    /// When a name is neither, or signing fails.
    pub fn rest_config(
        self: &Arc<Self>,
        names: &[String],
    ) -> Result<ServerConfig, ServerConfigError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(RenewingCertificate::new(self.clone(), names)?);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// The agents' link: TLS 1.3 and HTTP/2 only, and a certificate of our authority required.
    /// Which of its names may do what is for the caller to decide, by
    /// [`peer_name`](super::peer_name).
    ///
    /// # Errors
    /// As [`Self::rest_config`].
    pub fn link_config(
        self: &Arc<Self>,
        names: &[String],
    ) -> Result<ServerConfig, ServerConfigError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca_der().clone())?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build()?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(RenewingCertificate::new(self.clone(), names)?);
        config.alpn_protocols = vec![b"h2".to_vec()];
        // A resumed session would not show whether the certificate is still valid.
        config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Issues the next certificate in the first handshake after two thirds of the current one's
/// lifetime. That takes a fraction of a millisecond; two concurrent handshakes may both do it,
/// which is harmless.
struct RenewingCertificate {
    trust: Arc<Trust>,
    names: Vec<String>,
    present: ArcSwap<Present>,
}

struct Present {
    key: Arc<CertifiedKey>,
    issued_at: Timestamp,
    renew_at: Timestamp,
}

impl RenewingCertificate {
    fn new(trust: Arc<Trust>, names: &[String]) -> Result<Arc<Self>, ServerConfigError> {
        let present = Present::issue(&trust, names)?;
        Ok(Arc::new(Self {
            trust,
            names: names.to_vec(),
            present: ArcSwap::from_pointee(present),
        }))
    }

    fn at(&self, now: Timestamp) -> Arc<CertifiedKey> {
        let present = self.present.load();
        // A clock that was ahead and is right again has made one that is not valid yet.
        if present.issued_at <= now && now < present.renew_at {
            return present.key.clone();
        }
        match Present::issue(&self.trust, &self.names) {
            Ok(next) => {
                info!("the controller's certificate was renewed");
                let key = next.key.clone();
                self.present.store(Arc::new(next));
                key
            }
            Err(error) => {
                warn!(error = %chain(&error), "could not renew the controller's certificate");
                present.key.clone()
            }
        }
    }
}

impl Present {
    fn issue(trust: &Trust, names: &[String]) -> Result<Self, ServerConfigError> {
        let issued = trust.issue_server(names)?;
        let now = Timestamp::now();
        let life: Duration = issued.certificate.not_after.since(now);
        let key = CertifiedKey::from_der(vec![issued.certificate.der], issued.key, &provider())?;
        Ok(Self {
            key: Arc::new(key),
            issued_at: now,
            renew_at: now + life * 2 / 3,
        })
    }
}

impl ResolvesServerCert for RenewingCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.at(Timestamp::now()))
    }
}

impl std::fmt::Debug for RenewingCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RenewingCertificate")
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

    #[test]
    fn a_certificate_from_the_future_is_replaced_and_a_good_one_stays() {
        let folder = tempfile::tempdir().unwrap();
        let trust = Arc::new(Trust::load_or_create(folder.path()).unwrap());
        let certificates = RenewingCertificate::new(trust, &["localhost".to_owned()]).unwrap();
        let now = Timestamp::now();
        let first = certificates.at(now);
        assert_eq!(certificates.at(now).cert, first.cert);
        let ahead = Present {
            key: first.clone(),
            issued_at: now + YEAR,
            renew_at: now + YEAR * 2,
        };
        certificates.present.store(Arc::new(ahead));
        let mended = certificates.at(now);
        assert_ne!(mended.cert, first.cert);
        assert_eq!(certificates.at(Timestamp::now()).cert, mended.cert);
    }
}
