//! One file per verb: its arguments and what it does.

pub mod api_switch;
pub mod audit;
pub mod capture;
pub mod completions;
pub mod context;
pub mod deploy;
mod disks;
pub mod group;
pub mod host;
pub mod image;
pub mod job;
pub mod login;
pub mod node;
mod notes;
pub mod object;
pub mod order;
mod orphans;
pub mod schedule;
pub mod session;
mod session_watch;
pub mod snapin;
pub mod task;
pub mod user;
pub mod versions;
pub mod wait;

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
