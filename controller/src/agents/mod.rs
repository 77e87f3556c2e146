//! Connected agents: their links, their last reports, and their jobs.

pub mod contents;
pub mod files;
pub mod health;
pub mod jobs;
pub mod links;
pub mod live;
pub mod room;
pub mod session_reports;
