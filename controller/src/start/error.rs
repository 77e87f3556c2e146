//! Why a controller does not start, and what to do.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::app::accounts::AccountError;
use crate::app::authority::AuthorityError;
use crate::app::given::{ReadGivenError, TakeOverError};
use crate::backups::RestoreError;
use crate::state::Refusal;
use crate::store::embedded::OpenEmbeddedError;
use crate::store::open::OpenStoreError;
use crate::trust::{ServerConfigError, StoreKeyError};

/// Why the controller did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("could not create the data directory {path}", path = path.display())]
    DataDir {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("could not open the state store")]
    Store(#[from] OpenStoreError),
    #[error("could not load the state")]
    State(#[source] Refusal),
    #[error("there is no installation in {path}", path = path.display())]
    NoInstallation { path: PathBuf },
    #[error("{path} is missing or empty, but this controller has been set up before, because there is {sign}: restore a backup, see docs/operations/backup.md; to begin anew without hosts and images, move the whole state directory away", path = path.display(), sign = sign.display())]
    LostStore { path: PathBuf, sign: PathBuf },
    #[error(
        "the store is in etcd: restore a snapshot of etcd, and copy ca/ of the data directory back"
    )]
    NotHere,
    #[error("nothing was restored, and everything is as before")]
    Restore(#[source] RestoreError),
    #[error("could not create the first user and its tokens")]
    FirstRun(#[source] AccountError),
    #[error("could not read the credentials that are given for the first user")]
    ReadGiven(#[source] ReadGivenError),
    #[error("could not take over the credentials that are given for the first user")]
    TakeOver(#[source] TakeOverError),
    #[error("could not load the certificate authority")]
    Trust(#[from] AuthorityError),
    #[error("could not load the certificate authority")]
    TrustKey(#[from] StoreKeyError),
    #[error("could not set up TLS")]
    Tls(#[from] ServerConfigError),
    #[error("could not listen on {address} ({purpose})")]
    Listen {
        purpose: &'static str,
        address: SocketAddr,
        source: std::io::Error,
    },
}

impl StartError {
    /// What whoever starts the program can do about it.
    #[must_use]
    pub fn todo(&self) -> Option<&'static str> {
        match self {
            Self::DataDir { .. } => Some("give a directory that this user may write to"),
            Self::Store(OpenStoreError::Embedded(OpenEmbeddedError::InUse { .. })) => {
                Some("stop the other process first, which is a server with this directory")
            }
            Self::Store(OpenStoreError::Etcd(_)) => Some(
                "check the addresses and the certificates of etcd in the configuration, and that it is running",
            ),
            Self::NoInstallation { .. } => {
                Some("give the directory of the server; a new server is made by starting it once")
            }
            Self::ReadGiven(_) => {
                Some("look at the files that first_run of the configuration names")
            }
            Self::Listen { .. } => {
                Some("stop the program that uses this address, or choose another address or port")
            }
            _ => None,
        }
    }
}
