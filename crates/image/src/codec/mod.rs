//! The encoded form of a manifest, described byte by byte in `docs/protocol/manifest.md`.
//!
//! There is exactly one encoding of a manifest, so that its hash can be its name. A BLAKE3 trailer
//! makes every truncation and every flipped bit an error before anything is interpreted.

mod disks;
pub(crate) mod entry;
mod notes;
mod parts;
mod sections;

use bytes::Bytes;
use foghorn_types::{ByteCount, PartId, SectorSize};

use crate::chunk_list::ChunkList;
use crate::cursor::{Cursor, put_section, put_varint};
use crate::geometry::DiskGeometry;
use crate::manifest::Manifest;
use crate::part::{MAX_INLINE, ManifestPart};
use crate::root::{Head, ManifestRoot, RootChunks};
use crate::validate::InvalidManifest;

/// Version of the encoded form of a manifest that has its entries itself.
pub const FORMAT_VERSION: u16 = 1;
/// Version of the encoded form of a manifest that names parts with its entries.
pub const PARTS_VERSION: u16 = 2;

const MAGIC: &[u8; 8] = b"FOGHMNFT";
const TRAILER_LEN: usize = 32;

const GEOMETRY: u8 = 1;
const TABLE: u8 = 2;
const FILE_SYSTEMS: u8 = 3;
/// Only in version 1.
const CHUNKS: u8 = 4;
/// Only there when there are notes: a manifest without them has the bytes that it always had.
const NOTES: u8 = 5;
/// Only there when there are two or more: programs that know nothing of it refuse the manifest.
const DISKS: u8 = 6;
/// Only in version 2, in the place of [`CHUNKS`].
const PARTS: u8 = 7;

/// Why bytes are not a manifest.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum DecodeManifestError {
    #[error("these {0} bytes do not start with the header of a manifest")]
    NotAManifest(usize),
    #[error("the manifest is truncated or damaged: its checksum does not match")]
    Checksum,
    #[error(
        "the manifest has format version {0}, this program reads {FORMAT_VERSION} and {PARTS_VERSION}"
    )]
    Version(u16),
    #[error("the manifest's section {section:?} {what}")]
    Malformed {
        section: &'static str,
        what: &'static str,
    },
    #[error("the manifest does not describe a valid disk")]
    Invalid(#[from] InvalidManifest),
    #[error("part {0} of the manifest has other bytes than its id says")]
    PartId(PartId),
    #[error("part {0} of the manifest has other entries than the manifest says")]
    PartEntries(PartId),
    #[error("the manifest has its chunks in parts, which are not here")]
    InParts,
}

impl Manifest {
    /// The encoded form. Equal manifests have equal bytes. A manifest with many entries names
    /// [`parts`](Self::parts) instead of containing them.
    ///
    /// A manifest that does not [`validate`](Self::validate) encodes to something that does not
    /// decode.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let chunks = if self.chunks.encoded_len() <= MAX_INLINE {
            RootChunks::inline(&self.chunks)
        } else {
            RootChunks::Parts(self.chunks.parts().map(|(named, _)| named).collect())
        };
        encode_root(&self.head(), &chunks)
    }

    /// The parts that the encoded form names; none unless there are many entries.
    #[must_use]
    pub fn parts(&self) -> Vec<ManifestPart> {
        if self.chunks.encoded_len() <= MAX_INLINE {
            return Vec::new();
        }
        self.chunks.parts().map(|(_, part)| part).collect()
    }

    /// Reads an encoded manifest that names no parts, and validates it. Never panics, and takes
    /// memory in proportion to `bytes`.
    ///
    /// # Errors
    ///
    /// When the bytes are not, from the first to the last, the encoding of a valid manifest, or it
    /// names parts.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeManifestError> {
        let root = ManifestRoot::decode(&Bytes::copy_from_slice(bytes))?;
        root.with_parts(|_| Err(DecodeManifestError::InParts))
    }
}

pub(crate) fn encode_root(head: &Head<'_>, chunks: &RootChunks) -> Vec<u8> {
    let (version, tag, entries) = match chunks {
        RootChunks::Inline { count, bytes } => {
            let mut contents = Vec::with_capacity(bytes.len() + 5);
            put_varint(&mut contents, u64::from(*count));
            contents.extend_from_slice(bytes);
            (FORMAT_VERSION, CHUNKS, contents)
        }
        RootChunks::Parts(parts) => (PARTS_VERSION, PARTS, parts::encode_parts(parts)),
    };
    let mut out = Vec::with_capacity(entries.len() + 1024);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&version.to_le_bytes());
    let mut contents = Vec::new();
    put_varint(&mut contents, head.geometry.size.bytes());
    put_sector_size(&mut contents, head.geometry.sector_size);
    put_section(&mut out, GEOMETRY, &contents);
    put_section(&mut out, TABLE, &sections::encode_table(head.table));
    put_section(
        &mut out,
        FILE_SYSTEMS,
        &sections::encode_file_systems(head.file_systems),
    );
    put_section(&mut out, tag, &entries);
    drop(entries);
    if !head.notes.is_empty() {
        put_section(&mut out, NOTES, &notes::encode_notes(head.notes));
    }
    if !head.disks.is_empty() {
        put_section(&mut out, DISKS, &disks::encode_disks(head.disks));
    }
    let trailer = blake3::hash(&out);
    out.extend_from_slice(trailer.as_bytes());
    out
}

impl RootChunks {
    pub(crate) fn inline(list: &ChunkList) -> Self {
        Self::Inline {
            count: list.len() as u32,
            bytes: list.pieces().collect::<Vec<_>>().concat().into(),
        }
    }
}

impl ManifestRoot {
    /// Reads an encoded manifest without its entries and validates what it has. Never panics, and
    /// takes memory in proportion to `encoded` less the entries, which are read when they are
    /// needed.
    ///
    /// # Errors
    ///
    /// When the bytes are not, from the first to the last, the encoding of a manifest. Entries are
    /// not looked at.
    pub fn decode(encoded: &Bytes) -> Result<Self, DecodeManifestError> {
        let body = encoded
            .strip_prefix(MAGIC)
            .ok_or(DecodeManifestError::NotAManifest(encoded.len()))?;
        let split = body
            .len()
            .checked_sub(TRAILER_LEN)
            .ok_or(DecodeManifestError::Checksum)?;
        let (body, trailer) = body.split_at(split);
        if blake3::hash(&encoded[..MAGIC.len() + split])
            != *trailer
                .first_chunk()
                .expect("split TRAILER_LEN before the end")
        {
            return Err(DecodeManifestError::Checksum);
        }
        let mut rest = Cursor::new(body, "header");
        let version = u16::from_le_bytes(rest.array()?);
        if !(FORMAT_VERSION..=PARTS_VERSION).contains(&version) {
            return Err(DecodeManifestError::Version(version));
        }
        let root = Self {
            geometry: decode_geometry(rest.section(GEOMETRY, "geometry")?)?,
            table: sections::decode_table(rest.section(TABLE, "partition table")?)?,
            file_systems: sections::decode_file_systems(
                rest.section(FILE_SYSTEMS, "file systems")?,
            )?,
            chunks: if version == PARTS_VERSION {
                RootChunks::Parts(parts::decode_parts(rest.section(PARTS, "parts")?)?)
            } else {
                decode_inline(encoded, rest.section(CHUNKS, "chunks")?)?
            },
            notes: if rest.remaining() == 0 || rest.starts_with(DISKS) {
                Vec::new()
            } else {
                notes::decode_notes(rest.section(NOTES, "notes")?)?
            },
            disks: if rest.remaining() == 0 {
                Vec::new()
            } else {
                disks::decode_disks(rest.section(DISKS, "disks")?)?
            },
        };
        rest.finish()?;
        root.validate()?;
        Ok(root)
    }
}

/// A chunk takes one byte or more; nothing is reserved for them.
fn decode_inline(encoded: &Bytes, mut from: Cursor<'_>) -> Result<RootChunks, DecodeManifestError> {
    let count = from.count(1)?;
    let count = u32::try_from(count).map_err(|_| from.malformed("are too many"))?;
    let bytes = encoded.slice_ref(from.bytes(from.remaining())?);
    Ok(RootChunks::Inline { count, bytes })
}

fn decode_geometry(mut from: Cursor<'_>) -> Result<DiskGeometry, DecodeManifestError> {
    let size = ByteCount::from_bytes(from.varint()?);
    let sector_size = take_sector_size(&mut from)?;
    from.finish()?;
    Ok(DiskGeometry { size, sector_size })
}

/// As the power of two.
fn put_sector_size(out: &mut Vec<u8>, size: SectorSize) {
    out.push(size.bytes().ilog2() as u8);
}

fn take_sector_size(from: &mut Cursor<'_>) -> Result<SectorSize, DecodeManifestError> {
    match from.byte()? {
        9 => Ok(SectorSize::B512),
        12 => Ok(SectorSize::B4096),
        _ => Err(from.malformed("has an unknown sector size")),
    }
}
