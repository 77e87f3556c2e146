//! Secrets of a device's own configuration are encrypted for its key. When it gets another one, only operators can set them
//! again, and are told so.

use foghorn_types::{MachineUuid, NoticeKind, Timestamp, chain};
use tracing::warn;

use super::notice;
use crate::state::machines::config::{Level, StoredConfig};
use crate::state::machines::device::Device;
use crate::state::machines::packed::PackError;
use crate::state::shelf::Record as _;
use crate::state::{Draft, Refusal, State};
use crate::store::Compare;

/// Names that are told; more are counted.
const NAMES: usize = 5;

/// The secrets in the latest version of a device's own configuration. It is read outside of the transaction that gives the
/// device its key: it may be large.
#[derive(Debug)]
pub(super) struct OwnSecrets {
    device: MachineUuid,
    /// Number of the version; 0: there was none.
    version: u32,
    /// Names of the files.
    names: Vec<String>,
}

impl OwnSecrets {
    pub(super) fn of(state: &State, device: MachineUuid) -> Self {
        let level = Level::Device(device);
        let latest = state.read(|tables| tables.device_configs().latest(level).cloned());
        let (version, names) = match latest.as_deref() {
            Some(latest) => (latest.number, secrets(latest)),
            None => (0, Ok(Vec::new())),
        };
        let names = names.unwrap_or_else(|error| {
            warn!(uuid = %device, version, error = %chain(&error), "could not read the configuration of a device");
            Vec::new()
        });
        Self {
            device,
            version,
            names,
        }
    }

    /// Tells in the transaction in which the device gets another key which secrets it cannot decrypt any more.
    ///
    /// # Errors
    /// [`Refusal::Contended`] when there is another version meanwhile: nobody knows for which key its secrets are.
    pub(super) fn tell(
        &self,
        draft: &mut Draft<'_>,
        device: &Device,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let level = Level::Device(self.device);
        let latest = draft.tables().device_configs().latest(level);
        if latest.map_or(0, |latest| latest.number) != self.version {
            return Err(Refusal::Contended);
        }
        let next = (level, self.version + 1);
        draft.require(Compare::Absent(StoredConfig::key_of(&next)));
        if self.names.is_empty() {
            return Ok(());
        }
        let (uuid, name) = (device.uuid, device.shown_name(draft.tables()));
        let listed = listed(&self.names);
        warn!(%uuid, name, secrets = listed, "a device has a new key and cannot decrypt its secrets");
        let text = format!(
            "Device {name} ({uuid}) has a new key and cannot decrypt secrets of its own configuration ({listed}): it takes over no configuration until they are set again, encrypted for the new key, or removed"
        );
        notice::tell(
            draft,
            device,
            (NoticeKind::DeviceSecretsUnreadable, text),
            now,
        );
        Ok(())
    }
}

fn secrets(version: &StoredConfig) -> Result<Vec<String>, PackError> {
    let files = version.body.files.open()?;
    let secret = files.iter().filter(|file| !file.unencrypted);
    Ok(secret.map(|file| file.name.to_string()).collect())
}

fn listed(names: &[String]) -> String {
    let named: Vec<&str> = names.iter().take(NAMES).map(String::as_str).collect();
    let named = named.join(", ");
    match names.len().saturating_sub(NAMES) {
        0 => named,
        more => format!("{named}, and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_names_are_told() {
        let names = |count: u32| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
        assert_eq!(listed(&names(1)), "0");
        assert_eq!(listed(&names(5)), "0, 1, 2, 3, 4");
        assert_eq!(listed(&names(9)), "0, 1, 2, 3, 4, and 4 more");
    }
}
