
pub mod agents;
pub mod api;
