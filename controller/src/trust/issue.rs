//! Issues certificates. Names, usages and lifetimes are determined here and nowhere else.

use std::net::IpAddr;
use std::time::Duration;

use foghorn_types::{CertificateName, HostId, NodeName, TaskId, Timestamp};
use rcgen::string::Ia5String;
use rcgen::{
    CertificateParams, DistinguishedName, ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
    PublicKeyData, SanType, SerialNumber, SubjectPublicKeyInfo,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Trust;
use super::terms::{CONTROLLER_TLS_NAME, common_name, set_validity};

const SERIAL_BYTES: usize = 16;

/// A new certificate. The chain consists of the leaf only, because verifiers already have the
/// authority.
#[derive(Clone, Debug)]
pub struct Issued {
    pub name: CertificateName,
    pub der: CertificateDer<'static>,
    /// The same as PEM.
    pub chain_pem: String,
    /// The end of its validity.
    pub not_after: Timestamp,
}

impl Issued {
    /// BLAKE3 of the certificate (DER), by which an agent recognises the client that it must serve.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        *blake3::hash(&self.der).as_bytes()
    }
}

/// A certificate of the controller's own, with its key.
#[derive(Debug)]
pub struct IssuedServer {
    pub certificate: Issued,
    pub key: PrivateKeyDer<'static>,
}

/// Why no certificate was issued.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    #[error("the certificate request is not valid PKCS#10")]
    Unreadable {
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("the certificate request is not signed with its own key")]
    BadSignature {
        source: x509_parser::error::X509Error,
    },
    #[error(
        "the certificate request has an unsupported key type: use ECDSA P-256, P-384 or Ed25519"
    )]
    UnsupportedKey { source: rcgen::Error },
    #[error("{0:?} is neither a DNS name nor an IP address")]
    BadServerName(String),
    #[error("could not sign a certificate")]
    Sign { source: rcgen::Error },
    #[error("the system provides no random bytes")]
    NoRandomness { source: getrandom::Error },
}

impl IssueError {
    /// Whether the cause is the request and not the controller.
    #[must_use]
    pub fn is_bad_request(&self) -> bool {
        matches!(
            self,
            Self::Unreadable { .. } | Self::BadSignature { .. } | Self::UnsupportedKey { .. }
        )
    }
}

/// Usage of a certificate.
#[derive(Clone, Copy)]
pub(super) enum Use {
    Serve,
    Call,
    Both,
}

impl Trust {
    /// A certificate for the storage node `name` and the key in `csr_pem`. A node serves QUIC and
    /// connects to the controller.
    ///
    /// # Errors
    /// When the request cannot be parsed, its signature is invalid, or signing fails.
    pub fn issue_node(&self, name: &NodeName, csr_pem: &str) -> Result<Issued, IssueError> {
        self.issue_node_der(name, &csr_from_pem(csr_pem)?)
    }

    /// As [`Self::issue_node`], for a request in DER, as in renewals.
    ///
    /// # Errors
    /// As [`Self::issue_node`].
    pub fn issue_node_der(&self, name: &NodeName, csr: &[u8]) -> Result<Issued, IssueError> {
        let names = vec![dns_name(&name.tls_name())?];
        self.sign(
            CertificateName::Node(name.clone()),
            names,
            Use::Both,
            &public_key(csr)?,
            self.lifetimes.node,
        )
    }

    /// A certificate for one client, for one host and one task, for `lifetime`.
    ///
    /// # Errors
    /// As [`Self::issue_node`].
    pub fn issue_client(
        &self,
        host: HostId,
        task: TaskId,
        csr_pem: &str,
        lifetime: Duration,
    ) -> Result<Issued, IssueError> {
        let key = public_key(&csr_from_pem(csr_pem)?)?;
        self.sign(
            CertificateName::Client { host, task },
            Vec::new(),
            Use::Call,
            &key,
            lifetime,
        )
    }

    /// A certificate with a new key for the controller, valid for `names` (DNS names and IP
    /// addresses) and for [`CONTROLLER_TLS_NAME`].
    ///
    /// # Errors
    /// When a name is neither, or signing fails.
    pub fn issue_server(&self, names: &[String]) -> Result<IssuedServer, IssueError> {
        let mut sans = vec![dns_name(CONTROLLER_TLS_NAME)?];
        for name in names.iter().filter(|name| *name != CONTROLLER_TLS_NAME) {
            sans.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => dns_name(name)?,
            });
        }
        let key = KeyPair::generate().map_err(|source| IssueError::Sign { source })?;
        let certificate = self.sign(
            CertificateName::Controller,
            sans,
            Use::Serve,
            &key,
            self.lifetimes.server,
        )?;
        Ok(IssuedServer {
            certificate,
            key: key.into(),
        })
    }

    /// A certificate, with its key as PEM, with which this controller calls another one.
    ///
    /// # Errors
    /// When signing fails.
    pub fn issue_caller(&self) -> Result<(Issued, String), IssueError> {
        let key = KeyPair::generate().map_err(|source| IssueError::Sign { source })?;
        let certificate = self.sign(
            CertificateName::Controller,
            Vec::new(),
            Use::Call,
            &key,
            self.lifetimes.server,
        )?;
        Ok((certificate, key.serialize_pem()))
    }

    fn sign(
        &self,
        name: CertificateName,
        names: Vec<SanType>,
        uses: Use,
        key: &impl PublicKeyData,
        lifetime: Duration,
    ) -> Result<Issued, IssueError> {
        let subject = common_name(&name.to_string());
        self.sign_as((name, subject), names, uses, key, lifetime)
    }

    /// The same with another subject, which is for others to read: what the holder may do does not
    /// follow from it.
    pub(super) fn sign_as(
        &self,
        (name, subject): (CertificateName, DistinguishedName),
        mut names: Vec<SanType>,
        uses: Use,
        key: &impl PublicKeyData,
        lifetime: Duration,
    ) -> Result<Issued, IssueError> {
        let now = Timestamp::now();
        names.push(SanType::URI(ia5(&name.to_string())?));
        let mut params = CertificateParams::default();
        params.distinguished_name = subject;
        params.subject_alt_names = names;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = match uses {
            Use::Serve => vec![ExtendedKeyUsagePurpose::ServerAuth],
            Use::Call => vec![ExtendedKeyUsagePurpose::ClientAuth],
            Use::Both => vec![
                ExtendedKeyUsagePurpose::ServerAuth,
                ExtendedKeyUsagePurpose::ClientAuth,
            ],
        };
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(random_serial()?);
        set_validity(&mut params, now, lifetime);
        let certificate = params
            .signed_by(key, &self.issuer)
            .map_err(|source| IssueError::Sign { source })?;
        Ok(Issued {
            name,
            chain_pem: certificate.pem(),
            der: certificate.into(),
            not_after: now + lifetime,
        })
    }
}

/// The public key of a request with a valid signature. Nothing else of the request is used: the
/// controller chooses names.
pub(super) fn public_key(csr: &[u8]) -> Result<SubjectPublicKeyInfo, IssueError> {
    let (rest, request) =
        X509CertificationRequest::from_der(csr).map_err(|source| IssueError::Unreadable {
            source: Box::new(source),
        })?;
    if !rest.is_empty() {
        return Err(IssueError::Unreadable {
            source: "bytes after the end of the request".into(),
        });
    }
    request
        .verify_signature()
        .map_err(|source| IssueError::BadSignature { source })?;
    SubjectPublicKeyInfo::from_der(request.certification_request_info.subject_pki.raw)
        .map_err(|source| IssueError::UnsupportedKey { source })
}

/// BLAKE3 of the public key in a certificate request, in hexadecimal.
///
/// # Errors
/// When the request cannot be read or is not signed with the key.
pub fn key_of_request(csr_pem: &str) -> Result<String, IssueError> {
    let key = public_key(&csr_from_pem(csr_pem)?)?;
    Ok(name_of_key(key.der_bytes()))
}

/// The same of the public key in a certificate.
#[must_use]
pub fn key_of_certificate(certificate: &X509Certificate<'_>) -> String {
    name_of_key(&certificate.public_key().subject_public_key.data)
}

fn name_of_key(bits: &[u8]) -> String {
    blake3::hash(bits).to_hex().to_string()
}

pub(super) fn csr_from_pem(pem: &str) -> Result<CertificateSigningRequestDer<'static>, IssueError> {
    CertificateSigningRequestDer::from_pem_slice(pem.as_bytes()).map_err(|error| {
        IssueError::Unreadable {
            source: error.to_string().into(),
        }
    })
}

/// A DNS name for a certificate. Parsed by rustls, because its peers must be able to verify the
/// name.
fn dns_name(name: &str) -> Result<SanType, IssueError> {
    match rustls::pki_types::DnsName::try_from(name) {
        Ok(_) => Ok(SanType::DnsName(ia5(name)?)),
        Err(_) => Err(IssueError::BadServerName(name.to_owned())),
    }
}

fn ia5(text: &str) -> Result<Ia5String, IssueError> {
    Ia5String::try_from(text).map_err(|_| IssueError::BadServerName(text.to_owned()))
}

fn random_serial() -> Result<SerialNumber, IssueError> {
    let mut bytes = [0; SERIAL_BYTES];
    getrandom::fill(&mut bytes).map_err(|source| IssueError::NoRandomness { source })?;
    bytes[0] = (bytes[0] & 0x7f) | 0x40; // Positive and without a leading zero byte, as DER wants integers.
    Ok(SerialNumber::from_slice(&bytes))
}
