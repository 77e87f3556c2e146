//! Certificates of devices. They say in their subject what the FoundriesFactory dialect wants to read
//! there: the UUID as the common name, the factory as the organizational unit, and `production` as the
//! business category of a production device. Who the holder is follows from the one URI, as everywhere.

use data_encoding::{BASE64, HEXLOWER};
use foghorn_types::{CertificateName, MachineUuid};
use rcgen::{
    DistinguishedName, DnType, PKCS_ECDSA_P256_SHA256, PublicKeyData, SubjectPublicKeyInfo,
};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::oid_registry::OID_X509_BUSINESS_CATEGORY;
use x509_parser::prelude::FromDer as _;
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use super::Trust;
use super::issue::{IssueError, Issued, Use, csr_from_pem, public_key};
use super::peer::{PeerNameError, peer_name};
use super::terms::common_name;

/// Object identifier of the business category.
const BUSINESS_CATEGORY: [u64; 4] = [2, 5, 4, 15];
/// Its value in the certificate of a production device.
const PRODUCTION: &str = "production";
/// Characters in a line of PEM.
const PEM_LINE: usize = 64;

/// What the certificate of a device says of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceName {
    pub uuid: MachineUuid,
    /// Name of its factory.
    pub factory: String,
    pub is_prod: bool,
}

/// A request for the certificate of a device, which was signed with its key.
pub struct DeviceRequest {
    key: SubjectPublicKeyInfo,
    /// PEM of the SubjectPublicKeyInfo.
    pub public_key: String,
    /// What the request says that the device is; `None` when it says that not exactly once.
    pub common_name: Option<String>,
    pub factory: Option<String>,
    pub is_prod: bool,
}

/// Why a request for the certificate of a device is not taken.
#[derive(Debug, thiserror::Error)]
pub enum DeviceRequestError {
    #[error(transparent)]
    Request(#[from] IssueError),
    #[error("the key of the certificate request is not ECDSA P-256, as keys of devices are")]
    NotP256,
}

impl DeviceRequestError {
    /// Whether the cause is the request and not the controller.
    #[must_use]
    pub fn is_bad_request(&self) -> bool {
        match self {
            Self::NotP256 => true,
            Self::Request(error) => error.is_bad_request(),
        }
    }
}

impl DeviceRequest {
    /// Reads a request in PEM and verifies its signature.
    ///
    /// # Errors
    /// See [`DeviceRequestError`].
    pub fn read(csr_pem: &str) -> Result<Self, DeviceRequestError> {
        let csr = csr_from_pem(csr_pem)?;
        let key = public_key(&csr)?;
        if key.algorithm() != &PKCS_ECDSA_P256_SHA256 {
            return Err(DeviceRequestError::NotP256);
        }
        let (_, request) =
            X509CertificationRequest::from_der(&csr).map_err(|source| IssueError::Unreadable {
                source: Box::new(source),
            })?;
        let subject = &request.certification_request_info.subject;
        Ok(Self {
            public_key: public_key_pem(&key.subject_public_key_info()),
            common_name: one(subject.iter_common_name()),
            factory: one(subject.iter_organizational_unit()),
            is_prod: is_prod(subject),
            key,
        })
    }
}

/// The certificate of a device.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeviceCertificate {
    pub name: DeviceName,
    /// PEM of the SubjectPublicKeyInfo, with `\n` at the ends of lines.
    pub public_key: String,
    /// SHA-256 of the certificate, in hexadecimal.
    pub fingerprint: String,
}

/// Why a certificate is not that of a device.
#[derive(Debug, thiserror::Error)]
pub enum DeviceCertificateError {
    #[error(transparent)]
    Name(#[from] PeerNameError),
    #[error("the certificate is that of {0}, not of a device")]
    OfAnother(CertificateName),
    #[error("could not parse the certificate")]
    Unreadable {
        source: x509_parser::error::X509Error,
    },
    #[error("the common name of the certificate is not the UUID in its URI")]
    CommonName,
    #[error("the certificate does not name exactly one factory as its organizational unit")]
    NoFactory,
}

impl DeviceCertificate {
    /// Reads a certificate (DER). Only meaningful for one that a TLS handshake has verified against our
    /// authority, as [`peer_name`].
    ///
    /// # Errors
    /// See [`DeviceCertificateError`].
    pub fn read(der: &[u8]) -> Result<Self, DeviceCertificateError> {
        let uuid = match peer_name(der)? {
            CertificateName::Device(uuid) => uuid,
            other => return Err(DeviceCertificateError::OfAnother(other)),
        };
        let (_, parsed) = x509_parser::parse_x509_certificate(der).map_err(|error| {
            DeviceCertificateError::Unreadable {
                source: error.into(),
            }
        })?;
        let subject = parsed.subject();
        let common_name = one(subject.iter_common_name());
        if common_name.and_then(|name| name.parse().ok()) != Some(uuid) {
            return Err(DeviceCertificateError::CommonName);
        }
        let factory = one(subject.iter_organizational_unit());
        let digest = ring::digest::digest(&ring::digest::SHA256, der);
        Ok(Self {
            name: DeviceName {
                uuid,
                factory: factory.ok_or(DeviceCertificateError::NoFactory)?,
                is_prod: is_prod(subject),
            },
            public_key: public_key_pem(parsed.public_key().raw),
            fingerprint: HEXLOWER.encode(digest.as_ref()),
        })
    }
}

impl Trust {
    /// A certificate for a device. Of the request only the key is used.
    ///
    /// # Errors
    /// When signing fails.
    pub fn issue_device(
        &self,
        device: &DeviceName,
        request: &DeviceRequest,
    ) -> Result<Issued, IssueError> {
        let name = CertificateName::Device(device.uuid);
        self.sign_as(
            (name, subject(device)),
            Vec::new(),
            Use::Call,
            &request.key,
            self.lifetimes.device,
        )
    }
}

fn subject(device: &DeviceName) -> DistinguishedName {
    let mut subject = common_name(&device.uuid.to_string());
    subject.push(DnType::OrganizationalUnitName, device.factory.as_str());
    if device.is_prod {
        subject.push(DnType::CustomDnType(BUSINESS_CATEGORY.to_vec()), PRODUCTION);
    }
    subject
}

/// The value of an attribute that is there exactly once.
fn one<'a, 'n: 'a>(
    mut values: impl Iterator<Item = &'a AttributeTypeAndValue<'n>>,
) -> Option<String> {
    let first = values.next()?;
    if values.next().is_some() {
        return None;
    }
    first.as_str().ok().map(ToOwned::to_owned)
}

fn is_prod(subject: &X509Name<'_>) -> bool {
    let mut categories = subject.iter_by_oid(&OID_X509_BUSINESS_CATEGORY);
    categories.any(|category| category.as_str() == Ok(PRODUCTION))
}

fn public_key_pem(der: &[u8]) -> String {
    let text = BASE64.encode(der);
    let mut pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, after) = rest.split_at(rest.len().min(PEM_LINE));
        pem.push_str(line);
        pem.push('\n');
        rest = after;
    }
    pem.push_str("-----END PUBLIC KEY-----\n");
    pem
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, PKCS_ED25519};
    use tempfile::TempDir;

    use super::*;

    fn uuid() -> MachineUuid {
        MachineUuid::from_bits(0x0a1b_2c3d_0000_4000_8000_0000_0000_000f)
    }

    fn request(key: &KeyPair, names: &[(DnType, &str)]) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, name) in names {
            params.distinguished_name.push(kind.clone(), *name);
        }
        params.serialize_request(key).unwrap().pem().unwrap()
    }

    #[test]
    fn a_device_gets_what_was_decided_and_not_what_it_asked_for() {
        let dir = TempDir::new().unwrap();
        let trust = Trust::load_or_create(dir.path()).unwrap();
        let key = KeyPair::generate().unwrap();
        let category = DnType::CustomDnType(BUSINESS_CATEGORY.to_vec());
        let asked = [
            (DnType::CommonName, "somebody"),
            (DnType::OrganizationalUnitName, "elsewhere"),
            (category, PRODUCTION),
        ];
        let read = DeviceRequest::read(&request(&key, &asked)).unwrap();
        assert_eq!(read.common_name.as_deref(), Some("somebody"));
        assert_eq!(read.factory.as_deref(), Some("elsewhere"));
        assert!(read.is_prod);
        for is_prod in [false, true] {
            let name = DeviceName {
                uuid: uuid(),
                factory: "Raum 3 · Büro".to_owned(),
                is_prod,
            };
            let issued = trust.issue_device(&name, &read).unwrap();
            let certificate = DeviceCertificate::read(&issued.der).unwrap();
            assert_eq!(certificate.name, name);
            assert_eq!(certificate.public_key, read.public_key);
            assert_eq!(certificate.fingerprint.len(), 64);
            let pem = key.public_key_pem();
            assert_eq!(certificate.public_key, pem.replace("\r\n", "\n"));
        }
    }

    #[test]
    fn certificates_of_others_are_not_those_of_devices() {
        let dir = TempDir::new().unwrap();
        let trust = Trust::load_or_create(dir.path()).unwrap();
        let key = KeyPair::generate().unwrap();
        let text = uuid().to_string();
        let csr = request(
            &key,
            &[
                (DnType::CommonName, text.as_str()),
                (DnType::OrganizationalUnitName, "f"),
            ],
        );
        let node = trust.issue_node(&"north".parse().unwrap(), &csr).unwrap();
        assert!(matches!(
            DeviceCertificate::read(&node.der),
            Err(DeviceCertificateError::OfAnother(CertificateName::Node(_)))
        ));
        let (controller, _) = trust.issue_caller().unwrap();
        assert!(DeviceCertificate::read(&controller.der).is_err());
    }

    #[test]
    fn only_keys_on_p_256_that_have_signed_are_taken() {
        let other = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let read = DeviceRequest::read(&request(&other, &[]));
        assert!(matches!(read, Err(DeviceRequestError::NotP256)));
        let key = KeyPair::generate().unwrap();
        let pem = request(&key, &[(DnType::CommonName, "a")]);
        let read = DeviceRequest::read(&pem).unwrap();
        assert_eq!((read.factory, read.is_prod), (None, false));
        let der = csr_from_pem(&pem).unwrap().to_vec();
        let mut forged = der.clone();
        let at = forged.len() - 1;
        forged[at] ^= 1;
        let forged = format!(
            "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
            BASE64.encode(&forged)
        );
        let refused = DeviceRequest::read(&forged).err().unwrap();
        assert!(refused.is_bad_request(), "{refused}");
        assert!(DeviceRequest::read("nothing").is_err());
    }
}
