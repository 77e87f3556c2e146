//! The bitmap of chunks that were durably written, so that a restarted client knows where to look
//! first.
//!
//! It is a hint: a marked chunk is read and hashed before it counts. So a bitmap that is stale,
//! foreign or torn costs time at worst, and anything wrong with it only means that there is none.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use foghorn_types::{ChunkNumber, ManifestId, chain};

const MAGIC: &[u8; 5] = b"FHRB\x01";
const HEADER: usize = MAGIC.len() + 32 + 32 + 4;
const TRAILER: usize = 32;

/// Which chunks of which image are on which disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WrittenBitmap {
    manifest: ManifestId,
    /// BLAKE3 of the target's identity.
    target: [u8; 32],
    chunks: u32,
    bits: Vec<u8>,
}

impl WrittenBitmap {
    #[must_use]
    pub fn new(manifest: ManifestId, target_identity: &str, chunks: u32) -> Self {
        let target = *blake3::hash(target_identity.as_bytes()).as_bytes();
        Self {
            manifest,
            target,
            chunks,
            bits: vec![0; bitmap_len(chunks)],
        }
    }

    pub fn mark(&mut self, number: ChunkNumber) {
        self.bits[number.index() / 8] |= 1 << (number.get() % 8);
    }

    /// Marked chunks, ascending.
    pub fn marked(&self) -> impl Iterator<Item = ChunkNumber> + '_ {
        let is_marked =
            |number: &ChunkNumber| self.bits[number.index() / 8] >> (number.get() % 8) & 1 == 1;
        (0..self.chunks).map(ChunkNumber::new).filter(is_marked)
    }

    /// Same image, same disk.
    #[must_use]
    pub fn belongs_with(&self, other: &Self) -> bool {
        (self.manifest, self.target, self.chunks) == (other.manifest, other.target, other.chunks)
    }

    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER + self.bits.len() + TRAILER);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(self.manifest.as_bytes());
        out.extend_from_slice(&self.target);
        out.extend_from_slice(&self.chunks.to_le_bytes());
        out.extend_from_slice(&self.bits);
        let sum = blake3::hash(&out);
        out.extend_from_slice(sum.as_bytes());
        out
    }

    /// `None` when the bytes are not a complete bitmap of this version.
    #[must_use]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (body, sum) = bytes.split_last_chunk::<TRAILER>()?;
        if blake3::hash(body) != *sum {
            return None;
        }
        let rest = body.strip_prefix(MAGIC.as_slice())?;
        let (manifest, rest) = rest.split_first_chunk::<32>()?;
        let (target, rest) = rest.split_first_chunk::<32>()?;
        let (chunks, bits) = rest.split_first_chunk::<4>()?;
        let chunks = u32::from_le_bytes(*chunks);
        (bits.len() == bitmap_len(chunks)).then(|| Self {
            manifest: ManifestId::from_digest(*manifest),
            target: *target,
            chunks,
            bits: bits.to_vec(),
        })
    }
}

/// Bytes of a bitmap of so many chunks.
const fn bitmap_len(chunks: u32) -> usize {
    chunks.div_ceil(8) as usize
}

/// The file of one target's bitmap in the state directory.
#[derive(Clone, Debug)]
pub struct ResumeFile {
    path: PathBuf,
}

impl ResumeFile {
    #[must_use]
    pub fn new(state_dir: &Path, target_identity: &str) -> Self {
        let name = blake3::hash(target_identity.as_bytes()).to_hex();
        Self {
            path: state_dir.join(format!("resume-{}.bitmap", &name[..16])),
        }
    }

    /// The bitmap of an earlier run, if it is about the same image and disk as `like`.
    #[must_use]
    pub fn load(&self, like: &WrittenBitmap) -> Option<WrittenBitmap> {
        WrittenBitmap::decode(&fs::read(&self.path).ok()?).filter(|found| found.belongs_with(like))
    }

    /// Replaces the file atomically. To be called only after what the bitmap names was flushed.
    ///
    /// # Errors
    /// The file system's.
    pub fn save(&self, bitmap: &WrittenBitmap) -> io::Result<()> {
        if let Some(dir) = self.path.parent() {
            fs::create_dir_all(dir)?;
        }
        let fresh = self.fresh();
        let write = || {
            let mut file = File::create(&fresh)?;
            file.write_all(&bitmap.encode())?;
            file.sync_data()?;
            foghorn_faults::fail!("client.resume.before-rename")
        };
        let written = write().and_then(|()| fs::rename(&fresh, &self.path));
        if written.is_err() {
            let _ = fs::remove_file(&fresh);
        }
        written
    }

    fn fresh(&self) -> PathBuf {
        self.path.with_extension("new")
    }

    /// Forgets the bitmap; a missing file is fine.
    pub fn remove(&self) {
        match fs::remove_file(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(
                    path = %self.path.display(),
                    error = %chain(&error),
                    "could not remove the resume bitmap"
                );
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_same_image_on_the_same_disk_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let file = ResumeFile::new(dir.path(), "disk-a");
        let mut bitmap = WrittenBitmap::new(ManifestId::of(b"m"), "disk-a", 20);
        bitmap.mark(ChunkNumber::new(3));
        file.save(&bitmap).unwrap();
        assert_eq!(
            file.load(&WrittenBitmap::new(ManifestId::of(b"m"), "disk-a", 20))
                .unwrap()
                .marked()
                .collect::<Vec<_>>(),
            [ChunkNumber::new(3)]
        );
        assert!(
            file.load(&WrittenBitmap::new(ManifestId::of(b"n"), "disk-a", 20))
                .is_none()
        );
        assert!(
            file.load(&WrittenBitmap::new(ManifestId::of(b"m"), "disk-b", 20))
                .is_none()
        );
        file.remove();
        assert!(file.load(&bitmap).is_none());
    }

    proptest! {
        #[test]
        fn round_trips_and_any_flip_is_noticed(chunks in 0u32..300,
            marks in prop::collection::vec(any::<u32>(), 0..50), flip in any::<(usize, u8)>()) {
            let mut bitmap = WrittenBitmap::new(ManifestId::of(b"m"), "d", chunks);
            if chunks > 0 { for mark in marks { bitmap.mark(ChunkNumber::new(mark % chunks)); } }
            let mut bytes = bitmap.encode();
            prop_assert_eq!(WrittenBitmap::decode(&bytes), Some(bitmap));
            let at = flip.0 % bytes.len();
            bytes[at] ^= 1 << (flip.1 % 8);
            prop_assert_eq!(WrittenBitmap::decode(&bytes), None);
            prop_assert_eq!(WrittenBitmap::decode(&bytes[..at]), None);
        }
    }
}
