//! TLS configurations of the controller. Their certificate is renewed automatically.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
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

/// The DNS names and IP addresses by which the controller is reached.
#[derive(Clone)]
pub struct ServerNames {
    always: Vec<String>,
    own: Option<Arc<dyn Fn() -> Vec<IpAddr> + Send + Sync>>,
}

impl ServerNames {
    /// Besides `always` those that `own` gives; when it gives others, a new certificate is issued.
    /// It is called in handshakes, at most once a second.
    #[must_use]
    pub fn following(
        always: Vec<String>,
        own: impl Fn() -> Vec<IpAddr> + Send + Sync + 'static,
    ) -> Self {
        Self {
            always,
            own: Some(Arc::new(own)),
        }
    }

    fn now(&self) -> Vec<String> {
        let own = self.own.as_ref().map(|own| own()).unwrap_or_default();
        let own = own.iter().map(ToString::to_string);
        let mut names: Vec<String> = self.always.iter().cloned().chain(own).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

impl From<&[String]> for ServerNames {
    fn from(names: &[String]) -> Self {
        Self {
            always: names.to_vec(),
            own: None,
        }
    }
}

impl<const N: usize> From<&[String; N]> for ServerNames {
    fn from(names: &[String; N]) -> Self {
        Self::from(names.as_slice())
    }
}

impl Trust {
    /// HTTPS: TLS 1.3 only, no client certificates, HTTP/2 and HTTP/1.1.
    ///
    /// # Errors
    /// When a name is neither, or signing fails.
    pub fn rest_config(
        self: &Arc<Self>,
        names: impl Into<ServerNames>,
    ) -> Result<ServerConfig, ServerConfigError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_cert_resolver(RenewingCertificate::new(self.clone(), names.into())?);
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
        names: impl Into<ServerNames>,
    ) -> Result<ServerConfig, ServerConfigError> {
        self.mutual_config(names, &[b"h2"])
    }

    /// The gateway of devices: as the link, and HTTP/1.1 as well.
    ///
    /// # Errors
    /// As [`Self::rest_config`].
    pub fn gateway_config(
        self: &Arc<Self>,
        names: impl Into<ServerNames>,
    ) -> Result<ServerConfig, ServerConfigError> {
        self.mutual_config(names, &[b"h2", b"http/1.1"])
    }

    fn mutual_config(
        self: &Arc<Self>,
        names: impl Into<ServerNames>,
        protocols: &[&[u8]],
    ) -> Result<ServerConfig, ServerConfigError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.ca_der().clone())?;
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build()?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(RenewingCertificate::new(self.clone(), names.into())?);
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
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
/// lifetime, or after the names have changed. That takes a fraction of a millisecond; two
/// concurrent handshakes may both do it, which is harmless.
struct RenewingCertificate {
    trust: Arc<Trust>,
    names: ServerNames,
    present: ArcSwap<Present>,
    /// When the names were last compared; Unix time in seconds.
    compared_at: AtomicI64,
}

struct Present {
    key: Arc<CertifiedKey>,
    names: Vec<String>,
    issued_at: Timestamp,
    renew_at: Timestamp,
}

impl RenewingCertificate {
    fn new(trust: Arc<Trust>, names: ServerNames) -> Result<Arc<Self>, ServerConfigError> {
        let present = Present::issue(&trust, names.now())?;
        Ok(Arc::new(Self {
            trust,
            names,
            present: ArcSwap::from_pointee(present),
            compared_at: AtomicI64::new(0),
        }))
    }

    fn at(&self, now: Timestamp) -> Arc<CertifiedKey> {
        let present = self.present.load();
        let other_names = self.other_names(&present, now);
        // A clock that was ahead and is right again has made one that is not valid yet.
        let is_fresh = present.issued_at <= now && now < present.renew_at;
        if is_fresh && other_names.is_none() {
            return present.key.clone();
        }
        let are_new = other_names.is_some();
        let names = other_names.unwrap_or_else(|| present.names.clone());
        match Present::issue(&self.trust, names) {
            Ok(next) => {
                if are_new {
                    let names = next.names.join(", ");
                    info!(
                        names,
                        "the addresses of this machine have changed: the controller has a new certificate"
                    );
                } else {
                    info!("the controller's certificate was renewed");
                }
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

    /// The names for the certificate if they are not those of the present one.
    fn other_names(&self, present: &Present, now: Timestamp) -> Option<Vec<String>> {
        self.names.own.as_ref()?;
        let second = now.as_millis() / 1000;
        if self.compared_at.swap(second, Ordering::Relaxed) == second {
            return None;
        }
        Some(self.names.now()).filter(|names| *names != present.names)
    }
}

impl Present {
    fn issue(trust: &Trust, names: Vec<String>) -> Result<Self, ServerConfigError> {
        let issued = trust.issue_server(&names)?;
        let ends = issued.certificate.not_after.as_millis();
        trust.server_ends.store(ends, Ordering::Relaxed);
        let now = Timestamp::now();
        let life: Duration = issued.certificate.not_after.since(now);
        let key = CertifiedKey::from_der(vec![issued.certificate.der], issued.key, &provider())?;
        Ok(Self {
            key: Arc::new(key),
            names,
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
            .field("names", &self.present.load().names)
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
        let certificates =
            RenewingCertificate::new(trust, (&["localhost".to_owned()]).into()).unwrap();
        let now = Timestamp::now();
        let first = certificates.at(now);
        assert_eq!(certificates.at(now).cert, first.cert);
        let ahead = Present {
            key: first.clone(),
            names: certificates.names.now(),
            issued_at: now + YEAR,
            renew_at: now + YEAR * 2,
        };
        certificates.present.store(Arc::new(ahead));
        let mended = certificates.at(now);
        assert_ne!(mended.cert, first.cert);
        assert_eq!(certificates.at(Timestamp::now()).cert, mended.cert);
    }

    #[test]
    fn a_certificate_follows_the_addresses_of_the_machine() {
        let folder = tempfile::tempdir().unwrap();
        let trust = Arc::new(Trust::load_or_create(folder.path()).unwrap());
        let own = Arc::new(std::sync::Mutex::new(vec!["10.0.0.1".parse().unwrap()]));
        let seen = own.clone();
        let names =
            ServerNames::following(vec!["fog".to_owned()], move || seen.lock().unwrap().clone());
        let certificates = RenewingCertificate::new(trust, names).unwrap();
        let now = Timestamp::now();
        let first = certificates.at(now);
        own.lock().unwrap().push("10.23.0.1".parse().unwrap());
        assert_eq!(certificates.at(now).cert, first.cert, "once a second");
        let later = now + Duration::from_secs(1);
        let second = certificates.at(later);
        assert_ne!(second.cert, first.cert);
        assert_eq!(
            certificates.present.load().names,
            ["10.0.0.1", "10.23.0.1", "fog"]
        );
        assert_eq!(
            certificates.at(later + Duration::from_secs(1)).cert,
            second.cert
        );
    }
}
