//! The QUIC protocol between a client (the machine being imaged) and an agent (the storage node),
//! both ends.
//!
//! One connection is one session of one task. The client opens with a `Hello`, the agent answers
//! with what the session is for, and from then on the client drives: every request is a
//! bidirectional stream of its own, so a slow one never stands in the way of another. Bulk data
//! moves on *lanes*: streams that carry chunks one after the other, with the other direction for
//! orders or acknowledgements.
//!
//! Trust is mutual TLS 1.3 under the controller's certificate authority; a certificate names its
//! holder ([`identity::PeerCertificate`]). What a peer may do is decided by the caller from that
//! name, never here.
//!
//! Not here: compression, hashing of chunks, retries, choice of a node. Bytes are passed on as they
//! are; whoever writes them to a disk verifies them. The protocol is described in
//! `docs/protocol/quic.md`.

#![warn(missing_docs)]

mod buffers;
pub mod client;
mod endpoint;
mod frame;
pub mod identity;
mod link;
pub mod multicast;
pub mod server;
mod session;

pub mod wire;
#[cfg(test)]
mod wire_corpus;

pub use client::{AgentConnection, Source};
pub use foghorn_multicast::Stage;
pub use frame::StreamError;
pub use identity::{Identity, IdentityError, PeerCertificate, validity};
pub use server::{Incoming, Listener, Request, Session};
pub use session::{ClientOutcome, ClientProgress, EndReason, Hello, RefusalCode, SessionKind};
