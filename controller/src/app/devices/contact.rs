//! A device speaks to its gateway: who it is, what it says in the headers of every request.
//!
//! Nearly every contact says nothing new, and is noted in memory only.

use std::sync::Arc;

use foghorn_types::{HostId, MachineUuid, NoticeKind, StorageGroupId, Timestamp};
use tracing::{info, warn};

use super::edit::{self, EditError};
use super::names::{self, BadName};
use super::queues::events::{Event, tell};
use super::{factories, host, notice};
use crate::state::classes::StorageGroup;
use crate::state::machines::denied::DeniedDevice;
use crate::state::machines::device::{BoundBy, Device, Running};
use crate::state::machines::sightings::Sightings;
use crate::state::shelf::Record as _;
use crate::state::{Draft, Refusal, State};
use crate::store::Compare;

/// Bytes of each text in the headers.
const LONGEST: usize = 256;
/// Apps of one device.
const MOST_APPS: usize = 64;

/// What the certificate of a device says. Whoever calls has verified it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    pub uuid: MachineUuid,
    /// Name of its factory.
    pub factory: String,
    /// PEM of the SubjectPublicKeyInfo, with `\n` at the ends of lines.
    pub public_key: String,
    /// SHA-256 of the certificate, in hexadecimal.
    pub fingerprint: String,
    pub is_prod: bool,
}

/// The headers `x-ats-…` and `x-foghorn-boot`: what is missing stays as it was, what is empty is cleared.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Headers {
    pub target: Option<String>,
    /// With commas; the first one counts.
    pub tags: Option<String>,
    pub hash: Option<String>,
    /// With commas.
    pub apps: Option<String>,
    /// Which start of the machine it is; only our own service says it.
    pub boot: Option<String>,
}

/// A contact that was accepted.
#[derive(Clone, Debug)]
pub struct Contact {
    pub device: Arc<Device>,
    /// Whether the device was made by it.
    pub is_new: bool,
    /// The attributes that it changed, in the words of the API.
    pub changes: Vec<&'static str>,
}

/// Why a device is refused.
#[derive(Debug, thiserror::Error)]
pub enum ContactError {
    #[error("device {0} was deleted: an operator has to lift the ban before it may come back")]
    Denied(MachineUuid),
    #[error("device {0} is known with another key")]
    OtherKey(MachineUuid),
    #[error("device {uuid}: there is no factory {factory:?}")]
    NoFactory { uuid: MachineUuid, factory: String },
    #[error(transparent)]
    State(#[from] Refusal),
}

/// A device that is registered before it speaks for the first time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct New {
    pub identity: Identity,
    /// Empty: its UUID.
    pub name: String,
    /// Name of a group of the factory; empty: none.
    pub group: String,
    pub hardware_id: Option<String>,
    /// The host that the authority has signed the certificate for.
    pub host: Option<HostId>,
    /// Number of its owner, who registers it; 0 for nobody.
    pub owner: u32,
}

/// Why a device was not registered.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("device {0} exists already")]
    Exists(MachineUuid),
    #[error("device {0} was deleted: lift the ban before it is registered again")]
    Denied(MachineUuid),
    #[error("there is no factory {0:?}")]
    NoFactory(String),
    #[error("host {0} does not exist, or another device is this host")]
    Host(HostId),
    #[error("hardware-id: {0}")]
    HardwareId(BadName),
    /// About its name or its group.
    #[error(transparent)]
    Edit(#[from] EditError),
    #[error(transparent)]
    State(#[from] Refusal),
}

/// A device with a valid certificate speaks. An unknown one is made: its name is its UUID, or that of
/// the host with this UUID.
///
/// # Errors
/// See [`ContactError`]; then nothing has changed.
pub async fn contact(
    state: &State,
    seen: &Sightings,
    who: &Identity,
    headers: &Headers,
) -> Result<Contact, ContactError> {
    let now = Timestamp::now();
    let known = state.read(|tables| tables.devices().get(&who.uuid).cloned());
    if let Some(device) = &known {
        check_key(device, who)?;
        let mut after = Device::clone(device);
        starts(&mut after, headers, now);
        if hear(&mut after, who, headers).is_empty()
            && after == **device
            && !Sightings::is_due(device, now)
        {
            seen.note(who.uuid, now);
            return Ok(Contact {
                device: device.clone(),
                is_new: false,
                changes: Vec::new(),
            });
        }
    }
    let stored = state.write::<_, ContactError>(|draft| {
        let tables = draft.tables();
        let before = tables.devices().get(&who.uuid);
        let mut device = match before {
            Some(before) => {
                check_key(before, who)?;
                Device::clone(before)
            }
            None => first(draft, who, now)?,
        };
        let changes = hear(&mut device, who, headers);
        if starts(&mut device, headers, now) {
            tell_of_clones(draft, &device, now);
        }
        // One that was registered has not been seen by that.
        let event = match device.last_seen {
            None => Event::FirstSeen,
            Some(_) => Event::LastSeen { changes: &changes },
        };
        tell(draft, &device, event, now);
        device.last_seen = device.last_seen.max(Some(now));
        draft.replace(&device);
        Ok((device, before.is_none(), changes))
    });
    let (device, is_new, changes) = stored.await?;
    seen.note(who.uuid, now);
    if is_new {
        info!(uuid = %who.uuid, factory = who.factory, "a new device has made itself known");
    }
    let current = state.read(|tables| tables.devices().get(&who.uuid).cloned());
    Ok(Contact {
        device: current.unwrap_or_else(|| Arc::new(device)),
        is_new,
        changes,
    })
}

/// Notes which start of the machine speaks. Returns whether two machines with its identity are found out by that.
fn starts(device: &mut Device, headers: &Headers, now: Timestamp) -> bool {
    let boot = headers.boot.as_deref().map(str::trim);
    let boot = boot.filter(|boot| !boot.is_empty());
    boot.is_some_and(|boot| device.boots.note(boot, now))
}

/// They are not refused: which of them is the right one, nobody knows, and machines go on without us.
fn tell_of_clones(draft: &mut Draft<'_>, device: &Device, now: Timestamp) {
    let tables = draft.tables();
    let (uuid, name) = (device.uuid, device.shown_name(tables));
    warn!(%uuid, name, "two machines use the identity of a device");
    let text = format!(
        "Two machines use the identity of device {name} ({uuid}), as after a copy of its disk: let each of them enrol anew"
    );
    notice::tell(draft, device, (NoticeKind::DeviceCloned, text), now);
}

fn check_key(device: &Device, who: &Identity) -> Result<(), ContactError> {
    // One that was registered without a key gets that of its first certificate.
    if device.public_key.is_empty() || device.public_key == who.public_key {
        return Ok(());
    }
    warn!(uuid = %who.uuid, "refused a device that is known with another key");
    Err(ContactError::OtherKey(who.uuid))
}

/// The record of an unknown device.
fn first(draft: &mut Draft<'_>, who: &Identity, now: Timestamp) -> Result<Device, ContactError> {
    let uuid = who.uuid;
    let factory = factories::named(draft.tables(), &who.factory);
    let factory = factory.ok_or_else(|| ContactError::NoFactory {
        uuid,
        factory: who.factory.clone(),
    })?;
    if !is_allowed(draft, uuid) {
        return Err(ContactError::Denied(uuid));
    }
    let mut device = made(draft, uuid, factory, (0, now));
    // Its record may only be gone, with how it was bound: which UUID its certificate got, it may have said itself.
    if let Some(host) = host::with_uuid(draft.tables(), uuid) {
        host::bind(draft, &mut device, host, BoundBy::Address);
    }
    Ok(device)
}

/// Whether the device was not deleted. The draft is worth nothing if it is meanwhile.
fn is_allowed(draft: &mut Draft<'_>, uuid: MachineUuid) -> bool {
    draft.require(Compare::Absent(DeniedDevice::key_of(&uuid)));
    draft.tables().denied_devices().get(&uuid).is_none()
}

fn made(
    draft: &mut Draft<'_>,
    uuid: MachineUuid,
    factory: StorageGroupId,
    (by, now): (u32, Timestamp),
) -> Device {
    draft.require_present::<StorageGroup>(factory.get());
    draft.take_turn_of::<StorageGroup>(factory.get());
    let mut device = Device::new(uuid, factory, by, now);
    device.name = Some(uuid.to_string());
    device
}

/// Takes over what the certificate and the headers say. Returns the attributes that it changed.
fn hear(device: &mut Device, who: &Identity, headers: &Headers) -> Vec<&'static str> {
    device.public_key.clone_from(&who.public_key);
    device.fingerprint.clone_from(&who.fingerprint);
    device.is_prod = who.is_prod;
    let before = device.running.clone();
    device.running = said(before.clone(), headers);
    let Running {
        target,
        hash,
        tag,
        apps,
    } = &device.running;
    let changes = [
        ("target-name", *target != before.target),
        ("ostree-hash", *hash != before.hash),
        ("tag", *tag != before.tag),
        ("docker-apps", *apps != before.apps),
    ];
    let changed = changes.into_iter().filter(|(_, changed)| *changed);
    changed.map(|(name, _)| name).collect()
}

/// What the device runs by its headers. Pure.
fn said(mut running: Running, headers: &Headers) -> Running {
    let text = |text: &str| text.trim().chars().take(LONGEST).collect::<String>();
    let list = |given: &str| {
        let all = given.split(',').map(text);
        all.filter(|one| !one.is_empty())
            .take(MOST_APPS)
            .collect::<Vec<_>>()
    };
    if let Some(target) = &headers.target {
        running.target = text(target);
    }
    if let Some(hash) = &headers.hash {
        running.hash = text(hash);
    }
    if let Some(tags) = &headers.tags {
        running.tag = list(tags).into_iter().next().unwrap_or_default();
    }
    if let Some(apps) = &headers.apps {
        running.apps = list(apps);
    }
    running
}

/// Makes a device whose certificate an operator, or the client that deploys it, has asked for.
///
/// # Errors
/// See [`RegisterError`].
pub async fn register(state: &State, new: &New) -> Result<Arc<Device>, RegisterError> {
    let uuid = new.identity.uuid;
    if let Some(id) = &new.hardware_id {
        names::check(id).map_err(RegisterError::HardwareId)?;
    }
    let now = Timestamp::now();
    let made = state.write::<_, RegisterError>(|draft| {
        let device = registered(draft, new, now)?;
        draft.replace(&device);
        Ok(device)
    });
    let device = made.await?;
    info!(%uuid, factory = new.identity.factory, "device registered");
    let current = state.read(|tables| tables.devices().get(&uuid).cloned());
    Ok(current.unwrap_or_else(|| Arc::new(device)))
}

/// The record of a device that is registered, with whatever belongs to it drafted.
pub(super) fn registered(
    draft: &mut Draft<'_>,
    new: &New,
    now: Timestamp,
) -> Result<Device, RegisterError> {
    let uuid = new.identity.uuid;
    let tables = draft.tables();
    if tables.devices().get(&uuid).is_some() {
        return Err(RegisterError::Exists(uuid));
    }
    if !is_allowed(draft, uuid) {
        return Err(RegisterError::Denied(uuid));
    }
    let factory = factories::named(tables, &new.identity.factory);
    let factory = factory.ok_or_else(|| RegisterError::NoFactory(new.identity.factory.clone()))?;
    let mut device = made(draft, uuid, factory, (new.owner, now));
    device.hardware_id.clone_from(&new.hardware_id);
    device.public_key.clone_from(&new.identity.public_key);
    device.fingerprint.clone_from(&new.identity.fingerprint);
    device.is_prod = new.identity.is_prod;
    if let Some(host) = new.host {
        host::bind(draft, &mut device, host, BoundBy::Certificate);
        if device.host.is_none() {
            return Err(RegisterError::Host(host));
        }
    } else if let Some(host) = host::with_uuid(tables, uuid) {
        host::bind(draft, &mut device, host, BoundBy::Uuid);
    }
    if !new.name.is_empty() {
        edit::rename(draft, &mut device, &new.name)?;
    }
    edit::regroup(draft, &mut device, &new.group, now)?;
    Ok(device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_stays_and_what_is_empty_goes() {
        let before = Running {
            target: "disk-1".to_owned(),
            hash: "aa".to_owned(),
            tag: "lab".to_owned(),
            apps: vec!["shop".to_owned()],
        };
        assert_eq!(said(before.clone(), &Headers::default()), before);
        let headers = Headers {
            target: Some("disk-2".to_owned()),
            tags: Some(" next, lab".to_owned()),
            hash: Some(String::new()),
            apps: Some("a, ,b".to_owned()),
            boot: None,
        };
        let after = Running {
            target: "disk-2".to_owned(),
            hash: String::new(),
            tag: "next".to_owned(),
            apps: vec!["a".to_owned(), "b".to_owned()],
        };
        assert_eq!(said(before.clone(), &headers), after);
        let cleared = Headers {
            target: Some(String::new()),
            tags: Some(String::new()),
            hash: Some(String::new()),
            apps: Some(String::new()),
            boot: None,
        };
        assert_eq!(said(before.clone(), &cleared), Running::default());
        let long = Headers {
            hash: Some("x".repeat(10_000)),
            ..Headers::default()
        };
        assert_eq!(said(before, &long).hash.len(), LONGEST);
    }

    #[test]
    fn only_what_changes_is_told() {
        let factory = StorageGroupId::new(1).unwrap();
        let now = Timestamp::from_millis(1);
        let mut device = Device::new(MachineUuid::from_bits(1), factory, 0, now);
        let who = Identity {
            uuid: device.uuid,
            factory: "f".to_owned(),
            public_key: "key".to_owned(),
            fingerprint: "print".to_owned(),
            is_prod: true,
        };
        let headers = Headers {
            target: Some("disk-1".to_owned()),
            tags: Some("lab".to_owned()),
            ..Headers::default()
        };
        assert_eq!(hear(&mut device, &who, &headers), ["target-name", "tag"]);
        let same = device.clone();
        assert!(hear(&mut device, &who, &headers).is_empty());
        assert_eq!(device, same);
        assert!(check_key(&device, &who).is_ok());
        let other = Identity {
            public_key: "other".to_owned(),
            ..who
        };
        assert!(matches!(
            check_key(&device, &other),
            Err(ContactError::OtherKey(_))
        ));
    }
}
