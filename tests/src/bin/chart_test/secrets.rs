//! What an administrator gives an installation in Secrets: authorities, certificates, keys, and the
//! credentials of the first user.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use data_encoding::{BASE64, HEXLOWER};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use crate::cluster::apply;

/// A certificate with its key, as PEM.
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

pub(crate) struct Authority {
    pub(crate) pair: Pair,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// # Errors
    /// When there is no randomness.
    pub(crate) fn new(name: &str) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let pair = Pair {
            certificate: params.self_signed(&key)?.pem(),
            key: key.serialize_pem(),
        };
        Ok(Self {
            pair,
            issuer: Issuer::new(params, key),
        })
    }

    /// # Errors
    /// When a name is none.
    pub(crate) fn issue(&self, name: &str, names: Vec<String>) -> Result<Pair> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        Ok(Pair {
            certificate: params.signed_by(&key, &self.issuer)?.pem(),
            key: key.serialize_pem(),
        })
    }
}

/// Makes a Secret, in which nothing is left to the imagination of YAML.
///
/// # Errors
/// When the API server refuses it.
pub(crate) fn secret(
    namespace: &str,
    name: &str,
    data: &[(&str, &str)],
    folder: &Path,
) -> Result<()> {
    let mut text = format!(
        "apiVersion: v1\nkind: Secret\nmetadata: {{name: {name}, namespace: {namespace}}}\ndata:\n"
    );
    for (key, value) in data {
        let _ = writeln!(text, "  {key}: {}", BASE64.encode(value.as_bytes()));
    }
    apply(&text, folder)
}

/// Certificates of etcd's members (`etcd-server`) and of those who call them (`etcd-client`).
///
/// # Errors
/// When the API server refuses them.
pub(crate) fn etcd(namespace: &str, service: &str, members: usize, folder: &Path) -> Result<()> {
    let authority = Authority::new("etcd of a test")?;
    let domain = format!("{service}.{namespace}.svc.cluster.local");
    let mut names: Vec<String> = (0..members)
        .map(|member| format!("{service}-{member}.{domain}"))
        .collect();
    names.extend([domain, "localhost".to_owned(), "127.0.0.1".to_owned()]);
    for (secret_name, name, names) in [
        ("etcd-server", "foghorn-etcd", names),
        ("etcd-client", "foghorn-controller", Vec::new()),
    ] {
        let pair = authority.issue(name, names)?;
        let data = [
            ("ca.crt", authority.pair.certificate.as_str()),
            ("tls.crt", pair.certificate.as_str()),
            ("tls.key", pair.key.as_str()),
        ];
        secret(namespace, secret_name, &data, folder)?;
    }
    Ok(())
}

/// The credentials of the first user, who has all rights.
pub(crate) struct First {
    pub(crate) api_token: String,
    pub(crate) user_token: String,
    password: String,
}

impl First {
    pub(crate) fn new() -> Self {
        Self {
            api_token: random(),
            user_token: random(),
            password: random(),
        }
    }

    /// Makes the Secret `first-run`.
    ///
    /// # Errors
    /// When the API server refuses it.
    pub(crate) fn put(&self, namespace: &str, folder: &Path) -> Result<()> {
        let data = [
            ("api-token", self.api_token.as_str()),
            ("user-token", self.user_token.as_str()),
            ("password", self.password.as_str()),
        ];
        secret(namespace, "first-run", &data, folder)
    }
}

/// As FOG makes tokens: 64 bytes in hexadecimal digits.
fn random() -> String {
    let bytes: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..))
        .take(64)
        .collect();
    HEXLOWER.encode(&bytes)
}
