//! The authority's certificate and key, in a directory.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use foghorn_types::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData, SigningKey,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tracing::{info, warn};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::terms::{self, Lifetimes};

const CERTIFICATE_FILE: &str = "ca.pem";
const KEY_FILE: &str = "ca.key";
/// Long, because every agent must enrol again when the authority is replaced.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

/// The certificate authority of one installation.
pub struct Trust {
    pub(super) issuer: Issuer<'static, KeyPair>,
    pub(super) lifetimes: Lifetimes,
    certificate: CertificateDer<'static>,
    pem: String,
    fingerprint: String,
    /// When the latest certificate of the controller itself ends; Unix time in milliseconds, 0
    /// before there is one.
    pub(super) server_ends: AtomicI64,
}

/// Why the certificate authority could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadTrustError {
    #[error("could not read or write {path}", path = path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{present} exists but {missing} does not: a certificate authority needs both files", present = present.display(), missing = missing.display())]
    Half { present: PathBuf, missing: PathBuf },
    #[error("{path} does not contain exactly one PEM certificate", path = path.display())]
    Certificate {
        path: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("{path} does not contain a PEM private key (PKCS#8; ECDSA or Ed25519)", path = path.display())]
    Key { path: PathBuf, source: rcgen::Error },
    #[error("the certificate in {path} is not that of a certificate authority: it must not sign certificates", path = path.display())]
    NotAnAuthority { path: PathBuf },
    #[error("the certificate in {path} belongs to another key", path = path.display())]
    ForeignKey { path: PathBuf },
    #[error("could not create a certificate authority")]
    Create { source: rcgen::Error },
}

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
#[error("the key of the certificate authority could not sign")]
pub struct SignError {
    source: rcgen::Error,
}

impl Trust {
    /// Whether `dir` has an authority, or half of one.
    #[must_use]
    pub fn exists(dir: &Path) -> bool {
        dir.join(CERTIFICATE_FILE).exists() || dir.join(KEY_FILE).exists()
    }

    /// The authority in `dir`: `ca.pem` and `ca.key` if they exist (created here before, or
    /// provided by the operator), and otherwise a new one with a key that only its owner can read.
    /// Blocks on the disk for a few milliseconds.
    ///
    /// # Errors
    /// When the files cannot be read or written, or do not form an authority together.
    pub fn load_or_create(dir: &Path) -> Result<Self, LoadTrustError> {
        let (certificate, key) = (dir.join(CERTIFICATE_FILE), dir.join(KEY_FILE));
        match (certificate.exists(), key.exists()) {
            (true, true) => Self::load(&certificate, &key),
            (false, false) => Self::create(dir, &certificate, &key),
            (true, false) => Err(LoadTrustError::Half {
                present: certificate,
                missing: key,
            }),
            (false, true) => Err(LoadTrustError::Half {
                present: key,
                missing: certificate,
            }),
        }
    }

    /// Sets the lifetimes of new certificates.
    #[must_use]
    pub fn with_lifetimes(self, lifetimes: Lifetimes) -> Self {
        Self { lifetimes, ..self }
    }

    /// The authority's certificate as PEM, which is public.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.pem
    }

    /// The authority's certificate as DER.
    #[must_use]
    pub fn ca_der(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of the certificate (DER), base64url without padding: the third part of a join or
    /// boot token.
    #[must_use]
    pub fn ca_fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The end of the authority's own certificate; `None` when that cannot be read.
    #[must_use]
    pub fn ca_not_after(&self) -> Option<Timestamp> {
        let (_, parsed) = x509_parser::parse_x509_certificate(&self.certificate).ok()?;
        let seconds = parsed.validity().not_after.timestamp();
        Some(Timestamp::from_millis(seconds.saturating_mul(1000)))
    }

    /// The key with which short codes are encrypted in the store. Whoever has the authority's key
    /// has it too, and nobody else.
    #[must_use]
    pub(crate) fn code_key(&self) -> [u8; 32] {
        let key = self.issuer.key().serialize_der();
        blake3::derive_key("foghorn 2026-11 short codes in the store", &key)
    }

    /// The authority's signature of a text that is not a certificate: of a P-256 key, ECDSA with
    /// SHA-256 in DER.
    ///
    /// # Errors
    /// When the key cannot sign, which no key of [`Trust::load_or_create`] does.
    pub fn sign_text(&self, text: &[u8]) -> Result<Vec<u8>, SignError> {
        let key = self.issuer.key();
        SigningKey::sign(key, text).map_err(|source| SignError { source })
    }

    fn load(certificate_path: &Path, key_path: &Path) -> Result<Self, LoadTrustError> {
        let read = |path: &Path| {
            fs::read_to_string(path).map_err(|source| LoadTrustError::Io {
                path: path.to_owned(),
                source,
            })
        };
        let pem = read(certificate_path)?;
        warn_if_others_can_read(key_path);
        let key = KeyPair::from_pem(&read(key_path)?).map_err(|source| LoadTrustError::Key {
            path: key_path.to_owned(),
            source,
        })?;
        let unreadable =
            |source: Box<dyn std::error::Error + Send + Sync>| LoadTrustError::Certificate {
                path: certificate_path.to_owned(),
                source,
            };
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes())
            .map_err(|source| unreadable(format!("{source:?}").into()))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate)
            .map_err(|source| unreadable(Box::new(source)))?;
        let usage_fits = parsed
            .key_usage()
            .ok()
            .flatten()
            .is_none_or(|usage| usage.value.key_cert_sign());
        if !parsed.is_ca() || !usage_fits {
            return Err(LoadTrustError::NotAnAuthority {
                path: certificate_path.to_owned(),
            });
        }
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(LoadTrustError::ForeignKey {
                path: certificate_path.to_owned(),
            });
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|source| unreadable(Box::new(source)))?;
        Ok(Self::new(issuer, certificate, pem))
    }

    fn create(
        dir: &Path,
        certificate_path: &Path,
        key_path: &Path,
    ) -> Result<Self, LoadTrustError> {
        let refuse = |source| LoadTrustError::Create { source };
        let key = KeyPair::generate().map_err(refuse)?;
        let params = authority_params(Timestamp::now());
        let certificate = params.self_signed(&key).map_err(refuse)?;
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| LoadTrustError::Io { path, source }
        };
        fs::create_dir_all(dir).map_err(at(dir))?;
        // The key first: after a crash, either file alone looks like an incomplete authority,
        // but only a key without a certificate is still useful.
        write_once(key_path, key.serialize_pem().as_bytes(), 0o600).map_err(at(key_path))?;
        let pem = certificate.pem();
        write_once(certificate_path, pem.as_bytes(), 0o644).map_err(at(certificate_path))?;
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(at(dir))?;
        let trust = Self::new(Issuer::new(params, key), certificate.into(), pem);
        info!(
            path = %certificate_path.display(),
            fingerprint = trust.fingerprint,
            "created a certificate authority"
        );
        Ok(trust)
    }

    fn new(
        issuer: Issuer<'static, KeyPair>,
        certificate: CertificateDer<'static>,
        pem: String,
    ) -> Self {
        let fingerprint = BASE64URL_NOPAD
            .encode(ring::digest::digest(&ring::digest::SHA256, &certificate).as_ref());
        Self {
            issuer,
            lifetimes: Lifetimes::default(),
            certificate,
            pem,
            fingerprint,
            server_ends: AtomicI64::new(0),
        }
    }

    /// When the certificate of the authority ends.
    #[must_use]
    pub fn authority_ends(&self) -> Option<Timestamp> {
        let (_, certificate) = X509Certificate::from_der(&self.certificate).ok()?;
        let seconds = certificate.validity().not_after.timestamp();
        Some(Timestamp::from_millis(seconds.saturating_mul(1000)))
    }

    /// When the latest certificate of the controller itself ends.
    #[must_use]
    pub fn server_ends(&self) -> Option<Timestamp> {
        let millis = self.server_ends.load(Ordering::Relaxed);
        (millis > 0).then(|| Timestamp::from_millis(millis))
    }
}

fn authority_params(now: Timestamp) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = terms::common_name("Foghorn certificate authority");
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Foghorn");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)); // It signs leaves and no further authorities.
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    terms::set_validity(&mut params, now, AUTHORITY_LIFETIME);
    params
}

/// Writes a new file atomically; never replaces an existing one.
fn write_once(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let draft = path.with_extension("draft");
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(&draft)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::hard_link(&draft, path)?;
    fs::remove_file(&draft)
}

fn warn_if_others_can_read(key: &Path) {
    if let Ok(metadata) = fs::metadata(key)
        && metadata.permissions().mode() & 0o077 != 0
    {
        warn!(
            path = %key.display(),
            "the private key of the certificate authority can be read by other users"
        );
    }
}
