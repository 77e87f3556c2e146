//! Connected agents: their links, what they last reported, and the work asked of them.

pub mod casts;
mod convert;
pub mod files;
pub mod jobs;
pub mod links;
pub mod live;
pub mod service;
mod session;
