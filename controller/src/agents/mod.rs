//! Connected agents: their links, what they last reported, and the work asked of them.

pub mod casts;
pub mod files;
pub mod jobs;
pub mod links;
pub mod live;
