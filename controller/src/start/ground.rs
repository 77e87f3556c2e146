//! What a controller stands on: its data directory, its store and its certificate authority.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use foghorn_types::chain;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{info, warn};

use super::error::StartError;
use crate::app::authority;
use crate::backups::{AUTHORITY_FOLDER, BACKUPS_FOLDER, STORE_FILE, list_in};
use crate::config::{Config, StoreConfig};
use crate::state::{Refusal, State};
use crate::store::measured::MeasuredStore;
use crate::store::{Store, StoreError, open};
use crate::trust::{Keeping, Trust};

/// Opens the store, and takes or makes the authority of this installation.
pub(super) async fn load(
    config: &Config,
    tasks: &TaskTracker,
    cancel: &CancellationToken,
) -> Result<(Arc<State>, Keeping, Arc<Trust>), StartError> {
    create_data_dir(&config.data_dir)?;
    let engine = engine(config);
    refuse_lost_store(&engine, &config.data_dir)?;
    let store = Arc::new(MeasuredStore::new(open::open(&engine).await?));
    let (state, follower) = loaded(store, cancel).await.map_err(StartError::State)?;
    tasks.spawn(async move {
        if let Err(error) = follower.await {
            warn!(error = %chain(&error), "the watch cache ended");
        }
    });
    let keeping = config.authority.keeping(&config.data_dir).await?;
    if state.read(|tables| tables.authority().is_none())
        && let Some(older) = older_than_store(&keeping, &config.backups_folder())
    {
        warn!(
            older = %older.display(),
            "the store is new, and there is something older: at a first start with a certificate authority that was given all is well. If this installation has had hosts, images or storage nodes, its store is lost: stop this controller and restore a backup, see docs/operations/backup.md"
        );
    }
    let trust = authority::open(&state, &keeping, config.new_authority).await?;
    let trust = Arc::new(trust.with_lifetimes(config.lifetimes));
    Ok((state, keeping, trust))
}

pub(super) fn engine(config: &Config) -> open::StoreConfig {
    match &config.store {
        StoreConfig::Embedded => open::StoreConfig::Embedded {
            path: config.data_dir.join(STORE_FILE),
        },
        StoreConfig::Etcd(options) => open::StoreConfig::Etcd(options.clone()),
    }
}

/// An authority is made after its store, and backups of it. Without the store, what begins would be an
/// empty site that nobody has ordered, with storage nodes that are not known there.
pub(super) fn refuse_lost_store(
    engine: &open::StoreConfig,
    data_dir: &Path,
) -> Result<(), StartError> {
    let open::StoreConfig::Embedded { path } = engine else {
        return Ok(());
    };
    if std::fs::metadata(path).is_ok_and(|file| file.len() > 0) {
        return Ok(());
    }
    match sign_of_use(data_dir) {
        Some(sign) => Err(StartError::LostStore {
            path: path.clone(),
            sign,
        }),
        None => Ok(()),
    }
}

/// What only a controller that has had a store leaves behind. One whose authority is kept by others leaves
/// nothing but its backups.
fn sign_of_use(data_dir: &Path) -> Option<PathBuf> {
    let authority = data_dir.join(AUTHORITY_FOLDER);
    if std::fs::read_dir(&authority).is_ok_and(|mut files| files.next().is_some()) {
        return Some(authority);
    }
    newest_in(&data_dir.join(BACKUPS_FOLDER))
}

/// What was there before a store that is new: an authority that others keep, as at a first start and also
/// when the whole data directory or the data of etcd was lost; else the newest backup, on another disk.
fn older_than_store(keeping: &Keeping, backups: &Path) -> Option<PathBuf> {
    match keeping {
        Keeping::Given(folder) => Some(folder.clone()),
        Keeping::Own(_) | Keeping::Store { .. } => newest_in(backups),
    }
}

fn newest_in(backups: &Path) -> Option<PathBuf> {
    let backups = list_in(backups).ok()?;
    Some(backups.last()?.path.clone())
}

/// Readable by its owner only: it contains the authority's key and all password hashes.
pub(super) fn create_data_dir(path: &std::path::Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path);
    made.map_err(|source| StartError::DataDir {
        path: path.to_owned(),
        source,
    })
}

/// An etcd that is started beside its controllers, as after a power failure, answers by then.
const STORE_WITHIN: Duration = Duration::from_secs(10);
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Loads the state. A store that does not answer yet is waited for, for a moment.
async fn loaded(
    store: Arc<dyn Store>,
    cancel: &CancellationToken,
) -> Result<(Arc<State>, JoinHandle<()>), Refusal> {
    let until = Instant::now() + STORE_WITHIN;
    let mut is_told = false;
    loop {
        let attempt = cancel.child_token();
        match State::start(store.clone(), attempt.clone()).await {
            Err(error @ Refusal::Store(StoreError::Unavailable { .. }))
                if Instant::now() < until =>
            {
                if !is_told {
                    let seconds = STORE_WITHIN.as_secs();
                    info!(error = %chain(&error), seconds, "the store does not answer yet; it is asked again for some seconds");
                    is_told = true;
                }
                attempt.cancel();
                sleep(ASK_EVERY).await;
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_a_new_store_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let given = PathBuf::from("/etc/foghorn/authority");
        let own = Keeping::Own(folder.path().join("ca"));
        let backups = folder.path().join("elsewhere");
        assert_eq!(older_than_store(&own, &backups), None);
        let newest = backups.join("2026-11-29T030000Z-scheduled");
        for backup in [&backups.join("2026-11-28T030000Z-asked"), &newest] {
            std::fs::create_dir_all(backup).unwrap();
            std::fs::write(backup.join(STORE_FILE), "").unwrap();
        }
        assert_eq!(older_than_store(&own, &backups), Some(newest));
        let found = older_than_store(&Keeping::Given(given.clone()), &backups);
        assert_eq!(found, Some(given));
    }
}
