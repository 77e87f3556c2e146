//! Log-ins and log-outs that a machine tells of its host. It tells them again until they were taken.

use foghorn_rest_types::host_work::HostUsers;
use foghorn_rest_types::native::UserTrackingReport;
use foghorn_types::{MachineUuid, Timestamp};

use super::{Duty, WorkError, host_in, host_of};
use crate::app::user_tracking::{self, BadReport};
use crate::state::classes::UserTracking;
use crate::state::machines::device::Device;
use crate::state::machines::users::DeviceUsers;
use crate::state::{Draft, State};

/// Events of one request.
const MOST_AT_ONCE: usize = 256;
/// Rows of one host: a machine that tells more has gone wrong.
pub(super) const MOST_ROWS: usize = 20_000;
/// Characters of the id of an event.
const LONGEST_ID: usize = 64;
/// Events that are stored in one transaction: each is a row with its guard, and a transaction of etcd takes 128
/// operations.
const STEP: usize = 64;

/// An event that can be stored: its id, and its row without a host.
type Event = (String, UserTracking);

/// Stores what was not stored before.
///
/// # Errors
/// See [`WorkError`]; what has been stored is known when it is sent again.
pub async fn tell(
    state: &State,
    uuid: MachineUuid,
    sent: HostUsers,
    now: Timestamp,
) -> Result<(), WorkError> {
    state.read(|tables| host_of(tables, uuid, Some(Duty::Users)).map(drop))?;
    let events = checked(sent, now)?;
    for part in events.chunks(STEP) {
        state.write(|draft| store(draft, uuid, part, now)).await?;
    }
    Ok(())
}

fn store(
    draft: &mut Draft<'_>,
    uuid: MachineUuid,
    events: &[Event],
    now: Timestamp,
) -> Result<(), WorkError> {
    let host = host_in(draft, uuid, Some(Duty::Users))?.get();
    let tables = draft.tables();
    let stored = tables.device_users().get(&uuid);
    let mut users = stored.map_or_else(
        || DeviceUsers::none(uuid),
        |stored| DeviceUsers::clone(stored),
    );
    let fresh = events.iter().filter(|(id, _)| users.add(id));
    let fresh: Vec<&Event> = fresh.collect();
    if fresh.is_empty() {
        return Ok(());
    }
    let rows = tables.of::<UserTracking>();
    if rows.count_by(UserTracking::BY_HOST, host.into()) + fresh.len() > MOST_ROWS {
        return Err(WorkError::Full);
    }
    for (_, row) in fresh {
        draft.insert(UserTracking {
            host,
            ..row.clone()
        })?;
    }
    draft.replace(&users);
    if let Some(device) = tables.devices().get(&uuid) {
        // Whoever is about to delete it has to look again.
        let last_seen = device.last_seen.max(Some(now));
        draft.replace(&Device {
            last_seen,
            ..Device::clone(device)
        });
    }
    Ok(())
}

fn checked(sent: HostUsers, now: Timestamp) -> Result<Vec<Event>, WorkError> {
    let invalid = |field: String, why: String| WorkError::Invalid { field, why };
    let count = sent.events.len();
    if count > MOST_AT_ONCE {
        let why = format!("{count} events, but at most {MOST_AT_ONCE} are taken at once");
        return Err(invalid("events".to_owned(), why));
    }
    let mut events = Vec::with_capacity(count);
    for (number, event) in sent.events.into_iter().enumerate() {
        if event.id.is_empty() || event.id.chars().count() > LONGEST_ID {
            let why = format!("an id must have 1 to {LONGEST_ID} characters");
            return Err(invalid(format!("events[{number}].id"), why));
        }
        // A clock may be ahead, and what is of the future would stay when all else is forgotten.
        let at = event.time.parse::<Timestamp>();
        let time = at.map_or(event.time, |at| at.min(now).to_string());
        let report = UserTrackingReport {
            action: event.action,
            user: event.user,
            time: Some(time),
            description: None,
        };
        let row = user_tracking::row(report, now).map_err(|BadReport { field, why }| {
            invalid(format!("events[{number}].{field}"), why)
        })?;
        events.push((event.id, row));
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use foghorn_rest_types::host_work::HostUserEvent;
    use foghorn_rest_types::native::TrackedAction;

    use super::*;
    use crate::state::value::FogTime;

    #[test]
    fn nothing_happens_in_the_future() {
        let now = Timestamp::from_millis(1_636_640_270_000);
        let events = ["2021-11-11T14:17:50Z", "2099-01-01T00:00:00Z"];
        let events = events.map(|time| HostUserEvent {
            action: TrackedAction::Login,
            user: "anna".to_owned(),
            time: time.to_owned(),
            id: time.to_owned(),
        });
        let sent = HostUsers {
            events: events.into(),
        };
        let stored = checked(sent, now).unwrap();
        for (id, row) in stored {
            assert_eq!(row.at, FogTime::from(now), "{id}");
        }
    }
}
