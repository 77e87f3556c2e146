//! Making stored chunks an image, and what the controller is told of it.

use foghorn_chunk_store::Store;
use foghorn_image::{DecodeManifestError, Manifest, selected_notes};
use foghorn_proto::link::{CapturedImage, ImageDisk, ImageNote};
use foghorn_types::{ImageId, ManifestId};

/// Why an image was not stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreImageError {
    #[error("the manifest is not valid")]
    Decode(#[from] DecodeManifestError),
    #[error("the storage node could not store the manifest")]
    Put(#[from] foghorn_chunk_store::PutManifestError),
    #[error("the storage node could not read the sizes of the image's chunks")]
    Measure(#[source] foghorn_chunk_store::ReadChunkError),
}

/// Makes the manifest the content of the image: valid, complete, and on disk, or not at all.
pub(crate) fn store_image(
    store: &Store,
    image: ImageId,
    encoded: &[u8],
) -> Result<(ManifestId, CapturedImage), StoreImageError> {
    let manifest = Manifest::decode(encoded)?;
    let id = store.put_manifest(image, encoded)?;
    let stored = store
        .stored_size(manifest.distinct_chunks().ids())
        .map_err(StoreImageError::Measure)?;
    let summary = manifest.summary();
    let notes = notes_of(&manifest);
    let captured = CapturedImage {
        manifest_id: id.as_bytes().to_vec(),
        logical_bytes: summary.logical_size.bytes(),
        used_bytes: summary.used.bytes(),
        stored_bytes: stored.bytes(),
        new_bytes: 0,
        more_notes: (manifest.notes.len() - notes.len()) as u32,
        notes,
        disks: disks_of(&manifest),
    };
    Ok((id, captured))
}

fn disks_of(manifest: &Manifest) -> Vec<ImageDisk> {
    let places = manifest.disk_places();
    let disks = manifest.disks.iter().zip(places).enumerate();
    disks
        .map(|(nth, (disk, place))| ImageDisk {
            size: disk.size.bytes(),
            sector_size: disk.sector_size.bytes() as u32,
            start: place.start,
            minimum: manifest.of_disk(nth).minimum_disk().bytes(),
            name: disk.name.to_string(),
        })
        .collect()
}

/// Most notes of an image that the controller is sent.
const MOST_NOTES: usize = 100;

fn notes_of(manifest: &Manifest) -> Vec<ImageNote> {
    selected_notes(&manifest.notes, MOST_NOTES)
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
