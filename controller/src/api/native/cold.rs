//! Cold copies of storage nodes, in the words of the API.

use foghorn_rest_types::native::{ColdCopy, ColdImage, ColdStatus};

use super::names::image_name;
use crate::agents::cold;
use crate::state::Tables;

/// The bucket of a node. `all`: also the images that are complete there.
pub(super) fn of_node(tables: &Tables, cold: &cold::ColdCopies, all: bool) -> ColdStatus {
    let mut images: Vec<_> = cold.images.iter().collect();
    images.sort_unstable_by_key(|(key, _)| **key);
    let complete = cold.images.values().filter(|copy| copy.complete).count();
    let shown = images.into_iter().filter(|(_, copy)| all || !copy.complete);
    let shown = shown.map(|((image, manifest), copy)| {
        let content = tables.contents().get(image);
        let version = content.and_then(|content| content.with_manifest(*manifest));
        ColdImage {
            image: image_name(tables, *image),
            version: version.map(|version| version.version),
            manifest: *manifest,
            copy: view(copy),
        }
    });
    let trouble = cold.trouble.as_ref();
    let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
    ColdStatus {
        bucket: cold.bucket.clone(),
        prefix: cold.prefix.clone(),
        problem: trouble.map(|(problem, _)| problem.clone()),
        problem_since: trouble.map(|(_, since)| since.to_string()),
        bucket_bytes: cold.bucket_bytes,
        cache_bytes: cold.cache_bytes,
        limit_bytes: cold.limit,
        total: count(cold.images.len()),
        complete: count(complete),
        images: shown.collect(),
    }
}

pub(super) fn view(copy: &cold::ColdCopy) -> ColdCopy {
    ColdCopy {
        verified: copy.verified,
        total: Some(copy.total).filter(|total| *total > 0),
        complete: copy.complete,
        away: copy.away,
        problem: Some(copy.problem.clone()).filter(|problem| !problem.is_empty()),
    }
}
