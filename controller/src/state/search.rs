//! What a search finds in a class: rows one of whose stored fields, or one of whose related
//! objects, contains the needle.

use std::sync::Arc;

use super::needle::Needle;
use super::row::Row;
use super::rules::Rules;
use super::scene::Scene;

/// The rows that a search for `needle` finds, by id. Secrets are not searched.
#[must_use]
pub fn rows<'t, C: Rules>(scene: &Scene<'t>, needle: &Needle) -> Vec<&'t Arc<Row<C>>> {
    let table = scene.tables.of::<C>();
    if needle.fits_everything() {
        return table.iter().collect();
    }
    let mut found: Vec<u32> = table.hits(needle).map(|row| row.id()).collect();
    match C::found_through(scene, needle) {
        Some(related) => found.extend(related),
        None => found.extend(
            table
                .iter()
                .filter(|row| C::found_by_relation(row, scene, needle))
                .map(|row| row.id()),
        ),
    }
    found.sort_unstable();
    found.dedup();
    found.into_iter().filter_map(|id| table.get(id)).collect()
}
