//! The encoded form of a manifest, described byte by byte in `docs/protocol/manifest.md`.
//!
//! There is exactly one encoding of a manifest, so that its hash can be its name. A BLAKE3 trailer
//! makes every truncation and every flipped bit an error before anything is interpreted.

mod disks;
mod notes;
mod sections;

use foghorn_types::{ByteCount, SectorSize};

use crate::cursor::{Cursor, put_section, put_varint};
use crate::geometry::DiskGeometry;
use crate::manifest::Manifest;
use crate::validate::InvalidManifest;

/// Version of the encoded form that this code writes, and the only one it reads.
pub const FORMAT_VERSION: u16 = 1;

const MAGIC: &[u8; 8] = b"FOGHMNFT";
const TRAILER_LEN: usize = 32;

const GEOMETRY: u8 = 1;
const TABLE: u8 = 2;
const FILE_SYSTEMS: u8 = 3;
const CHUNKS: u8 = 4;
/// Only there when there are notes: a manifest without them has the bytes that it always had.
const NOTES: u8 = 5;
/// Only there when there are two or more: programs that know nothing of it refuse the manifest.
const DISKS: u8 = 6;

/// Why bytes are not a manifest.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each variant says what it is")]
pub enum DecodeManifestError {
    #[error("these {0} bytes do not start with the header of a manifest")]
    NotAManifest(usize),
    #[error("the manifest is truncated or damaged: its checksum does not match")]
    Checksum,
    #[error("the manifest has format version {0}, this program reads {FORMAT_VERSION}")]
    Version(u16),
    #[error("the manifest's section {section:?} {what}")]
    Malformed {
        section: &'static str,
        what: &'static str,
    },
    #[error("the manifest does not describe a valid disk")]
    Invalid(#[from] InvalidManifest),
}

impl Manifest {
    /// The encoded form. Equal manifests have equal bytes.
    ///
    /// A manifest that does not [`validate`](Self::validate) encodes to something that does not
    /// decode.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.chunks.len() * 36 + 1024);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        let mut contents = Vec::new();
        put_varint(&mut contents, self.geometry.size.bytes());
        put_sector_size(&mut contents, self.geometry.sector_size);
        put_section(&mut out, GEOMETRY, &contents);
        put_section(&mut out, TABLE, &sections::encode_table(&self.table));
        put_section(
            &mut out,
            FILE_SYSTEMS,
            &sections::encode_file_systems(&self.file_systems),
        );
        put_section(&mut out, CHUNKS, &sections::encode_chunks(&self.chunks));
        if !self.notes.is_empty() {
            put_section(&mut out, NOTES, &notes::encode_notes(&self.notes));
        }
        if !self.disks.is_empty() {
            put_section(&mut out, DISKS, &disks::encode_disks(&self.disks));
        }
        let trailer = blake3::hash(&out);
        out.extend_from_slice(trailer.as_bytes());
        out
    }

    /// Reads an encoded manifest and validates it. Never panics, and takes memory in proportion to
    /// `bytes`.
    ///
    /// # Errors
    ///
    /// When the bytes are not, from the first to the last, the encoding of a valid manifest.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeManifestError> {
        let body = bytes
            .strip_prefix(MAGIC)
            .ok_or(DecodeManifestError::NotAManifest(bytes.len()))?;
        let split = body
            .len()
            .checked_sub(TRAILER_LEN)
            .ok_or(DecodeManifestError::Checksum)?;
        let (body, trailer) = body.split_at(split);
        if blake3::hash(&bytes[..MAGIC.len() + split])
            != *trailer
                .first_chunk()
                .expect("split TRAILER_LEN before the end")
        {
            return Err(DecodeManifestError::Checksum);
        }
        let mut rest = Cursor::new(body, "header");
        let version = u16::from_le_bytes(rest.array()?);
        if version != FORMAT_VERSION {
            return Err(DecodeManifestError::Version(version));
        }
        let manifest = Self {
            geometry: decode_geometry(rest.section(GEOMETRY, "geometry")?)?,
            table: sections::decode_table(rest.section(TABLE, "partition table")?)?,
            file_systems: sections::decode_file_systems(
                rest.section(FILE_SYSTEMS, "file systems")?,
            )?,
            chunks: sections::decode_chunks(rest.section(CHUNKS, "chunks")?)?,
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
        manifest.validate()?;
        Ok(manifest)
    }
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
