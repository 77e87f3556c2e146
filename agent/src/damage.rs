//! What the store knows to be damaged, as the controller is told.

use std::collections::BTreeSet;

use foghorn_chunk_store::{ContentDamage, Store};
use foghorn_proto::link::{DamageList, DamagedContent};
use foghorn_types::chain;
use tracing::warn;

/// Contents named to the controller: messages are limited to 4 MiB.
const NAMED: usize = 5_000;

/// Everything that has a name; `None` if it cannot be found out now.
pub(crate) fn list(store: &Store) -> Option<DamageList> {
    contents(store)
        .map(|contents| DamageList { contents })
        .inspect_err(|problem| {
            warn!(error = %chain(problem.as_ref()), "could not find out what damage affects");
        })
        .ok()
}

pub(crate) fn contents(
    store: &Store,
) -> Result<Vec<DamagedContent>, Box<dyn std::error::Error + Send + Sync>> {
    let damage = store.damage()?;
    if damage.manifests.is_empty() && damage.files.is_empty() {
        return Ok(Vec::new());
    }
    let named: BTreeSet<_> = store
        .readable_manifests()?
        .images
        .into_iter()
        .map(|(_, manifest)| manifest)
        .collect();
    let manifests = damage
        .manifests
        .iter()
        .filter(|(id, _)| named.contains(*id));
    let manifests = manifests.map(|(id, damage)| DamagedContent {
        manifest_id: id.as_bytes().to_vec(),
        ..to_wire(damage)
    });
    let held: BTreeSet<_> = store.files()?.into_iter().collect();
    let files = damage.files.iter().filter(|(id, _)| held.contains(*id));
    let files = files.map(|(id, damage)| DamagedContent {
        file_id: id.as_bytes().to_vec(),
        ..to_wire(damage)
    });
    Ok(manifests.chain(files).take(NAMED).collect())
}

fn to_wire(damage: &ContentDamage) -> DamagedContent {
    DamagedContent {
        chunks: damage.chunks,
        record: damage.record,
        found_unix_ms: damage.found.as_millis(),
        problem: damage.problem.clone(),
        ..Default::default()
    }
}
