//! What an image is: a [`Manifest`] that says, for every used 1 MiB chunk of a captured disk, which bytes of it were in
//! use and what they were.
//!
//! Pure: no sockets, files, clocks or async. The encoded form is ours, versioned, and described in
//! `docs/protocol/manifest.md`; an encoded manifest is named by its BLAKE3 hash, so two captures of the same state of a
//! disk have the same [`ManifestId`](foghorn_types::ManifestId).

mod codec;
mod manifest;
mod mask;
mod table;

pub use codec::{DecodeManifestError, FORMAT_VERSION};
pub use manifest::{
    CHUNK_SIZE, ChunkContent, ChunkEntry, DiskGeometry, FileSystem, FileSystemKind, InvalidManifest, Manifest,
    ManifestSummary,
};
pub use mask::{SectorRange, UsedMask};
pub use table::{GptEntry, GptTable, PartitionTable};
