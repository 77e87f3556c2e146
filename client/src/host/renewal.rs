//! The certificate of this device, renewed before it ends, with the same key.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use foghorn_host_config::pace::renewal_is_due;
use foghorn_host_config::sota::Sota;
use foghorn_transport::{Identity, IdentityError, PeerCertificate, validity};
use foghorn_types::{CertificateName, Timestamp};
use rcgen::{CertificateParams, KeyPair};

use super::gateway::{FetchError, Gateway, belong_together};
use super::whole::{Whole, beside};

/// Why the certificate was not renewed. The one before is still there.
#[derive(Debug, thiserror::Error)]
pub(super) enum RenewError {
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the certificate of this device, or the new one, cannot be used")]
    Identity(#[from] IdentityError),
    #[error("the certificate of this device, or the new one, does not say when it ends")]
    Validity,
    #[error(
        "could not make a certificate request; the key has to be PKCS#8 (\"BEGIN PRIVATE KEY\")"
    )]
    Request(#[from] rcgen::Error),
    #[error("the gateway did not renew the certificate")]
    Ask(#[from] FetchError),
    #[error("the new certificate is not that of the key of this device")]
    OtherKey(#[source] rustls::Error),
    #[error("the new certificate is that of another device")]
    OtherName,
    #[error("the new certificate does not end later than the one before")]
    NotLater,
    #[error("could not write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// Renews the certificate when it is time. Whether it was.
///
/// # Errors
/// [`RenewError`]
pub(super) fn renew_when_due(
    sota: &Sota,
    gateway: &Gateway,
    now: Timestamp,
) -> Result<bool, RenewError> {
    let (authority, key) = (read(&sota.authority)?, read(&sota.key)?);
    let present = Identity::from_pem(&authority, &read(&sota.certificate)?, &key)?;
    let (from, until) = valid(&present)?;
    if !renewal_is_due(from, until, now, random(&present)) {
        return Ok(false);
    }
    let pair = KeyPair::from_pem(&key)?;
    let request = CertificateParams::default().serialize_request(&pair)?;
    foghorn_faults::point!("host.renew.before");
    let chain = gateway.renew(&request.pem()?)?;
    foghorn_faults::point!("host.renew.answered");
    let new = Identity::from_pem(&authority, &chain, &key)?;
    belong_together(&new).map_err(RenewError::OtherKey)?;
    if named(&new) != named(&present) {
        return Err(RenewError::OtherName);
    }
    if valid(&new)?.1 <= until {
        return Err(RenewError::NotLater);
    }
    replace(&sota.certificate, &chain).map_err(|source| RenewError::Write {
        path: sota.certificate.clone(),
        source,
    })?;
    Ok(true)
}

fn read(path: &Path) -> Result<String, RenewError> {
    fs::read_to_string(path).map_err(|source| RenewError::Read {
        path: path.to_owned(),
        source,
    })
}

fn replace(path: &Path, chain: &str) -> io::Result<()> {
    let draft = beside(path);
    let whole = Whole {
        draft: &draft,
        to: path,
        mode: 0o644,
        modified: None,
    };
    whole.draft(chain.as_bytes())?;
    foghorn_faults::point!("host.renew.drafted");
    whole.name()?;
    foghorn_faults::point!("host.renew.named");
    Ok(())
}

fn valid(identity: &Identity) -> Result<(Timestamp, Timestamp), RenewError> {
    let leaf = identity.chain.first().and_then(|der| validity(der));
    leaf.ok_or(RenewError::Validity)
}

/// `None` for a certificate of an authority with names of another kind.
fn named(identity: &Identity) -> Option<CertificateName> {
    let leaf = PeerCertificate::from_der(identity.chain.first()?);
    leaf.ok().map(|leaf| leaf.name)
}

/// The end of the certificate is its signature: as good as random, and the same each time.
fn random(identity: &Identity) -> u32 {
    let leaf = identity.chain.first();
    let end = leaf.and_then(|der| der.last_chunk::<4>());
    end.map_or(0, |bytes| u32::from_be_bytes(*bytes))
}
