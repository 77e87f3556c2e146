//! Where the content of an image comes from: kept beside its manifest, so that it is known also where
//! the controller's store is not, as after an older backup of it was restored.

use foghorn_chunk_store::Store;
use foghorn_proto::link::{CapturedImage, StoredManifest};
use foghorn_types::{HostId, ImageId, ManifestId, Timestamp, chain};
use serde::{Deserialize, Serialize};
use tracing::warn;

/// All of it may be missing: content from before this was kept has none.
#[derive(Serialize, Deserialize)]
struct Origin {
    captured_unix_ms: i64,
    host_id: u32,
    host_name: String,
    used_bytes: u64,
    stored_bytes: u64,
}

/// Remembers what a capture has brought. The image is stored either way.
pub(crate) fn remember(
    store: &Store,
    manifest: ManifestId,
    captured: &CapturedImage,
    (host, name): (HostId, &str),
) {
    let origin = Origin {
        captured_unix_ms: Timestamp::now().as_millis(),
        host_id: host.get(),
        host_name: name.to_owned(),
        used_bytes: captured.used_bytes,
        stored_bytes: captured.stored_bytes,
    };
    write(store, manifest, &origin);
}

/// Remembers where the content of a copy comes from, as the controller knows it.
pub(crate) fn copied(store: &Store, manifest: ManifestId, what: &StoredManifest) {
    let origin = Origin {
        captured_unix_ms: what.captured_unix_ms,
        host_id: what.host_id,
        host_name: what.host_name.clone(),
        used_bytes: what.used_bytes,
        stored_bytes: what.stored_bytes,
    };
    write(store, manifest, &origin);
}

fn write(store: &Store, manifest: ManifestId, origin: &Origin) {
    let written = serde_json::to_vec(origin)
        .map_err(|error| error.to_string())
        .and_then(|bytes| {
            let put = store.put_origin(manifest, &bytes);
            put.map_err(|error| chain(&error).to_string())
        });
    if let Err(error) = written {
        warn!(%manifest, error, "could not write down where an image comes from");
    }
}

/// What the controller is told of an image that is here.
pub(crate) fn stored(store: &Store, image: ImageId, manifest: ManifestId) -> StoredManifest {
    let origin = store.origin(manifest);
    let origin: Option<Origin> = origin.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let known = origin.map(|origin| StoredManifest {
        captured_unix_ms: origin.captured_unix_ms,
        host_id: origin.host_id,
        host_name: origin.host_name,
        used_bytes: origin.used_bytes,
        stored_bytes: origin.stored_bytes,
        ..StoredManifest::default()
    });
    StoredManifest {
        image_id: image.get(),
        manifest_id: manifest.as_bytes().to_vec(),
        ..known.unwrap_or_default()
    }
}
