//! What an image is: a [`Manifest`] that says, for every used 1 MiB chunk of a captured disk, which
//! bytes of it were in use and what they were.
//!
//! Pure: no sockets, files, clocks or async. The encoded form is ours, versioned, and described in
//! `docs/protocol/manifest.md`; an encoded manifest is named by its BLAKE3 hash, so two captures of
//! the same state of a disk have the same [`ManifestId`](foghorn_types::ManifestId).

#![warn(missing_docs)]

mod chunk_list;
mod codec;
mod cursor;
mod disks;
mod distinct;
mod geometry;
mod manifest;
mod mask;
mod note;
mod part;
mod ranges;
mod root;
mod table;
mod validate;

pub use chunk_list::{ChunkList, Entries};
pub use codec::{DecodeManifestError, FORMAT_VERSION, PARTS_VERSION};
pub use disks::{ImageDisk, MAX_DISK_NAME, MAX_DISKS, disk_places};
pub use distinct::{DistinctChunks, Numbering};
pub use geometry::{CHUNK_SIZE, DiskGeometry};
pub use manifest::{
    ChunkContent, ChunkEntry, FileSystem, FileSystemKind, Manifest, ManifestSummary,
};
pub use mask::{MASK_UNIT, SectorRange, UsedChunks, UsedMask, used_chunks};
pub use note::{MAX_NOTE_TEXT, MAX_NOTES, Note, NoteKind, fit_notes, fit_notes_in, selected_notes};
pub use part::{
    MAX_INLINE, MAX_PART, MAX_PARTS, ManifestPart, PART_CHUNKS, PartRef, most_part_bytes,
};
pub use ranges::{ByteRange, ByteRanges, Runs, UnorderedRanges};
pub use root::{EntryCount, EntryReader, ManifestRoot, ManifestWriter};
pub use table::{GPT_ENTRY_SIZE, GptEntry, GptTable, MAX_GPT_SLOTS, PartitionTable};
pub use validate::InvalidManifest;
