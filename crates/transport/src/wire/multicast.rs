//! The messages about a multicast session, on its control stream and in datagrams.

use std::net::{IpAddr, SocketAddr};

use foghorn_multicast::{ChunkSet, Epoch, KeyMaterial, MAX_CHUNKS, SessionTag, Suite};
use serde::{Deserialize, Serialize};

use super::{DecodeMessageError, MAX_FRAME, WireReport, decode};
use crate::multicast::SessionTerms;

/// Chunks in one message: as a bitmap they take an eighth of this in bytes, which fits a frame.
const CHUNKS_PER_MESSAGE: u32 = 1 << 20;

/// A key of the session, whole: it travels inside the QUIC connection only.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WireKey {
    pub session: u32,
    pub epoch: u8,
    pub suite: u8,
    pub secret: [u8; 32],
}

impl std::fmt::Debug for WireKey {
    /// Without the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WireKey")
            .field("session", &self.session)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// How to hear the session.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WireTerms {
    pub group: SocketAddr,
    pub source: IpAddr,
    pub source_specific: bool,
    pub symbol_size: u16,
    pub key: WireKey,
}

/// Body of a datagram from a client.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum WireDatagram {
    Progress(WireReport),
    /// A report as `foghorn-multicast` encodes it.
    Multicast(Vec<u8>),
    /// Compressed bytes that the client has fetched from other agents, in all. Agents that do not know
    /// this leave it out of their figures.
    Elsewhere(u64),
}

/// # Errors
/// When the bytes are not exactly one datagram's body.
pub fn decode_datagram(bytes: &[u8]) -> Result<WireDatagram, DecodeMessageError> {
    decode(bytes)
}

/// The set in messages' worth of parts, each encoded; one part when the set is empty.
pub(crate) fn encode_chunks(set: &ChunkSet) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    let mut from = 0;
    while let Some(first) = set.next_from(foghorn_multicast::SessionChunk(from)) {
        let end = first.0.saturating_add(CHUNKS_PER_MESSAGE).min(MAX_CHUNKS);
        let part: ChunkSet = set
            .iter()
            .skip_while(|n| n.0 < first.0)
            .take_while(|n| n.0 < end)
            .collect();
        parts.push(part.encode());
        from = end;
    }
    if parts.is_empty() {
        parts.push(ChunkSet::new().encode());
    }
    parts
}

/// # Errors
/// When the bytes are not a set of chunks below `chunks`.
pub(crate) fn decode_chunks(bytes: &[u8], chunks: u32) -> Result<ChunkSet, DecodeMessageError> {
    debug_assert!(bytes.len() <= MAX_FRAME, "a frame holds no more");
    ChunkSet::decode(bytes, chunks)
        .map_err(|error| DecodeMessageError::Multicast(error.to_string()))
}

impl From<&KeyMaterial> for WireKey {
    fn from(key: &KeyMaterial) -> Self {
        Self {
            session: key.session.0,
            epoch: key.epoch.0,
            suite: key.suite.code(),
            secret: key.secret,
        }
    }
}

impl TryFrom<WireKey> for KeyMaterial {
    type Error = DecodeMessageError;

    fn try_from(wire: WireKey) -> Result<Self, Self::Error> {
        let unknown =
            || DecodeMessageError::Multicast(format!("cipher {} is not known", wire.suite));
        Ok(Self {
            session: SessionTag(wire.session),
            epoch: Epoch(wire.epoch),
            suite: Suite::from_code(wire.suite).ok_or_else(unknown)?,
            secret: wire.secret,
        })
    }
}

impl From<&SessionTerms> for WireTerms {
    fn from(terms: &SessionTerms) -> Self {
        Self {
            group: terms.group,
            source: terms.source,
            source_specific: terms.source_specific,
            symbol_size: terms.symbol_size,
            key: (&terms.key).into(),
        }
    }
}

impl TryFrom<WireTerms> for SessionTerms {
    type Error = DecodeMessageError;

    fn try_from(wire: WireTerms) -> Result<Self, Self::Error> {
        if !wire.group.ip().is_multicast() || wire.group.is_ipv4() != wire.source.is_ipv4() {
            let problem = format!(
                "{} from {} is not a multicast group",
                wire.group, wire.source
            );
            return Err(DecodeMessageError::Multicast(problem));
        }
        Ok(Self {
            group: wire.group,
            source: wire.source,
            source_specific: wire.source_specific,
            symbol_size: wire.symbol_size,
            key: wire.key.try_into()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use foghorn_multicast::SessionChunk;

    use super::*;

    #[test]
    fn a_set_of_any_size_travels_in_parts_that_fit_frames() {
        let scattered: ChunkSet = (0..MAX_CHUNKS).step_by(5).map(SessionChunk).collect();
        let parts = encode_chunks(&scattered);
        assert!(parts.len() > 1 && parts.iter().all(|part| part.len() < MAX_FRAME - 16));
        let mut together = ChunkSet::new();
        for part in &parts {
            together.union_with(&decode_chunks(part, MAX_CHUNKS).unwrap());
        }
        assert_eq!(together, scattered);
        assert_eq!(encode_chunks(&ChunkSet::new()).len(), 1);
    }

    #[test]
    fn chunks_beyond_the_last_are_refused() {
        let part = &encode_chunks(&ChunkSet::all(10))[0];
        assert!(decode_chunks(part, 9).is_err());
        assert_eq!(decode_chunks(part, 10).unwrap().len(), 10);
    }
}
