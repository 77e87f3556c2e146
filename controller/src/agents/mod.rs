//! Connected agents: their links, their last reports, and their jobs.

pub mod files;
pub mod jobs;
pub mod links;
pub mod live;
pub mod session_reports;
