//! Making stored chunks an image, and what the controller is told of it.

use std::ops::ControlFlow;

use bytes::Bytes;
use foghorn_chunk_store::Store;
use foghorn_image::{
    ChunkEntry, ChunkList, DecodeManifestError, DiskGeometry, EntryCount, ManifestRoot, Note,
    selected_notes,
};
use foghorn_proto::link::{CapturedImage, ImageDisk, ImageNote};
use foghorn_types::{ByteCount, ImageId, ManifestId};

/// Why an image was not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreImageError {
    #[error("the manifest is not valid")]
    Decode(#[from] DecodeManifestError),
    #[error("the storage node could not read the manifest again")]
    Read(#[from] foghorn_chunk_store::ReadManifestError),
    #[error("the storage node could not store the manifest")]
    Put(#[from] foghorn_chunk_store::PutManifestError),
    #[error("the storage node could not read the sizes of the image's chunks")]
    Measure(#[source] foghorn_chunk_store::ReadChunkError),
}

/// Makes the manifest the content of the image: valid, complete, and on disk, or not at all.
pub(crate) fn store_image(
    store: &Store,
    image: ImageId,
    encoded: &Bytes,
) -> Result<(ManifestId, CapturedImage), StoreImageError> {
    let root = ManifestRoot::decode(encoded)?;
    let id = store.put_manifest(image, encoded)?;
    let (mut count, mut last) = (EntryCount::default(), LastOfDisks::new(&root));
    store.walk_manifest(id, &root, |entry| {
        count.add(root.geometry, &entry);
        last.see(entry);
    })?;
    let (mut stored, mut failed) = (ByteCount::ZERO, None);
    let _ = store.distinct_pages(id, &root, |ids| match store.stored_size(ids) {
        Ok(size) => {
            stored += size;
            ControlFlow::Continue(())
        }
        Err(error) => {
            failed = Some(error);
            ControlFlow::Break(())
        }
    })?;
    if let Some(error) = failed {
        return Err(StoreImageError::Measure(error));
    }
    let notes = notes_of(&root.notes);
    let partitions = match root.disks[..] {
        [] => root.file_systems.iter().map(|fs| fs.partition).collect(),
        _ => Vec::new(),
    };
    let (logical_bytes, more_notes) = (root.geometry.size.bytes(), root.notes.len() - notes.len());
    let (disks, minimum) = last.disks_and_minimum(root);
    let captured = CapturedImage {
        manifest_id: id.as_bytes().to_vec(),
        logical_bytes,
        used_bytes: count.used.bytes(),
        stored_bytes: stored.bytes(),
        new_bytes: 0,
        more_notes: more_notes as u32,
        notes,
        partitions,
        disks,
        minimum,
    };
    Ok((id, captured))
}

/// The last entry of each disk, which says how small a target may be.
struct LastOfDisks {
    /// Of several disks.
    ends: Vec<u64>,
    entries: Vec<Option<ChunkEntry>>,
}

impl LastOfDisks {
    fn new(root: &ManifestRoot) -> Self {
        let ends: Vec<u64> = root.disk_places().iter().map(|place| place.end).collect();
        Self {
            entries: vec![None; ends.len().max(1)],
            ends,
        }
    }

    fn see(&mut self, entry: ChunkEntry) {
        let start = DiskGeometry::chunk_offset(entry.index).bytes();
        let nth = self.ends.partition_point(|end| *end <= start);
        if let Some(last) = self.entries.get_mut(nth) {
            *last = Some(entry);
        }
    }

    /// The disks of an image of several, or the smallest disk that holds the image.
    fn disks_and_minimum(self, root: ManifestRoot) -> (Vec<ImageDisk>, u64) {
        let chunks: ChunkList = self.entries.into_iter().flatten().collect();
        let manifest = root.with_chunks(chunks);
        if manifest.disks.is_empty() {
            return (Vec::new(), manifest.minimum_disk().bytes());
        }
        let places = manifest.disk_places();
        let disks = manifest.disks.iter().zip(places).enumerate();
        let disks = disks
            .map(|(nth, (disk, place))| ImageDisk {
                size: disk.size.bytes(),
                sector_size: disk.sector_size.bytes() as u32,
                start: place.start,
                minimum: manifest.of_disk(nth).minimum_disk().bytes(),
                name: disk.name.to_string(),
            })
            .collect();
        (disks, 0)
    }
}

/// Most notes of an image that the controller is sent.
const MOST_NOTES: usize = 100;

fn notes_of(notes: &[Note]) -> Vec<ImageNote> {
    selected_notes(notes, MOST_NOTES)
        .into_iter()
        .map(|note| ImageNote {
            kind: note.kind.code().into(),
            partition: note.partition,
            offset: note.range.start,
            length: note.range.size().bytes(),
            text: note.text.to_string(),
        })
        .collect()
}
