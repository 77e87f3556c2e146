//! A certificate authority as the controller has one.

use std::time::{Duration, SystemTime};

use foghorn_types::{CertificateName, HostId, NodeName, TaskId};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, IsCa, Issuer, KeyPair,
    PublicKeyData, SanType, date_time_ymd,
};

/// Name in the controller's own certificate.
pub const CONTROLLER_NAME: &str = "controller.foghorn.internal";

pub struct Authority {
    pub pem: String,
    pub der: Vec<u8>,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, as PEM.
pub struct Issued {
    pub chain: String,
    pub key: String,
    /// BLAKE3 of the certificate.
    pub fingerprint: [u8; 32],
}

impl Authority {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap();
        Self {
            pem: certificate.pem(),
            der: certificate.der().to_vec(),
            issuer: Issuer::new(params, key),
        }
    }

    pub fn controller(&self) -> Issued {
        let ip = SanType::IpAddress([127, 0, 0, 1].into());
        let dns = SanType::DnsName(CONTROLLER_NAME.try_into().unwrap());
        self.with_key(
            &CertificateName::Controller,
            vec![ip, dns],
            Duration::from_secs(3600),
        )
    }

    pub fn client(&self, host: u32, task: u32) -> Issued {
        let name = CertificateName::Client {
            host: HostId::new(host).unwrap(),
            task: TaskId::new(task).unwrap(),
        };
        self.with_key(&name, vec![], Duration::from_secs(3600))
    }

    pub fn node(&self, name: &NodeName) -> Issued {
        self.with_key(
            &CertificateName::Node(name.clone()),
            vec![],
            Duration::from_secs(3600),
        )
    }

    /// A node's certificate for the key in a request; its names are not looked at.
    pub fn sign_node_pem(&self, name: &NodeName, csr_pem: &str, lifetime: Duration) -> String {
        let request = CertificateSigningRequestParams::from_pem(csr_pem).unwrap();
        self.sign_node(name, &request.public_key, lifetime).pem()
    }

    pub fn sign_node_der(&self, name: &NodeName, csr_der: &[u8], lifetime: Duration) -> Vec<u8> {
        let request = CertificateSigningRequestParams::from_der(&csr_der.into()).unwrap();
        self.sign_node(name, &request.public_key, lifetime)
            .der()
            .to_vec()
    }

    fn sign_node(
        &self,
        name: &NodeName,
        key: &impl PublicKeyData,
        lifetime: Duration,
    ) -> rcgen::Certificate {
        let dns = SanType::DnsName(name.tls_name().try_into().unwrap());
        self.sign(
            &CertificateName::Node(name.clone()),
            vec![dns],
            key,
            lifetime,
        )
    }

    fn with_key(&self, name: &CertificateName, more: Vec<SanType>, lifetime: Duration) -> Issued {
        let key = KeyPair::generate().unwrap();
        let certificate = self.sign(name, more, &key, lifetime);
        Issued {
            chain: certificate.pem(),
            key: key.serialize_pem(),
            fingerprint: *foghorn_types::ChunkId::of(certificate.der()).as_bytes(),
        }
    }

    fn sign(
        &self,
        name: &CertificateName,
        more: Vec<SanType>,
        key: &impl PublicKeyData,
        lifetime: Duration,
    ) -> rcgen::Certificate {
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap();
        let epoch = date_time_ymd(1970, 1, 1);
        let mut params = CertificateParams::default();
        params.subject_alt_names = more;
        params
            .subject_alt_names
            .push(SanType::URI(name.to_string().try_into().unwrap()));
        params.not_before = epoch + (now - Duration::from_secs(300));
        params.not_after = epoch + (now + lifetime);
        params.signed_by(key, &self.issuer).unwrap()
    }
}
