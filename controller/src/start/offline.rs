//! Work on the state of a controller that does not run.

use std::path::Path;

use foghorn_types::Timestamp;
use tokio_util::sync::CancellationToken;

use super::error::StartError;
use super::ground::engine;
use crate::app::accounts::{self, FirstRun};
use crate::backups::{self, Restored};
use crate::config::{AuthorityConfig, Config, StoreConfig};
use crate::state::State;
use crate::store::open;

/// Makes new credentials for an administrator, on the machine of a controller that is not running:
/// see [`accounts::reset_admin`].
///
/// # Errors
/// When the store cannot be opened, such as while the controller uses it, or written.
pub async fn reset_admin(config: &Config, name: &str) -> Result<FirstRun, StartError> {
    let cancel = CancellationToken::new();
    let _stop = cancel.clone().drop_guard();
    let engine = engine(config);
    if let open::StoreConfig::Embedded { path } = &engine
        && !path.exists()
    {
        return Err(StartError::NoInstallation {
            path: config.data_dir.clone(),
        });
    }
    let store = open::open_patiently(&engine).await?;
    let (state, follower) = State::start(store, cancel.child_token())
        .await
        .map_err(StartError::State)?;
    let follower = tokio::spawn(follower);
    let reset = accounts::reset_admin(&state, name).await;
    cancel.cancel();
    let _ended = follower.await;
    reset.map_err(StartError::FirstRun)
}

/// Puts a backup back, on the machine of a controller that is not running.
///
/// # Errors
/// With etcd, which restores its own backups; otherwise as [`backups::restore`].
pub fn restore(config: &Config, backup: &Path) -> Result<Restored, StartError> {
    match &config.store {
        StoreConfig::Etcd(_) => Err(StartError::NotHere),
        StoreConfig::Embedded => {
            // An authority that others keep is not ours to replace.
            let restore = match &config.authority {
                AuthorityConfig::Given(_) => backups::restore_store,
                AuthorityConfig::Own | AuthorityConfig::Store(_) => backups::restore,
            };
            restore(&config.data_dir, backup, Timestamp::now()).map_err(StartError::Restore)
        }
    }
}
