//! Backups of the state: is there a recent one.

use std::time::Duration;

use foghorn_rest_types::backup::BackupList;
use foghorn_types::Timestamp;

use super::Finding;
use crate::api::{Api, ApiError};
use crate::human::Zone;

const CHECK: &str = "backups";

pub(super) fn check(api: &Api, zone: Zone) -> Option<Finding> {
    match api.get::<BackupList>("/foghorn/v1/backups") {
        Ok(list) => judge(&list, Timestamp::now(), zone),
        // A server of an earlier version.
        Err(ApiError::NotFound(_)) => None,
        Err(error) => Some(Finding::warn(
            CHECK,
            error.to_string(),
            "look at the server's log",
        )),
    }
}

/// Nothing when the server makes none by itself: etcd has its own, and whoever turned them off
/// knows.
fn judge(list: &BackupList, now: Timestamp, zone: Zone) -> Option<Finding> {
    let every = Duration::from_secs(list.every_seconds?);
    let newest = list
        .backups
        .iter()
        .filter_map(|backup| backup.made.parse::<Timestamp>().ok())
        .filter(|made| *made <= now)
        .max();
    let late = newest.is_none_or(|made| now.since(made) > every * 2);
    let found = match newest {
        None => "there is none".to_owned(),
        Some(made) => {
            let made = zone.time(&made.to_string());
            format!("{}, the newest of {made}", list.backups.len())
        }
    };
    Some(if late {
        let todo = "look at the server's log; `foghorn backup create` makes one now";
        Finding::warn(CHECK, found, todo)
    } else {
        Finding::ok(CHECK, found)
    })
}

#[cfg(test)]
mod tests {
    use foghorn_rest_types::backup::Backup;

    use super::*;
    use crate::doctor::Verdict;

    fn list(every_seconds: Option<u64>, made: &[i64]) -> BackupList {
        let backup = |seconds: &i64| Backup {
            name: String::new(),
            kind: "scheduled".to_owned(),
            made: Timestamp::from_millis(seconds * 1000).to_string(),
            bytes: foghorn_types::ByteCount::ZERO,
            path: String::new(),
        };
        BackupList {
            every_seconds,
            backups: made.iter().map(backup).collect(),
        }
    }

    #[test]
    fn the_newest_backup_must_not_be_older_than_two_periods() {
        let now = Timestamp::from_millis(1_000_000);
        let verdict = |list| judge(&list, now, Zone::Utc).map(|finding| finding.verdict);
        assert_eq!(verdict(list(None, &[])), None);
        assert_eq!(verdict(list(Some(100), &[])), Some(Verdict::Warn));
        assert_eq!(verdict(list(Some(100), &[10, 801])), Some(Verdict::Ok));
        assert_eq!(verdict(list(Some(100), &[10, 799])), Some(Verdict::Warn));
        // Of a clock that was ahead.
        assert_eq!(verdict(list(Some(100), &[10, 5000])), Some(Verdict::Warn));
    }
}
