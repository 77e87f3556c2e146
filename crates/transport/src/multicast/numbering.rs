//! Where the words of an image meet those of a session. The machines of `foghorn-multicast` know
//! nothing of images, so they have types of their own.

use foghorn_multicast::{Rate, SessionChunk};
use foghorn_types::{BitRate, ChunkNumber};

/// The chunk of a session that carries chunk `number` of its image: they have the same number.
#[must_use]
pub const fn in_session(number: ChunkNumber) -> SessionChunk {
    SessionChunk(number.get())
}

/// The chunk of the image that a session's chunk carries.
#[must_use]
pub const fn in_image(chunk: SessionChunk) -> ChunkNumber {
    ChunkNumber::new(chunk.0)
}

/// A configured or ordered rate as the bound of a session, rounded down to whole bytes.
#[must_use]
pub const fn session_rate(rate: BitRate) -> Rate {
    Rate::from_bytes_per_second(rate.bytes_per_second())
}
