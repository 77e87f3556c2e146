//! The certificate authority: its certificate and key, made here or given.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
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
use tracing::info;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::pem::{AuthorityPem, LoadTrustError, PemError};
use super::terms::{self, Lifetimes};

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
        AuthorityPem::exists(dir)
    }

    /// The authority in `dir`, which others may have put there; `None` if there is none.
    ///
    /// # Errors
    /// When the files cannot be read, or do not form an authority together.
    pub fn load(dir: &Path) -> Result<Option<Self>, LoadTrustError> {
        let Some((pem, [certificate, key])) = AuthorityPem::read(dir)? else {
            return Ok(None);
        };
        let unusable = |source| LoadTrustError::Unusable {
            file: match source {
                PemError::Key { .. } => key,
                _ => certificate,
            },
            source,
        };
        Self::from_pem(&pem).map(Some).map_err(unusable)
    }

    /// The authority in `dir`: `ca.pem` and `ca.key` if they exist (created here before, or
    /// provided by the operator), and otherwise a new one with a key that only its owner can read.
    /// Blocks on the disk for a few milliseconds.
    ///
    /// # Errors
    /// When the files cannot be read or written, or do not form an authority together.
    pub fn load_or_create(dir: &Path) -> Result<Self, LoadTrustError> {
        match Self::load(dir)? {
            Some(trust) => Ok(trust),
            None => Self::create(dir),
        }
    }

    /// The authority with this certificate and key.
    ///
    /// # Errors
    /// See [`PemError`].
    pub fn from_pem(pem: &AuthorityPem) -> Result<Self, PemError> {
        let key = pem.key_pair()?;
        let unreadable = |source| PemError::Certificate { source };
        let certificate = CertificateDer::from_pem_slice(pem.certificate.as_bytes())
            .map_err(|source| unreadable(format!("{source:?}").into()))?;
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate)
            .map_err(|source| unreadable(Box::new(source)))?;
        let usage_fits = parsed
            .key_usage()
            .ok()
            .flatten()
            .is_none_or(|usage| usage.value.key_cert_sign());
        if !parsed.is_ca() || !usage_fits {
            return Err(PemError::NotAnAuthority);
        }
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(PemError::ForeignKey);
        }
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|source| unreadable(Box::new(source)))?;
        Ok(Self::new(issuer, certificate, pem.certificate.clone()))
    }

    /// A new authority, which is nowhere yet.
    ///
    /// # Errors
    /// When the system makes no key.
    pub fn generate() -> Result<Self, LoadTrustError> {
        let refuse = |source| LoadTrustError::Create { source };
        let key = KeyPair::generate().map_err(refuse)?;
        let params = authority_params(Timestamp::now());
        let certificate = params.self_signed(&key).map_err(refuse)?;
        let pem = certificate.pem();
        Ok(Self::new(Issuer::new(params, key), certificate.into(), pem))
    }

    /// Certificate and key, to be kept elsewhere.
    #[must_use]
    pub fn to_pem(&self) -> AuthorityPem {
        AuthorityPem {
            certificate: self.pem.clone(),
            key: self.issuer.key().serialize_pem(),
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

    fn create(dir: &Path) -> Result<Self, LoadTrustError> {
        let trust = Self::generate()?;
        let at = |path: &Path| {
            let path = path.to_owned();
            move |source| LoadTrustError::Io { path, source }
        };
        fs::create_dir_all(dir).map_err(at(dir))?;
        // The key first: after a crash, either file alone looks like an incomplete authority,
        // but only a key without a certificate is still useful.
        for ((name, text), mode) in trust.to_pem().files().into_iter().zip([0o600, 0o644]) {
            let path = dir.join(name);
            write_once(&path, text.as_bytes(), mode).map_err(at(&path))?;
        }
        File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(at(dir))?;
        info!(
            folder = %dir.display(),
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
