//! Machines after imaging, as the FoundriesFactory dialect sees them: devices, what they should run
//! and how they are configured, and who may ask for that. Without any interface: the operators' routes
//! and the gateway of the devices both build on this.
//!
//! A user is named by number here ([`factories::user_code`] is how the dialect writes one); 0 is nobody,
//! or a device itself.

pub mod config;
mod config_error;
pub mod contact;
pub mod denied;
pub mod edit;
pub mod effective;
pub mod enrol;
pub mod factories;
pub mod filter;
pub mod groups;
mod host;
pub mod host_tokens;
pub mod identity;
pub(crate) mod imaged;
pub mod list;
pub mod names;
pub mod newest;
mod notice;
mod own_secrets;
pub mod paging;
pub mod pattern;
pub mod policy;
pub mod queues;
pub mod reimage;
pub mod report;
pub mod rings;
mod secrets;
pub mod sota;
pub mod status;
pub mod targets;
pub mod tests;
pub mod tokens;
pub mod updates;
pub mod work;
