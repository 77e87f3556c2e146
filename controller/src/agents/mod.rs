//! Connected agents: their links, their last reports, and their jobs.

pub mod cold;
pub mod contents;
pub mod files;
pub mod health;
pub mod jobs;
pub mod links;
pub mod live;
mod machines;
pub mod mirror;
mod opened;
pub mod peers;
pub mod replicas;
pub mod room;
pub mod session_reports;
pub mod waits;
