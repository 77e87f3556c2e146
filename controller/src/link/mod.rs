//! The agents' side of the controller: gRPC, one link per storage node, and the calls that carry
//! files.

mod convert;
pub mod service;
mod session;
