//! What lies in the bucket: packs of chunks, and for each image an object that says in which packs
//! its chunks are. Both are described in `docs/decisions/0022-cold-copies.md`.

use bytes::{BufMut, Bytes, BytesMut};
use foghorn_types::{ChunkId, ImageId, ManifestId};
use serde::{Deserialize, Serialize};

/// A pack that has reached this size is complete.
pub(super) const PACK_SIZE: usize = 16 << 20;
/// Who writes under the prefix.
pub(super) const OWNER: &str = "owner";
/// Folder of the objects of images.
pub(super) const IMAGES: &str = "images";

const MAGIC: &[u8; 4] = b"FHCC";
const IMAGE_MAGIC: &[u8; 8] = b"FHCIMG\x01\x00";
/// Of a record: magic, chunk id, plain length, stored length, half a BLAKE3 of both and the bytes.
pub(super) const HEADER: usize = 60;
const DESCRIBED: usize = 44;
const SUM: usize = 32;

/// A pack, by the BLAKE3 of its bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub(super) struct PackId(pub(super) [u8; 32]);

impl PackId {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    pub(super) fn hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }

    pub(super) fn from_hex(text: &str) -> Option<Self> {
        let bytes = data_encoding::HEXLOWER.decode(text.as_bytes()).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// Its name below the prefix.
    pub(super) fn object(&self) -> String {
        format!("packs/{}", self.hex())
    }
}

/// One version of an image, as the store names it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct Version {
    pub image: ImageId,
    pub manifest: ManifestId,
}

impl Version {
    /// The name of its object below the prefix.
    pub(super) fn object(&self) -> String {
        format!("{IMAGES}/{}", self.name())
    }

    fn name(&self) -> String {
        format!("{}-{}", self.image, self.manifest)
    }

    pub(super) fn from_name(name: &str) -> Option<Self> {
        let (image, manifest) = name.split_once('-')?;
        Some(Self {
            image: image.parse().ok()?,
            manifest: manifest.parse().ok()?,
        })
    }
}

/// Where a chunk lies in its pack.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct Spot {
    pub offset: u32,
    pub stored: u32,
    pub plain: u32,
}

/// A pack that is being put together.
#[derive(Default)]
pub(super) struct PackBuilder {
    bytes: BytesMut,
    spots: Vec<(ChunkId, Spot)>,
}

impl PackBuilder {
    pub(super) fn add(&mut self, id: ChunkId, plain: u32, compressed: &[u8]) {
        let spot = Spot {
            offset: self.bytes.len() as u32,
            stored: compressed.len() as u32,
            plain,
        };
        let head = header(id, spot, compressed);
        self.bytes.put_slice(&head);
        self.bytes.put_slice(compressed);
        self.spots.push((id, spot));
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn finish(self) -> Pack {
        let bytes = self.bytes.freeze();
        Pack {
            id: PackId::of(&bytes),
            bytes,
            spots: self.spots,
        }
    }
}

/// A pack as it is stored.
pub(super) struct Pack {
    pub id: PackId,
    pub bytes: Bytes,
    pub spots: Vec<(ChunkId, Spot)>,
}

fn header(id: ChunkId, spot: Spot, compressed: &[u8]) -> [u8; HEADER] {
    let mut head = [0; HEADER];
    head[..4].copy_from_slice(MAGIC);
    head[4..36].copy_from_slice(id.as_bytes());
    head[36..40].copy_from_slice(&spot.plain.to_le_bytes());
    head[40..44].copy_from_slice(&spot.stored.to_le_bytes());
    let sum = blake3::Hasher::new()
        .update(&head[..DESCRIBED])
        .update(compressed)
        .finalize();
    head[DESCRIBED..].copy_from_slice(&sum.as_bytes()[..HEADER - DESCRIBED]);
    head
}

/// The chunk in a record that was read at its spot; `None` when the record is not that of the
/// chunk, or damaged.
pub(super) fn chunk_in(record: &Bytes, id: ChunkId, spot: Spot) -> Option<Bytes> {
    let expected = HEADER + spot.stored as usize;
    if record.len() != expected {
        return None;
    }
    let compressed = record.slice(HEADER..);
    (record[..HEADER] == header(id, spot, &compressed)).then_some(compressed)
}

/// The object of an image.
#[derive(Serialize, Deserialize)]
pub(super) struct ImageObject {
    pub manifest: Vec<u8>,
    pub parts: Vec<Vec<u8>>,
    /// As the agent keeps it beside the manifest.
    pub origin: Option<Vec<u8>>,
    pub packs: Vec<PackRef>,
    /// Every distinct chunk.
    pub chunks: Vec<ChunkRef>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct PackRef {
    pub id: PackId,
    pub len: u32,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(super) struct ChunkRef {
    pub id: [u8; 32],
    /// Place of its pack in `packs`.
    pub pack: u32,
    pub spot: Spot,
}

/// The object of an image is not what was written.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecodeObjectError {
    #[error("its checksum is wrong")]
    Checksum,
    #[error("it is of a format that this version does not know")]
    Format,
    #[error("it is the object of another image")]
    Other,
    #[error("it cannot be decoded")]
    Postcard(#[from] postcard::Error),
}

impl ImageObject {
    pub(super) fn encode(&self) -> Result<Bytes, DecodeObjectError> {
        let mut bytes = IMAGE_MAGIC.to_vec();
        bytes = postcard::to_extend(self, bytes)?;
        let sum = blake3::hash(&bytes);
        bytes.extend_from_slice(sum.as_bytes());
        Ok(bytes.into())
    }

    pub(super) fn decode(bytes: &[u8], manifest: ManifestId) -> Result<Self, DecodeObjectError> {
        let (content, sum) = bytes
            .split_last_chunk::<SUM>()
            .ok_or(DecodeObjectError::Checksum)?;
        if blake3::hash(content).as_bytes() != sum {
            return Err(DecodeObjectError::Checksum);
        }
        let content = content
            .strip_prefix(IMAGE_MAGIC)
            .ok_or(DecodeObjectError::Format)?;
        let object: Self = postcard::from_bytes(content)?;
        let packs = object.packs.len();
        let is_complete = object
            .chunks
            .iter()
            .all(|chunk| (chunk.pack as usize) < packs);
        if ManifestId::of(&object.manifest) != manifest || !is_complete {
            return Err(DecodeObjectError::Other);
        }
        Ok(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_found_at_its_spot_and_any_flipped_bit_is_noticed() {
        let (one, two) = (ChunkId::of(b"one"), ChunkId::of(b"two"));
        let mut builder = PackBuilder::default();
        builder.add(one, 3, b"the first one");
        builder.add(two, 3, b"the second one");
        let pack = builder.finish();
        let (id, spot) = pack.spots[1];
        let start = spot.offset as usize;
        let record = pack.bytes.slice(start..);
        assert_eq!(
            chunk_in(&record, id, spot).as_deref(),
            Some(&b"the second one"[..])
        );
        assert_eq!(chunk_in(&record, one, spot), None);
        assert_eq!(chunk_in(&record.slice(1..), id, spot), None);
        for bit in 0..record.len() * 8 {
            let mut bytes = record.to_vec();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(chunk_in(&bytes.into(), id, spot), None, "bit {bit}");
        }
    }

    #[test]
    fn the_object_of_an_image_is_whole_or_refused() {
        let manifest = b"a manifest".to_vec();
        let id = ManifestId::of(&manifest);
        let spot = Spot {
            offset: 7,
            stored: 8,
            plain: 9,
        };
        let chunk = ChunkRef {
            id: [3; 32],
            pack: 0,
            spot,
        };
        let pack = PackRef {
            id: PackId::of(b"pack"),
            len: 4,
        };
        let mut object = ImageObject {
            manifest,
            parts: vec![vec![1, 2]],
            origin: None,
            packs: vec![pack],
            chunks: vec![chunk],
        };
        let bytes = object.encode().unwrap();
        let read = ImageObject::decode(&bytes, id).unwrap();
        assert_eq!((read.packs, read.chunks), (vec![pack], vec![chunk]));
        for at in 0..bytes.len() {
            let mut flipped = bytes.to_vec();
            flipped[at] ^= 4;
            assert!(ImageObject::decode(&flipped, id).is_err(), "byte {at}");
            assert!(
                ImageObject::decode(&bytes[..at], id).is_err(),
                "cut at {at}"
            );
        }
        assert!(ImageObject::decode(&bytes, ManifestId::of(b"other")).is_err());
        object.packs.clear();
        assert!(ImageObject::decode(&object.encode().unwrap(), id).is_err());
    }

    #[test]
    fn names_of_objects_are_read_again() {
        let version = Version {
            image: ImageId::new(7).unwrap(),
            manifest: ManifestId::of(b"x"),
        };
        let name = version.object();
        let name = name.strip_prefix("images/").unwrap();
        assert_eq!(Version::from_name(name), Some(version));
        assert_eq!(Version::from_name("0-abc"), None);
        let pack = PackId::of(b"y");
        assert_eq!(PackId::from_hex(&pack.hex()), Some(pack));
    }
}
