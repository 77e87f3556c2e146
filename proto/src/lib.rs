//! Messages between controller and agents, and between controllers, generated from
//! `foghorn/link.proto` and `foghorn/peer.proto`, and their
//! conversions to and from the types of the domain.

/// The generated code: wire shapes only, nothing in it has been checked.
#[allow(unreachable_pub, clippy::all, clippy::pedantic)]
pub mod link {
    tonic::include_proto!("foghorn.link.v1");
}

pub mod code;
pub mod exchange;
pub mod http;
mod inventory;
pub mod machine;
mod unshown;
