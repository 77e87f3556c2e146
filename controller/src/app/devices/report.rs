//! What a device says about itself beside the headers.

use std::net::Ipv4Addr;

use foghorn_types::{MacAddress, MachineUuid, Timestamp};
use serde_json::Value;

use super::host;
use super::queues::events::{Event, tell};
use crate::state::machines::device::{BoundBy, Device, Network};
use crate::state::{Draft, Refusal, State};

/// Bytes of JSON, or of TOML, that are kept of each kind.
pub const LONGEST: usize = 64 << 10;
/// Bytes of the name of a machine in its network.
const LONGEST_HOSTNAME: usize = 253;

/// Why a report was not stored.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("device {0} does not exist")]
    NotThere(MachineUuid),
    #[error("{bytes} bytes are too long; {LONGEST} are kept")]
    TooLong { bytes: usize },
    #[error("{field}: {why}")]
    Invalid { field: &'static str, why: String },
    #[error(transparent)]
    State(#[from] Refusal),
}

/// What it is made of.
///
/// # Errors
/// See [`ReportError`].
pub async fn hardware(state: &State, uuid: MachineUuid, told: &Value) -> Result<(), ReportError> {
    check_length(told)?;
    change(state, uuid, |_, device| {
        device.hardware = Some(told.clone());
        Ok(())
    })
    .await
}

/// Settings of its update agent.
///
/// # Errors
/// See [`ReportError`].
pub async fn aktualizr_toml(
    state: &State,
    uuid: MachineUuid,
    told: &str,
) -> Result<(), ReportError> {
    if told.len() > LONGEST {
        return Err(ReportError::TooLong { bytes: told.len() });
    }
    change(state, uuid, |_, device| {
        told.clone_into(&mut device.aktualizr_toml);
        Ok(())
    })
    .await
}

/// What its apps are doing.
///
/// # Errors
/// See [`ReportError`].
pub async fn apps_state(state: &State, uuid: MachineUuid, told: &Value) -> Result<(), ReportError> {
    check_length(told)?;
    let now = Timestamp::now();
    change(state, uuid, |draft, device| {
        if device.apps_state.as_ref() != Some(told) {
            device.apps_state = Some(told.clone());
            tell(draft, device, Event::AppsChanged { told }, now);
        }
        Ok(())
    })
    .await
}

/// How it is reached. A device that is no host yet becomes the one with its address; if nobody has that
/// address, a host is made.
///
/// # Errors
/// See [`ReportError`].
pub async fn network(state: &State, uuid: MachineUuid, told: &Network) -> Result<(), ReportError> {
    let mac = check_network(told)?;
    let now = Timestamp::now();
    change(state, uuid, |draft, device| {
        device.network = Some(told.clone());
        let (Some(mac), None) = (mac, device.host_row(draft.tables())) else {
            return Ok(());
        };
        match host::with_mac(draft.tables(), mac) {
            Some(found) => host::bind(draft, device, found, BoundBy::Address),
            None if host::is_known(draft.tables(), mac) => {}
            None => host::create(draft, device, mac, now)?,
        }
        Ok(())
    })
    .await
}

fn check_network(told: &Network) -> Result<Option<MacAddress>, ReportError> {
    let invalid = |field, why: String| ReportError::Invalid { field, why };
    if told.hostname.len() > LONGEST_HOSTNAME {
        let why = format!("a name has at most {LONGEST_HOSTNAME} bytes");
        return Err(invalid("hostname", why));
    }
    if !told.local_ipv4.is_empty() {
        let address = told.local_ipv4.parse::<Ipv4Addr>();
        address.map_err(|error| invalid("local_ipv4", error.to_string()))?;
    }
    if told.mac.is_empty() {
        return Ok(None);
    }
    let mac = told.mac.parse::<MacAddress>();
    mac.map(Some)
        .map_err(|error| invalid("mac", error.to_string()))
}

fn check_length(told: &Value) -> Result<(), ReportError> {
    match told.to_string().len() {
        bytes if bytes > LONGEST => Err(ReportError::TooLong { bytes }),
        _ => Ok(()),
    }
}

/// Changes the record of a device, if there is anything to change.
async fn change(
    state: &State,
    uuid: MachineUuid,
    change: impl Fn(&mut Draft<'_>, &mut Device) -> Result<(), ReportError>,
) -> Result<(), ReportError> {
    let now = Timestamp::now();
    state
        .write(|draft| {
            let before = draft.tables().devices().get(&uuid);
            let before = before.ok_or(ReportError::NotThere(uuid))?;
            let mut device = Device::clone(before);
            change(draft, &mut device)?;
            if device != **before {
                device.last_seen = device.last_seen.max(Some(now));
                draft.replace(&device);
            }
            Ok(())
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_checked_and_may_be_told_in_part() {
        let told = |hostname: &str, mac: &str, local_ipv4: &str| {
            check_network(&Network {
                hostname: hostname.to_owned(),
                mac: mac.to_owned(),
                local_ipv4: local_ipv4.to_owned(),
            })
        };
        let mac = "52:54:00:00:00:01";
        assert_eq!(told("pc", mac, "10.0.0.1").unwrap(), mac.parse().ok());
        assert_eq!(told("", "", "").unwrap(), None);
        for (field, refused) in [
            ("hostname", told(&"x".repeat(300), "", "")),
            ("mac", told("pc", "52:54", "")),
            ("local_ipv4", told("pc", "", "10.0.0")),
        ] {
            let refused = refused.unwrap_err().to_string();
            assert!(refused.starts_with(field), "{refused}");
        }
    }
}
