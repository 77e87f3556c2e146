//! The host service: what runs on a machine after it was imaged. It fetches the machine's configuration by mutual TLS and
//! extracts it: files, handlers, removals. All or nothing is decrypted; a crash at any point leaves whole files. Beside that it
//! does what the machine's host is to do (`work`): snapins, power rules, its name, its inventory, log-ins.
//!
//! What is to be done is decided in `foghorn-host-config`; here is what reads, writes, asks and runs.

mod actions;
pub mod args;
mod child;
mod daemon;
mod enrol;
mod extract;
mod gateway;
mod handlers;
mod lock;
mod renewal;
mod search;
mod secrets;
mod service;
mod storage;
mod whole;
mod work;

use std::path::PathBuf;
use std::time::Duration;

pub use self::child::all_ended;
pub use self::daemon::run;
pub use self::enrol::{Enrol, EnrolError, Enrolled, enrol};
pub use self::extract::ExtractError;
pub use self::gateway::{FetchError, GatewayError};
pub use self::lock::LockError;
pub use self::search::SearchError;
pub use self::secrets::FolderError;
pub use self::service::{CheckedIn, HostError, Service};
pub use self::storage::StorageError;
pub use self::work::{WorkSettings, Worked};

/// Exit status by which a handler asks for the service to be started again, and with which the service ends then.
pub const RESTART: u8 = 123;

/// Where things are on this machine, and how the service behaves.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Files in TOML, and folders of them, with the settings of the update agent.
    pub search: Vec<PathBuf>,
    /// Where config files are extracted to.
    pub secrets: PathBuf,
    /// Only what lies below this folder runs as a handler.
    pub handlers: PathBuf,
    /// Handlers elsewhere run too.
    pub unsafe_handlers: bool,
    /// The programs that are remote actions.
    pub actions: PathBuf,
    /// From one check-in to the next.
    pub interval: Duration,
    /// Before each further try of a check-in that was not answered.
    pub retry_pauses: Vec<Duration>,
    /// How long a handler may take.
    pub handler_limit: Duration,
    /// How it does the work of its host; `None` when it does none.
    pub work: Option<WorkSettings>,
}
