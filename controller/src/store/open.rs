//! Opens the engine that the configuration names.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;

use super::Store;
use super::embedded::{EmbeddedStore, OpenEmbeddedError};
use super::etcd::{ConnectEtcdError, EtcdOptions, EtcdStore};

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
