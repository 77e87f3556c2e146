//! What a machine does for its host, with its own certificate: its snapins, its power actions, its name, and
//! what it says of its users and of its hardware. Only for the host that it surely is.

mod duty;
mod users;

use foghorn_rest_types::host_work::{HostInventory, HostPower, HostWork};
use foghorn_rest_types::native::SnapinNext;
use foghorn_types::{HostId, MachineUuid, NodeName, SnapinId, Timestamp};

pub use self::duty::Duty;
pub use self::users::tell as tell_users;
use super::rings::plan::{self, LeftOut};
use super::rings::snapshot;
use crate::app::power::{self, Action};
use crate::app::snapin_run::{self, SnapinOutcome};
use crate::app::{inventory as told, snapin_view};
use crate::state::classes::Host;
use crate::state::machines::device::{BoundBy, Device};
use crate::state::machines::policy::RingPolicy;
use crate::state::shelf::Record as _;
use crate::state::{Draft, Refusal, State, Tables};

/// Bytes of a name that Linux takes.
const LONGEST_NAME: usize = 64;

/// Why a machine does not do something for a host. Nothing was stored.
#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    #[error("device {0} does not exist")]
    NotThere(MachineUuid),
    #[error(
        "this device is not known to be a host: {0}; make a token for its host (foghorn host token HOST) and enrol the machine again with that"
    )]
    NoHost(LeftOut),
    #[error("this device does nothing for its host: {0}")]
    Withheld(LeftOut),
    #[error("this is switched off for the host of this device ({0})")]
    Off(Duty),
    #[error("snapin task {0} is none that the host of this device runs now")]
    NoTask(u32),
    #[error("no power action {0:?} is due for the host of this device (any more)")]
    NotDue(String),
    #[error("{field}: {why}")]
    Invalid { field: String, why: String },
    #[error(
        "{} log-ins and log-outs of the host of this device are stored already; they are deleted after audit.keep_days",
        users::MOST_ROWS
    )]
    Full,
    #[error(transparent)]
    State(#[from] Refusal),
}

/// The host that a device is, if the installation itself has said so: with a token for the host, at its deploy,
/// or because an operator has registered it as that. What is done for a host is nobody else's business, so the
/// UUID of a certificate is not enough: whoever registers a machine may choose it.
///
/// # Errors
/// Why not.
fn sure(tables: &Tables, device: &Device) -> Result<HostId, LeftOut> {
    let facts = snapshot::host_of(tables, &RingPolicy::none(device.factory), device);
    let host = plan::sure(facts.as_ref(), device.factory, false)?;
    match host.by {
        BoundBy::Certificate => Ok(host.id),
        BoundBy::Uuid | BoundBy::Address => Err(LeftOut::ByAddress),
    }
}

/// The device, and the host that it works for. `duty` is switched on there.
fn host_of(
    tables: &Tables,
    uuid: MachineUuid,
    duty: Option<Duty>,
) -> Result<(&Device, HostId), WorkError> {
    let device: &Device = tables
        .devices()
        .get(&uuid)
        .ok_or(WorkError::NotThere(uuid))?;
    let host = sure(tables, device).map_err(|left_out| match left_out {
        LeftOut::NoHost | LeftOut::ByAddress => WorkError::NoHost(left_out),
        other => WorkError::Withheld(other),
    })?;
    match duty.filter(|duty| !duty.is_on(tables, host)) {
        Some(duty) => Err(WorkError::Off(duty)),
        None => Ok((device, host)),
    }
}

/// The same; the draft is worth nothing if the device becomes another host meanwhile.
fn host_in(
    draft: &mut Draft<'_>,
    uuid: MachineUuid,
    duty: Option<Duty>,
) -> Result<HostId, WorkError> {
    let (device, host) = host_of(draft.tables(), uuid, duty)?;
    draft.require(device.unchanged());
    draft.require_present::<Host>(host.get());
    Ok(host)
}

/// What there is to do. The next snapin counts as taken; a power action is found again until it is acknowledged.
///
/// # Errors
/// See [`WorkError`].
pub async fn look(state: &State, uuid: MachineUuid, now: Timestamp) -> Result<HostWork, WorkError> {
    loop {
        let step = state.write(|draft| look_in(draft, uuid, now)).await?;
        if let Some(work) = step {
            return Ok(work);
        }
    }
}

/// `None`: a snapin task was put aside or a job ended, and there may be more.
fn look_in(
    draft: &mut Draft<'_>,
    uuid: MachineUuid,
    now: Timestamp,
) -> Result<Option<HostWork>, WorkError> {
    let host = host_in(draft, uuid, None)?;
    let tables = draft.tables();
    let modules = duty::switched_on(tables, host);
    let mut snapin = SnapinNext::Nothing;
    if modules.snapins {
        let Some(next) = snapin_run::next_in(draft, host, now)? else {
            return Ok(None);
        };
        snapin = snapin_view::next(&next, |task, _| format!("/host/snapins/{task}/file"));
    }
    let mut due = None;
    if modules.power {
        due = power::look(tables, host, now).and_then(|action| Some((wish(&action)?, action.id())));
    }
    let (power, power_id) = due.unzip();
    let name = tables.hosts().get(host.get()).map(|row| row.name.clone());
    let name = name.filter(|name| modules.host_name && is_host_name(name));
    Ok(Some(HostWork {
        host,
        host_name: name,
        power,
        power_id,
        snapin,
        modules,
    }))
}

fn wish(action: &Action) -> Option<HostPower> {
    match action.action.as_str() {
        "shutdown" => Some(HostPower::Shutdown),
        "reboot" => Some(HostPower::Reboot),
        _ => None,
    }
}

/// Whether a machine can have the name of a host: FOG allows more than RFC 1123.
fn is_host_name(name: &str) -> bool {
    // The name of a node is one label.
    let is_label = |label: &str| label.parse::<NodeName>().is_ok();
    name.len() <= LONGEST_NAME && name.split('.').all(is_label)
}

/// The snapin whose file the host of a device needs for this task, which it runs now.
///
/// # Errors
/// See [`WorkError`].
pub fn snapin_of(state: &State, uuid: MachineUuid, task: u32) -> Result<SnapinId, WorkError> {
    state.read(|tables| {
        let (_, host) = host_of(tables, uuid, Some(Duty::Snapins))?;
        match snapin_run::current(tables, host) {
            Some((current, snapin)) if current == task => Ok(snapin),
            _ => Err(WorkError::NoTask(task)),
        }
    })
}

/// How a snapin went. The same report again has no effect.
///
/// # Errors
/// See [`WorkError`].
pub async fn snapin_ended(
    state: &State,
    uuid: MachineUuid,
    (task, outcome): (u32, &SnapinOutcome),
    now: Timestamp,
) -> Result<(), WorkError> {
    state
        .write(|draft| {
            let host = host_in(draft, uuid, Some(Duty::Snapins))?;
            let stored = snapin_run::report_in(draft, host, task, outcome, now);
            stored.map_err(|refusal| match refusal {
                // It does not exist, is another host's, or was cancelled: nobody waits for it.
                Refusal::NotFound { .. } | Refusal::Invalid { .. } => WorkError::NoTask(task),
                other => other.into(),
            })
        })
        .await
}

/// A power action is about to be done. One that is not known any more was acknowledged before.
///
/// # Errors
/// See [`WorkError`].
pub async fn acknowledge_power(
    state: &State,
    uuid: MachineUuid,
    id: &str,
    now: Timestamp,
) -> Result<(), WorkError> {
    state
        .write(|draft| {
            let host = host_in(draft, uuid, Some(Duty::Power))?;
            // Whoever hears yes does it: so one does, once, and only what still is to be done.
            if power::acknowledge(draft, host, id, now) {
                Ok(())
            } else {
                Err(WorkError::NotDue(id.to_owned()))
            }
        })
        .await
}

/// What the machine is made of. Nothing is written when that is known.
///
/// # Errors
/// See [`WorkError`].
pub async fn inventory(
    state: &State,
    uuid: MachineUuid,
    parts: &HostInventory,
    now: Timestamp,
) -> Result<(), WorkError> {
    told::check(parts).map_err(|(field, why)| WorkError::Invalid { field, why })?;
    state
        .write(|draft| {
            let host = host_in(draft, uuid, None)?;
            let parts = parts.iter();
            let parts = parts.map(|(name, value)| (name.as_str(), value.as_str()));
            told::write(draft, host, parts, now)?;
            Ok(())
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_gets_no_name_that_it_cannot_have() {
        for good in ["pc1", "LAB-PC01", "pc1.lab.example.org"] {
            assert!(is_host_name(good), "{good}");
        }
        let long = ["x"; 33].join(".");
        for bad in ["", "pc_1", "-pc", "pc-", "pc1.", ".", "pc!", &long] {
            assert!(!is_host_name(bad), "{bad}");
        }
    }
}
