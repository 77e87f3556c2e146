//! The remote action `reimage`: an operator gives a device the file that orders it, and with the version
//! of the configuration the deploy task of its host is stored. The device itself only restarts.

use foghorn_host_config::ConfigFiles;
use foghorn_host_config::one_shot::{BadOneShot, OneShot};
use foghorn_types::{ImageId, MachineUuid, Timestamp};

use super::rings::plan::{self, HostFacts, LeftOut, Wanted};
use super::rings::snapshot;
use super::rings::steps::{self, Parts, Wish};
use super::targets;
use crate::state::machines::config::Level;
use crate::state::machines::policy::RingPolicy;
use crate::state::{Draft, Refusal, Tables, TaskRefusal};

/// Name of the file that orders it.
const FILE: &str = "fioconfig-oneshot-reimage";

/// An operator whose files may order tasks.
pub struct Operator<'a> {
    pub name: &'a str,
    pub parts: Parts<'a>,
}

/// Why a machine is not imaged anew. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum ReimageError {
    #[error("{FILE} orders nothing")]
    Order(#[from] BadOneShot),
    #[error("{FILE} must not be encrypted: the controller reads it")]
    Encrypted,
    #[error(
        "{FILE} is for single devices: to image many, give their tag to a target and set the policy of the site to auto"
    )]
    NotADevice,
    #[error("the machine cannot be imaged: {0}")]
    LeftOut(LeftOut),
    #[error("the machine cannot be imaged")]
    Task(#[source] Refusal),
}

/// Whether the files order it, and those of the version before did not order the same.
///
/// # Errors
/// When the file cannot be such an order.
pub(super) fn is_ordered(
    level: Level,
    before: Option<&ConfigFiles>,
    after: &ConfigFiles,
) -> Result<bool, ReimageError> {
    let Some(file) = after.get(FILE) else {
        return Ok(false);
    };
    let known = before.and_then(|before| before.get(FILE));
    if known.is_some_and(|known| known.value == file.value) {
        return Ok(false);
    }
    if !matches!(level, Level::Device(_)) {
        return Err(ReimageError::NotADevice);
    }
    if !file.unencrypted {
        return Err(ReimageError::Encrypted);
    }
    let order = OneShot::read(&file.value)?;
    // The device runs an action once for each id.
    let known = known.and_then(|known| OneShot::read(&known.value).ok());
    Ok(known.is_none_or(|known| known.id != order.id))
}

/// Orders the deploy: of the newest target for the device, else of the present version of its host's
/// image.
///
/// # Errors
/// See [`ReimageError`].
pub(super) fn order(
    draft: &mut Draft<'_>,
    uuid: MachineUuid,
    operator: &Operator<'_>,
    now: Timestamp,
) -> Result<(), ReimageError> {
    let tables = draft.tables();
    let Some(device) = tables.devices().get(&uuid) else {
        return Err(ReimageError::LeftOut(LeftOut::NoHost));
    };
    let stored = tables.ring_policies().get(&device.factory);
    let stored = stored.map(|policy| RingPolicy::clone(policy));
    let mut policy = stored.unwrap_or_else(|| RingPolicy::none(device.factory));
    let all = targets::candidates(tables, device.factory);
    let facts = snapshot::facts(tables, &policy, device, &all);
    let by_address = policy.rules.by_address;
    let host = plan::may_touch(&facts, by_address).map_err(ReimageError::LeftOut)?;
    if host.is_busy {
        return Err(ReimageError::LeftOut(LeftOut::Busy));
    }
    let newest = snapshot::target_of(tables, device, &all);
    let newest = newest.filter(|target| host.image == Some(target.image));
    let present = || present(tables, host);
    let target = newest.map_or_else(present, Ok);
    let target = target.map_err(|refusal| ReimageError::Task(refusal.into()))?;
    let wish = Wish {
        device,
        host: host.id,
        target: &target,
        by: Some(operator.name),
    };
    let ordered = steps::order_in(draft, &mut policy, &wish, &operator.parts, now);
    ordered.map(drop).map_err(ReimageError::Task)
}

/// The present version of the image of a host, as a target.
fn present(tables: &Tables, host: &HostFacts) -> Result<Wanted, TaskRefusal> {
    let image: ImageId = host.image.ok_or(TaskRefusal::NoImage)?;
    let row = tables.images().get(image.get());
    let row = row.ok_or(TaskRefusal::NoImage)?;
    let content = tables.contents().get(&image);
    let content = content.ok_or(TaskRefusal::NoContent)?;
    Ok(Wanted {
        name: targets::name_of(row, content.version),
        hash: content.manifest.to_string(),
        image,
        version: content.version,
    })
}

#[cfg(test)]
mod tests {
    use foghorn_host_config::ConfigCreate;
    use foghorn_host_config::one_shot::ONE_SHOT_PREFIX;
    use foghorn_types::StorageGroupId;
    use serde_json::json;

    use super::*;

    fn files(name: &str, value: &str, unencrypted: bool) -> ConfigFiles {
        let body = json!({
            "reason": "",
            "files": [{"name": name, "value": value, "unencrypted": unencrypted}],
        });
        let change = ConfigCreate::read(body.to_string().as_bytes()).unwrap();
        change.replacing().unwrap()
    }

    #[test]
    fn an_order_counts_once_for_each_id() {
        assert_eq!(FILE, format!("{ONE_SHOT_PREFIX}reimage"));
        let device = Level::Device(MachineUuid::from_bits(1));
        let order = |id: &str| files(FILE, &format!("COMMAND_ID={id}\nCOMMAND_CAPTURE=1\n"), true);
        let (first, second) = (order("reimage_0000001"), order("reimage_0000002"));
        let is = |before: Option<&ConfigFiles>, after| is_ordered(device, before, after).unwrap();
        assert!(is(None, &first));
        assert!(!is(Some(&first), &first));
        assert!(is(Some(&first), &second));
        let quiet = files(FILE, "COMMAND_ID=reimage_0000001\n", true);
        assert!(!is(Some(&first), &quiet), "the same id");
        let other = files(
            "fioconfig-oneshot-reboot",
            "COMMAND_ID=reboot_00000001",
            true,
        );
        assert!(!is(None, &other));
        assert!(!is(Some(&first), &other), "it was withdrawn");
    }

    #[test]
    fn what_cannot_be_an_order_is_refused() {
        let device = Level::Device(MachineUuid::from_bits(1));
        let refused = |level, files: &ConfigFiles| is_ordered(level, None, files).unwrap_err();
        let none = refused(device, &files(FILE, "COMMAND_CAPTURE=1", true));
        assert!(matches!(none, ReimageError::Order(BadOneShot::NoId)));
        let secret = refused(device, &files(FILE, "BJrwrqOX", false));
        assert!(matches!(secret, ReimageError::Encrypted));
        let order = files(FILE, "COMMAND_ID=reimage_0000001", true);
        let factory = Level::Factory(StorageGroupId::new(1).unwrap());
        assert!(matches!(refused(factory, &order), ReimageError::NotADevice));
    }
}
