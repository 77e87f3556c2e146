//! A machine enrols after imaging, with a token: it gets the certificate of a device.
//!
//! Of its request the authority takes the key. A token for one host makes the machine the device of that
//! host, in place of the machine that was it before: an operator has said so. With a token for a factory
//! nobody takes the place of another.

use foghorn_proto::http::{HOST_PREFIX, TokenText};
use foghorn_types::{HostId, HostTokenId, MachineUuid, StorageGroupId, Timestamp};
use tracing::info;

use super::contact::{self, Identity, New, RegisterError};
use super::own_secrets::OwnSecrets;
use super::sota::{self, BadSettings, Settings};
use super::{factories, host, identity as deployed};
use crate::app::one_time::TokenError;
use crate::ctx::Ctx;
use crate::state::machines::boots::Boots;
use crate::state::machines::device::{Bound, BoundBy, Device};
use crate::state::machines::host_token::HostToken;
use crate::state::{Draft, Refusal, Tables};
use crate::trust::{
    DeviceCertificate, DeviceCertificateError, DeviceName, DeviceRequest, DeviceRequestError,
    IssueError,
};

/// What a machine sends.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// The complete token.
    pub token: &'a str,
    pub csr_pem: &'a str,
    /// What it is to be called.
    pub name: Option<&'a str>,
    pub hardware_uuid: Option<MachineUuid>,
    /// Where it keeps its files.
    pub folder: Option<&'a str>,
}

/// What it gets.
#[derive(Clone, Debug)]
pub struct Enrolled {
    pub uuid: MachineUuid,
    /// Name of its factory.
    pub factory: String,
    pub host: Option<HostId>,
    pub chain_pem: String,
    pub sota_toml: String,
}

/// Why a machine was not let in. A token is used only by a success.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error("this controller has no gateway of devices: set dialects.foundries.gateway")]
    NoGateway,
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("the token has let in as many machines as it may ({count})")]
    UsedUp { count: u32 },
    #[error("the host of the token, {0}, does not exist any more")]
    HostGone(HostId),
    #[error("the deploy for which the token was made has ended")]
    DeployEnded,
    #[error("the machine belongs to another factory than the token: {0:?}")]
    OtherFactory(String),
    #[error(
        "device {0} has enrolled already, with another key: make a token for its host (`foghorn host token HOST`) if this machine takes its place, or enrol without the UUID of the hardware if that is not unique"
    )]
    Exists(MachineUuid),
    #[error("a machine that is a host is called as that is: leave the name out")]
    NameOfHost,
    #[error("the certificate request is invalid")]
    Request(#[source] DeviceRequestError),
    #[error("folder: {0}")]
    Folder(BadSettings),
    #[error("could not issue a certificate")]
    Issue(#[from] IssueError),
    #[error("could not read the certificate that was issued")]
    Issued(#[from] DeviceCertificateError),
    #[error(transparent)]
    Register(#[from] RegisterError),
    #[error(transparent)]
    State(#[from] Refusal),
}

impl From<DeviceRequestError> for EnrolError {
    fn from(error: DeviceRequestError) -> Self {
        match error {
            DeviceRequestError::Request(ours) if !ours.is_bad_request() => Self::Issue(ours),
            theirs => Self::Request(theirs),
        }
    }
}

/// How a machine comes in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Entry {
    New,
    /// The answer was lost, and the same machine asks again.
    Again,
    /// Another machine was the host before.
    Replaces,
}

/// Whose certificate a token buys, as the state is.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Plan {
    token: HostTokenId,
    uuid: MachineUuid,
    factory: StorageGroupId,
    factory_name: String,
    is_prod: bool,
    entry: Entry,
}

/// Lets a machine in and issues its certificate.
///
/// # Errors
/// See [`EnrolError`].
pub async fn enrol(ctx: &Ctx, asked: &Asked<'_>) -> Result<Enrolled, EnrolError> {
    let text = TokenText::parse(HOST_PREFIX, asked.token).map_err(TokenError::from)?;
    if text.ca_fingerprint != ctx.trust.ca_fingerprint() {
        return Err(TokenError::OtherAuthority.into());
    }
    let gateway = ctx.settings.gateway_address.as_deref();
    let gateway = gateway.ok_or(EnrolError::NoGateway)?;
    let request = DeviceRequest::read(asked.csr_pem)?;
    let sota_toml = sota::sota_toml(&Settings {
        gateway,
        folder: asked.folder.unwrap_or(sota::FOLDER),
        hardware_id: None,
        overrides: &serde_json::Map::new(),
    });
    let sota_toml = sota_toml.map_err(EnrolError::Folder)?;
    let who = Who {
        key: &request.public_key,
        hardware: asked.hardware_uuid.filter(|uuid| uuid.is_real()),
    };
    let now = Timestamp::now();
    let planned = ctx.state.read(|tables| {
        let token = tables.host_tokens().find(&text.secret);
        plan(tables, token.ok_or(TokenError::Unknown)?, who, now)
    })?;
    let name = DeviceName {
        uuid: planned.uuid,
        factory: planned.factory_name.clone(),
        is_prod: planned.is_prod,
    };
    // Nobody sees the certificate if it turns out that somebody else was faster.
    let issued = ctx.trust.issue_device(&name, &request)?;
    let certificate = DeviceCertificate::read(&issued.der)?;
    let identity = Identity {
        uuid: planned.uuid,
        factory: planned.factory_name.clone(),
        public_key: certificate.public_key,
        fingerprint: certificate.fingerprint,
        is_prod: planned.is_prod,
    };
    let secrets = OwnSecrets::of(&ctx.state, planned.uuid);
    let entered = ctx.state.write::<_, EnrolError>(|draft| {
        let token = draft.tables().host_tokens().get(&planned.token);
        let token = token.ok_or(TokenError::Unknown)?;
        if !deployed::still_deploys(draft, token) {
            return Err(EnrolError::DeployEnded);
        }
        if plan(draft.tables(), token, who, now)? != planned {
            return Err(Refusal::Contended.into());
        }
        let device = enter(draft, token, (&planned, &identity), asked.name, now)?;
        // Whoever asks again has the key that is known.
        if planned.entry == Entry::Replaces {
            secrets.tell(draft, &device, now)?;
        }
        Ok(device)
    });
    let device = entered.await?;
    let (uuid, entry) = (planned.uuid, planned.entry);
    info!(%uuid, factory = planned.factory_name, ?entry, until = %issued.not_after, "machine enrolled");
    Ok(Enrolled {
        uuid,
        factory: planned.factory_name,
        host: device.host.map(|bound| bound.to),
        chain_pem: issued.chain_pem,
        sota_toml,
    })
}

/// What tells machines from each other.
#[derive(Clone, Copy)]
struct Who<'a> {
    /// PEM of the SubjectPublicKeyInfo.
    key: &'a str,
    hardware: Option<MachineUuid>,
}

impl Who<'_> {
    /// The UUID that follows from the key (version 8 of RFC 9562): the same machine has it again.
    fn derived(self) -> MachineUuid {
        let hash = blake3::hash(self.key.as_bytes());
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&hash.as_bytes()[..16]);
        bytes[6] = (bytes[6] & 0x0f) | 0x80;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        MachineUuid::from_bits(u128::from_be_bytes(bytes))
    }
}

fn plan(
    tables: &Tables,
    token: &HostToken,
    who: Who<'_>,
    now: Timestamp,
) -> Result<Plan, EnrolError> {
    if token.expires <= now {
        return Err(TokenError::Expired.into());
    }
    if !deployed::is_under_way(tables, token) {
        return Err(EnrolError::DeployEnded);
    }
    if let Some(host) = token.host
        && tables.hosts().get(host.get()).is_none()
    {
        return Err(EnrolError::HostGone(host));
    }
    let own = token.host.and_then(|host| tables.devices().of_host(host));
    let uuid = match own {
        Some(device) => device.uuid,
        None => new_uuid(tables, token, who),
    };
    let known = tables.devices().get(&uuid);
    let entry = match known {
        None => Entry::New,
        Some(device) if device.public_key == who.key && (own.is_some() || token.host.is_none()) => {
            Entry::Again
        }
        Some(_) if own.is_some() => Entry::Replaces,
        Some(_) => return Err(EnrolError::Exists(uuid)),
    };
    if entry != Entry::Again && token.left() == 0 {
        return Err(EnrolError::UsedUp { count: token.count });
    }
    let factory_name = factories::name_of(tables, token.factory);
    if let Some(device) = known.filter(|device| device.factory != token.factory) {
        let own = factories::name_of(tables, device.factory);
        return Err(EnrolError::OtherFactory(own));
    }
    Ok(Plan {
        token: token.id,
        uuid,
        factory: token.factory,
        factory_name,
        is_prod: known.is_some_and(|device| device.is_prod),
        entry,
    })
}

/// The UUID of the hardware, by which the machine is known as a host, or that of the key. A token for one
/// host says itself which one it is: there the hardware's need not be free.
fn new_uuid(tables: &Tables, token: &HostToken, who: Who<'_>) -> MachineUuid {
    let is_free = |uuid: &MachineUuid| {
        tables.devices().get(uuid).is_none() && tables.denied_devices().get(uuid).is_none()
    };
    let hardware = who
        .hardware
        .filter(|uuid| token.host.is_none() || is_free(uuid));
    hardware.unwrap_or_else(|| who.derived())
}

fn enter(
    draft: &mut Draft<'_>,
    token: &HostToken,
    (plan, identity): (&Plan, &Identity),
    name: Option<&str>,
    now: Timestamp,
) -> Result<Device, EnrolError> {
    let tables = draft.tables();
    let name = name.unwrap_or_default();
    if !name.is_empty() && is_host(tables, token, plan.uuid) {
        return Err(EnrolError::NameOfHost);
    }
    let device = match tables.devices().get(&plan.uuid) {
        Some(known) => Device {
            public_key: identity.public_key.clone(),
            fingerprint: identity.fingerprint.clone(),
            host: match token.host {
                Some(to) => Some(Bound {
                    to,
                    by: BoundBy::Certificate,
                }),
                None => known.host,
            },
            // With another key, whoever had the one before is refused.
            boots: match plan.entry {
                Entry::Replaces => Boots::default(),
                _ => known.boots.clone(),
            },
            ..Device::clone(known)
        },
        None => {
            let new = New {
                identity: identity.clone(),
                name: name.to_owned(),
                group: String::new(),
                hardware_id: None,
                host: token.host,
                owner: token.by,
            };
            let mut device = contact::registered(draft, &new, now)?;
            // With a token for a factory, the machine itself has said which UUID its hardware has.
            if let (Some(bound), None) = (&mut device.host, token.host) {
                bound.by = BoundBy::Address;
            }
            device
        }
    };
    draft.replace(&device);
    if plan.entry != Entry::Again {
        draft.replace(&HostToken {
            used: token.used.saturating_add(1),
            ..token.clone()
        });
    }
    Ok(device)
}

/// Whether the machine is a host, or will be as soon as it is there.
fn is_host(tables: &Tables, token: &HostToken, uuid: MachineUuid) -> bool {
    let bound = tables.devices().get(&uuid).and_then(|known| known.host);
    token.host.is_some() || bound.is_some() || host::with_uuid(tables, uuid).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_uuid_which_is_of_version_8() {
        let of = |key| {
            Who {
                key,
                hardware: None,
            }
            .derived()
            .to_string()
        };
        let (one, other) = (of("one"), of("other"));
        assert_eq!(one, of("one"));
        assert_ne!(one, other);
        for uuid in [one, other] {
            assert_eq!(&uuid[14..15], "8", "{uuid}");
            assert!(uuid[19..20].contains(['8', '9', 'a', 'b']), "{uuid}");
        }
    }
}
