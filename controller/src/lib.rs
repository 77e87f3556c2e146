//! Foghorn's controller: REST, the state of the fleet, the certificate authority, the scheduler,
//! and the agents' links.
//!
//! [`Controller::start`] builds the parts in one process and owns their tasks;
//! [`Controller::shutdown`] drains them. The controller works with every agent offline, and never
//! touches the bytes of an image.

pub mod agents;
pub mod api;
pub mod app;
pub mod args;
pub mod awake;
pub mod background;
pub mod backups;
pub mod config;
pub mod ctx;
mod descriptors;
pub mod dispatch;
pub mod downloads;
pub mod events;
pub mod gateway;
pub mod kubernetes;
pub mod leaving;
pub mod link;
pub mod logins;
mod notify;
pub mod peers;
pub mod plugins;
mod recorder;
pub mod scheduler;
mod serve;
mod shares;
mod start;
pub mod state;
pub mod state_file;
pub mod store;
pub mod trust;
mod upkeep;
pub mod uploads;

pub use config::{Config, ConfigError, ConfigFile};
pub use start::{
    Bare, Carried, CheckFilesError, Controller, EXPOSED, Kept, StartError, StateFileError,
    check_files, export_state, export_state_kept, import_state, reset_admin, restore,
};
