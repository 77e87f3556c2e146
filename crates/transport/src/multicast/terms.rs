//! The parameters that a receiver gets when it joins a session.

use std::net::{IpAddr, SocketAddr};

use foghorn_multicast::KeyMaterial;

/// How to hear a session, and the key to open its packets with.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionTerms {
    /// Group address and UDP port.
    pub group: SocketAddr,
    /// Where packets come from; others are not ours.
    pub source: IpAddr,
    /// Ask the network for this source only.
    pub source_specific: bool,
    /// Bytes of a symbol.
    pub symbol_size: u16,
    /// The present key; further ones are sent when it changes.
    pub key: KeyMaterial,
}
