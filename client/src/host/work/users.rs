//! Log-ins and log-outs: from `utmp`, or from `systemd-logind` where there is none.

use std::path::{Path, PathBuf};
use std::{fs, io};

use foghorn_host_config::work::sessions::{Action, Event, Found, Session, Tracked};
use foghorn_host_config::work::{logind, utmp};
use foghorn_rest_types::host_work::{HostUserEvent, HostUsers};
use foghorn_rest_types::native::TrackedAction;
use foghorn_types::Timestamp;

use super::super::gateway::{FetchError, Gateway};
use super::super::storage::{Storage, StorageError};

pub(in crate::host) const NOTE: &str = "logged-in";
const UTMP: &str = "run/utmp";
const LOGIND: &str = "run/systemd/sessions";
const STAT: &str = "proc/stat";
/// No file of log-ins is larger.
const LARGEST_UTMP: u64 = 8 << 20;

/// Why nothing was told of users; what there is to tell is kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum UsersError {
    #[error("could not read {}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("{} has more than {LARGEST_UTMP} bytes", path.display())]
    TooLong { path: PathBuf },
    #[error("could not note who is logged in")]
    Storage(#[from] StorageError),
    #[error("the gateway did not take it")]
    Tell(#[from] FetchError),
}

/// Tells who has logged in and out since this was told last. `boot`: which start of the machine it is.
///
/// # Errors
/// [`UsersError`]
pub(super) fn tell(
    storage: &Storage,
    gateway: &Gateway,
    root: &Path,
    boot: &str,
) -> Result<(), UsersError> {
    let before: Tracked = storage.note(NOTE)?.unwrap_or_default();
    let mut tracked = before.clone();
    let now = Timestamp::now();
    let dropped = tracked.look(Found {
        boot,
        booted: booted(root).unwrap_or(now),
        now,
        sessions: sessions(root)?,
    });
    if dropped > 0 {
        tracing::warn!(
            dropped,
            "the oldest log-ins and log-outs are not told: too many wait for the gateway"
        );
    }
    // Before they are told: the ids are the same when they are told again.
    if tracked != before {
        storage.store_note(NOTE, &tracked)?;
    }
    if tracked.events().is_empty() {
        return Ok(());
    }
    let events = tracked.events().iter().map(told).collect();
    gateway.tell_users(&HostUsers { events })?;
    tracked.told();
    storage.store_note(NOTE, &tracked)?;
    Ok(())
}

/// Keeps nothing of users: nobody wants to know.
///
/// # Errors
/// The file system's.
pub(super) fn forget(storage: &Storage) -> Result<(), UsersError> {
    storage.forget(NOTE).map_err(UsersError::from)
}

fn told(event: &Event) -> HostUserEvent {
    let action = match event.action {
        Action::Login => TrackedAction::Login,
        Action::Logout => TrackedAction::Logout,
        Action::Start => TrackedAction::Start,
    };
    HostUserEvent {
        action,
        user: event.user.clone(),
        time: event.time.clone(),
        id: event.id.clone(),
    }
}

/// When the machine started, as its kernel says.
fn booted(root: &Path) -> Option<Timestamp> {
    let text = fs::read_to_string(root.join(STAT)).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
    let seconds: i64 = line.trim().parse().ok()?;
    Some(Timestamp::from_millis(seconds.checked_mul(1000)?))
}

fn sessions(root: &Path) -> Result<Vec<Session>, UsersError> {
    let path = root.join(UTMP);
    match fs::metadata(&path) {
        Ok(found) if found.len() > LARGEST_UTMP => return Err(UsersError::TooLong { path }),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return of_logind(root),
        Err(source) => return Err(UsersError::Read { path, source }),
    }
    let bytes = fs::read(&path).map_err(|source| UsersError::Read { path, source })?;
    let logins = utmp::logins(&bytes, utmp::Layout::here());
    // A record whose process is gone is one that nobody has ended.
    let is_there = |login: &utmp::Login| root.join("proc").join(login.pid.to_string()).exists();
    let sessions = logins.into_iter().filter(is_there).map(|login| Session {
        user: login.user,
        place: format!("{} {}", login.line, login.pid),
        since: login.since.as_millis(),
    });
    Ok(sessions.collect())
}

fn of_logind(root: &Path) -> Result<Vec<Session>, UsersError> {
    let folder = root.join(LOGIND);
    let read = |path: &Path, source| UsersError::Read {
        path: path.to_owned(),
        source,
    };
    let entries = match fs::read_dir(&folder) {
        Ok(entries) => entries,
        // Nobody notes who is logged in here.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(read(&folder, source)),
    };
    let mut sessions = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| read(&folder, source))?;
        let path = entry.path();
        // Beside the files lie pipes, which would be waited for.
        let kind = match entry.file_type() {
            Ok(kind) => kind,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(source) => return Err(read(&path, source)),
        };
        if !kind.is_file() {
            continue;
        }
        match fs::read(&path) {
            Ok(bytes) => {
                let name = entry.file_name();
                let text = String::from_utf8_lossy(&bytes);
                sessions.extend(logind::session(&name.to_string_lossy(), &text));
            }
            // It has just ended.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(read(&path, source)),
        }
    }
    Ok(sessions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        root
    }

    fn record(user: &str, pid: u32) -> Vec<u8> {
        let mut record = vec![0; utmp::Layout::here().size()];
        record[0] = 7;
        record[4..8].copy_from_slice(&pid.to_le_bytes());
        record[8..12].copy_from_slice(b"tty1");
        record[44..44 + user.len()].copy_from_slice(user.as_bytes());
        record
    }

    #[test]
    fn records_of_processes_that_are_gone_are_left_out() {
        let file = [record("anna", 12), record("gone", 13)].concat();
        let root = root(&[("run/utmp", &file), ("proc/12/stat", b"")]);
        let found = sessions(root.path()).unwrap();
        let users: Vec<_> = found.iter().map(|session| session.user.as_str()).collect();
        assert_eq!(users, ["anna"]);
    }

    #[test]
    fn without_utmp_logind_is_asked_and_without_both_nobody_is_known() {
        let file = b"USER=anna\nSTATE=active\nCLASS=user\nREALTIME=1700000000000000\n";
        let root = root(&[
            ("run/systemd/sessions/3", file),
            ("proc/stat", b"cpu 1\nbtime 1700000000\n"),
        ]);
        let found = sessions(root.path()).unwrap();
        assert_eq!((found.len(), found[0].place.as_str()), (1, "3"));
        let since = Timestamp::from_millis(1_700_000_000_000);
        assert_eq!(booted(root.path()), Some(since));
        let empty = self::root(&[]);
        assert!(sessions(empty.path()).unwrap().is_empty());
        assert_eq!(booted(empty.path()), None);
    }
}
