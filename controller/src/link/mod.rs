//! The agents' side of the controller: gRPC, one link per storage node, and the calls that carry
//! files.

mod age;
pub(crate) mod convert;
pub(crate) mod follow;
pub(crate) mod reports;
pub mod service;
pub(crate) mod session;
