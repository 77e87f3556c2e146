//! The client: runs on the machine that is imaged, checks in with the controller, and then captures
//! or deploys its disk through an agent.
//!
//! The parts: [`check_in`] buys a certificate for the boot token and learns the order; `ready` checks
//! before that whether this machine can do its task; [`disk`]
//! chooses and opens the disk; [`capture`] and [`deploy`] are the two pipelines; [`link`] keeps a
//! session with an agent alive; `identity` puts the identity of the machine on a deployed disk; [`run`] joins
//! them.
//!
//! [`host`] is a program of its own: what goes on running on the machine after it was imaged.

pub mod args;
mod boot;
pub mod buffers;
pub mod capture;
pub mod check_in;
pub mod deploy;
pub mod disk;
mod display;
pub mod exit;
pub mod hardware;
pub mod host;
mod identity;
mod interface;
pub mod link;
pub mod partitions;
pub mod progress;
mod ready;
pub mod report;
pub mod run;

pub use display::{LogWriter, failure};
