//! One file per verb: its arguments and what it does.

pub mod api_switch;
pub mod audit;
pub mod backup;
pub mod boot_token;
pub mod capture;
pub mod completions;
pub mod context;
pub mod controllers;
pub mod damage;
pub mod deploy;
pub mod device;
mod device_view;
mod disks;
pub mod factory;
pub mod factory_token;
pub mod group;
mod group_view;
pub mod host;
mod host_csv;
pub mod host_token;
mod host_view;
mod identity;
pub mod image;
mod image_view;
pub mod inventory;
pub mod job;
pub mod join_token;
pub mod login;
mod made;
pub mod node;
mod node_hold;
mod node_view;
mod notes;
pub mod notify;
pub mod object;
pub mod order;
mod orphans;
pub mod plugin;
pub mod replication;
pub mod schedule;
pub mod schedule_target;
mod schedule_terms;
pub mod session;
mod session_watch;
pub mod setting;
pub mod site;
pub mod snapin;
mod snapin_file;
pub mod start;
pub mod state;
pub mod storage_group;
pub mod task;
mod task_cancel;
mod task_view;
pub mod user;
pub mod versions;
pub mod wait;
pub mod wake;

use crate::api::Api;
use crate::connection::ConnectionArgs;
use crate::exit::Failure;
use crate::output::Output;

/// The context of every verb: which server, and how to print.
#[derive(Clone, Debug)]
pub struct Session {
    pub connection: ConnectionArgs,
    pub output: Output,
}

impl Session {
    /// # Errors
    /// When no server is set or its tokens are missing.
    pub fn api(&self) -> Result<Api, Failure> {
        self.connection.api()
    }
}
