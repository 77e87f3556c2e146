//! Opens the engine that the configuration names.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use foghorn_types::chain;
use serde::Deserialize;
use tokio::time::{Instant, sleep};
use tracing::warn;

use super::embedded::{EmbeddedStore, OpenEmbeddedError};
use super::etcd::{ConnectEtcdError, EtcdOptions, EtcdStore};
use super::{Store, StoreError, probe};

/// How long a program that does one thing waits for its store, and how often it asks.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);

/// Which engine, and where.
#[derive(Clone, Debug, Deserialize)]
#[serde(tag = "engine", rename_all = "snake_case")]
pub enum StoreConfig {
    /// One file on this machine, for one controller.
    Embedded { path: PathBuf },
    /// An etcd cluster.
    Etcd(EtcdOptions),
}

#[derive(Debug, thiserror::Error)]
pub enum OpenStoreError {
    #[error("could not open the embedded store")]
    Embedded(#[from] OpenEmbeddedError),
    #[error("could not connect to etcd")]
    Etcd(#[from] ConnectEtcdError),
}

/// Opens the store. For etcd this does not wait until the cluster answers unless it has to log in.
///
/// # Errors
/// When the file cannot be opened (or another process has it), or the options of etcd are wrong.
pub async fn open(config: &StoreConfig) -> Result<Arc<dyn Store>, OpenStoreError> {
    match config {
        StoreConfig::Embedded { path } => Ok(Arc::new(EmbeddedStore::open(path).await?)),
        StoreConfig::Etcd(options) => Ok(Arc::new(EtcdStore::connect(options).await?)),
    }
}

/// As [`open`], for a program that does one thing and ends: an engine that does not answer yet is waited
/// for. In a cluster, the network lets a process that has just begun through only after a moment.
///
/// # Errors
/// As [`open`]. What else is wrong with the engine is said to whoever uses it.
pub async fn open_patiently(config: &StoreConfig) -> Result<Arc<dyn Store>, OpenStoreError> {
    let until = Instant::now() + ANSWERS_WITHIN;
    let mut told = false;
    // Where a log-in is needed, it has to answer for this already.
    let store = loop {
        match open(config).await {
            Err(OpenStoreError::Etcd(error)) if !error.is_for_ever() && Instant::now() < until => {
                tell(&error, &mut told);
                sleep(PAUSE).await;
            }
            opened => break opened?,
        }
    };
    while let Err(error @ StoreError::Unavailable { .. }) = store.newest(probe::KEY).await {
        if Instant::now() >= until {
            break;
        }
        tell(&error, &mut told);
        sleep(PAUSE).await;
    }
    Ok(store)
}

/// Says once what is waited for.
fn tell(error: &(dyn std::error::Error + 'static), told: &mut bool) {
    if !std::mem::replace(told, true) {
        let seconds = ANSWERS_WITHIN.as_secs();
        warn!(error = %chain(error), seconds, "the state store does not answer yet; waiting for it");
    }
}
