//! Log-ins and log-outs on hosts, as FOG keeps them: what a script of an operator reports, or the host itself.

use foghorn_rest_types::native::{TrackedAction, UserTrackingReport};
use foghorn_types::{HostId, ParseTimestampError, Timestamp};

use crate::state::classes::{Host, UserTracking};
use crate::state::value::{FogDate, FogTime};
use crate::state::{Refusal, State};

/// Characters of the name of a user.
const LONGEST_USER: usize = 50;
/// Characters that are kept of a description.
const LONGEST_DESCRIPTION: usize = 250;

/// Why a report cannot be taken.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{field}: {why}")]
pub(crate) struct BadReport {
    pub(crate) field: &'static str,
    pub(crate) why: String,
}

/// The row of a report, without its host. Without a time it happened `now`.
///
/// # Errors
/// When the user or the time is none.
pub(crate) fn row(report: UserTrackingReport, now: Timestamp) -> Result<UserTracking, BadReport> {
    let username = report.user.trim().to_owned();
    if username.is_empty() || username.chars().count() > LONGEST_USER {
        return Err(BadReport {
            field: "user",
            why: format!("a name must have 1 to {LONGEST_USER} characters"),
        });
    }
    let at = report.time.map_or(Ok(now), |text| text.parse());
    let at = at.map_err(|error: ParseTimestampError| BadReport {
        field: "time",
        why: error.to_string(),
    })?;
    let at: FogTime = at.into();
    let description = report.description.unwrap_or_default();
    Ok(UserTracking {
        username,
        action: code(report.action).to_owned(),
        date: FogDate::read(&at.text()),
        at,
        description: description.chars().take(LONGEST_DESCRIPTION).collect(),
        ..UserTracking::default()
    })
}

/// FOG's number of an action.
fn code(action: TrackedAction) -> &'static str {
    match action {
        TrackedAction::Login => "1",
        TrackedAction::Logout => "0",
        TrackedAction::Start => "99",
    }
}

/// Adds a row to a host. Returns its id.
///
/// # Errors
/// [`Refusal::NotFound`], or an error of the store.
pub(crate) async fn add(state: &State, host: HostId, row: &UserTracking) -> Result<u32, Refusal> {
    let host = host.get();
    state
        .write(|draft| {
            if draft.tables().of::<Host>().get(host).is_none() {
                return Err(Refusal::NotFound {
                    class: "host",
                    id: host,
                });
            }
            draft.require_present::<Host>(host);
            draft.insert(UserTracking {
                host,
                ..row.clone()
            })
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(user: &str, time: Option<&str>) -> UserTrackingReport {
        UserTrackingReport {
            action: TrackedAction::Logout,
            user: user.to_owned(),
            time: time.map(str::to_owned),
            description: Some("ä".repeat(300)),
        }
    }

    #[test]
    fn a_report_is_checked_and_becomes_a_row_of_fog() {
        let now = Timestamp::from_millis(1_636_640_270_000);
        let made = row(report(" anna ", None), now).unwrap();
        assert_eq!((&*made.username, &*made.action), ("anna", "0"));
        assert_eq!(made.at, FogTime::from(now));
        assert_eq!(made.description.chars().count(), LONGEST_DESCRIPTION);
        let timed = row(report("anna", Some("2021-11-11T14:17:50Z")), now).unwrap();
        assert_eq!((timed.at, timed.date), (made.at, made.date));
        for (field, wrong) in [
            ("user", report(" ", None)),
            ("user", report(&"x".repeat(51), None)),
            ("time", report("anna", Some("yesterday"))),
        ] {
            assert_eq!(row(wrong, now).unwrap_err().field, field);
        }
    }
}
